import { describe, expect, it } from "vitest";
import { visible } from "../src/domain/format";

describe("a name with spaces", () => {
  it("shows those that nobody would see", () => {
    const names = ["News", "News ", " News", "Legal entity", "Legal  entity", "a\u00a0b", "a\tb", "  "];
    expect(names.map(visible)).toEqual([
      "News",
      "News␣",
      "␣News",
      "Legal entity",
      "Legal␣␣entity",
      "a␣b",
      "a␣b",
      "␣␣",
    ]);
  });
});
