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
  readonly drafts: Drafts;
  readonly saving: { readonly state: ReadonlySignal<SaveState> };
  /** Ends the saving. */
  readonly stop: () => void;
}

const all = signal<readonly Left[]>([]);

/** What is still to be saved of reviews that are not shown any more. */
export const left: ReadonlySignal<readonly Left[]> = all;

export function goOn(one: Left): void {
  all.value = [...all.value, one];
  const name = person.value?.name;
  const stop = effect(() => {
    const ended =
      person.value?.name !== name ||
      !all.value.includes(one) ||
      (!one.drafts.unsaved.value.length && one.saving.state.value.is !== "saving");
    if (ended) untracked(() => queueMicrotask(end));
  });
  const end = (): void => {
    stop();
    one.stop();
    all.value = all.value.filter((other) => other !== one);
  };
}

/** The review of these drafts is opened again, and saves them itself. */
export function takeOver(drafts: Drafts): void {
  all.value = all.value.filter((one) => one.drafts.prefix !== drafts.prefix);
}
