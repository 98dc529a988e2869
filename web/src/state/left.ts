/**
 * Reviews that were left while autosave still had work to save: they go on saving, and trying again after an outage,
 * until it is saved, the same review is opened again, or the person signs out.
 */

import { effect, signal, untracked, type ReadonlySignal } from "@preact/signals";
import { person } from "../auth/session";
import type { Drafts } from "./drafts";
import type { SaveState } from "./saving";

export interface Left {
  readonly project: string;
  /** The id of the second review that was left. */
  readonly second: string | undefined;
  /** The name of the person whose work it is. */
  readonly by: string;
  readonly drafts: Drafts;
  readonly saving: { readonly state: ReadonlySignal<SaveState> };
  /** Ends the saving; more than once is the same as once. */
  readonly stop: () => void;
}

const all = signal<readonly Left[]>([]);

/** What is still to be saved of reviews that are not shown any more. */
export const left: ReadonlySignal<readonly Left[]> = all;

export function goOn(one: Left): void {
  all.value = [...all.value, one];
  const end = (): void => {
    stop();
    one.stop();
    all.value = all.value.filter((other) => other !== one);
  };
  const stop = effect(() => {
    const state = one.saving.state.value;
    const ended =
      person.value?.name !== one.by ||
      !all.value.includes(one) ||
      (!one.drafts.unsaved.value.length && state.is !== "saving");
    // What is refused for good stays in the list, which says why, and is not tried again.
    if (ended) untracked(() => queueMicrotask(end));
    else if (state.is === "failed" && state.final) untracked(() => queueMicrotask(one.stop));
  });
}

/** The review of these drafts is opened again, and saves them itself. */
export function takeOver(drafts: Drafts): void {
  all.value = all.value.filter((one) => one.drafts.prefix !== drafts.prefix);
}
