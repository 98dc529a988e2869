import { describe, expect, it } from "vitest";
import { blocks, cut, parts, trimSelection, type Piece, type Span } from "../src/domain/segments";

const span = (key: string, offset: number, length: number): Span => ({ key, offset, length });
const joined = (text: string, pieces: Piece<Span>[]): string =>
  pieces.map((p) => text.slice(p.start, p.end)).join("");

describe("cutting a text at its spans", () => {
  it.each([
    ["none", []],
    ["side by side", [span("a", 0, 3), span("b", 3, 2)]],
    ["overlapping", [span("a", 1, 5), span("b", 3, 6)]],
    ["nested", [span("a", 0, 9), span("b", 2, 2)]],
    ["equal", [span("a", 2, 2), span("b", 2, 2)]],
    ["beyond the text", [span("a", 8, 100), span("b", -1, 3)]],
  ] as [string, Span[]][])("covers all of it without gap, spans %s", (_, spans) => {
    const text = "0123456789\r\n";
    const pieces = cut(text.length, spans);
    expect(joined(text, pieces)).toBe(text);
    for (const piece of pieces)
      for (const s of piece.spans)
        expect(s.offset <= piece.start && piece.end <= s.offset + s.length).toBe(true);
  });

  it("puts the span that begins last on top", () => {
    expect(
      cut(10, [span("outer", 0, 9), span("inner", 2, 2)]).find((p) => p.start === 2)!.spans[0]!.key,
    ).toBe("inner");
  });
});

describe("blocks of a long text", () => {
  const text = "line of words\n".repeat(1_000);

  it("hold all of the text, in order", () => {
    const found = blocks(text, cut(text.length, [span("a", 500, 40)]), 1_000);
    expect(found.length).toBeGreaterThan(5);
    expect(joined(text, found.flat())).toBe(text);
  });

  it("end behind a line feed and never inside a span", () => {
    const long = span("a", 100, 5_000);
    for (const block of blocks(text, cut(text.length, [long]), 1_000).slice(0, -1)) {
      const end = block.at(-1)!.end;
      expect(text[end - 1]).toBe("\n");
      expect(end <= 100 || end >= 5_100).toBe(true);
    }
  });

  it("are one where the text has no line feed", () => {
    expect(blocks("x".repeat(50_000), cut(50_000, []), 1_000)).toHaveLength(1);
  });
});

describe("a selection", () => {
  it.each([
    ["white space goes", "  Ada \r\n", 0, 8, { offset: 2, length: 3 }],
    ["backwards is the same", "  Ada ", 6, 0, { offset: 2, length: 3 }],
    ["only white space is no entity", "a   b", 1, 4, null],
    ["half of a pair takes the whole", "a😀b", 2, 4, { offset: 1, length: 3 }],
    ["to the middle of a pair takes the whole", "a😀b", 0, 2, { offset: 0, length: 3 }],
    ["beyond the text is cut", "Ada", 0, 99, { offset: 0, length: 3 }],
    ["a letter keeps its accents", "ae\u0301\u0304b", 0, 2, { offset: 0, length: 4 }],
    ["an accent brings its letter", "ae\u0301b", 2, 4, { offset: 1, length: 3 }],
    ["a vowel sign is of its consonant", "\u0928\u093f\u0926", 0, 1, { offset: 0, length: 2 }],
    ["a family is one", "a👨\u200d👩\u200d👧b", 4, 5, { offset: 1, length: 8 }],
    ["a tone is of its hand", "👍🏽b", 0, 2, { offset: 0, length: 4 }],
    ["an accent on white space goes with it", "a \u0301 b", 1, 5, { offset: 4, length: 1 }],
    ["an accent on white space alone is no entity", "a \u0301", 1, 3, null],
    ["a flag is one, and the next another", "🇩🇪🇫🇷", 4, 6, { offset: 4, length: 4 }],
    ["letters that a joiner shapes are two", "\u0915\u094d\u200d\u0937", 3, 4, { offset: 3, length: 1 }],
  ])("%s", (_, text, start, end, expected) => {
    expect(trimSelection(text, start, end)).toEqual(expected);
  });
});

describe("cutting a block into parts", () => {
  it("keeps every piece in its order, and keeps to the size where a piece allows it", () => {
    const text = "x".repeat(5_000);
    const pieces = cut(text.length, [span("a", 100, 50), span("b", 700, 40), span("long", 1_000, 900)]);
    const found = parts(pieces, 750);
    expect(found.flat()).toEqual(pieces);
    expect(found.map((part) => part[0]!.start)).toEqual([0, 740, 1_000, 1_900]);
    expect(parts(cut(0, []), 750)).toEqual([]);
  });
});
