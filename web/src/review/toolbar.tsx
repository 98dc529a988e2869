import { may } from "../auth/session";
import { percent } from "../domain/format";
import type { Review } from "../state/review";
import { Icon } from "../ui/icon";
import { DECISIONS, MOVES, SAVE, type Command } from "./commands";

export function Toolbar({ review, onHelp }: { review: Review; onHelp: () => void }) {
  return (
    <div class="toolbar" role="toolbar" aria-label="Review commands">
      <div class="tool-group">
        {MOVES.map((command) => (
          <Tool key={command.id} review={review} command={command} disabled={!review.current.value} />
        ))}
      </div>
      {may("Labels.Review") && (
        <div class="tool-group">
          {DECISIONS.map((command) => (
            <Tool key={command.id} review={review} command={command} disabled={isDisabled(review, command)} />
          ))}
        </div>
      )}
      <Pointed review={review} />
      <div class="tool-group tool-end">
        <button
          type="button"
          class="tool minor"
          aria-label="Help: keys"
          aria-keyshortcuts="?"
          title="Help (?)"
          onClick={onHelp}
        >
          <Icon name="help" />
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
      <label class="check autosave" title="Save by itself a moment after each decision">
        <input
          type="checkbox"
          checked={review.saving.autosave.value}
          onChange={(event) => review.saving.setAutosave(event.currentTarget.checked)}
        />
        Autosave
      </label>
      <button
        type="button"
        class="tool save primary"
        aria-label={unsaved ? `Save labels, ${unsaved} not saved yet` : "Save labels"}
        aria-keyshortcuts={SAVE.key}
        title={`Save labels (${SAVE.key})`}
        disabled={review.locked.value}
        onClick={() => SAVE.run(review)}
      >
        <Icon name="save" />
        <span class="tool-name">{review.saving.busy.value ? "Saving…" : "Save labels"}</span>
        {unsaved > 0 && <span class="save-count">{unsaved}</span>}
        <kbd aria-hidden="true">{SAVE.key}</kbd>
      </button>
    </>
  );
}

function Tool({ review, command, disabled }: { review: Review; command: Command; disabled: boolean }) {
  return (
    <button
      type="button"
      class={`tool ${command.id}`}
      aria-label={command.name}
      aria-keyshortcuts={command.key}
      title={`${command.name} (${command.key})`}
      disabled={disabled}
      onClick={() => command.run(review)}
    >
      <Icon name={command.icon} />
      <span class="tool-name">{command.short}</span>
      <kbd aria-hidden="true">{command.key}</kbd>
    </button>
  );
}

function isDisabled(review: Review, command: Command): boolean {
  if (command.id === "undo") return !review.saving.canUndo.value;
  if (review.locked.value || !review.current.value) return true;
  return command.id !== "accept-all" && review.waiting.value.length === 0;
}

/** What the keys mean at the moment, for the eye and for screen readers. */
function Pointed({ review }: { review: Review }) {
  const loaded = review.current.value;
  const one = loaded && review.base(loaded.document).suggestions.find((s) => s.id === review.cursor.value);
  const verdict = one && review.derived.value?.verdicts.get(one.id);
  return (
    <p class="pointed" aria-live="polite">
      {one ? (
        <>
          <bdi class="pointed-category">{one.category}</bdi>
          <span class="number">{percent(one.confidence)}</span>
          {one.offset !== undefined && one.length !== undefined && (
            <q dir="auto">{loaded.text.slice(one.offset, one.offset + Math.min(one.length, 60))}</q>
          )}
          {verdict && <span class="verdict">{verdict}</span>}
        </>
      ) : (
        loaded && <span class="hint">No suggestion</span>
      )}
    </p>
  );
}
