/** Dataset, changed content, problems and history of the document. */

import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { getHistory } from "../api/client";
import { messageOf } from "../api/http";
import type { Dataset, HistoryItem } from "../api/types";
import { count, moment, words } from "../domain/format";
import type { Review } from "../state/review";

export function DocumentFacts({ review }: { review: Review }) {
  const { document } = review.current.value!;
  const derived = review.derived.value;
  const locked = review.readOnly.value !== null;
  return (
    <section aria-labelledby="facts-title">
      <div class="panel-title">
        <h2 id="facts-title">Document</h2>
        <span class="hint">{document.length === null ? "" : `${count(document.length)} characters`}</span>
      </div>
      <fieldset class="segmented" disabled={locked}>
        <legend>Used for</legend>
        {(["Train", "Test"] as Dataset[]).map((dataset) => (
          <label key={dataset}>
            <input
              type="radio"
              name="dataset"
              checked={derived?.dataset === dataset}
              onChange={() => review.step({ do: "dataset", dataset })}
            />
            <span>{dataset}</span>
          </label>
        ))}
      </fieldset>
      {derived?.labels && (
        <div class="actions start">
          <button
            type="button"
            class="small"
            disabled={locked}
            onClick={() => review.step({ do: "unlabel" })}
          >
            Clear labels
          </button>
        </div>
      )}
      <History key={document.id} review={review} id={document.id} />
    </section>
  );
}

/** Direction overrides and isolates, zero-width space and word joiner, a byte order mark inside the text. */
const HIDDEN = /[\u202A-\u202E\u2066-\u2069\u200B\u2060\uFEFF]/;

/** What to do about a file that cannot be read. The codes of files that are there and closed begin with `Blob`. */
function adviceFor(code: string | undefined): string {
  return code?.startsWith("Blob")
    ? "Its labels are kept. Labelbridge reads it again when the storage account allows it; training leaves it out until then."
    : "Replace it in the container, and Labelbridge reads it again.";
}

/** What a person must see first; shown above the text. */
export function DocumentNotices({ review }: { review: Review }) {
  const { document, text } = review.current.value!;
  const locked = review.readOnly.value !== null;
  const refusal = review.saving.refusals.value.get(document.id)?.message;
  const hidden = useMemo(() => HIDDEN.test(text), [text]);
  return (
    <>
      {hidden && (
        <p class="hint">
          The text contains invisible characters. They can change how it looks, not what is saved.
        </p>
      )}
      {document.status === "rejected" && (
        <div class="notice bad">
          <p>
            Unreadable file, which cannot be labeled:{" "}
            {document.rejection?.message ?? "It is not a text document."}{" "}
            {adviceFor(document.rejection?.code)}
          </p>
        </div>
      )}
      {document.missing && (
        <div class="notice">
          <p>
            The file of this document is missing from the container. Its labels are kept; training leaves it
            out until the file is back.
          </p>
        </div>
      )}
      {document.contentChanged && !review.derived.value?.confirmed && (
        <div class="notice">
          <p>The text has changed since these labels were set. Check them, then confirm.</p>
          <button type="button" disabled={locked} onClick={() => review.step({ do: "confirm" })}>
            Labels are still correct
          </button>
        </div>
      )}
      {!!document.labelProblems?.length && (
        <div class="notice bad">
          <p>Some labels do not match the text:</p>
          <ul>
            {document.labelProblems.map((problem) => (
              <li key={problem}>{problem}</li>
            ))}
          </ul>
        </div>
      )}
      {refusal && (
        <div class="notice bad" role="alert">
          <p>Not saved: {refusal} Undo the step or change the label, then save again.</p>
        </div>
      )}
    </>
  );
}

interface Settings {
  dataset?: string;
  language?: string;
  contentChanged?: boolean;
  flagged?: boolean;
  note?: string;
}

/** What a change of a document's settings changed, in words; rows of the first version keep only what came after. */
function settingsChanged(row: HistoryItem): string[] {
  if (row.action !== "documentChanged") return [];
  const before = (row.details["before"] ?? null) as Settings | null;
  const after = (row.details["after"] ?? {}) as Settings;
  const changed = (what: keyof Settings): boolean => !!before && before[what] !== after[what];
  return [
    ...(changed("flagged") ? [after.flagged ? "Flagged" : "Flag removed"] : []),
    ...(changed("note") ? [after.note ? `Note: ${after.note}` : "Note removed"] : []),
    ...(changed("dataset") ? [`Used for: ${after.dataset}`] : []),
    ...(changed("language") ? [`Language: ${after.language}`] : []),
    ...(changed("contentChanged") ? ["Labels confirmed for the changed text"] : []),
  ];
}

const UNDOABLE = new Set(["decided", "labelsSet"]);
const LABEL_CHANGES = new Set([
  ...UNDOABLE,
  "decisionUndone",
  "labelsUndone",
  "labelsImported",
  "labelsAdopted",
  "imported",
]);

/** The row of the change that can be undone: the last one of labels, if a person made it after the last training. */
export function undoable(rows: readonly HistoryItem[], lastTrained: string | null | undefined): number {
  const last = rows.findIndex((row) => LABEL_CHANGES.has(row.action));
  const row = rows[last];
  return !row || !UNDOABLE.has(row.action) || row.dateTime <= (lastTrained ?? "") ? -1 : last;
}

function History({ review, id }: { review: Review; id: string }) {
  const rows = useSignal<HistoryItem[] | null>(null);
  const error = useSignal<string | null>(null);
  const read = async (): Promise<void> => {
    try {
      rows.value = await getHistory(review.open.name, id);
    } catch (failure) {
      error.value = messageOf(failure);
    }
  };
  const undo = async (): Promise<void> => {
    await review.saving.undoLastOf(review.current.value!.document);
    await read();
  };
  const at = undoable(rows.value ?? [], review.open.project.value?.lastTrainedDateTime);
  const unsaved = review.drafts.unsaved.value.some((draft) => draft.documentId === id);
  return (
    <details class="history" onToggle={(event) => event.currentTarget.open && void read()}>
      <summary>History</summary>
      {error.value && <p class="notice bad">{error.value}</p>}
      {rows.value?.length === 0 && <p class="hint">Nothing has changed yet.</p>}
      <ol class="history-rows">
        {rows.value?.map((row, index) => (
          <li key={index}>
            <span>
              {words(row.action)} by <bdi>{row.by}</bdi>
            </span>
            <time class="hint">{moment(row.dateTime)}</time>
            {index === at && review.readOnly.value === null && (
              <button
                type="button"
                class="small"
                disabled={unsaved}
                title={unsaved ? "This document has changes that are not saved" : undefined}
                onClick={() => void undo()}
              >
                Undo this change
              </button>
            )}
            {settingsChanged(row).map((change) => (
              <span key={change} class="history-detail" dir="auto">
                {change}
              </span>
            ))}
          </li>
        ))}
      </ol>
    </details>
  );
}
