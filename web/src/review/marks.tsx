/** Flag and note of a document: what people tell each other about it. */

import { useSignal } from "@preact/signals";
import { count } from "../domain/format";
import { keyCap } from "../state/keyboard";
import type { Review } from "../state/review";
import { Dialog } from "../ui/dialog";
import { Icon } from "../ui/icon";
import { Field } from "../ui/parts";
import { FLAG, NOTE } from "./commands";
import { GuidelinesButton } from "./guidelines";

/** As many characters as the server takes. */
const MAX_NOTE = 2_000;

export function MarkTools({ review }: { review: Review }) {
  const flagged = review.derived.value?.flagged ?? false;
  return (
    <div class="mark-tools">
      <button
        type="button"
        class={`quiet small${flagged ? " flagged" : ""}`}
        aria-label={FLAG.name}
        aria-pressed={flagged}
        aria-keyshortcuts={FLAG.key}
        title={`${flagged ? "Remove the flag" : "Flag for other people"} (${keyCap(FLAG.key)})`}
        disabled={!FLAG.enabled(review)}
        onClick={() => FLAG.run(review)}
      >
        <Icon name="flag" size={15} />
        <kbd aria-hidden="true">{keyCap(FLAG.key)}</kbd>
      </button>
      <button
        type="button"
        class="quiet small"
        aria-label={NOTE.name}
        aria-haspopup="dialog"
        aria-keyshortcuts={NOTE.key}
        title={`Note for other people (${keyCap(NOTE.key)})`}
        disabled={!NOTE.enabled(review)}
        onClick={() => NOTE.run(review)}
      >
        <Icon name="note" size={15} />
        <kbd aria-hidden="true">{keyCap(NOTE.key)}</kbd>
      </button>
      <GuidelinesButton review={review} />
    </div>
  );
}

/** The note above the text. */
export function NoteNotice({ review }: { review: Review }) {
  const note = review.derived.value?.note;
  if (!note) return null;
  return (
    <section class="notice note" aria-label="Note" tabIndex={0}>
      <Icon name="note" size={16} />
      <p dir="auto">{note}</p>
    </section>
  );
}

export function NoteDialog({ review }: { review: Review }) {
  const edited = review.note.edited.value;
  if (!edited) return null;
  return (
    <Dialog title="Note" onClose={() => review.note.close()}>
      <NoteForm review={review} before={edited.before} />
    </Dialog>
  );
}

/** `before`: the note when the dialog was opened, of whichever document is shown behind it since. */
function NoteForm({ review, before }: { review: Review; before: string }) {
  const note = useSignal(before);
  const length = [...note.value.trim()].length;
  return (
    <form
      class="stack"
      onSubmit={(event) => {
        event.preventDefault();
        if (length <= MAX_NOTE) review.note.close(note.value.trim());
      }}
    >
      <Field
        label="For everyone who reviews this document"
        hint={`${count(length)} of ${count(MAX_NOTE)} characters. Ctrl+Enter keeps the note.`}
      >
        <textarea
          rows={6}
          dir="auto"
          autofocus
          value={note.value}
          onInput={(event) => (note.value = event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey))
              event.currentTarget.form?.requestSubmit();
          }}
        />
      </Field>
      {length > MAX_NOTE && (
        <p class="notice bad" role="alert">
          The note is too long by {count(length - MAX_NOTE)} characters.
        </p>
      )}
      <div class="actions">
        {before && (
          <button type="button" class="quiet" onClick={() => review.note.close("")}>
            Remove note
          </button>
        )}
        <button type="button" class="quiet" onClick={() => review.note.close()}>
          Cancel
        </button>
        <button type="submit" class="primary" disabled={length > MAX_NOTE}>
          Keep note
        </button>
      </div>
    </form>
  );
}
