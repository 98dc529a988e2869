/** Beside the text: the suggestions, the labels, the categories, and the settings of the document. */

import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Suggestion } from "../api/types";
import { doubtOf } from "../domain/colors";
import { count, percent } from "../domain/format";
import { entitiesOf, isEntities, samePlace, type Place } from "../domain/labels";
import type { Review } from "../state/review";
import { CategoryName, CategorySelect } from "../ui/category";
import { Icon } from "../ui/icon";
import { onPhone } from "../ui/phone";
import { VirtualList } from "../ui/virtual-list";
import { Categories } from "./categories";
import { DocumentFacts } from "./document-facts";
import { FindText } from "./find-text";

interface Props {
  review: Review;
  onMore: () => void;
  onNumbers: () => void;
}

export function Panel({ review, onMore, onNumbers }: Props) {
  const loaded = review.current.value!;
  const entities = isEntities(review.kind);
  const suggestions = review.base(loaded.document).suggestions;
  const long = onPhone() && suggestions.some((s) => s.category.length > SHORT_NAME);
  const ref = useRef<HTMLElement>(null);
  const cursor = review.cursor.value;
  useEffect(() => scrollInto(ref.current), [cursor]);
  return (
    <aside class="panel" aria-label="Suggestions and labels" ref={ref}>
      {entities && suggestions.length > 0 && (
        <section aria-labelledby="suggestions-title">
          <div class="panel-title">
            <h2 id="suggestions-title">Suggestions</h2>
            <span class="hint">{count(review.waiting.value.length)} left</span>
            <button
              type="button"
              class="quiet small"
              disabled={!!review.readOnly.value || !review.waiting.value.length}
              onClick={() => review.rejectAll()}
            >
              Reject all
            </button>
          </div>
          <Rows
            label="Suggestions"
            {...(long ? { height: 96, lines: 3 } : { height: 54 })}
            count={suggestions.length}
            index={suggestions.findIndex((s) => s.id === cursor)}
            renderRow={(index) => <SuggestionRow review={review} suggestion={suggestions[index]!} />}
          />
        </section>
      )}
      {entities && <EntityLabels review={review} />}
      <Categories review={review} onMore={onMore} onNumbers={onNumbers} />
      {entities && <FindText review={review} />}
      {!review.source.blind && <DocumentFacts review={review} />}
    </aside>
  );
}

/** From so many rows on, a list scrolls by itself: what stands below it stays within reach. */
const LONG_LIST = 12;
const ROWS_IN_VIEW = 6;
/** On a phone a longer name takes up to three lines; a wide name may be cut in a long list. */
const SHORT_NAME = 20;

interface RowsProps {
  label: string;
  height: number;
  /** How many lines of a name fit in a row. */
  lines?: number;
  count: number;
  index: number;
  renderRow: (index: number) => ComponentChildren;
}

function Rows({ label, height, lines = 1, count: rows, index, renderRow }: RowsProps) {
  if (rows > LONG_LIST) {
    return (
      <div class="long-list" style={{ blockSize: `${ROWS_IN_VIEW * height}px`, "--lines": lines }}>
        <VirtualList count={rows} rowHeight={height} index={index} label={label} renderRow={renderRow} />
      </div>
    );
  }
  return (
    <ul role="list" aria-label={label}>
      {Array.from({ length: rows }, (_, i) => (
        <li key={i}>{renderRow(i)}</li>
      ))}
    </ul>
  );
}

/** Keeps the suggestion pointed at in view where the panel scrolls by itself; a phone's page must not jump. */
function scrollInto(panel: HTMLElement | null): void {
  const row = panel?.querySelector<HTMLElement>(".suggestion-row.pointed-at");
  if (!panel || !row || row.closest(".long-list") || panel.scrollHeight <= panel.clientHeight) return;
  const [seen, wanted] = [panel.getBoundingClientRect(), row.getBoundingClientRect()];
  if (wanted.top < seen.top) panel.scrollTop -= seen.top - wanted.top + 8;
  else if (wanted.bottom > seen.bottom) panel.scrollTop += wanted.bottom - seen.bottom + 8;
}

function SuggestionRow({ review, suggestion }: { review: Review; suggestion: Suggestion }) {
  const { id, category, confidence } = suggestion;
  const verdict = review.derived.value?.verdicts.get(id);
  const waits = review.waitingIds.value.has(id);
  const start = suggestion.offset ?? 0;
  const text = review.current.value?.text.slice(start, start + (suggestion.length ?? 0)) ?? "";
  const name = `${category} “${text.slice(0, 40)}”`;
  const pointed = review.cursor.value === id;
  return (
    <div class={`suggestion-row ${verdict ?? (waits ? "waiting" : "moot")}${pointed ? " pointed-at" : ""}`}>
      <button
        type="button"
        class="suggestion-main"
        aria-current={pointed || undefined}
        aria-label={`${name}, ${percent(confidence)}${verdict ? `, ${verdict}` : ""}`}
        onClick={() => (review.cursor.value = id)}
      >
        <span class="suggestion-text" dir="auto">
          {text}
        </span>
        <span class={`suggestion-meta doubt-${doubtOf(confidence)}`}>
          <CategoryName name={category} hue={review.open.hues.value.get(category)} />{" "}
          <span class="number share">{percent(confidence)}</span>
        </span>
      </button>
      <Verdict review={review} suggestion={suggestion} name={name} />
    </div>
  );
}

/** Check and cross of a suggestion, or its decision, which a click reopens. */
export function Verdict({
  review,
  suggestion: { id },
  name,
}: {
  review: Review;
  suggestion: Suggestion;
  name: string;
}) {
  const verdict = review.derived.value?.verdicts.get(id);
  if (verdict) {
    return (
      <button
        type="button"
        class="quiet small"
        aria-label={`${name}: decide again`}
        onClick={() => review.reopen(id)}
      >
        {verdict}
      </button>
    );
  }
  const off = !!review.readOnly.value || !review.waitingIds.value.has(id);
  return (
    <span class="verdicts">
      <button
        type="button"
        class="verdict-button yes"
        disabled={off}
        aria-label={`${name}: accept`}
        title="Accept"
        onClick={() => review.accept(id)}
      >
        <Icon name="check" size={16} />
      </button>
      <button
        type="button"
        class="verdict-button no"
        disabled={off}
        aria-label={`${name}: reject`}
        title="Reject"
        onClick={() => review.reject(id)}
      >
        <Icon name="cross" size={16} />
      </button>
    </span>
  );
}

function EntityLabels({ review }: { review: Review }) {
  const labels = review.derived.value?.labels ?? null;
  const entities = useMemo(() => entitiesOf(labels), [labels]);
  const names = useMemo(
    () => review.open.categories.value.map((c) => c.category),
    [review.open.categories.value],
  );
  const text = review.current.value?.text ?? "";
  const latest = review.labeling.latest.value;
  return (
    <section aria-labelledby="labels-title">
      <div class="panel-title">
        <h2 id="labels-title">Labels</h2>
        <span class="hint">{count(entities.length)}</span>
      </div>
      {!entities.length && (
        <p class="hint">
          {labels ? "No label applies." : "Select text to label it; click a label to change it."}
        </p>
      )}
      <Rows
        label="Labels"
        height={42}
        count={entities.length}
        index={latest ? entities.findIndex((e) => samePlace(e, latest)) : -1}
        renderRow={(index) => (
          <EntityRow review={review} place={entities[index]!} names={names} text={text} />
        )}
      />
    </section>
  );
}

interface EntityProps {
  review: Review;
  place: Required<Place>;
  names: readonly string[];
  text: string;
}

function EntityRow({ review, place, names, text }: EntityProps) {
  const part = text.slice(place.offset, place.offset + place.length);
  return (
    <div class={`label-row hue-${review.open.hues.value.get(place.category) ?? "none"}`}>
      <span class="label-text" dir="auto" title={part}>
        {part}
      </span>
      <CategorySelect
        aria-label={`Category of “${part.slice(0, 40)}”`}
        title={place.category}
        disabled={!!review.readOnly.value}
        categories={names}
        value={place.category}
        onChange={(category) => review.labeling.change(place, category)}
      />
      <button
        type="button"
        class="icon-button"
        aria-label={`Remove ${place.category} “${part.slice(0, 40)}”`}
        disabled={!!review.readOnly.value}
        onClick={() => review.labeling.remove(place)}
      >
        <Icon name="cross" size={14} />
      </button>
    </div>
  );
}
