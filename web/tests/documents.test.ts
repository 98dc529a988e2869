import { describe, expect, it } from "vitest";
import type { DocumentItem } from "../src/api/types";
import { Documents } from "../src/state/documents";
import type { Loaded, Source } from "../src/state/source";
import { document } from "./documents";

describe("documents that were read", () => {
  it("are not replaced by an answer that was on its way when they were saved", async () => {
    let answer = (_: Loaded): void => {};
    const read = (): Promise<Loaded> => new Promise((done) => (answer = done));
    const documents = new Documents({ read } as unknown as Source);
    const was = document("d");
    const now: DocumentItem = { ...was, eTag: "@1", class: { category: "A" } };
    documents.keep(was);
    const loading = documents.load("d");
    documents.keepSaved(now);
    answer({ document: was, text: "text" });
    expect(await loading).toEqual({ document: now, text: "text" });
    expect(documents.keep(was)).toBe(now);
    const later = { ...now, eTag: "@2" };
    expect(documents.keep(later)).toBe(later);
  });

  it("are known to be older by the version that a save began with", () => {
    const documents = new Documents({} as Source);
    const now = { ...document("d"), eTag: "@1" };
    documents.keepSaved(now, ["@0"]); // saved by a review before this one
    expect(documents.keep(document("d"))).toBe(now);
    documents.keepSaved(document("d")); // undone
    expect(documents.keep(document("d")).eTag).toBe("@0");
  });

  it("are known to be older by each version that a save went through", () => {
    const documents = new Documents({} as Source);
    const now = { ...document("d"), eTag: "@2" };
    documents.keepSaved(now, ["@0", "@1"]);
    for (const eTag of ["@0", "@1"]) expect(documents.keep({ ...now, eTag })).toBe(now);
    for (let n = 0; n < 7_000; n++) documents.keepSaved(document("other"), [`@${n}`]);
    expect(documents.keep({ ...now, eTag: "@1" }).eTag).toBe("@1"); // of so many, only the newest are kept
  });
});
