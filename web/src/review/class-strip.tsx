/** Classes of the document above its text: labels, and suggestions with check and cross. */

import type { Suggestion } from "../api/types";
import { doubtOf } from "../domain/colors";
import { percent } from "../domain/format";
import type { Review } from "../state/review";
import { CategoryName } from "../ui/category";
import { Icon } from "../ui/icon";
import { Verdict } from "./panel";

export function ClassStrip({ review }: { review: Review }) {
  const { document } = review.current.value!;
  const derived = review.derived.value;
  const suggestions = review.base(document).suggestions;
  const labels = derived?.labels?.categories ?? [];
  const undecided = suggestions.filter((s) => derived?.verdicts.get(s.id) !== "accepted");
  const none = derived?.labels && !labels.length;
  if (!undecided.length && !labels.length && !none) {
    if (document.status === "rejected") return null;
    const how = review.readOnly.value ? "" : " A number key chooses one.";
    return <p class="class-strip hint">No class yet.{how}</p>;
  }
  return (
    <ul class="class-strip" role="list" aria-label="Classes">
      {none && <li class="chip label hue-none">No label applies</li>}
      {labels.map((category) => (
        <li key={category} class={`chip label hue-${review.open.hues.value.get(category) ?? "none"}`}>
          <CategoryName name={category} hue={review.open.hues.value.get(category)} />
          <button
            type="button"
            class="chip-button"
            aria-label={`Remove ${category}`}
            disabled={review.readOnly.value !== null}
            onClick={() => review.labeling.remove({ category })}
          >
            <Icon name="cross" size={12} />
          </button>
        </li>
      ))}
      {undecided.map((suggestion) => (
        <SuggestionChip key={suggestion.id} review={review} suggestion={suggestion} />
      ))}
    </ul>
  );
}

function SuggestionChip({ review, suggestion }: { review: Review; suggestion: Suggestion }) {
  const { id, category, confidence } = suggestion;
  const verdict = review.derived.value?.verdicts.get(id);
  const moot = !verdict && !review.waitingIds.value.has(id);
  const pointed = review.cursor.value === id;
  const hue = review.open.hues.value.get(category);
  const look = [verdict, moot && "moot", pointed && "pointed-at"].filter(Boolean).join(" ");
  return (
    <li class={`chip suggestion hue-${hue ?? "none"} doubt-${doubtOf(confidence)} ${look}`}>
      <button
        type="button"
        class="chip-main"
        aria-current={pointed || undefined}
        aria-label={`${category}, ${percent(confidence)}`}
        onClick={() => (review.cursor.value = id)}
      >
        <CategoryName name={category} hue={hue} /> <span class="number share">{percent(confidence)}</span>
      </button>
      <Verdict review={review} suggestion={suggestion} name={category} />
    </li>
  );
}
