/** The dialog of the review page that is open. The note's and that of conflicts are opened by what they are about. */

import { signal } from "@preact/signals";

export type Dialog = "help" | "bulk" | "everywhere" | "picker" | "numbers";

/** These act on the document that was shown when they were opened. */
const OF_DOCUMENT: ReadonlySet<Dialog | null> = new Set<Dialog>(["everywhere", "picker"]);

export class Dialogs {
  readonly shown = signal<Dialog | null>(null);

  /** `isMoving`: whether another document than the one that is shown was asked for. */
  constructor(private readonly isMoving: () => boolean) {}

  open(dialog: Dialog): void {
    if (!OF_DOCUMENT.has(dialog) || !this.isMoving()) this.shown.value = dialog;
  }

  close(): void {
    this.shown.value = null;
  }

  /** Another document is shown: what is chosen in a dialog would be for a document that nobody sees. */
  documentLeft(): void {
    if (OF_DOCUMENT.has(this.shown.value)) this.close();
  }
}
