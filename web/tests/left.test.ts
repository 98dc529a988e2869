import { signal } from "@preact/signals";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { DocumentItem } from "../src/api/types";
import { Drafts } from "../src/state/drafts";
import type { SaveState } from "../src/state/saving";
import { MemoryStorage } from "./storage";

const person = signal<{ name: string } | null>({ name: "Ana" });
vi.mock("../src/auth/session", () => ({ person }));
const { goOn, left, takeOver } = await import("../src/state/left");

const KIND = "CustomSingleLabelClassification";
const DOCUMENT = {
  id: "d",
  location: "d.txt",
  eTag: "@0",
  suggestions: [],
  class: null,
} as unknown as DocumentItem;

/** A review that was left with one unsaved document. */
function leave() {
  const drafts = new Drafts("Ana", "p", KIND, new MemoryStorage());
  drafts.add(DOCUMENT, { do: "add", place: { category: "A" } });
  const state = signal<SaveState>({ is: "unsaved", documents: 1 });
  const stop = vi.fn();
  goOn({ project: "p", second: undefined, by: "Ana", drafts, saving: { state }, stop });
  return { drafts, state, stop };
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

  it("ends when the same review is opened again, and not with another", async () => {
    const { drafts, stop } = leave();
    takeOver(new Drafts("Ana", "other", KIND, new MemoryStorage()));
    await Promise.resolve();
    expect(stop).not.toHaveBeenCalled();
    takeOver(drafts);
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
    const { stop } = leave();
    person.value = { name: "Ben" };
    await Promise.resolve();
    expect([left.value.length, stop.mock.calls.length]).toEqual([0, 1]);
  });
});
