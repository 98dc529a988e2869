/** Train or Test, labeled with nothing, changed content, problems, history. */

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
  const locked = review.locked.value;
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
      <div class="actions start">
        <button type="button" class="small" disabled={locked} onClick={() => review.step({ do: "nothing" })}>
          Label with nothing
        </button>
        {derived?.labels && (
          <button
            type="button"
            class="small"
            disabled={locked}
            onClick={() => review.step({ do: "unlabel" })}
          >
            Clear labels
          </button>
        )}
      </div>
      <History key={document.id} review={review} id={document.id} />
    </section>
  );
}

/** Direction overrides and isolates, zero-width space and word joiner, a byte order mark inside the text. */
const HIDDEN = /[\u202A-\u202E\u2066-\u2069\u200B\u2060\uFEFF]/;

/** What needs a person's eye before anything else; shown above the text. */
export function DocumentNotices({ review }: { review: Review }) {
  const { document, text } = review.current.value!;
  const refusal = review.saving.refusals.value.get(document.id);
  const hidden = useMemo(() => HIDDEN.test(text), [text]);
  return (
    <>
      {hidden && (
        <p class="hint">
          The text holds invisible characters; they can change how it looks, not what is saved.
        </p>
      )}
      {document.status === "rejected" && (
        <div class="notice bad">
          <p>
            This file cannot be labeled: {document.rejection?.message ?? "it is not a text document."} Replace
            it in the storage account, and it is read again.
          </p>
        </div>
      )}
      {document.missing && (
        <div class="notice">
          <p>
            The file of this document is not in the container. Upload it, or the document is left out of
            training.
          </p>
        </div>
      )}
      {document.contentChanged && !review.derived.value?.confirmed && (
        <div class="notice">
          <p>The text has changed since these labels were set. Check them, then confirm.</p>
          <button type="button" disabled={review.locked.value} onClick={() => review.step({ do: "confirm" })}>
            The labels are still right
          </button>
        </div>
      )}
      {!!document.labelProblems?.length && (
        <div class="notice bad">
          <p>Some labels do not fit the text:</p>
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
          </li>
        ))}
      </ol>
    </details>
  );
}
