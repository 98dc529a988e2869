import { useEffect } from "preact/hooks";
import { getEvaluation, listAutolabelJobs, listModels, scan } from "../api/client";
import { ended } from "../api/operations";
import type { Band, Statistics } from "../domain/statistics";
import { readEvaluation } from "../domain/evaluation";
import { ago, count, kindName, moment, percent, plural, score, studioName } from "../domain/format";
import { may } from "../auth/session";
import { href } from "../router";
import type { OpenProject } from "../state/project";
import { toast } from "../state/toasts";
import { Bar, Failure, Loading, Progress } from "../ui/parts";
import { useAction } from "../ui/use-action";
import { usePoll } from "../ui/use-poll";
import { StatusBar } from "./status-bar";

const REFRESH_MS = 8_000;
const LIVE_MS = 1_000;

export function Overview({ open }: { open: OpenProject }) {
  const project = open.project.value!;
  const jobs = usePoll(
    () => listAutolabelJobs(open.name),
    (found) => (found?.some((j) => !ended(j)) ? LIVE_MS : REFRESH_MS),
    open.name,
  );
  const running = jobs.data.value?.filter((job) => !ended(job)) ?? [];
  useEffect(() => {
    void open.refreshStatistics();
    const timer = setInterval(() => void open.refreshStatistics(), running.length ? 2 * LIVE_MS : REFRESH_MS);
    return () => clearInterval(timer);
  }, [open, running.length]);
  const statistics = open.statistics.value;
  return (
    <>
      <div class="title-row">
        <h1>
          <bdi>{open.name}</bdi>
        </h1>
        <Actions open={open} suggested={statistics?.byStatus.autoLabeled ?? 0} />
      </div>
      <p class="meta">
        {kindName(open.kind.value)} · container <bdi>{project.storageInputContainerName}</bdi> ·{" "}
        <bdi>{project.language}</bdi> · labels in{" "}
        <strong>{studioName(open.connection.value?.activeStudio)}</strong> ·{" "}
        <span title={moment(project.lastTrainedDateTime)}>trained {ago(project.lastTrainedDateTime)}</span>
      </p>
      {project.description && (
        <p>
          <bdi>{project.description}</bdi>
        </p>
      )}
      <div class="grid">
        <section class="card wide">
          <h2>Documents</h2>
          {statistics ? <StatusBar statistics={statistics} /> : <Loading what="the counts" />}
          {statistics?.total === 0 && (
            <p class="hint">
              Upload .txt files to the container <bdi>{project.storageInputContainerName}</bdi>, and they
              appear here.
            </p>
          )}
        </section>
        {running.length > 0 && (
          <section class="card wide">
            <h2>Running now</h2>
            {running.map((job) => (
              <div key={job.jobId} class="running">
                <a href={href(open.name, "autolabel", { job: job.jobId })}>
                  Job with {job.result?.engine ?? "the engine"}
                </a>
                <Progress value={(job.result?.percentComplete ?? 0) / 100} label="Autolabel job" />
                <span class="hint">
                  {count(job.result?.documentsDone ?? 0)} of{" "}
                  {plural(job.result?.documentsTotal ?? 0, "document")}
                </span>
              </div>
            ))}
          </section>
        )}
        {statistics && <Distribution statistics={statistics} />}
        {statistics && <Calibration bands={statistics.calibration} />}
        <LatestModel open={open} />
      </div>
      {jobs.error.value && <Failure message={jobs.error.value} onRetry={jobs.again} />}
    </>
  );
}

function Actions({ open, suggested }: { open: OpenProject; suggested: number }) {
  const { busy, error, run } = useAction();
  useEffect(() => {
    if (error.value) toast(error.value, "bad");
  }, [error.value]);
  const read = (): void =>
    void run(async () => {
      await scan(open.name);
      await open.refreshStatistics();
      toast("The container was read.", "good");
    });
  return (
    <div class="actions">
      {may("Projects.Write") && (
        <button type="button" disabled={busy.value} onClick={read}>
          {busy.value ? "Reading…" : "Read the container again"}
        </button>
      )}
      {suggested > 0 && (
        <a class="button primary" href={href(open.name, "review")}>
          Decide the {count(suggested)} suggested
        </a>
      )}
    </div>
  );
}

function Distribution({ statistics }: { statistics: Statistics }) {
  const rows = [...statistics.byCategory].sort((a, b) => b.count - a.count);
  const most = Math.max(1, ...rows.map((r) => r.count));
  return (
    <section class="card">
      <h2>Labels by category</h2>
      {!rows.length && (
        <p class="hint">No category is defined yet. The first label of a new category defines it.</p>
      )}
      {rows.length > 0 && (
        <div class="table-scroll" tabIndex={0} role="region" aria-label="Labels by category, table">
          <table class="bars">
            <thead class="sr-only">
              <tr>
                <th scope="col">Category</th>
                <th scope="col">Share</th>
                <th scope="col">Labels</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <tr key={row.category}>
                  <th scope="row">
                    <bdi>{row.category}</bdi>
                  </th>
                  <td class="bar-cell">
                    <Bar share={row.count / most} />
                  </td>
                  <td class="number">{count(row.count)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

/** How honest confidences are: of what was decided in a band, how much was accepted; the tick is where it should be. */
function Calibration({ bands }: { bands: readonly Band[] }) {
  const decided = bands.reduce((sum, b) => sum + b.accepted + b.rejected, 0);
  return (
    <section class="card">
      <h2>Accepted by confidence</h2>
      {decided === 0 && (
        <p class="hint">
          Once suggestions are decided, this shows whether a confidence of 80% is accepted 80% of the time.
        </p>
      )}
      {decided > 0 && (
        <table class="bars">
          <thead>
            <tr>
              <th scope="col">Confidence</th>
              <th scope="col" class="bar-cell">
                Accepted
              </th>
              <th scope="col" class="number">
                of
              </th>
            </tr>
          </thead>
          <tbody>
            {bands.map((band) => (
              <CalibrationRow key={band.from} band={band} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function CalibrationRow({ band }: { band: Band }) {
  const all = band.accepted + band.rejected;
  const share = all ? band.accepted / all : 0;
  return (
    <tr class={all ? "" : "none"}>
      <th scope="row" class="number">
        {Math.round(band.from * 100)}–{Math.round(band.to * 100)}%
      </th>
      <td class="bar-cell">
        <span class="bar-with-tick">
          <Bar share={share} tone="suggestion" />
          <span
            class="tick"
            style={{ insetInlineStart: `${((band.from + band.to) / 2) * 100}%` }}
            aria-hidden="true"
          />
        </span>
        <span class="number">{all ? percent(share) : "–"}</span>
      </td>
      <td class="number">{count(all)}</td>
    </tr>
  );
}

function LatestModel({ open }: { open: OpenProject }) {
  const found = usePoll(
    async () => {
      const models = await listModels(open.name);
      const newest = [...models].sort((a, b) =>
        (a.lastTrainedDateTime ?? "") < (b.lastTrainedDateTime ?? "") ? 1 : -1,
      )[0];
      return newest
        ? { model: newest, evaluation: readEvaluation(await getEvaluation(open.name, newest.label)) }
        : { model: null, evaluation: null };
    },
    () => null,
    open.name,
  );
  const { model, evaluation } = found.data.value ?? { model: null, evaluation: null };
  return (
    <section class="card">
      <h2>Newest model</h2>
      {found.data.value && !model && (
        <p class="hint">
          No model is trained yet. <a href={href(open.name, "training")}>Train one</a> when there are enough
          labels.
        </p>
      )}
      {model && (
        <>
          <p>
            <a href={href(open.name, "training", { model: model.label })}>
              <bdi>{model.label}</bdi>
            </a>{" "}
            <span class="hint">{ago(model.lastTrainedDateTime)}</span>
          </p>
          {evaluation && (
            <dl class="figures">
              <div>
                <dt>F1, micro</dt>
                <dd>{score(evaluation.microF1)}</dd>
              </div>
              <div>
                <dt>Precision</dt>
                <dd>{score(evaluation.microPrecision)}</dd>
              </div>
              <div>
                <dt>Recall</dt>
                <dd>{score(evaluation.microRecall)}</dd>
              </div>
            </dl>
          )}
        </>
      )}
    </section>
  );
}
