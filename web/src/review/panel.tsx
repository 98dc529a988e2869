/** Everything that can be said about the document in hand: suggestions, labels, its settings. */

import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Suggestion } from "../api/types";
import { percent } from "../domain/format";
import { entitiesOf, isEntities, type Place } from "../domain/labels";
import type { Review } from "../state/review";
import { Icon } from "../ui/icon";
import { Categories } from "./categories";
import { DocumentFacts } from "./document-facts";
import { FindText } from "./find-text";

export function Panel({ review }: { review: Review }) {
  const loaded = review.current.value!;
  const entities = isEntities(review.kind);
  const suggestions = review.base(loaded.document).suggestions;
  const ref = useRef<HTMLElement>(null);
  const cursor = review.cursor.value;
  const shown = around(suggestions, cursor);
  useEffect(() => scrollInto(ref.current), [cursor]);
  return (
    <aside class="panel" aria-label="Suggestions and labels" ref={ref}>
      {entities && suggestions.length > 0 && (
        <section aria-labelledby="suggestions-title">
          <div class="panel-title">
            <h2 id="suggestions-title">Suggestions</h2>
            <span class="hint">{review.waiting.value.length} waiting</span>
            <button
              type="button"
              class="quiet small"
              disabled={review.locked.value || !review.waiting.value.length}
              onClick={() => review.rejectAll()}
            >
              Drop all
            </button>
          </div>
          <ul class="suggestions" role="list">
            {shown.map((one) => (
              <SuggestionRow key={one.id} review={review} one={one} />
            ))}
          </ul>
          {shown.length < suggestions.length && (
            <p class="hint">
              {shown.length} of {suggestions.length} are listed, those around the one pointed at.
            </p>
          )}
        </section>
      )}
      {entities && <EntityLabels review={review} />}
      <Categories review={review} />
      {entities && <FindText review={review} />}
      <DocumentFacts review={review} />
    </aside>
  );
}

const MOST_LISTED = 200;

/** All suggestions, or of very many those around the one pointed at. */
function around(suggestions: readonly Suggestion[], cursor: string | null): readonly Suggestion[] {
  if (suggestions.length <= MOST_LISTED) return suggestions;
  // The window moves in steps, so that the list does not shift with every key.
  const at = Math.max(
    0,
    suggestions.findIndex((s) => s.id === cursor),
  );
  const start = Math.max(0, Math.floor(at / (MOST_LISTED / 2)) * (MOST_LISTED / 2) - MOST_LISTED / 4);
  return suggestions.slice(start, start + MOST_LISTED);
}

/** Keeps the suggestion pointed at in view where the panel scrolls by itself; a phone's page must not jump. */
function scrollInto(panel: HTMLElement | null): void {
  const row = panel?.querySelector<HTMLElement>(".suggestion-row.pointed-at");
  if (!panel || !row || panel.scrollHeight <= panel.clientHeight) return;
  const [seen, wanted] = [panel.getBoundingClientRect(), row.getBoundingClientRect()];
  if (wanted.top < seen.top) panel.scrollTop -= seen.top - wanted.top + 8;
  else if (wanted.bottom > seen.bottom) panel.scrollTop += wanted.bottom - seen.bottom + 8;
}

function SuggestionRow({ review, one }: { review: Review; one: Suggestion }) {
  const verdict = review.derived.value?.verdicts.get(one.id);
  const waits = review.waitingIds.value.has(one.id);
  const text = review.current.value?.text.slice(one.offset ?? 0, (one.offset ?? 0) + (one.length ?? 0)) ?? "";
  const name = `${one.category} “${text.slice(0, 40)}”`;
  const pointed = review.cursor.value === one.id;
  return (
    <li class={`suggestion-row ${verdict ?? (waits ? "waiting" : "moot")}${pointed ? " pointed-at" : ""}`}>
      <button
        type="button"
        class="suggestion-main"
        aria-current={pointed || undefined}
        aria-label={`${name}, ${percent(one.confidence)}${verdict ? `, ${verdict}` : ""}`}
        onClick={() => (review.cursor.value = one.id)}
      >
        <span class="suggestion-text" dir="auto">
          {text}
        </span>
        <span class="suggestion-meta">
          <bdi>{one.category}</bdi> <span class="number">{percent(one.confidence)}</span>
        </span>
      </button>
      <Verdict review={review} one={one} name={name} />
    </li>
  );
}

/** Check and cross of one suggestion, or the way back from a decision. */
export function Verdict({ review, one, name }: { review: Review; one: Suggestion; name: string }) {
  const verdict = review.derived.value?.verdicts.get(one.id);
  if (verdict) {
    return (
      <button
        type="button"
        class="quiet small"
        aria-label={`${name}: decide again`}
        onClick={() => review.reopen(one.id)}
      >
        {verdict}
      </button>
    );
  }
  const off = review.locked.value || !review.waitingIds.value.has(one.id);
  return (
    <span class="verdicts">
      <button
        type="button"
        class="verdict-button yes"
        disabled={off}
        aria-label={`${name}: accept`}
        title="Accept"
        onClick={() => review.accept(one.id)}
      >
        <Icon name="check" size={16} />
      </button>
      <button
        type="button"
        class="verdict-button no"
        disabled={off}
        aria-label={`${name}: reject`}
        title="Reject"
        onClick={() => review.reject(one.id)}
      >
        <Icon name="cross" size={16} />
      </button>
    </span>
  );
}

function EntityLabels({ review }: { review: Review }) {
  const labels = review.derived.value?.labels ?? null;
  const entities = useMemo(() => entitiesOf(labels), [labels]);
  const text = review.current.value?.text ?? "";
  return (
    <section aria-labelledby="labels-title">
      <div class="panel-title">
        <h2 id="labels-title">Labels</h2>
        <span class="hint">{entities.length}</span>
      </div>
      {!entities.length && (
        <p class="hint">
          {labels
            ? "Labeled with nothing: a person said there is no entity."
            : "Select text to add an entity; click a label to change it."}
        </p>
      )}
      <ul class="labels" role="list">
        {entities.slice(0, MOST_LISTED).map((entity) => (
          <EntityRow
            key={`${entity.offset}|${entity.length}|${entity.category}`}
            review={review}
            place={entity}
            text={text}
          />
        ))}
      </ul>
      {entities.length > MOST_LISTED && (
        <p class="hint">The first {MOST_LISTED} are listed; click a label in the text to change any other.</p>
      )}
    </section>
  );
}

function EntityRow({ review, place, text }: { review: Review; place: Required<Place>; text: string }) {
  const part = text.slice(place.offset, place.offset + place.length);
  return (
    <li class="label-row">
      <span class="label-text" dir="auto">
        {part}
      </span>
      <select
        aria-label={`Category of “${part.slice(0, 40)}”`}
        disabled={review.locked.value}
        value={place.category}
        onChange={(event) => review.labeling.change(place, event.currentTarget.value)}
      >
        {[...new Set([place.category, ...review.open.categories.value.map((c) => c.category)])].map(
          (category) => (
            <option key={category}>{category}</option>
          ),
        )}
      </select>
      <button
        type="button"
        class="icon-button"
        aria-label={`Remove ${place.category} “${part.slice(0, 40)}”`}
        disabled={review.locked.value}
        onClick={() => review.labeling.remove(place)}
      >
        <Icon name="cross" size={14} />
      </button>
    </li>
  );
}
