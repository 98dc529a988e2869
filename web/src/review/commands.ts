/** The commands of a reviewer: one table for the buttons, the keys and the help. */

import { isEntities } from "../domain/labels";
import type { IconName } from "../ui/icon";
import type { Dialog } from "../state/dialogs";
import type { Review } from "../state/review";
import { toast } from "../state/toasts";
import { nextUncertain } from "../state/uncertain";

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
  /** Whether the control can be used now. */
  readonly enabled: (review: Review) => boolean;
}

const hasDocument = (review: Review): boolean => review.current.value !== null;
const hasSuggestion = (review: Review): boolean =>
  review.readOnly.value === null && review.waiting.value.length > 0;

const MOVES: readonly Command[] = [
  {
    id: "previous",
    key: "k",
    name: "Previous suggestion",
    short: "Previous",
    icon: "previous",
    help: "Go to the previous suggestion, in this document or the one before",
    run: (review) => review.previous(),
    enabled: hasDocument,
  },
  {
    id: "next",
    key: "j",
    name: "Next suggestion",
    short: "Next",
    icon: "next",
    help: "Go to the next suggestion, in this document or the one after",
    run: (review) => review.next(),
    enabled: hasDocument,
  },
];

const DOCUMENT_MOVES: readonly Command[] = MOVES.map((move) => ({
  ...move,
  name: `${move.short} document`,
  help: `Go to the ${move.id} document`,
}));

const ACCEPT_ALL: Command = {
  id: "accept-all",
  key: "e",
  name: "Accept all and next",
  short: "Accept all",
  icon: "all",
  help: "Accept all suggestions of this document and open the next document",
  run: (review) => review.acceptAllAndNext(),
  enabled: hasSuggestion,
};

const DECISIONS: readonly Command[] = [
  {
    id: "accept",
    key: "a",
    name: "Accept",
    short: "Accept",
    icon: "check",
    help: "Make the suggestion a label and go to the next one",
    run: (review) => review.accept(),
    enabled: hasSuggestion,
  },
  {
    id: "reject",
    key: "r",
    name: "Reject",
    short: "Reject",
    icon: "cross",
    help: "Reject the suggestion and go to the next one",
    run: (review) => review.reject(),
    enabled: hasSuggestion,
  },
  ACCEPT_ALL,
  {
    id: "undo",
    key: "u",
    name: "Undo",
    short: "Undo",
    icon: "undo",
    help: "Undo the last step; when everything is saved, the last saved change",
    run: (review) => void review.undo(),
    enabled: (review) => review.saving.canUndo.value,
  },
];

/** In a second review nothing is suggested: there is nothing to accept or reject. */
const SAVE_AND_NEXT: Command = {
  ...ACCEPT_ALL,
  id: "save-next",
  name: "Save and next",
  short: "Save and next",
  help: "Save the labels of this document and open the next one",
  run: (review) => review.saveAndNext(),
  enabled: (review) => hasDocument(review) && review.readOnly.value === null,
};

/** The commands that decide what the labels of a document are. */
export const decisionsOf = (review: Review): readonly Command[] =>
  review.source.blind ? [SAVE_AND_NEXT, ...DECISIONS.filter(({ id }) => id === "undo")] : DECISIONS;

export const SAVE: Command = {
  id: "save",
  key: "s",
  name: "Save labels",
  short: "Save",
  icon: "save",
  help: "Save all decisions and labels",
  run: (review) => void review.saving.save(true),
  enabled: (review) => !review.locked.value,
};

export const NO_LABEL: Command = {
  id: "no-label",
  key: "x",
  name: "No label applies",
  short: "No label",
  icon: "none",
  help: "Mark the document as having no label, and reject its suggestions",
  run: (review) => review.noLabelApplies(),
  enabled: (review) => hasDocument(review) && review.readOnly.value === null,
};

/** Commands beside the name of the document. */
const MORE: readonly Command[] = [
  {
    id: "back",
    key: "p",
    name: "Back to the previous document",
    short: "Back",
    icon: "previous",
    help: "Open the document before this one",
    run: (review) => void review.previousDocument(),
    enabled: hasDocument,
  },
  {
    id: "uncertain",
    key: "d",
    name: "Go to the next uncertain suggestion",
    short: "Uncertain",
    icon: "doubt",
    help: "Go to the next suggestion below 60%, in this document or in one that follows",
    run: (review) => void nextUncertain(review),
    enabled: hasDocument,
  },
  {
    id: "skip",
    key: "n",
    name: "Skip to the next document",
    short: "Skip",
    icon: "next",
    help: "Leave this document as it is and open the next one",
    run: (review) => void review.nextDocument(),
    enabled: hasDocument,
  },
];

const canMark = (review: Review): boolean => hasDocument(review) && review.lockReason.value === null;

/** For other people: both are kept with the document and change no label. */
export const FLAG: Command = {
  id: "flag",
  key: "f",
  name: "Flag",
  short: "Flag",
  icon: "flag",
  help: "Flag the document for other people, or remove the flag",
  run: (review) => review.toggleFlag(),
  enabled: canMark,
};

export const NOTE: Command = {
  id: "note",
  key: "m",
  name: "Note",
  short: "Note",
  icon: "note",
  help: "Write a note on the document for other people",
  run: (review) => review.note.open(),
  enabled: canMark,
};

export const GUIDELINES: Command = {
  id: "guidelines",
  key: "g",
  name: "Guidelines",
  short: "Guidelines",
  icon: "book",
  help: "Show or hide the labeling guidelines beside the text",
  run: (review) => review.toggleGuidelines(),
  enabled: () => true,
};

const canDecideOnMany = (review: Review): boolean => !review.locked.value;
/** One decision for many suggestions, which is asked for in a dialog; `missing` is what a key says instead. */
const opens =
  (dialog: Dialog, enabled: (review: Review) => boolean, missing = "") =>
  (review: Review): void => {
    if (enabled(review)) review.dialogs.open(dialog);
    else if (review.lockReason.value) toast(review.lockReason.value, "bad");
    else toast(missing);
  };

export const BULK: Command = {
  id: "bulk",
  key: "b",
  name: "Bulk accept or reject…",
  short: "Bulk accept or reject…",
  icon: "list",
  help: "Accept or reject many suggestions at once, beginning with those that the filters select",
  run: opens("bulk", canDecideOnMany),
  enabled: canDecideOnMany,
};

const pointsAtEntity = (review: Review): boolean =>
  canDecideOnMany(review) && review.labeling.pointed() !== null;

export const EVERYWHERE: Command = {
  id: "everywhere",
  key: "i",
  name: "In all documents…",
  short: "In all documents…",
  icon: "all",
  help: "Accept or reject this text with this category in all documents",
  run: opens("everywhere", pointsAtEntity, "Select a suggestion first."),
  enabled: pointsAtEntity,
};

const manyOf = (review: Review): readonly Command[] => [
  ...(review.byHand || review.source.blind ? [] : [BULK]),
  ...(isEntities(review.kind) && !review.source.blind ? [EVERYWHERE] : []),
];

export const movesOf = (review: Review): readonly Command[] => (review.source.blind ? DOCUMENT_MOVES : MOVES);

export const moreOf = (review: Review): readonly Command[] => (review.source.blind ? [] : MORE);

/** Every command that this review has. */
export const commandsOf = (review: Review): readonly Command[] => [
  ...movesOf(review),
  ...decisionsOf(review),
  NO_LABEL,
  SAVE,
  ...moreOf(review),
  ...manyOf(review),
  ...(review.source.blind ? [] : [FLAG, NOTE]),
  GUIDELINES,
];
