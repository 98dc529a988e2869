import { describe, expect, it } from "vitest";
import { duration, visible } from "../src/domain/format";

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

describe("a duration", () => {
  it("has the unit that suits it", () => {
    expect([0, 9.94, 10, 59.6, 125].map(duration)).toEqual([
      "0.0 s",
      "9.9 s",
      "10 s",
      "1 min 0 s",
      "2 min 5 s",
    ]);
  });
});
