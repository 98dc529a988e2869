import { may } from "../auth/session";
import { percent, plural } from "../domain/format";
import { keyCap } from "../state/keyboard";
import type { Review } from "../state/review";
import { CategoryName } from "../ui/category";
import { Icon } from "../ui/icon";
import { decisionsOf, movesOf, SAVE, type Command } from "./commands";

export function Toolbar({ review, onHelp }: { review: Review; onHelp: () => void }) {
  return (
    <div class="toolbar" role="toolbar" aria-label="Review commands">
      <div class="tool-group">
        {movesOf(review).map((command) => (
          <Tool key={command.id} review={review} command={command} />
        ))}
      </div>
      {may("Labels.Review") && (
        <div class="tool-group">
          {decisionsOf(review).map((command) => (
            <Tool key={command.id} review={review} command={command} />
          ))}
        </div>
      )}
      <Pointed review={review} />
      <div class="tool-group tool-end">
        <button
          type="button"
          class="tool minor"
          aria-label="Keyboard shortcuts"
          aria-keyshortcuts="?"
          title="Keyboard shortcuts (?)"
          onClick={onHelp}
        >
          <kbd aria-hidden="true">?</kbd>
        </button>
        {may("Labels.Review") && <SaveTools review={review} />}
      </div>
    </div>
  );
}

function SaveTools({ review }: { review: Review }) {
  const unsaved = review.drafts.unsaved.value.length;
  return (
    <>
      <div class="saving">
        {!review.source.blind && (
          <label
            class="check autosave"
            title="Save at least every 5 seconds and whenever you leave a document"
          >
            <input
              type="checkbox"
              checked={review.saving.autosave.value}
              onChange={(event) => review.saving.setAutosave(event.currentTarget.checked)}
            />
            Autosave
          </label>
        )}
        <SaveStatus review={review} />
      </div>
      <button
        type="button"
        class="tool save primary"
        aria-label={unsaved ? `Save labels, ${unsaved} not saved yet` : "Save labels"}
        aria-keyshortcuts={SAVE.key}
        title={`Save labels (${keyCap(SAVE.key)})`}
        disabled={!SAVE.enabled(review)}
        onClick={() => SAVE.run(review)}
      >
        <Icon name="save" />
        <span class="tool-name">Save labels</span>
        {unsaved > 0 && <span class="save-count">{unsaved}</span>}
        <kbd aria-hidden="true">{keyCap(SAVE.key)}</kbd>
      </button>
    </>
  );
}

/** Whether everything is saved: in view at all times. */
function SaveStatus({ review }: { review: Review }) {
  const state = review.saving.state.value;
  const title =
    state.is === "failed" ? `${state.message} ${plural(state.documents, "document")} not saved.` : undefined;
  const text = {
    saved: "All saved",
    saving: "Saving…",
    unsaved: "Not saved",
    failed: "Not saved, retrying",
  }[state.is];
  return (
    <span class={`save-state ${state.is}`} role="status" title={title}>
      {text}
    </span>
  );
}

function Tool({ review, command }: { review: Review; command: Command }) {
  return (
    <button
      type="button"
      class={`tool ${command.id}`}
      aria-label={command.name}
      aria-keyshortcuts={command.key}
      title={`${command.name} (${keyCap(command.key)})`}
      disabled={!command.enabled(review)}
      onClick={() => command.run(review)}
    >
      <Icon name={command.icon} />
      <span class="tool-name">{command.short}</span>
      <kbd aria-hidden="true">{keyCap(command.key)}</kbd>
    </button>
  );
}

/** What the keys mean at the moment, for the eye and for screen readers. */
function Pointed({ review }: { review: Review }) {
  const loaded = review.current.value;
  const opening = review.opening.id.value;
  if (loaded && opening && opening !== loaded.document.id) {
    return (
      <p class="pointed" aria-live="polite">
        <span class="hint late">Loading the document…</span>
      </p>
    );
  }
  const latest = review.labeling.latest.value;
  const suggestion =
    loaded && review.base(loaded.document).suggestions.find((s) => s.id === review.cursor.value);
  const span = latest ?? suggestion;
  const verdict = !latest && suggestion && review.derived.value?.verdicts.get(suggestion.id);
  if (!span)
    return <p class="pointed">{loaded && !review.source.blind && <span class="hint">No suggestion</span>}</p>;
  return (
    <p class="pointed" aria-live="polite">
      <CategoryName name={span.category} hue={review.open.hues.value.get(span.category)} />
      {!latest && suggestion && <span class="number share">{percent(suggestion.confidence)}</span>}
      {span.offset !== undefined && span.length !== undefined && (
        <q dir="auto">{loaded!.text.slice(span.offset, span.offset + Math.min(span.length, 60))}</q>
      )}
      {verdict && <span class="verdict">{verdict}</span>}
      {latest && <span class="verdict">labeled</span>}
    </p>
  );
}
