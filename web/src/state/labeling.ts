/** Labels by hand: for the document, for a stretch of its text, for a suggestion that is called something else. */

import { signal } from "@preact/signals";
import type { Entity } from "../api/types";
import type { Step } from "../domain/draft";
import { isEntities, MAX_ENTITY_LENGTH, type Place } from "../domain/labels";
import type { Review } from "./review";
import { toast } from "./toasts";

/** A stretch of text that a category is chosen for; `label` when it is one already. */
export interface Selection {
  readonly offset: number;
  readonly length: number;
  readonly label?: Entity;
}

export class Labeling {
  readonly selection = signal<Selection | null>(null);

  constructor(private readonly review: Review) {}

  /** A number key or a click on a category: for the selected text, the suggestion pointed at, or the document. */
  choose(category: string): void {
    const selected = this.selection.value;
    if (selected) return this.addEntity(category);
    const one = this.review.waiting.value.find((s) => s.id === this.review.cursor.value);
    if (one?.category === category) return this.review.accept(one.id);
    if (one) {
      if (this.review.step({ do: "relabel", id: one.id, category })) this.review.advance(one.id);
      return;
    }
    if (isEntities(this.review.kind))
      return toast("Select text first, or point at a suggestion, then choose its category.");
    const has = this.review.derived.value?.labels?.categories.includes(category);
    this.review.step({ do: has ? "remove" : "add", place: { category } });
  }

  addEntity(category: string, span: Selection | null = this.selection.value): void {
    if (!span) return;
    if (span.length > MAX_ENTITY_LENGTH)
      return toast(`An entity has at most ${MAX_ENTITY_LENGTH} characters.`, "bad");
    const { offset, length, label } = span;
    const step: Step = label
      ? { do: "change", place: label, category }
      : { do: "add", place: { category, offset, length } };
    if (this.review.step(step)) this.selection.value = null;
  }

  change(place: Place, category: string): void {
    this.review.step({ do: "change", place, category });
  }

  remove(place: Place): void {
    if (this.review.step({ do: "remove", place })) this.selection.value = null;
  }

  /** A category that is new here is defined by the first save of a label with it. */
  define(category: string): void {
    const known = this.review.open.categories.value;
    if (!known.some((c) => c.category === category))
      this.review.open.categories.value = [...known, { category }];
  }
}
