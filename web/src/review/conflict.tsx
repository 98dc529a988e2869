/** Two people changed one document: what differs, both versions side by side, and nothing is lost without a choice. */

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { getHistory } from "../api/client";
import { derivedOf } from "../domain/draft";
import { ago } from "../domain/format";
import {
  add,
  entitiesOf,
  isEntities,
  isSingle,
  overlaps,
  readLabels,
  sameLabels,
  type Labels,
} from "../domain/labels";
import type { Review } from "../state/review";
import type { Conflict } from "../state/save";
import { CategoryName } from "../ui/category";
import { Dialog } from "../ui/dialog";
import { DifferenceList } from "./differences";
import { MarkedText, spansOf } from "./document-text";

export function ConflictDialog({ review }: { review: Review }) {
  const conflict = [...review.saving.conflicts.value.values()][0];
  if (!conflict || !review.saving.showConflicts.value) return null;
  return (
    <Dialog
      title="Someone else changed this document"
      wide
      onClose={() => (review.saving.showConflicts.value = false)}
    >
      <Versions key={conflict.draft.documentId} review={review} conflict={conflict} />
    </Dialog>
  );
}

function Versions({ review, conflict }: { review: Review; conflict: Conflict }) {
  const { mine, theirs } = conflict;
  const text = useSignal<string | null>(null);
  const who = useSignal("the other reviewer");
  useEffect(() => {
    void review.documents.load(theirs.id).then(
      (loaded) => (text.value = loaded.text),
      () => (text.value = ""),
    );
    void getHistory(review.open.name, theirs.id).then(
      (rows) => rows[0] && (who.value = `${rows[0].by}, ${ago(rows[0].dateTime)}`),
      () => undefined,
    );
  }, []);
  const current = readLabels(theirs, review.kind);
  const wanted = derivedOf(conflict.draft, review.kind);
  const saved = { flagged: theirs.flagged, note: theirs.note ?? "" };
  const marksDiffer = wanted.flagged !== saved.flagged || wanted.note !== saved.note;
  const both = merge(mine, current, conflict, review);
  return (
    <div class="stack">
      <p>
        <bdi class="strong">{theirs.location}</bdi> was saved by <bdi>{who.value}</bdi>, after you had opened
        it. Choose which labels to keep.
      </p>
      <DifferenceList
        hues={review.open.hues.value}
        sides={["Only yours", "Only saved"]}
        mine={mine}
        theirs={current}
        text={text.value}
      />
      <div class="versions">
        <Version title="Your version" labels={mine} review={review} text={text.value}>
          {marksDiffer && <MarksOf {...wanted} />}
        </Version>
        <Version title="Saved version" labels={current} review={review} text={text.value}>
          {marksDiffer && <MarksOf {...saved} />}
        </Version>
      </div>
      {sameLabels(mine, current) && !marksDiffer && (
        <p class="hint">Both versions have the same labels; your other decisions can be saved.</p>
      )}
      <div class="actions">
        <button type="button" class="quiet" onClick={() => (review.saving.showConflicts.value = false)}>
          Decide later
        </button>
        <button type="button" onClick={() => review.saving.settle(conflict, null, false)}>
          Use the saved version
        </button>
        {both && (
          <button type="button" onClick={() => review.saving.settle(conflict, both, true)}>
            Keep both
          </button>
        )}
        <button type="button" class="primary" onClick={() => review.saving.settle(conflict, mine, true)}>
          Keep my version
        </button>
      </div>
    </div>
  );
}

function MarksOf({ flagged, note }: { flagged: boolean; note: string }) {
  return (
    <p class="version-marks" dir="auto">
      {flagged ? "Flagged." : "Not flagged."} {note ? `Note: ${note}` : "No note."}
    </p>
  );
}

function Version({
  title,
  labels,
  review,
  text,
  children,
}: {
  children?: ComponentChildren;
  title: string;
  labels: Labels | null;
  review: Review;
  text: string | null;
}) {
  const entities = isEntities(review.kind);
  const spans = entities ? spansOf({ labels }, [], review.open.hues.value) : [];
  return (
    <section class="version" aria-label={title}>
      <h3>{title}</h3>
      {children}
      {!labels && <p class="hint">Not labeled.</p>}
      {labels && !entitiesOf(labels).length && !labels.categories.length && (
        <p class="hint">No label applies.</p>
      )}
      <ul class="class-strip" role="list">
        {labels?.categories.map((category) => (
          <li key={category} class={`chip label hue-${review.open.hues.value.get(category) ?? "none"}`}>
            <CategoryName name={category} hue={review.open.hues.value.get(category)} />
          </li>
        ))}
      </ul>
      <div class="document-text small" dir="auto" tabIndex={0} role="region" aria-label={`${title}: text`}>
        {text === null ? "Loading the text…" : <MarkedText text={text} spans={spans} />}
      </div>
    </section>
  );
}

/** All labels of both, where they do not exclude each other; null when there is nothing to join. */
function merge(
  mine: Labels | null,
  theirs: Labels | null,
  conflict: Conflict,
  review: Review,
): Labels | null {
  const { kind } = review;
  if (isSingle(kind) || !mine || !theirs || sameLabels(mine, theirs)) return null;
  let labels: Labels | null = theirs;
  const length = conflict.theirs.length ?? conflict.draft.base.length;
  for (const category of mine.categories) labels = add(labels, [{ category }], kind, length);
  for (const entity of entitiesOf(mine)) {
    const same = entitiesOf(labels).some(
      (e) => e.offset === entity.offset && e.length === entity.length && e.category === entity.category,
    );
    if (same) continue;
    if (entitiesOf(labels).some((e) => overlaps(e, entity))) return null;
    labels = add(labels, [entity], kind, length);
  }
  return labels;
}
