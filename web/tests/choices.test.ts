import { describe, expect, it, vi } from "vitest";

vi.mock("../src/auth/session", () => ({
  person: { value: { name: "Ana", roles: new Set(["*"]) } },
  may: () => true,
}));
vi.stubGlobal("localStorage", new Map() as unknown as Storage);
const { digitsOf } = await import("../src/state/choices");
const { matches } = await import("../src/review/category-picker");

const categories = Array.from({ length: 12 }, (_, n) => ({ category: `c${n}` }));

describe("number keys", () => {
  it("follow the order of the project", () => {
    const digits = digitsOf(categories, {});
    expect([digits.get("1"), digits.get("9"), digits.get("0"), digits.size]).toEqual(["c0", "c8", "c9", 10]);
  });

  it("are a person's own: a category has one key, and an emptied key means nothing", () => {
    const digits = digitsOf(categories, { "1": "c11", "2": "c0", "5": "", "7": "gone" });
    expect([1, 2, 3, 5, 7].map((digit) => digits.get(String(digit)))).toEqual([
      "c11",
      "c0",
      "c2",
      undefined,
      "c6",
    ]);
  });

  it("keep names that differ only in spaces apart", () => {
    const digits = digitsOf([{ category: "News" }, { category: "News " }], {});
    expect([digits.get("1"), digits.get("2")]).toEqual(["News", "News "]);
  });
});

describe("finding a category", () => {
  const all = ["Refund", "Praise", "Delivery refused", "Login"];

  it("offers the recent ones first", () => {
    expect(matches(all, ["Login", "gone"], "")).toEqual(["Login", "Refund", "Praise", "Delivery refused"]);
  });

  it("offers names that begin with the text before names that hold it, in any case", () => {
    expect(matches(all, ["Delivery refused"], "REF")).toEqual(["Refund", "Delivery refused"]);
    expect(matches(all, [], "x")).toEqual([]);
  });
});
