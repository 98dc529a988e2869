import { cancelAutolabel, lastFit, listAutolabelJobs, listEngines, retryAutolabel } from "../api/client";
import { ended, reasons } from "../api/operations";
import type { AutolabelResult, EngineFigures, FitResult, Job } from "../api/types";
import { may } from "../auth/session";
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { engineName } from "../domain/engines";
import { ago, count, duration, moment, money, percent, plural } from "../domain/format";
import { href } from "../router";
import type { OpenProject } from "../state/project";
import { toast } from "../state/toasts";
import { Badge, ErrorNotice, Failure, Loading, Progress } from "../ui/parts";
import { numbers, Table } from "../ui/table";
import { useAction } from "../ui/use-action";
import { usePoll } from "../ui/use-poll";
import { AutolabelForm } from "./autolabel-form";
import { Outcomes } from "./outcomes";

const LIVE_MS = 700;
const CALM_MS = 10_000;

export function Autolabel({ open, query }: { open: OpenProject; query: URLSearchParams }) {
  const jobs = usePoll(
    () => listAutolabelJobs(open.name),
    (found) => (found?.some((j) => !ended(j)) ? LIVE_MS : CALM_MS),
    open.name,
  );
  const list = jobs.data.value;
  // What became of suggestions changes with each job that ends.
  const finished = list?.filter((job) => ended(job)).length ?? 0;
  const engines = usePoll(
    () => listEngines(open.name),
    () => CALM_MS,
    `${open.name}|${finished}`,
  );
  const fit = usePoll(
    () => lastFit(open.name),
    // A job that has not started may wait for it.
    (found) =>
      (found && !ended(found)) || jobs.data.value?.some((job) => job.status === "notStarted")
        ? LIVE_MS
        : CALM_MS,
    `${open.name}|${list?.length}|${finished}`,
  );
  return (
    <>
      <h1>Autolabel</h1>
      <p class="lead">
        In an autolabel job an engine suggests labels. A suggestion becomes a label when a person accepts it.
      </p>
      {may("Projects.Write") && (
        <AutolabelForm
          open={open}
          engines={engines.data.value ?? []}
          proposed={query.get("engine") ?? ""}
          onStarted={jobs.again}
        />
      )}
      {/* While the server does not respond, the list of jobs says so once for all of them. */}
      {fit.error.value && !jobs.error.value && (
        <Failure message={`The last fit could not be read. ${fit.error.value}`} onRetry={fit.again} />
      )}
      {fit.data.value && <LastFit fit={fit.data.value} />}
      {engines.error.value && !jobs.error.value && (
        <Failure
          message={`The list of engines could not be read. ${engines.error.value}`}
          onRetry={engines.again}
        />
      )}
      <Engines engines={engines.data.value ?? []} />
      <h2>Jobs</h2>
      {jobs.error.value && <Failure message={jobs.error.value} onRetry={jobs.again} />}
      {!list && !jobs.error.value && <Loading what="the jobs" />}
      {list?.length === 0 && (
        <p class="hint">No jobs yet. Uploads start one automatically as soon as the engine is ready.</p>
      )}
      <ul class="jobs" role="list">
        {list?.map((job) => (
          <JobCard
            key={job.jobId}
            open={open}
            job={job}
            wanted={job.jobId === query.get("job")}
            onChange={jobs.again}
          />
        ))}
      </ul>
    </>
  );
}

/** Uploads and jobs may wait for it. */
function LastFit({ fit }: { fit: Job<FitResult> }) {
  const { result } = fit;
  const { percentComplete, startDateTime, endDateTime } = result?.trainingStatus ?? {};
  const seconds =
    startDateTime && endDateTime && (Date.parse(endDateTime) - Date.parse(startDateTime)) / 1000;
  return (
    <section class="card job" aria-labelledby="last-fit">
      <h2 id="last-fit">Last fit on labels</h2>
      <div class="job-head">
        <Badge status={fit.status} />
        <strong>{engineName(result?.engine ?? "")}</strong>
        <time class="hint" title={moment(fit.createdDateTime)}>
          {ago(fit.createdDateTime)}
        </time>
      </div>
      {!ended(fit) && <Progress value={(percentComplete ?? 0) / 100} label="Fit" />}
      {startDateTime && (
        <p class="job-counts">
          {plural(result?.labeledDocuments ?? 0, "labeled document")}
          {typeof seconds === "number" && <> · {duration(seconds)}</>}
        </p>
      )}
      {!!fit.errors?.length && <p class="notice bad">{reasons(fit)}</p>}
    </section>
  );
}

/** What people decided on the suggestions of each engine: shows when one is as good as another that costs money. */
function Engines({ engines }: { engines: readonly EngineFigures[] }) {
  const used = engines.filter((engine) => engine.suggested > 0);
  if (!used.length) return null;
  return (
    <section class="card stack" aria-labelledby="engines">
      <h2 id="engines">Engines</h2>
      <Table
        label="Engines, table"
        columns={[{ name: "Engine" }, ...numbers(...HEADS)]}
        rows={used.flatMap((engine) => [
          {
            key: engine.engine,
            cells: [
              engineName(engine.engine),
              ...figuresOf(engine),
              engine.cost === null ? "–" : money(engine.cost),
            ],
          },
          ...engine.models
            .filter(({ model }) => model !== null || engine.models.length > 1)
            .map((figures) => ({
              key: `${engine.engine} ${figures.model}`,
              class: "part",
              cells: [
                figures.model === null ? "others" : <bdi>{figures.model}</bdi>,
                ...figuresOf(figures),
                "",
              ],
            })),
        ])}
      />
      <Bands engines={used} />
    </section>
  );
}

/** The share accepted by confidence, one row a band and one column an engine; bands without a decision are left out. */
function Bands({ engines }: { engines: readonly EngineFigures[] }) {
  const decided = (engines[0]?.bands ?? [])
    .map((_, place) => engines.map((engine) => engine.bands[place]))
    .filter((row) => row.some((band) => band && band.precision !== null));
  if (!decided.length) return null;
  return (
    <Table
      label="Accepted share by confidence"
      columns={[
        { name: "Accepted share at confidence" },
        ...numbers(...engines.map((engine) => engineName(engine.engine))),
      ]}
      rows={decided.map((row) => ({
        key: `${row[0]!.minConfidence}`,
        cells: [
          `${percent(row[0]!.minConfidence)} to ${percent(row[0]!.maxConfidence)}`,
          ...row.map((band) =>
            !band || band.precision === null
              ? "–"
              : `${percent(band.precision)} of ${count(band.accepted + band.rejected)}`,
          ),
        ],
      }))}
    />
  );
}

const HEADS = ["Suggested", "Accepted", "Rejected", "Accepted share", "Cost"];

const figuresOf = (of: EngineFigures["models"][number]): string[] => [
  ...[of.suggested, of.accepted, of.rejected].map(count),
  of.precision === null ? "–" : percent(of.precision),
];

function JobCard({
  open,
  job,
  wanted,
  onChange,
}: {
  open: OpenProject;
  job: Job<AutolabelResult>;
  /** The address names this job. */
  wanted: boolean;
  onChange: () => void;
}) {
  const { busy, error, run } = useAction();
  const shown = useSignal(wanted);
  const card = useRef<HTMLLIElement>(null);
  useEffect(() => {
    if (wanted) card.current?.scrollIntoView({ block: "nearest" });
  }, [wanted]);
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
    <li class="card job" ref={card}>
      <div class="job-head">
        <Badge status={job.status} />
        <strong>{result?.engine ?? "Autolabel"}</strong>
        {(result?.modelLabel ?? result?.model) && (
          <bdi class="hint">{result?.modelLabel ?? result?.model}</bdi>
        )}
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
          {count(result.outcomes?.nothingFound ?? 0)} without suggestions ·{" "}
          {count(result.outcomes?.skipped ?? 0)} skipped ·{" "}
          <span class={failed ? "bad-text" : ""}>{count(failed)} failed</span> ·{" "}
          {plural(result.textRecords ?? 0, "text record")}
          {result.tokens && <> · {plural(result.tokens.input + result.tokens.output, "token")}</>}
          {result.cost !== undefined && <> · cost {money(result.cost)}</>}
          {!!result.leftOut && <> · {plural(result.leftOut, "suggestion")} left out</>}
        </p>
      )}
      {!!job.errors?.length && <p class="notice bad">{reasons(job)}</p>}
      {job.warnings?.map((warning, index) => (
        <p key={index} class="notice">
          {warning.message}
        </p>
      ))}
      <ErrorNotice message={error.value} />
      <div class="actions start">
        {live && may("Projects.Write") && (
          <button
            type="button"
            class="danger"
            disabled={busy.value || job.status === "cancelling"}
            onClick={() => act(cancelAutolabel, "The job was canceled.")}
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
