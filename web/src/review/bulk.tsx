/** One decision for many suggestions: their count and ten of them are shown before, and it can be undone after. */

import { useComputed, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { reviewAll } from "../api/client";
import { messageOf } from "../api/http";
import type { BulkRequest, BulkResult, Job } from "../api/types";
import { count, plural } from "../domain/format";
import { isEntities, MAX_ENTITY_LENGTH } from "../domain/labels";
import { FLAGGED, type Filters } from "../state/filters";
import type { Review } from "../state/review";
import { toast } from "../state/toasts";
import { CategorySelect } from "../ui/category";
import { Dialog } from "../ui/dialog";
import { ErrorNotice, Field, Progress, TextInput } from "../ui/parts";
import { useAction } from "../ui/use-action";
import { Examples, examplesOf, type Example } from "./bulk-examples";

const SETTLE_MS = 350;

interface Props {
  review: Review;
  /** The dialog starts from the filters of the list. */
  filters: Filters;
  /** Or from one entity: its text and category, in all documents. */
  entity?: { readonly text: string; readonly category: string };
  onClose: () => void;
}

export function BulkDialog({ review, filters, entity, onClose }: Props) {
  const name = review.open.name;
  const decision = useSignal<"accept" | "reject">("accept");
  const narrowed = !!entity || filters.min > 0 || filters.max < 1;
  const from = useSignal(entity ? 0 : narrowed ? Math.round(filters.min * 100) : 90);
  const to = useSignal(entity ? 100 : narrowed ? Math.round(filters.max * 100) : 100);
  const category = useSignal(entity ? entity.category : filters.category);
  const prefix = useSignal(entity ? "" : filters.prefix);
  const jobId = useSignal(entity ? "" : filters.jobId);
  const flagged = useSignal(!entity && filters.status === FLAGGED);
  const assigned = useSignal(entity ? "" : filters.assigned);
  const dataset = useSignal(entity ? "" : filters.dataset);
  const text = useSignal(entity?.text ?? "");
  const matched = useSignal<number | null>(null);
  const examples = useSignal<readonly Example[] | null>(null);
  const job = useSignal<Job<BulkResult> | null>(null);
  const { busy, error, run } = useAction();
  const request = useComputed<BulkRequest>(() => ({
    decision: decision.value,
    ...(from.value > 0 ? { minConfidence: from.value / 100 } : {}),
    ...(to.value < 100 ? { maxConfidence: to.value / 100 } : {}),
    ...(category.value ? { categories: [category.value] } : {}),
    ...(prefix.value ? { locationPrefix: prefix.value } : {}),
    ...(jobId.value ? { jobId: jobId.value } : {}),
    ...(text.value ? { text: text.value } : {}),
    ...(flagged.value ? { flagged: true } : {}),
    ...(assigned.value ? { assignedTo: assigned.value } : {}),
    ...(dataset.value ? { dataset: dataset.value } : {}),
  }));

  useEffect(() => {
    let live = true;
    matched.value = null;
    examples.value = null;
    const timer = setTimeout(() => {
      reviewAll(name, { ...request.value, dryRun: true }).then(
        (answer) => live && (matched.value = answer.result?.matched ?? 0),
        (failure: unknown) => live && (error.value = messageOf(failure)),
      );
      examplesOf(name, request.value, isEntities(review.kind)).then(
        (found) => live && (examples.value = found),
        () => live && (examples.value = []),
      );
    }, SETTLE_MS);
    return () => {
      live = false;
      clearTimeout(timer);
    };
  }, [request.value]);

  const start = (): void =>
    void run(async () => {
      const ended = await reviewAll(name, request.value, (state) => (job.value = state));
      review.saving.bulkDone(ended.jobId);
      review.reread();
      void review.open.refreshStatistics();
      announce(review, ended, decision.value);
      onClose();
    });

  const accepts = decision.value === "accept";
  return (
    <Dialog title="Bulk accept or reject" onClose={onClose}>
      <div class="stack">
        <fieldset class="segmented">
          <legend>Decision</legend>
          {(["accept", "reject"] as const).map((choice) => (
            <label key={choice}>
              <input
                type="radio"
                name="decision"
                checked={decision.value === choice}
                onChange={() => {
                  decision.value = choice;
                  if (!narrowed) [from.value, to.value] = choice === "accept" ? [90, 100] : [0, 20];
                }}
              />
              <span>{choice === "accept" ? "Accept" : "Reject"}</span>
            </label>
          ))}
        </fieldset>
        <fieldset class="field range">
          <legend class="field-label">Confidence, %</legend>
          <Percent
            label="Lowest confidence to decide, in percent"
            value={from.value}
            onChange={(n) => (from.value = n)}
          />
          <span aria-hidden="true">to</span>
          <Percent
            label="Highest confidence to decide, in percent"
            value={to.value}
            onChange={(n) => (to.value = n)}
          />
        </fieldset>
        <Field label="Category">
          <CategorySelect
            any="All categories"
            categories={review.open.categories.value.map((c) => c.category)}
            value={category.value}
            onChange={(next) => (category.value = next)}
          />
        </Field>
        {isEntities(review.kind) && (
          <Field label="Only entities with exactly this text">
            <TextInput maxLength={MAX_ENTITY_LENGTH} signal={text} />
          </Field>
        )}
        <Field label="Only documents whose name begins with">
          <TextInput signal={prefix} />
        </Field>
        {jobId.value && (
          <FilterNotice
            text="Only suggestions of the job that the list is filtered by."
            widen="Include all jobs"
            onWiden={() => (jobId.value = "")}
          />
        )}
        {flagged.value && (
          <FilterNotice
            text="Only flagged documents."
            widen="Include unflagged"
            onWiden={() => (flagged.value = false)}
          />
        )}
        {assigned.value && (
          <FilterNotice
            text={`Only documents that are assigned to ${PEOPLE[assigned.value] ?? assigned.value}.`}
            widen="Include all assignees"
            onWiden={() => (assigned.value = "")}
          />
        )}
        {dataset.value && (
          <FilterNotice
            text={`Only documents used for: ${dataset.value}.`}
            widen="Train and Test"
            onWiden={() => (dataset.value = "")}
          />
        )}
        {filters.model && !entity && (
          <p class="notice">
            The cell of the confusion matrix does not apply here: documents that are not in it are decided
            too.
          </p>
        )}
        {filters.search && !entity && (
          <p class="notice">
            The search of the list does not apply here: documents without the text are decided too.
          </p>
        )}
        {review.drafts.unsaved.value.length > 0 && (
          <p class="notice">
            Save your own decisions first, or documents that change here conflict with them.
          </p>
        )}
        <p class="bulk-count" role="status">
          {matched.value === null
            ? "Counting…"
            : `${plural(matched.value, "suggestion")} would be ${accepts ? "accepted" : "rejected"}.`}
        </p>
        {!!examples.value?.length && (
          <Examples review={review} examples={examples.value} all={examples.value.length === matched.value} />
        )}
        {job.value && busy.value && (
          <Progress value={progressOf(job.value, matched.value)} label="Bulk decision" />
        )}
        <ErrorNotice message={error.value} />
        <div class="actions">
          <button type="button" class="quiet" onClick={onClose}>
            Cancel
          </button>
          <button
            type="button"
            class={accepts ? "primary" : "danger"}
            disabled={busy.value || !matched.value || review.locked.value}
            onClick={start}
          >
            {accepts ? "Accept" : "Reject"} {matched.value === null ? "" : count(matched.value)}
          </button>
        </div>
      </div>
    </Dialog>
  );
}

const PEOPLE: Record<string, string> = { "@me": "you", "@none": "nobody" };

interface FilterNoticeProps {
  text: string;
  widen: string;
  onWiden: () => void;
}

/** A filter of the list that holds here too, and how to do without it. */
function FilterNotice({ text, widen, onWiden }: FilterNoticeProps) {
  return (
    <p class="notice">
      <span>{text}</span>
      <button type="button" class="quiet small" onClick={onWiden}>
        {widen}
      </button>
    </p>
  );
}

interface PercentProps {
  label: string;
  value: number;
  onChange: (value: number) => void;
}

function Percent({ label, value, onChange }: PercentProps) {
  return (
    <input
      type="number"
      min={0}
      max={100}
      aria-label={label}
      value={value}
      onInput={(event) => {
        const next = event.currentTarget.valueAsNumber;
        if (next >= 0 && next <= 100) onChange(next);
      }}
    />
  );
}

function progressOf(job: Job<BulkResult>, matched: number | null): number {
  if (job.status === "succeeded") return 1;
  return matched ? (job.result?.changed ?? 0) / matched : 0;
}

function announce(review: Review, job: Job<BulkResult>, decision: string): void {
  const { changed = 0, conflicts = 0 } = job.result ?? {};
  const rest = conflicts
    ? `; ${count(conflicts)} unchanged, because their documents were changed meanwhile`
    : "";
  toast(`${plural(changed, "suggestion")} ${decision}ed${rest}.`, "good", {
    about: job.jobId,
    action: { label: "Undo all", run: () => void review.saving.undoBulk(job.jobId) },
  });
}
