/** One decision for many suggestions: the count is shown before it happens, and it can be undone after. */

import { useComputed, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { reviewAll } from "../api/client";
import { messageOf } from "../api/http";
import type { BulkRequest, BulkResult, Job } from "../api/types";
import { count, percent, plural } from "../domain/format";
import type { Review } from "../state/review";
import { toast } from "../state/toasts";
import { Dialog } from "../ui/dialog";
import { Field, Progress } from "../ui/parts";
import { useAction } from "../ui/use-action";

const SETTLE_MS = 350;

export function BulkDialog({ review, onClose }: { review: Review; onClose: () => void }) {
  const name = review.open.name;
  const decision = useSignal<"accept" | "reject">("accept");
  const confidence = useSignal(90);
  const category = useSignal("");
  const prefix = useSignal("");
  const matched = useSignal<number | null>(null);
  const job = useSignal<Job<BulkResult> | null>(null);
  const { busy, error, run } = useAction();
  const request = useComputed<BulkRequest>(() => ({
    decision: decision.value,
    ...(decision.value === "accept"
      ? { minConfidence: confidence.value / 100 }
      : { maxConfidence: confidence.value / 100 }),
    ...(category.value ? { categories: [category.value] } : {}),
    ...(prefix.value ? { locationPrefix: prefix.value } : {}),
  }));

  useEffect(() => {
    let live = true;
    matched.value = null;
    const timer = setTimeout(() => {
      reviewAll(name, { ...request.value, dryRun: true }).then(
        (answer) => live && (matched.value = answer.result?.matched ?? 0),
        (failure: unknown) => live && (error.value = messageOf(failure)),
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
          {(["accept", "reject"] as const).map((one) => (
            <label key={one}>
              <input
                type="radio"
                name="decision"
                checked={decision.value === one}
                onChange={() => {
                  decision.value = one;
                  confidence.value = one === "accept" ? 90 : 20;
                }}
              />
              <span>{one === "accept" ? "Accept" : "Reject"}</span>
            </label>
          ))}
        </fieldset>
        <label class="field">
          <span class="field-label">
            Confidence {accepts ? "of at least" : "of at most"}{" "}
            <output class="number">{percent(confidence.value / 100)}</output>
          </span>
          <input
            type="range"
            min={0}
            max={100}
            value={confidence.value}
            onInput={(event) => (confidence.value = Number(event.currentTarget.value))}
          />
        </label>
        <Field label="Category">
          <select value={category.value} onChange={(event) => (category.value = event.currentTarget.value)}>
            <option value="">All categories</option>
            {review.open.categories.value.map((one) => (
              <option key={one.category}>{one.category}</option>
            ))}
          </select>
        </Field>
        <Field label="Only documents whose name begins with">
          <input value={prefix.value} onInput={(event) => (prefix.value = event.currentTarget.value)} />
        </Field>
        {review.drafts.unsaved.value.length > 0 && (
          <p class="notice">
            Save your own decisions first; documents that change here would conflict with them.
          </p>
        )}
        <p class="bulk-count" role="status">
          {matched.value === null
            ? "Counting…"
            : `${plural(matched.value, "suggestion")} would be ${accepts ? "accepted" : "rejected"}.`}
        </p>
        {job.value && busy.value && (
          <Progress value={progressOf(job.value, matched.value)} label="Deciding" />
        )}
        {error.value && (
          <p class="notice bad" role="alert">
            {error.value}
          </p>
        )}
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

function progressOf(job: Job<BulkResult>, matched: number | null): number {
  if (job.status === "succeeded") return 1;
  return matched ? (job.result?.changed ?? 0) / matched : 0;
}

function announce(review: Review, job: Job<BulkResult>, decision: string): void {
  const { changed = 0, conflicts = 0 } = job.result ?? {};
  const rest = conflicts
    ? `; ${count(conflicts)} stayed as they are, for their documents changed meanwhile`
    : "";
  toast(`${plural(changed, "suggestion")} ${decision}ed${rest}.`, "good", {
    label: "Undo all",
    run: () => void review.saving.undoBulk(job.jobId),
  });
}
