/** The note of a document while it is written, whatever is shown behind the dialog meanwhile. */

import { signal } from "@preact/signals";
import type { DocumentItem } from "../api/types";
import type { Review } from "./review";
import { toast } from "./toasts";

export class Note {
  /** The document whose note is open in the dialog, and the note that it had then. */
  readonly edited = signal<{ readonly document: DocumentItem; readonly before: string } | null>(null);

  constructor(private readonly review: Review) {}

  /** Opens the note of the current document. */
  open(): void {
    const { review } = this;
    const loaded = review.current.value;
    if (review.lockReason.value) toast(review.lockReason.value, "bad");
    else if (!review.isMoving() && loaded)
      this.edited.value = { document: loaded.document, before: review.derived.value?.note ?? "" };
  }

  /** Ends the dialog; a text becomes the note of its document. */
  close(text?: string): void {
    const edited = this.edited.value;
    this.edited.value = null;
    if (edited && text !== undefined && text !== edited.before)
      this.review.mark({ do: "note", note: text }, edited.document);
  }
}
