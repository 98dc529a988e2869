/**
 * Reviews that were left during a save, or while autosave still had work to save: they continue to save, and retry
 * after an outage, until everything is saved, the same review is opened again, or the person signs out.
 *
 * The same work is never saved from two places: a review that is opened again continues with its drafts and its saving.
 */

import { effect, signal, untracked, type ReadonlySignal } from "@preact/signals";
import { person } from "../auth/session";
import type { Drafts } from "./drafts";
import type { Saving } from "./saving";

/** What a person has to save in a project or in a second review. */
export interface Work {
  readonly project: string;
  /** The id of the second review. */
  readonly second: string | undefined;
  /** The name of the person whose work it is. */
  readonly by: string;
  readonly drafts: Drafts;
  readonly saving: Saving;
}

export interface Left extends Work {
  /** Ends the saving; more than once is the same as once. */
  readonly stop: () => void;
}

const all = signal<readonly Left[]>([]);
/** The work of the review that is shown, and of those before it: the next review begins before the last is closed. */
const shown = new Set<Work>();

/** What is still to be saved of reviews that are not shown any more. */
export const left: ReadonlySignal<readonly Left[]> = all;

export function goOn(work: Left): void {
  all.value = [...all.value, work];
  const end = (): void => {
    stop();
    work.stop();
    all.value = all.value.filter((other) => other !== work);
  };
  const stop = effect(() => {
    const state = work.saving.state.value;
    const signedOut = person.value?.name !== work.by;
    // Without autosave, what was done after the last save waits for the person.
    const waits = state.is === "unsaved" && !work.saving.autosave.value;
    const ended = state.is !== "saving" && (signedOut || waits || !work.drafts.unsaved.value.length);
    if (ended || !all.value.includes(work)) untracked(() => queueMicrotask(end));
    // What is refused for good stays in the list, which says why, and is not tried again.
    else if (state.is === "failed" && state.final) untracked(() => queueMicrotask(work.stop));
  });
}

/** The work is shown, and saved by the review that shows it. */
export function show(work: Work): void {
  shown.add(work);
}

/** Ends `show`; false where another view has taken the work over, which then saves it. */
export function hide(work: Work): boolean {
  return shown.delete(work);
}

/** The review is opened: the work that it is to go on with, if it is shown or was left. */
export function takeOver({ project, second, by }: Omit<Work, "drafts" | "saving">): Work | null {
  const isSame = (work: Work): boolean =>
    work.project === project && work.second === second && work.by === by;
  const taken = [...shown].find(isSame);
  if (taken) shown.delete(taken);
  const found = taken ?? all.value.find(isSame);
  all.value = all.value.filter((work) => !isSame(work));
  found?.drafts.refresh();
  return found ?? null;
}
