/** The labeling guidelines beside the text. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ago, moment } from "../domain/format";
import { href } from "../router";
import { keyCap } from "../state/keyboard";
import type { Review } from "../state/review";
import { readStored, writeStored } from "../state/storage";
import { Icon } from "../ui/icon";
import { Markdown } from "../ui/markdown";
import { may } from "../auth/session";
import { GUIDELINES } from "./commands";

/** Opens the guidelines, and says when someone changed them since this person read them. */
export function GuidelinesButton({ review }: { review: Review }) {
  const { open } = review;
  const stored = `guidelines.${open.name}`;
  const seen = useSignal(readStored(stored, 0));
  const shown = review.showsGuidelines.value;
  const version = open.guidelines.value?.version ?? 0;
  useEffect(() => void open.refreshGuidelines(), [open]);
  useEffect(() => {
    if (!shown || version <= seen.value) return;
    seen.value = version;
    writeStored(stored, version);
  }, [shown, version]);
  const fresh = !!open.guidelines.value?.text && version > seen.value;
  return (
    <button
      type="button"
      class="quiet small"
      aria-label={fresh ? `${GUIDELINES.name}, changed` : GUIDELINES.name}
      aria-expanded={shown}
      aria-keyshortcuts={GUIDELINES.key}
      title={`Labeling guidelines (${keyCap(GUIDELINES.key)})${fresh ? ", changed since you read them" : ""}`}
      onClick={() => GUIDELINES.run(review)}
    >
      <Icon name="book" size={15} />
      {fresh && <span class="fresh" aria-hidden="true" />}
      <kbd aria-hidden="true">{keyCap(GUIDELINES.key)}</kbd>
    </button>
  );
}

export function GuidelinesPane({ review }: { review: Review }) {
  if (!review.showsGuidelines.value) return null;
  const guidelines = review.open.guidelines.value;
  return (
    <section class="guidelines" aria-labelledby="guidelines-title">
      <div class="panel-title">
        <h2 id="guidelines-title">Guidelines</h2>
        {!!guidelines?.version && (
          <span class="hint" title={`${guidelines.by ?? ""}, ${moment(guidelines.dateTime ?? undefined)}`}>
            version {guidelines.version}, {ago(guidelines.dateTime ?? undefined)}
          </span>
        )}
        <button
          type="button"
          class="icon-button"
          aria-label="Hide guidelines"
          onClick={() => review.toggleGuidelines()}
        >
          <Icon name="cross" size={14} />
        </button>
      </div>
      {guidelines?.text ? (
        <div class="guidelines-text" tabIndex={0} role="region" aria-label="Text of the guidelines">
          <Markdown text={guidelines.text} />
        </div>
      ) : (
        <p class="hint">
          {guidelines ? "This project has no guidelines." : "The guidelines could not be read."}{" "}
          {guidelines && may("Projects.Write") && (
            <a href={href(review.open.name, "settings")}>Write them in the settings.</a>
          )}
        </p>
      )}
    </section>
  );
}
