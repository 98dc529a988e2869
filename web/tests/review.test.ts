import { signal } from "@preact/signals";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError } from "../src/api/http";
import type { DocumentItem, LabelFields, SaveResult } from "../src/api/types";
import { filtersFrom } from "../src/state/filters";
import type { OpenProject } from "../src/state/project";
import type { Loaded, Source } from "../src/state/source";
import { document } from "./documents";
import { MemoryStorage } from "./storage";

const saveDecisions = vi.fn<() => Promise<SaveResult[]>>();
vi.mock("../src/api/client", async (original) => ({
  ...(await original<object>()),
  saveDecisions: () => saveDecisions(),
}));
vi.mock("../src/auth/session", () => ({ person: signal({ name: "Ana" }), may: () => true }));
const { BULK, EVERYWHERE } = await import("../src/review/commands");
const { Review } = await import("../src/state/review");
const { toasts } = await import("../src/state/toasts");

const listens = { addEventListener: () => {}, removeEventListener: () => {} };
const FILTERS = filtersFrom(new URLSearchParams(), true);
const AWAY = new ApiError(0, { code: "Unreachable", message: "The server cannot be reached." });
const GONE = new ApiError(404, { code: "NotFound", message: "There is no such document." });

/** A document with a suggestion. */
const suggested = (id: string): DocumentItem => ({
  ...document(id),
  status: "autoLabeled",
  suggestions: [{ id: `${id} s`, category: "A", confidence: 0.5 }],
});

/** A review of the documents a, b and c; `fails` says why a document or the list cannot be read. */
function opened() {
  const fails = new Map<string, ApiError>();
  const failing = <T>(id: string, answer: T): Promise<T> =>
    fails.has(id) ? Promise.reject(fails.get(id)!) : Promise.resolve(answer);
  const source = {
    project: "p",
    blind: false,
    drafts: "draft",
    refusal: async () => null,
    list: vi.fn(({ locationPrefix }: { locationPrefix?: string }) =>
      failing("list", { value: locationPrefix ? [] : ["a", "b", "c"].map(suggested) }),
    ),
    read: vi.fn((id: string, known?: DocumentItem): Promise<Loaded> =>
      failing(id, { document: known ?? suggested(id), text: `text of ${id}` }),
    ),
    putLabels: async (id: string, labels: LabelFields): Promise<DocumentItem> => ({
      ...suggested(id),
      ...labels,
      eTag: "@1",
    }),
    undo: vi.fn(async (of: DocumentItem) => of),
  };
  const open = {
    name: "p",
    kind: signal("CustomSingleLabelClassification"),
    lock: signal(null),
    categories: signal([{ category: "A" }]),
    refreshStatistics: async () => {},
    refreshCategories: async () => {},
    lastList: null,
  };
  const shown = new Review(open as unknown as OpenProject, source as unknown as Source);
  return { review: shown, source, fails };
}

type Opened = ReturnType<typeof opened>["review"];

const idOf = (of: Opened): string | undefined => of.current.value?.document.id;
const reported = (): string | undefined => toasts.value.at(-1)?.text;
const passes = (): Promise<unknown> => vi.advanceTimersByTimeAsync(5_000);

/** A review that shows a, while b cannot be read. */
async function withoutB() {
  const all = opened();
  all.fails.set("b", AWAY);
  await all.review.filter(FILTERS, null);
  all.review.nextDocument();
  await vi.advanceTimersByTimeAsync(0);
  return all;
}

beforeEach(() => {
  vi.useFakeTimers();
  const localStorage = new MemoryStorage();
  const setTimeout = (...args: Parameters<typeof globalThis.setTimeout>) => globalThis.setTimeout(...args);
  vi.stubGlobal("localStorage", localStorage);
  vi.stubGlobal("sessionStorage", new MemoryStorage());
  vi.stubGlobal("window", { ...listens, localStorage, setTimeout });
  vi.stubGlobal("document", { ...listens, visibilityState: "visible", getSelection: () => null });
  toasts.value = [];
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("a document that cannot be read", () => {
  it("is read again by itself; until then the one before it is shown, and nothing is decided on it", async () => {
    const { review, fails } = await withoutB();
    expect([idOf(review), review.opening.failure.value]).toEqual(["a", AWAY.message]);
    review.accept();
    review.labeling.choose("A");
    review.dialogs.open("picker");
    expect([review.drafts.all.value.size, review.dialogs.shown.value, reported()]).toEqual([
      0,
      null,
      AWAY.message,
    ]);
    await passes();
    fails.clear();
    await passes();
    expect([idOf(review), review.opening.failure.value, review.opening.id.value]).toEqual(["b", null, null]);
    review.close();
  });

  it("is not read again by a review that was left, however late its answer is", async () => {
    const { review, source, fails } = await withoutB();
    let answer = (_: ApiError): void => {};
    source.read.mockImplementationOnce(() => new Promise((_, fail) => (answer = fail)));
    review.opening.again();
    review.close();
    answer(AWAY);
    fails.clear();
    const reads = source.read.mock.calls.length;
    await review.goTo("c"); // as an undo does that ends later
    await passes();
    expect([idOf(review), source.read.mock.calls.length]).toEqual(["a", reads]);
  });

  it("is forgotten with its list", async () => {
    const { review, fails } = await withoutB();
    await review.filter({ ...FILTERS, prefix: "z" }, null);
    expect([review.opening.failure.value, review.opening.id.value]).toEqual([null, null]);
    fails.clear();
    await passes();
    expect(review.current.value).toBeNull();
    review.close();
  });

  it("is not waited for by whoever goes back to the one that is shown", async () => {
    const { review, fails } = await withoutB();
    await review.goTo("a");
    expect([review.opening.id.value, review.opening.failure.value]).toEqual([null, null]);
    fails.clear();
    await passes();
    expect(idOf(review)).toBe("a");
    review.close();
  });

  it("is not waited for when it is gone, and is what the keys tell", async () => {
    const { review, fails } = opened();
    fails.set("b", GONE);
    await review.filter(FILTERS, null);
    review.nextDocument();
    await vi.advanceTimersByTimeAsync(0);
    expect([idOf(review), review.opening.failure.value]).toEqual([undefined, GONE.message]);
    for (const decide of [review.accept, review.reject, review.acceptAllAndNext]) {
      toasts.value = [];
      decide.call(review);
      expect(reported()).toBe(GONE.message);
    }
    fails.clear();
    await passes();
    expect(review.current.value).toBeNull();
    review.close();
  });

  it("is not said to be loading below what says why it cannot be", async () => {
    const { review, source, fails } = opened();
    fails.set("b", AWAY);
    source.list.mockReturnValue(new Promise(() => {}));
    const said: boolean[] = [];
    void review.filter(FILTERS, "b");
    review.reads.subscribe((reads) => void said.push(reads));
    await passes();
    await passes();
    expect(said).toEqual([true, false]);
    review.close();
  });
});

describe("a list that cannot be read", () => {
  it("is read again by itself, and its first document is shown", async () => {
    const { review, fails } = opened();
    fails.set("list", AWAY);
    const filtered = review.filter(FILTERS, null);
    await vi.advanceTimersByTimeAsync(0);
    const errors: (string | null)[] = [];
    review.list.value!.error.subscribe((error) => void errors.push(error));
    await passes();
    fails.clear();
    await passes();
    await filtered;
    expect([errors, idOf(review), review.index.value]).toEqual([[AWAY.message, null], "a", 0]);
    review.close();
  });

  it("does not take the person off a document that was opened meanwhile", async () => {
    const { review, fails } = opened();
    fails.set("list", AWAY);
    const filtered = review.filter(FILTERS, null);
    await vi.advanceTimersByTimeAsync(0);
    await review.goTo("b");
    fails.clear();
    await passes();
    await filtered;
    expect([idOf(review), review.index.value]).toEqual(["b", 1]);
    review.close();
  });

  it("is not read again once another is shown", async () => {
    const { review, source, fails } = opened();
    fails.set("list", AWAY);
    void review.filter(FILTERS, null);
    await vi.advanceTimersByTimeAsync(0);
    review.close();
    await passes();
    expect(source.list).toHaveBeenCalledTimes(1);
  });
});

describe("a dialog", () => {
  it("that acts on a document ends when another is shown", async () => {
    const { review } = opened();
    await review.filter(FILTERS, null);
    for (const [dialog, after] of [
      ["picker", null],
      ["everywhere", null],
      ["numbers", "numbers"],
    ] as const) {
      review.dialogs.open(dialog);
      expect(review.dialogs.shown.value).toBe(dialog);
      await review.goTo(idOf(review) === "a" ? "b" : "a"); // as the browser's Back button does
      expect(review.dialogs.shown.value).toBe(after);
    }
    review.close();
  });

  it("that acts on none opens while the next document is loading", async () => {
    const { review } = await withoutB();
    review.dialogs.open("numbers");
    expect(review.dialogs.shown.value).toBe("numbers");
    review.close();
  });

  it("of a note is about its document, whatever is shown behind it since", async () => {
    const { review } = opened();
    await review.filter(FILTERS, null);
    review.mark({ do: "note", note: "look" });
    review.note.open();
    await review.goTo("b");
    review.note.close("look");
    expect(review.drafts.get("a")?.steps).toHaveLength(1);
    await review.goTo("a");
    review.note.open();
    await review.goTo("b");
    review.note.close("");
    const drafts = ["a", "b"].map((id) => review.drafts.get(id)?.steps.at(-1));
    expect(drafts).toMatchObject([{ do: "note", note: "" }, undefined]);
    review.close();
  });
});

describe("a review that was left", () => {
  it("reads no list, whatever ends later", async () => {
    const { review, source } = opened();
    await review.filter(FILTERS, null);
    review.close();
    review.reread();
    await passes();
    expect(source.list).toHaveBeenCalledTimes(1);
  });
});

describe("a decision on many suggestions", () => {
  it("opens its dialog, or says why it does not", async () => {
    const { review } = opened();
    await review.filter(FILTERS, null);
    EVERYWHERE.run(review);
    expect(reported()).toBe("Select a suggestion first.");
    for (const command of [BULK, EVERYWHERE]) {
      review.open.lock.value = { reason: `${command.id} is locked.`, until: "Wait." };
      command.run(review);
      expect(reported()).toBe(`${command.id} is locked. Wait.`);
    }
    expect(review.dialogs.shown.value).toBeNull();
    review.open.lock.value = null;
    BULK.run(review);
    expect(review.dialogs.shown.value).toBe("bulk");
    review.close();
  });
});

describe("a document that is decided", () => {
  const COMMANDS = ["accept", "reject", "acceptAllAndNext"] as const;

  it("is left by every key that decides, by this person or by another one", async () => {
    for (const command of COMMANDS) {
      const { review } = opened();
      await review.filter(FILTERS, null);
      review.drafts.add(suggested("a"), { do: "accept", ids: ["a s"] });
      review.documents.keep({ ...document("b"), status: "labeled", class: { category: "A" } });
      for (const next of ["b", "c"]) {
        review[command]();
        await vi.advanceTimersByTimeAsync(0);
        expect([command, idOf(review)]).toEqual([command, next]);
      }
      expect(review.drafts.unsaved.value).toHaveLength(1);
      review.close();
    }
  });

  it("is one whose only suggestion this person rejected, before the save and after it", async () => {
    saveDecisions.mockResolvedValue([
      { documentId: "a", status: "saved", eTag: "@1", document: { ...document("a"), eTag: "@1" } },
    ]);
    for (const saved of [false, true]) {
      const { review } = opened();
      await review.filter(FILTERS, null);
      review.reject();
      if (saved) await review.saving.save();
      expect(review.drafts.unsaved.value).toHaveLength(saved ? 0 : 1);
      void review.previousDocument();
      await vi.advanceTimersByTimeAsync(0);
      expect(idOf(review)).toBe("a");
      review.reject();
      await vi.advanceTimersByTimeAsync(0);
      expect([saved, idOf(review)]).toEqual([saved, "b"]);
      review.close();
    }
  });

  it("is one with labels: without labels and suggestions, a key decides nothing", async () => {
    for (const command of COMMANDS) {
      const { review, source } = opened();
      source.list.mockResolvedValue({ value: ["a", "b"].map((id) => document(id)) });
      await review.filter(FILTERS, null);
      review[command]();
      await vi.advanceTimersByTimeAsync(0);
      expect([command, idOf(review), reported()]).toEqual([
        command,
        "a",
        "This document has no suggestions.",
      ]);
      review.close();
    }
  });
});

describe("the row of the document that the address names", () => {
  const FIRST = ["a", "b", ...Array.from({ length: 60 }, (_, n) => `of the first page ${n}`)];

  /** A list of two pages, the second of which has c and cannot be read while the server is away. */
  function twoPages() {
    const { review, source } = opened();
    const server = { away: false };
    source.list.mockImplementation(async (query: { locationPrefix?: string; continuationToken?: string }) => {
      if (!query.continuationToken) return { value: FIRST.map(suggested), continuationToken: "more" };
      if (server.away) throw AWAY;
      return { value: [suggested("c")] };
    });
    return { review, server };
  }

  it("is found on a later page, when the address changes", async () => {
    const { review } = twoPages();
    await review.filter(FILTERS, null);
    await vi.advanceTimersByTimeAsync(0);
    expect([review.index.value, review.list.value?.rows.value.length]).toEqual([0, FIRST.length]);
    await review.goTo("c");
    await vi.advanceTimersByTimeAsync(0);
    expect([idOf(review), review.index.value]).toEqual(["c", FIRST.length]);
    review.close();
  });

  it("is found once a later page is read that could not be read at first", async () => {
    const { review, server } = twoPages();
    server.away = true;
    await review.filter(FILTERS, "c");
    expect([idOf(review), review.index.value]).toEqual(["c", -1]);
    server.away = false;
    await passes();
    expect([idOf(review), review.index.value]).toEqual(["c", FIRST.length]);
    review.close();
  });
});

describe("undo of a step", () => {
  it("does not wait for the document of the one before it", async () => {
    const { review, source } = opened();
    await review.filter(FILTERS, null);
    for (const id of ["b", "c"]) review.drafts.add(suggested(id), { do: "add", place: { category: "A" } });
    source.read.mockReturnValue(new Promise(() => {})); // neither b nor c is read in this test
    void review.undo();
    void review.undo();
    await vi.advanceTimersByTimeAsync(0);
    expect(review.drafts.unsaved.value).toEqual([]);
    review.close();
  });
});

describe("undo of a saved change", () => {
  /** Two saved changes, of a and c, with b shown, and the undo of that of c on its way. */
  async function undoing() {
    const { review, source } = opened();
    await review.filter(FILTERS, "b");
    for (const id of ["a", "c"]) {
      review.drafts.add(suggested(id), { do: "add", place: { category: "A" } });
      await review.saving.save();
    }
    const answers: (() => void)[] = [];
    source.undo.mockImplementation(
      (of) => new Promise((done) => void answers.push(() => done({ ...of, eTag: "@2", class: null }))),
    );
    const undone = review.undo();
    await vi.advanceTimersByTimeAsync(0);
    return { review, source, answers, undone };
  }

  it("decides nothing and opens no dialog until its document is shown", async () => {
    const { review, answers, undone } = await undoing();
    review.dialogs.open("picker");
    review.accept();
    expect([review.dialogs.shown.value, review.drafts.all.value.size]).toEqual([null, 0]);
    expect(reported()).toBe("The saved change is still being undone.");
    answers[0]!();
    await undone;
    expect(idOf(review)).toBe("c");
    review.accept();
    expect(review.drafts.get("c")?.steps).toHaveLength(1);
    review.close();
  });

  it("waits for the one before it", async () => {
    const { review, source, answers, undone } = await undoing();
    const second = review.undo();
    await vi.advanceTimersByTimeAsync(0);
    expect(source.undo).toHaveBeenCalledTimes(1);
    answers[0]!();
    await undone;
    await vi.advanceTimersByTimeAsync(0);
    answers[1]!();
    await second;
    expect(source.undo.mock.calls.map(([{ id }]) => id)).toEqual(["c", "a"]);
    expect(idOf(review)).toBe("a");
    review.close();
  });
});
