import { describe, expect, it, vi } from "vitest";
import type { DocumentQuery } from "../src/api/client";
import type { DocumentItem } from "../src/api/types";
import { DocumentList, type Row } from "../src/state/list";
import type { Source } from "../src/state/source";

/** A list of documents with one suggestion each, of these confidences; `reads` are the calls for a page. */
function listOf(confidences: readonly number[]) {
  const reads = vi.fn(async ({ top = 100, continuationToken = "0" }: DocumentQuery) => {
    const from = Number(continuationToken);
    const page = confidences.slice(from, from + top);
    const value = page.map((confidence, at): DocumentItem => ({
      id: `d${from + at}`,
      location: `${from + at}.txt`,
      language: "en-us",
      dataset: "Train",
      status: "autoLabeled",
      eTag: "@1",
      contentChanged: false,
      missing: false,
      length: 9,
      flagged: false,
      suggestions: [{ id: "s", category: "A", confidence }],
    }));
    const next = from + page.length;
    return { value, ...(next < confidences.length ? { continuationToken: `${next}` } : {}) };
  });
  const source = { list: reads } as unknown as Source;
  return { list: new DocumentList(source, "CustomSingleLabelClassification", {}, "", (read) => read), reads };
}

const uncertain = (row: Row): boolean => (row.confidence ?? 1) < 0.6;

describe("finding a row", () => {
  it("reads on to the last document", async () => {
    const { list } = listOf([...Array<number>(119).fill(0.9), 0.3]);
    await list.ensure(0);
    expect(list.rows.value.length).toBeLessThan(119);
    expect(await list.find(uncertain)).toBe(119);
  });

  it("ends with the list, or where no row that follows can be wanted", async () => {
    const { list, reads } = listOf(Array<number>(600).fill(0.9));
    expect(await list.find(uncertain, (last) => !uncertain(last))).toBe(-1);
    expect(reads).toHaveBeenCalledTimes(1);
    expect(await list.find(uncertain)).toBe(-1);
    expect(list.rows.value.length).toBe(600);
  });

  it("looks at no more than about 5,000", async () => {
    const { list } = listOf(Array<number>(9_000).fill(0.9));
    expect(await list.find(uncertain)).toBe(-1);
    expect(list.rows.value.length).toBeGreaterThanOrEqual(5_000);
    expect(list.rows.value.length).toBeLessThan(6_000);
  });
});
