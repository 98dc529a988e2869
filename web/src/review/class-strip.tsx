/** Classes of the document above its text: labels in blue, suggestions in purple with check and cross. */

import type { Suggestion } from "../api/types";
import { percent } from "../domain/format";
import type { Review } from "../state/review";
import { Icon } from "../ui/icon";
import { Verdict } from "./panel";

export function ClassStrip({ review }: { review: Review }) {
  const { document } = review.current.value!;
  const derived = review.derived.value;
  const suggestions = review.base(document).suggestions;
  const labels = derived?.labels?.categories ?? [];
  if (!suggestions.length && !labels.length) {
    return (
      <p class="class-strip hint">
        {derived?.labels
          ? "Labeled with nothing: a person said no class fits."
          : "No class yet: choose one by its number."}
      </p>
    );
  }
  return (
    <ul class="class-strip" role="list" aria-label="Classes">
      {labels.map((category) => (
        <li key={category} class="chip label">
          <bdi>{category}</bdi>
          <button
            type="button"
            class="chip-button"
            aria-label={`Remove ${category}`}
            disabled={review.locked.value}
            onClick={() => review.labeling.remove({ category })}
          >
            <Icon name="cross" size={12} />
          </button>
        </li>
      ))}
      {suggestions
        .filter((one) => derived?.verdicts.get(one.id) !== "accepted")
        .map((one) => (
          <SuggestionChip key={one.id} review={review} one={one} />
        ))}
    </ul>
  );
}

function SuggestionChip({ review, one }: { review: Review; one: Suggestion }) {
  const verdict = review.derived.value?.verdicts.get(one.id);
  const moot = !verdict && !review.waitingIds.value.has(one.id);
  const pointed = review.cursor.value === one.id;
  return (
    <li class={`chip suggestion ${verdict ?? ""}${moot ? " moot" : ""}${pointed ? " pointed-at" : ""}`}>
      <button
        type="button"
        class="chip-main"
        aria-current={pointed || undefined}
        onClick={() => (review.cursor.value = one.id)}
      >
        <bdi>{one.category}</bdi> <span class="number">{percent(one.confidence)}</span>
      </button>
      <Verdict review={review} one={one} name={one.category} />
    </li>
  );
}
