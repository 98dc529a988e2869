import { describe, expect, it } from "vitest";
import { matchesOf } from "../src/domain/matches";

const texts = (text: string, search: string): string[] =>
  matchesOf(text, search).map(({ offset, length }) => text.slice(offset, offset + length));

describe("matches of a search in a text", () => {
  it("takes any white space for white space, and any case", () => {
    expect(texts("the\nLost \t Parcel, lost parcel", " lost  parcel ")).toEqual([
      "Lost \t Parcel",
      "lost parcel",
    ]);
  });
  it("gives offsets in UTF-16 code units, also behind an emoji", () => {
    expect(matchesOf("👋🏽 a.b", "a.b")).toEqual([{ offset: 5, length: 3 }]);
  });
  it("searches for what is written, not for a pattern", () => {
    const odd = "a.b* (c) [d] ^$ {2} | \\ / - +?";
    expect(texts(`axb ${odd}`, odd)).toEqual([odd]);
    expect(matchesOf("axb", "a.b")).toEqual([]);
  });
  it("finds nothing for nothing", () => {
    expect(matchesOf("text", "  ")).toEqual([]);
  });
});
