/** The commands of a reviewer: one table for the buttons, the keys and the help. */

import type { IconName } from "../ui/icon";
import type { Review } from "../state/review";

export interface Command {
  readonly id: string;
  /** Value of `aria-keyshortcuts`: the key that works with nothing focused. */
  readonly key: string;
  /** Accessible name of the control. */
  readonly name: string;
  /** What the button shows where there is little room. */
  readonly short: string;
  readonly icon: IconName;
  readonly help: string;
  readonly run: (review: Review) => void;
}

export const MOVES: readonly Command[] = [
  {
    id: "previous",
    key: "k",
    name: "Previous suggestion",
    short: "Previous",
    icon: "previous",
    help: "To the previous suggestion, back through the documents",
    run: (review) => review.previous(),
  },
  {
    id: "next",
    key: "j",
    name: "Next suggestion",
    short: "Next",
    icon: "next",
    help: "To the next suggestion, on through the documents",
    run: (review) => review.next(),
  },
];

export const DECISIONS: readonly Command[] = [
  {
    id: "accept",
    key: "a",
    name: "Accept",
    short: "Accept",
    icon: "check",
    help: "Make the suggestion a label, and go to the next one that waits",
    run: (review) => review.accept(),
  },
  {
    id: "reject",
    key: "r",
    name: "Reject",
    short: "Reject",
    icon: "cross",
    help: "Drop the suggestion, and go to the next one that waits",
    run: (review) => review.reject(),
  },
  {
    id: "accept-all",
    key: "e",
    name: "Accept all and next",
    short: "Accept all",
    icon: "all",
    help: "Accept everything that waits on this document, and open the next document",
    run: (review) => review.acceptAllAndNext(),
  },
  {
    id: "undo",
    key: "u",
    name: "Undo",
    short: "Undo",
    icon: "undo",
    help: "Take the last step back; when all is saved, the last saved decision",
    run: (review) => void review.undo(),
  },
];

export const SAVE: Command = {
  id: "save",
  key: "s",
  name: "Save labels",
  short: "Save",
  icon: "save",
  help: "Send all unsaved decisions and labels to the server",
  run: (review) => void review.saving.save(true),
};

/** Commands that the help lists but the toolbar does not need. */
export const MORE: readonly Command[] = [
  {
    id: "back",
    key: "p",
    name: "Back to the previous document",
    short: "Back",
    icon: "previous",
    help: "Open the document before this one",
    run: (review) => void review.previousDocument(),
  },
  {
    id: "skip",
    key: "n",
    name: "Skip to the next document",
    short: "Skip",
    icon: "next",
    help: "Leave this document as it is, and open the next one",
    run: (review) => void review.nextDocument(),
  },
];

export const COMMANDS: readonly Command[] = [...MOVES, ...DECISIONS, SAVE, ...MORE];

/** The key of the category at this place: 1 to 9, then 0. */
export const numberKey = (index: number): string | null =>
  index < 9 ? String(index + 1) : index === 9 ? "0" : null;
