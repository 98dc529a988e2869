/** The matches of a search in a text, by the server's rules: white space matches any white space, case is ignored. */

import type { Span } from "./segments";

type Place = Pick<Span, "offset" | "length">;

/** So many matches are shown: a letter that is searched for in a long text. */
const MOST = 1_000;

export function matchesOf(text: string, search: string): Place[] {
  const words = search.split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  const pattern = new RegExp(words.map(escaped).join("\\s+"), "giu");
  const found: Place[] = [];
  for (const match of text.matchAll(pattern)) {
    if (found.length === MOST) break;
    found.push({ offset: match.index, length: match[0].length });
  }
  return found;
}

const escaped = (word: string): string => word.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
