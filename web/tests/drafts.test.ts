import { beforeEach, describe, expect, it } from "vitest";
import type { DocumentItem } from "../src/api/types";
import { Drafts } from "../src/state/drafts";
import { MemoryStorage } from "./storage";

const document: DocumentItem = {
  id: "d1",
  location: "a.txt",
  language: "en-us",
  dataset: "Train",
  status: "autoLabeled",
  eTag: "@1",
  contentChanged: false,
  missing: false,
  length: 9,
  flagged: false,
  suggestions: [{ id: "s", category: "A", confidence: 0.5 }],
};
let storage: MemoryStorage;
const draftsOf = (person: string, project = "p"): Drafts =>
  new Drafts(person, project, "CustomMultiLabelClassification", storage);

beforeEach(() => {
  storage = new MemoryStorage();
});

describe("drafts", () => {
  it("belong to the person who made them", () => {
    draftsOf("Ana").add(document, { do: "accept", ids: ["s"] });
    expect(draftsOf("Ana").unsaved.value.map((d) => d.documentId)).toEqual(["d1"]);
    expect(draftsOf("Ben").unsaved.value).toEqual([]);
    expect(draftsOf("Ana", "other").unsaved.value).toEqual([]);
  });

  it("of the version before belong to whoever opens the project first", () => {
    draftsOf("Ana").add(document, { do: "accept", ids: ["s"] });
    const kept = storage.getItem(storage.key(0)!)!;
    storage.clear();
    storage.setItem("labelbridge.draft|p|d1", kept);
    expect(draftsOf("Ben", "other").all.value.size).toBe(0);
    expect(draftsOf("Ben").all.value.size).toBe(1);
    expect(draftsOf("Ana").all.value.size).toBe(0);
  });
});
