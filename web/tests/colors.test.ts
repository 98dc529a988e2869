import { describe, expect, it } from "vitest";
import { HUES, huesOf } from "../src/domain/colors";

const names = Array.from({ length: 200 }, (_, n) => `Category ${n}`);

describe("colors of categories", () => {
  it("are the same on every day", () => {
    expect(huesOf(["Refund", "Praise"])).toEqual(huesOf(["Refund", "Praise"]));
    expect([...huesOf(names).values()].every((hue) => hue >= 0 && hue < HUES)).toBe(true);
  });

  it("differ for the first dozen", () => {
    expect(new Set(huesOf(names.slice(0, HUES)).values()).size).toBe(HUES);
  });

  it("stay when categories are added", () => {
    const before = huesOf(names.slice(0, 5));
    const after = huesOf(names);
    for (const [name, hue] of before) expect(after.get(name)).toBe(hue);
  });
});
