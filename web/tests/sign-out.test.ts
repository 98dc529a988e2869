import { signal } from "@preact/signals";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { LabelFields } from "../src/api/types";
import type { OpenProject } from "../src/state/project";
import type { Source } from "../src/state/source";
import { document } from "./documents";
import { MemoryStorage } from "./storage";

const person = signal<{ name: string } | null>(null);
vi.mock("../src/api/client", () => ({}));
vi.mock("../src/auth/session", () => ({ person, may: () => true }));
const listens = { addEventListener: () => {}, removeEventListener: () => {} };

/** Ana's review with autosave on and this many unsaved documents. */
async function review(documents: number) {
  const { Review } = await import("../src/state/review");
  const open = {
    name: "p",
    kind: signal("CustomSingleLabelClassification"),
    lock: signal(null),
    categories: signal([]),
    refreshStatistics: async () => {},
    refreshCategories: async () => {},
  };
  const putLabels = vi.fn(async (id: string, _: LabelFields) => document(id));
  const source = {
    project: "p",
    blind: false,
    second: "s",
    drafts: "second s",
    refusal: async () => null,
    putLabels,
  };
  const ana = new Review(open as unknown as OpenProject, source as unknown as Source);
  ana.saving.setAutosave(true);
  for (let n = 0; n < documents; n++)
    ana.drafts.add(document(`d${n}`), { do: "add", place: { category: "A" } });
  return { ana, putLabels };
}

describe("unsaved work of a person who signed out", () => {
  beforeEach(() => {
    vi.useFakeTimers();
    const localStorage = new MemoryStorage();
    const setTimeout = (...args: Parameters<typeof globalThis.setTimeout>) => globalThis.setTimeout(...args);
    vi.stubGlobal("localStorage", localStorage);
    vi.stubGlobal("sessionStorage", new MemoryStorage());
    vi.stubGlobal("window", { ...listens, localStorage, setTimeout });
    vi.stubGlobal("document", { ...listens, visibilityState: "visible" });
    person.value = { name: "Ana" };
  });
  afterEach(() => {
    person.value = null;
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("is saved while the person is signed in", async () => {
    const { left } = await import("../src/state/left");
    const { ana, putLabels } = await review(1);
    ana.close();
    expect(left.value.map(({ by, second }) => [by, second])).toEqual([["Ana", "s"]]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(putLabels).toHaveBeenCalledTimes(1);
  });

  it.each([[null], [{ name: "Ben" }]])("is not saved by the review that closes then (%o)", async (next) => {
    const { left } = await import("../src/state/left");
    const { ana, putLabels } = await review(1);
    person.value = null;
    person.value = next;
    ana.close();
    expect(left.value).toEqual([]);
    await ana.saving.save(true);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(putLabels).not.toHaveBeenCalled();
    expect(ana.drafts.unsaved.value).toHaveLength(1);
  });

  it("is not saved before its review closes, either", async () => {
    const { ana, putLabels } = await review(1);
    person.value = null;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(putLabels).not.toHaveBeenCalled();
    ana.close();
  });

  it("is sent once when the server does not accept the sign-in", async () => {
    const { left } = await import("../src/state/left");
    const { ApiError } = await import("../src/api/http");
    const { ana, putLabels } = await review(1);
    putLabels.mockImplementation(async () => {
      person.value = null; // as the session does on a 401
      throw new ApiError(401, { code: "401", message: "Sign in again." });
    });
    ana.close();
    void ana.saving.save(); // would be saved again after the answer
    await vi.advanceTimersByTimeAsync(60_000);
    expect([putLabels.mock.calls.length, left.value.length]).toEqual([1, 0]);
  });

  it("ends between two calls of a save: the next one would have the key of the next person", async () => {
    const { ana, putLabels } = await review(9);
    ana.drafts.add(document("d0"), { do: "flag", flagged: true });
    const answers: (() => void)[] = [];
    putLabels.mockImplementation(
      (id) => new Promise((answer) => void answers.push(() => answer({ ...document(id), eTag: "@1" }))),
    );
    ana.close();
    person.value = null;
    person.value = { name: "Ben" };
    const sent = answers.length;
    for (const answer of answers) answer();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sent).toBeLessThan(9);
    expect(putLabels).toHaveBeenCalledTimes(sent);
    expect(ana.drafts.get("d0")?.steps.map((step) => step.do)).toEqual(["flag"]);
  });
});
