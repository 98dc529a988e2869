/** Labels entities without a pointer: type the text, label its first occurrence or all of them. */

import { useComputed, useSignal } from "@preact/signals";
import { overlaps, entitiesOf, MAX_ENTITY_LENGTH } from "../domain/labels";
import { splitsCharacter } from "../domain/segments";
import type { Review } from "../state/review";
import { CategorySelect } from "../ui/category";
import { Field, TextInput } from "../ui/parts";

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
    const found = all ? places.value : places.value.slice(0, 1);
    review.labeling.addAll(found.map((place) => ({ ...place, category: chosen })));
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
        <Field label="Text to label">
          <TextInput signal={wanted} />
        </Field>
        <Field label="Category for this text">
          <CategorySelect
            categories={categories}
            value={chosen}
            onChange={(next) => (category.value = next)}
          />
        </Field>
        <div class="actions start">
          <button type="submit" disabled={!places.value.length || !chosen || !!review.readOnly.value}>
            Label first match
          </button>
          <button
            type="button"
            disabled={places.value.length < 2 || !chosen || !!review.readOnly.value}
            onClick={() => add(true)}
          >
            Label all {places.value.length > 1 ? places.value.length : ""}
          </button>
        </div>
        <p class="hint" role="status">
          {wanted.value && !places.value.length ? "No unlabeled occurrence of this text." : ""}
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
    if (splitsCharacter(text, at) || splitsCharacter(text, at + wanted.length)) continue;
    found.push({ offset: at, length: wanted.length });
  }
  return found;
}
