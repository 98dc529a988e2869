import { cancelAutolabel, listAutolabelJobs, retryAutolabel } from "../api/client";
import { ended, reasons } from "../api/operations";
import type { AutolabelResult, Job } from "../api/types";
import { may } from "../auth/session";
import { useSignal } from "@preact/signals";
import { ago, count, moment, plural } from "../domain/format";
import { href } from "../router";
import type { OpenProject } from "../state/project";
import { toast } from "../state/toasts";
import { Badge, Failure, Loading, Progress } from "../ui/parts";
import { useAction } from "../ui/use-action";
import { usePoll } from "../ui/use-poll";
import { AutolabelForm } from "./autolabel-form";
import { Outcomes } from "./outcomes";

const LIVE_MS = 700;
const CALM_MS = 10_000;

export function Autolabel({ open }: { open: OpenProject }) {
  const jobs = usePoll(
    () => listAutolabelJobs(open.name),
    (found) => (found?.some((j) => !ended(j)) ? LIVE_MS : CALM_MS),
    open.name,
  );
  const list = jobs.data.value;
  return (
    <>
      <h1>Autolabel</h1>
      <p class="lead">
        A job lets an engine suggest labels. Nothing becomes a label before somebody accepts it.
      </p>
      {may("Projects.Write") && <AutolabelForm open={open} onStarted={jobs.again} />}
      <h2>Jobs</h2>
      {jobs.error.value && <Failure message={jobs.error.value} onRetry={jobs.again} />}
      {!list && !jobs.error.value && <Loading what="the jobs" />}
      {list?.length === 0 && (
        <p class="hint">No job has run yet. Uploads start one by themselves when an engine is ready.</p>
      )}
      <ul class="jobs" role="list">
        {list?.map((job) => (
          <JobCard key={job.jobId} open={open} job={job} onChange={jobs.again} />
        ))}
      </ul>
    </>
  );
}

function JobCard({
  open,
  job,
  onChange,
}: {
  open: OpenProject;
  job: Job<AutolabelResult>;
  onChange: () => void;
}) {
  const { busy, error, run } = useAction();
  const shown = useSignal(false);
  const { result } = job;
  const failed = result?.outcomes?.failed ?? 0;
  const live = !ended(job);
  const act = (action: (name: string, id: string) => Promise<string>, done: string): void =>
    void run(async () => {
      await action(open.name, job.jobId);
      toast(done, "good");
      onChange();
    });
  return (
    <li class="card job">
      <div class="job-head">
        <Badge status={job.status} />
        <strong>{result?.engine ?? "Autolabel"}</strong>
        {result?.modelLabel && <bdi class="hint">{result.modelLabel}</bdi>}
        <time class="hint" title={moment(job.createdDateTime)}>
          {ago(job.createdDateTime)}
        </time>
      </div>
      {live && (
        <Progress
          value={(result?.percentComplete ?? 0) / 100}
          label={`Job of ${moment(job.createdDateTime)}`}
        />
      )}
      {result && (
        <p class="job-counts">
          {count(result.documentsDone)} of {plural(result.documentsTotal, "document")} ·{" "}
          {count(result.outcomes?.suggested ?? 0)} with suggestions ·{" "}
          {count(result.outcomes?.nothingFound ?? 0)} without · {count(result.outcomes?.skipped ?? 0)} skipped
          · <span class={failed ? "bad-text" : ""}>{count(failed)} failed</span> ·{" "}
          {plural(result.textRecords ?? 0, "text record")}
        </p>
      )}
      {!!job.errors?.length && <p class="notice bad">{reasons(job)}</p>}
      {job.warnings?.map((warning, index) => (
        <p key={index} class="notice">
          {warning.message}
        </p>
      ))}
      {error.value && (
        <p class="notice bad" role="alert">
          {error.value}
        </p>
      )}
      <div class="actions start">
        {live && may("Projects.Write") && (
          <button
            type="button"
            class="danger"
            disabled={busy.value || job.status === "cancelling"}
            onClick={() => act(cancelAutolabel, "The job was cancelled.")}
          >
            Cancel job
          </button>
        )}
        {!live && failed > 0 && may("Projects.Write") && (
          <button
            type="button"
            disabled={busy.value || open.lock.value !== null}
            onClick={() => act(retryAutolabel, "A new job tries the failed documents again.")}
          >
            Retry {plural(failed, "failed document")}
          </button>
        )}
        {(result?.outcomes?.suggested ?? 0) > 0 && (
          <a class="button" href={href(open.name, "review", { job: job.jobId })}>
            Open its suggestions
          </a>
        )}
        {(result?.documentsTotal ?? 0) > 0 && (
          <button
            type="button"
            class="quiet"
            aria-expanded={shown.value}
            onClick={() => (shown.value = !shown.value)}
          >
            {failed ? "Show failures and outcomes" : "Show outcomes"}
          </button>
        )}
      </div>
      {shown.value && <Outcomes project={open.name} job={job} />}
    </li>
  );
}
