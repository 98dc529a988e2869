/** Adds entities without a pointer: type the text, take its first place or all of them. */

import { useComputed, useSignal } from "@preact/signals";
import { overlaps, entitiesOf, MAX_ENTITY_LENGTH } from "../domain/labels";
import type { Review } from "../state/review";

const MOST = 200;

export function FindText({ review }: { review: Review }) {
  const wanted = useSignal("");
  const category = useSignal("");
  const places = useComputed(() => {
    const taken = entitiesOf(review.derived.value?.labels ?? null);
    return find(review.current.value?.text ?? "", wanted.value).filter(
      (p) => !taken.some((t) => overlaps(t, p)),
    );
  });
  const categories = review.open.categories.value.map((c) => c.category);
  const chosen = category.value || categories[0] || "";
  const add = (all: boolean): void => {
    for (const place of all ? places.value : places.value.slice(0, 1))
      review.labeling.addEntity(chosen, place);
  };
  return (
    <details class="find">
      <summary>Find text to label</summary>
      <form
        class="stack tight"
        onSubmit={(event) => {
          event.preventDefault();
          add(false);
        }}
      >
        <input
          aria-label="Text to label"
          placeholder="Text to label"
          value={wanted.value}
          onInput={(event) => (wanted.value = event.currentTarget.value)}
        />
        <select
          aria-label="Its category"
          value={chosen}
          onChange={(event) => (category.value = event.currentTarget.value)}
        >
          {categories.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
        <div class="actions start">
          <button type="submit" disabled={!places.value.length || !chosen || review.locked.value}>
            Label the first
          </button>
          <button
            type="button"
            disabled={places.value.length < 2 || !chosen || review.locked.value}
            onClick={() => add(true)}
          >
            Label all {places.value.length > 1 ? places.value.length : ""}
          </button>
        </div>
        <p class="hint" role="status">
          {wanted.value && !places.value.length ? "This text does not occur unlabeled." : ""}
        </p>
      </form>
    </details>
  );
}

function find(text: string, wanted: string): { offset: number; length: number }[] {
  const found: { offset: number; length: number }[] = [];
  if (!wanted.trim() || wanted.length > MAX_ENTITY_LENGTH) return found;
  for (
    let at = text.indexOf(wanted);
    at >= 0 && found.length < MOST;
    at = text.indexOf(wanted, at + wanted.length)
  ) {
    found.push({ offset: at, length: wanted.length });
  }
  return found;
}
