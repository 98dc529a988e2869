/** Labels set by hand: for the document, for selected text, for a suggestion with another category. */

import { computed, signal, type ReadonlySignal } from "@preact/signals";
import type { Entity } from "../api/types";
import { entitiesOf, isEntities, isSingle, MAX_ENTITY_LENGTH, samePlace, type Place } from "../domain/labels";
import type { Review } from "./review";
import { toast } from "./toasts";

/** A part of the text that a category is chosen for; `label` when it is labeled already. */
export interface Selection {
  readonly offset: number;
  readonly length: number;
  readonly label?: Entity;
}

export class Labeling {
  readonly selection = signal<Selection | null>(null);
  /** The label just set by hand, unless a suggestion is pointed at: another number key changes its category. */
  readonly latest: ReadonlySignal<Entity | null>;
  /** Reads the selection of the browser at once; the text under review sets it. */
  readSelection: () => Selection | null = () => null;
  private readonly set = signal<{ entity: Entity; at: number; cursor: string | null } | null>(null);

  constructor(private readonly review: Review) {
    this.latest = computed(() => {
      const set = this.set.value;
      if (!set || set.at !== review.drafts.newest || set.cursor !== review.cursor.value) return null;
      if (set.cursor && review.waitingIds.value.has(set.cursor)) return null;
      const labels = entitiesOf(review.derived.value?.labels ?? null);
      return labels.find((entity) => samePlace(entity, set.entity)) ?? null;
    });
  }

  /** Text and category of the suggested entity that is pointed at, if one is. */
  pointed(): { text: string; category: string } | null {
    const loaded = this.review.current.value;
    const found = loaded?.document.suggestions.find((s) => s.id === this.review.cursor.value);
    if (!loaded || !found?.length) return null;
    const { offset = 0, length, category } = found;
    return { text: loaded.text.slice(offset, offset + length), category };
  }

  /** A number key or a click on a category: for the selected text, the suggestion pointed at, or the document. */
  choose(category: string): void {
    const { review } = this;
    const selected = this.selection.value ?? this.readSelection();
    if (selected) return this.addEntity(category, selected);
    const latest = this.latest.value;
    if (latest) return this.addEntity(category, { ...latest, label: latest });
    const suggestion = review.waiting.value.find((s) => s.id === review.cursor.value);
    if (suggestion?.category === category) return review.accept(suggestion.id);
    if (suggestion) {
      if (!review.step({ do: "relabel", id: suggestion.id, category })) return;
      review.choices.used(category);
      return review.advance(suggestion.id);
    }
    if (isEntities(review.kind))
      return toast("Select text first, or point at a suggestion, then choose its category.");
    const has = review.derived.value?.labels?.categories.includes(category);
    const whole = review.source.blind && isSingle(review.kind);
    if (whole && has) return review.leave();
    if (!review.step({ do: has ? "remove" : "add", place: { category } })) return;
    review.choices.used(category);
    if (whole) review.leave();
  }

  /** Labels a part of the text; a part that is labeled already gets the category instead of its own. */
  addEntity(category: string, span: Selection | null = this.selection.value): void {
    if (!span) return;
    if (span.length > MAX_ENTITY_LENGTH)
      return toast(`An entity has at most ${MAX_ENTITY_LENGTH} characters.`, "bad");
    const entity = { category, offset: span.offset, length: span.length };
    const there = span.label ? [span.label] : this.labelsAt(span);
    const same = there.some((label) => label.category === category);
    const done =
      same ||
      this.review.step(there[0] ? { do: "change", place: there[0], category } : { do: "add", place: entity });
    if (!done) return;
    this.review.choices.used(category);
    this.deselect();
    this.set.value = { entity, at: this.review.drafts.newest, cursor: this.review.cursor.value };
  }

  /** Labels several parts of the text in one step. */
  addAll(places: readonly Place[]): void {
    if (places.length) this.review.step({ do: "addAll", places });
  }

  change(place: Place, category: string): void {
    this.review.step({ do: "change", place, category });
  }

  remove(place: Place): void {
    if (this.review.step({ do: "remove", place })) this.deselect();
  }

  deselect(): void {
    this.selection.value = null;
    const selection = document.getSelection();
    if (selection && !selection.isCollapsed) selection.removeAllRanges();
  }

  /** The first save of a label with a new category defines it; until then it is known here. */
  define(category: string): void {
    const known = this.review.open.categories.value;
    if (!known.some((c) => c.category === category))
      this.review.open.categories.value = [...known, { category }];
  }

  private labelsAt(span: { offset: number; length: number }): Entity[] {
    return entitiesOf(this.review.derived.value?.labels ?? null).filter(
      (entity) => entity.offset === span.offset && entity.length === span.length,
    );
  }
}
