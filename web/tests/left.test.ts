import { signal } from "@preact/signals";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { DocumentItem } from "../src/api/types";
import { Drafts } from "../src/state/drafts";
import type { SaveState, Saving } from "../src/state/saving";
import { MemoryStorage } from "./storage";

const person = signal<{ name: string } | null>({ name: "Ana" });
vi.mock("../src/auth/session", () => ({ person }));
const { goOn, hide, left, show, takeOver } = await import("../src/state/left");

const KIND = "CustomSingleLabelClassification";
const DOCUMENT = {
  id: "d",
  location: "d.txt",
  eTag: "@0",
  suggestions: [],
  class: null,
} as unknown as DocumentItem;

const WHO = { project: "p", second: undefined, by: "Ana" };

/** The work of a person with one unsaved document. */
function work() {
  const drafts = new Drafts("Ana", "p", KIND, new MemoryStorage());
  drafts.add(DOCUMENT, { do: "add", place: { category: "A" } });
  const state = signal<SaveState>({ is: "unsaved", documents: 1 });
  const autosave = signal(true);
  return { ...WHO, drafts, state, autosave, saving: { state, autosave } as unknown as Saving, stop: vi.fn() };
}

/** A review that was left with one unsaved document. */
function leave() {
  const mine = work();
  goOn(mine);
  return mine;
}

describe("a review that was left with unsaved work", () => {
  beforeEach(async () => {
    person.value = null;
    await Promise.resolve();
    person.value = { name: "Ana" };
  });

  it("goes on until everything is saved", async () => {
    const { drafts, state, stop } = leave();
    state.value = { is: "failed", documents: 1, message: "No server.", final: false };
    state.value = { is: "saving" };
    drafts.drop("d");
    await Promise.resolve();
    expect([left.value.length, stop.mock.calls.length]).toEqual([1, 0]);
    state.value = { is: "saved" };
    await Promise.resolve();
    expect([left.value.length, stop.mock.calls.length]).toEqual([0, 1]);
  });

  it("ends when the same review is opened again, which goes on with its work, and not with another", async () => {
    const mine = leave();
    for (const other of [{ project: "q" }, { second: "s" }, { by: "Ben" }])
      expect(takeOver({ ...WHO, ...other })).toBeNull();
    await Promise.resolve();
    expect(mine.stop).not.toHaveBeenCalled();
    mine.state.value = { is: "saving" };
    expect(takeOver(WHO)?.saving).toBe(mine.saving);
    await Promise.resolve();
    expect([left.value.length, mine.stop.mock.calls.length]).toEqual([0, 1]);
  });

  it("is not left where another view took its work over before it was closed", () => {
    const mine = work();
    show(mine);
    const next = { ...mine, saving: takeOver(WHO)!.saving };
    show(next);
    expect([hide(mine), hide(next), takeOver(WHO)]).toEqual([false, true, null]);
  });

  it("is left, and not lost, where another review begins before it is closed", () => {
    const mine = work();
    show(mine);
    const other = { ...work(), second: "s" };
    expect(takeOver(other)).toBeNull();
    show(other);
    expect([hide(mine), hide(other), takeOver(WHO), takeOver(other)]).toEqual([true, true, null, null]);
  });

  it("without autosave ends with the save that was on its way, or with the outage that it met", async () => {
    const { drafts, state, autosave, stop } = leave();
    state.value = { is: "saving" };
    autosave.value = false;
    state.value = { is: "failed", documents: 1, message: "No server.", final: false };
    await Promise.resolve();
    expect(stop).not.toHaveBeenCalled();
    drafts.add(DOCUMENT, { do: "flag", flagged: true });
    state.value = { is: "unsaved", documents: 1 };
    await Promise.resolve();
    expect([left.value.length, stop.mock.calls.length]).toEqual([0, 1]);
  });

  it("is not tried again when it is refused for good, and stays for its message", async () => {
    const { state, stop } = leave();
    state.value = { is: "failed", documents: 1, message: "No project.", final: true };
    await Promise.resolve();
    expect([left.value.length, stop.mock.calls.length]).toEqual([1, 1]);
  });

  it("ends when the person signs out: nobody saves under another name", async () => {
    const { state, stop } = leave();
    state.value = { is: "saving" };
    person.value = { name: "Ben" };
    await Promise.resolve();
    expect(stop).not.toHaveBeenCalled(); // its answer is still to be kept
    state.value = { is: "unsaved", documents: 1 };
    await Promise.resolve();
    expect([left.value.length, stop.mock.calls.length]).toEqual([0, 1]);
  });
});
