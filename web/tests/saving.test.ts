import { signal } from "@preact/signals";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { DocumentItem, Kind, LabelFields, SaveResult } from "../src/api/types";
import type { Step } from "../src/domain/draft";
import { Documents } from "../src/state/documents";
import { Drafts } from "../src/state/drafts";
import type { Review } from "../src/state/review";
import type { Source } from "../src/state/source";
import { document } from "./documents";
import { MemoryStorage } from "./storage";

const patchDocument = vi.fn<(project: string, id: string) => Promise<DocumentItem>>();
const saveDecisions = vi.fn<() => Promise<SaveResult[]>>();
vi.mock("../src/api/client", () => ({
  saveDecisions: () => saveDecisions(),
  patchDocument: (project: string, id: string) => patchDocument(project, id),
}));
vi.mock("../src/auth/session", () => ({ person: { value: { name: "Ana" } }, may: () => true }));
const { ApiError } = await import("../src/api/http");
const { Saving } = await import("../src/state/saving");

const KIND: Kind = "CustomSingleLabelClassification";

/** Documents on a server that can undo the last `keeps` changes of each. */
class Server {
  readonly documents = new Map<string, DocumentItem>();
  private readonly earlier = new Map<string, DocumentItem[]>();
  private version = 0;

  constructor(private readonly keeps: number) {}

  put(id: string, labels: LabelFields): DocumentItem {
    const was = this.documents.get(id)!;
    const all = [...(this.earlier.get(id) ?? []), was];
    this.earlier.set(id, all.slice(Math.max(0, all.length - this.keeps)));
    return this.write({ ...was, ...labels });
  }

  undo({ id }: DocumentItem): DocumentItem {
    const was = this.earlier.get(id)?.pop();
    if (!was) throw new ApiError(409, { code: "Conflict", message: "There is no label change to undo." });
    return this.write(was);
  }

  label(id: string): string | null {
    return this.documents.get(id)!.class?.category ?? null;
  }

  private write(changed: DocumentItem): DocumentItem {
    const now = { ...changed, eTag: `@${++this.version}` };
    this.documents.set(now.id, now);
    return now;
  }
}

/** What one person does to the documents d0 and d1 of a server. */
function session(keeps: number) {
  const server = new Server(keeps);
  const known = new Map(["d0", "d1"].map((id) => [id, document(id)]));
  for (const [id, document] of known) server.documents.set(id, document);
  const drafts = new Drafts("Ana", "p", KIND, new MemoryStorage());
  const putLabels = vi.fn(async (id: string, labels: LabelFields, _eTag?: string) => server.put(id, labels));
  const review = {
    by: "Ana",
    kind: KIND,
    drafts,
    documents: { peek: (id: string) => known.get(id) },
    source: { project: "p", blind: false, putLabels, undo: async (of: DocumentItem) => server.undo(of) },
    locked: signal(false),
    open: { name: "p", refreshStatistics: async () => {}, refreshCategories: async () => {} },
    keep: (changed: DocumentItem) => void known.set(changed.id, changed),
  };
  const saving = new Saving(review as unknown as Review);
  const label = (id: string, category: string): void =>
    drafts.add(known.get(id)!, { do: "add", place: { category } });
  const saved = async (id: string, category: string): Promise<void> => {
    label(id, category);
    await saving.save();
  };
  const again = (): InstanceType<typeof Saving> => new Saving(review as unknown as Review);
  return {
    server,
    known,
    drafts,
    saving,
    putLabels,
    label,
    saved,
    again,
    review: review as unknown as Review,
  };
}

describe("undo of what was saved", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it.each([1, 5])("goes back save by save, on a server that keeps %i", async (keeps) => {
    const { server, saving, saved } = session(keeps);
    await saved("d0", "Z");
    await saved("d1", "A");
    await saved("d1", "B");
    expect(await saving.undoSaved()).toBe("d1");
    expect(server.label("d1")).toBe("A");
    expect(await saving.undoSaved()).toBe("d1");
    expect([server.label("d1"), server.label("d0")]).toEqual([null, "Z"]);
    expect(await saving.undoSaved()).toBe("d0");
    expect(server.label("d0")).toBeNull();
    expect(saving.canUndo.value).toBe(false);
  });

  it("never takes labels that it set again for a change to undo", async () => {
    const { server, saving, saved } = session(2);
    for (const category of ["A", "B", "C", "D"]) await saved("d1", category);
    const labels: (string | null)[] = [];
    const undo = async (): Promise<void> => {
      await saving.undoSaved();
      labels.push(server.label("d1"));
    };
    await undo();
    await undo();
    await undo(); // the server keeps no more: A is set again
    await saved("d1", "E");
    await undo();
    await undo();
    expect(labels).toEqual(["C", "B", "A", "A", null]);
  });

  it("ends where someone else changed the labels", async () => {
    const { server, known, saving, saved } = session(5);
    await saved("d0", "Z");
    await saved("d1", "A");
    known.set("d1", server.put("d1", { class: { category: "other" } }));
    await saved("d1", "B");
    expect(await saving.undoSaved()).toBe("d1");
    expect(server.label("d1")).toBe("other");
    expect(await saving.undoSaved()).toBe("d0");
    expect(server.label("d1")).toBe("other");
  });

  it("goes on after the page was loaded again, not over someone else's labels", async () => {
    vi.stubGlobal("sessionStorage", new MemoryStorage());
    const { server, known, saving, saved, again } = session(5);
    await saved("d0", "Z");
    await saved("d1", "A");
    expect(saving.canUndo.value).toBe(true);
    const after = again();
    expect(await after.undoSaved()).toBe("d1");
    expect(server.label("d1")).toBeNull();
    known.set("d0", server.put("d0", { class: { category: "other" } }));
    expect(await again().undoSaved()).toBeNull();
    expect(server.label("d0")).toBe("other");
    vi.unstubAllGlobals();
  });

  it("drops a draft that changes nothing: the next step is on top of what was undone", async () => {
    const { server, known, drafts, saving, saved, putLabels } = session(5);
    await saved("d1", "A");
    await saved("d1", "B");
    for (const flagged of [true, false]) drafts.add(known.get("d1")!, { do: "flag", flagged });
    await saving.undoLastOf(known.get("d1")!);
    expect([server.label("d1"), drafts.get("d1")]).toEqual(["A", undefined]);
    const { eTag } = server.documents.get("d1")!;
    await saved("d1", "C");
    expect(putLabels).toHaveBeenLastCalledWith("d1", expect.anything(), eTag);
  });

  it("does not set labels again after a training ended the undo", async () => {
    const { server, saving, saved } = session(0);
    await saved("d1", "A");
    expect(await saving.undoSaved()).toBeNull();
    expect(server.label("d1")).toBe("A");
  });
});

describe("a save in two steps", () => {
  it("is not undone on the page by a list that was read before or between them", async () => {
    const { server, drafts, saving, label, review } = session(5);
    const documents = new Documents({} as Source);
    documents.keep(document("d1"));
    Object.assign(review, { keep: documents.keepSaved.bind(documents) });
    label("d1", "A");
    drafts.add(document("d1"), { do: "flag", flagged: true });
    const versions = [document("d1")];
    patchDocument.mockImplementation(async (_, id) => {
      versions.push(server.documents.get(id)!);
      return server.put(id, {});
    });
    await saving.save();
    expect(versions.map((version) => [version.eTag, documents.keep(version).eTag])).toEqual([
      ["@0", "@2"],
      ["@1", "@2"],
    ]);
  });
});

describe("a save whose answer was lost", () => {
  const suggestions = [{ id: "s", category: "A", confidence: 0.5 }];
  const rejects: Step[] = [
    { do: "reject", ids: ["s"] },
    { do: "add", place: { category: "B" } },
  ];
  it.each<[string, Step[], Partial<DocumentItem>, boolean]>([
    ["a flag", [{ do: "flag", flagged: true }], { flagged: true }, false],
    ["a rejection and a label", rejects, { class: { category: "B" }, suggestions: [] }, true],
  ])("can be undone if it changed labels: %s", async (_, steps, saved, undone) => {
    const { drafts, saving } = session(5);
    const before = { ...document("d1"), suggestions };
    const now = { ...before, ...saved, eTag: "@9" };
    const stale = new ApiError(409, { code: "Conflict", message: "It has changed." }, null, now);
    patchDocument.mockRejectedValue(stale);
    saveDecisions.mockResolvedValue([{ documentId: "d1", status: "conflict", document: now }]);
    for (const step of steps) drafts.add(before, step);
    await saving.save();
    expect([drafts.unsaved.value.length, saving.conflicts.value.size]).toEqual([0, 0]);
    expect([saving.canUndo.value, saving.onlyRejected("d1")]).toEqual([undone, false]);
  });
});

describe("a review that another view takes over while a save is on its way", () => {
  it("keeps what was done meanwhile, on top of what is saved, and saves nothing twice", async () => {
    const { server, known, drafts, saving, putLabels, label, review } = session(5);
    let answer = (): void => {};
    const waits = new Promise<void>((done) => (answer = done));
    putLabels.mockImplementationOnce(async (id, labels) => {
      const changed = server.put(id, labels);
      await waits;
      return changed;
    });
    label("d1", "A");
    const saves = saving.save();
    const keep = vi.fn((changed: DocumentItem, _former?: string[]) => void known.set(changed.id, changed));
    const next = saving.goOnIn({ ...review, keep } as unknown as Review);
    drafts.add(known.get("d1")!, { do: "add", place: { category: "B" } });
    await next.save(); // asked for while the other is on its way: once it has ended
    answer();
    await saves;
    await vi.waitFor(() => expect(next.state.value).toEqual({ is: "saved" }));
    expect(putLabels.mock.calls.map(([, labels, eTag]) => [labels.class?.category, eTag])).toEqual([
      ["A", "@0"],
      ["B", "@1"],
    ]);
    expect(keep.mock.calls.map(([{ eTag }, former]) => [eTag, former])).toEqual([
      ["@1", ["@0"]],
      ["@2", ["@1"]],
    ]);
    await next.undoSaved();
    expect(server.label("d1")).toBe("A");
  });
});

describe("autosave", () => {
  const listens = { addEventListener: () => {}, removeEventListener: () => {} };
  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal("window", {
      ...listens,
      setTimeout: (...args: Parameters<typeof setTimeout>) => setTimeout(...args),
    });
    vi.stubGlobal("document", { ...listens, visibilityState: "visible" });
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("waits for a pause, but not longer than 5 seconds", async () => {
    const { server, saving, putLabels, label } = session(1);
    saving.setAutosave(true);
    const stop = saving.watch();
    for (let second = 0; second < 5; second++) {
      label("d1", `c${second}`);
      expect(putLabels).not.toHaveBeenCalled();
      await vi.advanceTimersByTimeAsync(1_000);
    }
    await vi.advanceTimersByTimeAsync(0);
    expect(putLabels).toHaveBeenCalledTimes(1);
    expect(server.label("d1")).toBe("c4");
    label("d1", "last");
    await vi.advanceTimersByTimeAsync(1_500);
    expect(server.label("d1")).toBe("last");
    stop();
  });
});
