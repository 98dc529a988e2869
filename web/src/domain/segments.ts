/** Cuts a text at the borders of its spans, so that it can be shown as plain text nodes and marks. */

export interface Span {
  readonly key: string;
  readonly offset: number;
  readonly length: number;
}

export interface Piece<S extends Span> {
  readonly start: number;
  readonly end: number;
  /** The spans that cover the piece, the one that begins last first: that is what a click means. */
  readonly spans: readonly S[];
}

/** Pieces that cover `[0, length)` without gap or overlap; spans that do not fit the text are left out. */
export function cut<S extends Span>(length: number, spans: readonly S[]): Piece<S>[] {
  const fitting = spans.filter((s) => s.offset >= 0 && s.length > 0 && s.offset + s.length <= length);
  const borders = [...new Set([0, length, ...fitting.flatMap((s) => [s.offset, s.offset + s.length])])].sort(
    (a, b) => a - b,
  );
  const byStart = [...fitting].sort((a, b) => a.offset - b.offset || b.length - a.length);
  const pieces: Piece<S>[] = [];
  let open: S[] = [];
  let next = 0;
  for (let i = 0; i + 1 < borders.length; i++) {
    const [start, end] = [borders[i]!, borders[i + 1]!];
    open = open.filter((s) => s.offset + s.length > start);
    while (next < byStart.length && byStart[next]!.offset === start) open.unshift(byStart[next++]!);
    pieces.push({ start, end, spans: [...open] });
  }
  return pieces;
}

/**
 * Groups pieces into blocks of about `size` characters that end behind a line feed outside of every span. The browser
 * then lays out and paints only the blocks in view. A block element that ends in a line feed adds no line of its own.
 */
export function blocks<S extends Span>(
  text: string,
  pieces: readonly Piece<S>[],
  size = 4_000,
): Piece<S>[][] {
  const result: Piece<S>[][] = [];
  let block: Piece<S>[] = [];
  let begun = 0;
  for (const piece of pieces) {
    let start = piece.start;
    while (!piece.spans.length && piece.end - begun > size) {
      const feed = text.indexOf("\n", Math.max(start, begun + size) - 1);
      if (feed < 0 || feed + 1 > piece.end) break;
      if (feed + 1 > start) block.push({ start, end: feed + 1, spans: [] });
      result.push(block);
      block = [];
      start = begun = feed + 1;
    }
    if (start < piece.end) block.push({ ...piece, start });
  }
  if (block.length) result.push(block);
  return result;
}

/** Cuts a block into parts of about `size` characters, at the borders of its pieces. */
export function parts<S extends Span>(pieces: readonly Piece<S>[], size: number): Piece<S>[][] {
  const result: Piece<S>[][] = [];
  for (const piece of pieces) {
    const last = result.at(-1);
    if (last && piece.end - last[0]!.start <= size) last.push(piece);
    else result.push([piece]);
  }
  return result;
}

/** A selection made fit to be an entity: white space cut off, whole characters; null when nothing is left. */
export function trimSelection(
  text: string,
  start: number,
  end: number,
): { offset: number; length: number } | null {
  let from = Math.max(0, Math.min(start, end));
  let to = Math.min(text.length, Math.max(start, end));
  while (splitsCharacter(text, from)) from--;
  while (splitsCharacter(text, to)) to++;
  // A mark after white space is no character of its own: it goes with the white space.
  while (from < to && (/\s/.test(text[from]!) || splitsCharacter(text, from))) from++;
  while (to > from && /\s/.test(text[to - 1]!)) to--;
  return to > from ? { offset: from, length: to - from } : null;
}

const MARK = /[\p{M}\u200d\u{1f3fb}-\u{1f3ff}\u{e0020}-\u{e007f}]/uy;
const PICTURE = /[\p{So}\p{Sm}]/uy;
const FLAG_LETTERS = /[\u{1f1e6}-\u{1f1ff}]+$/u;
const FLAG_LETTER = /[\u{1f1e6}-\u{1f1ff}]/uy;

/** Whether the place is inside what readers see as one character, as the server sees it (shared/domain/text.py). */
export function splitsCharacter(text: string, index: number): boolean {
  if (index <= 0 || index >= text.length) return false;
  if (text.codePointAt(index - 1)! > 0xffff) return true;
  const before = text[index - 1]!;
  if (at(MARK, text, index)) return !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(before);
  if (before === "\u200d") return at(PICTURE, text, index);
  if (!at(FLAG_LETTER, text, index)) return false;
  const letters = FLAG_LETTERS.exec(text.slice(Math.max(0, index - 1_000), index));
  return ((letters?.[0].length ?? 0) / 2) % 2 === 1;
}

function at(pattern: RegExp, text: string, index: number): boolean {
  pattern.lastIndex = index;
  return pattern.test(text);
}
