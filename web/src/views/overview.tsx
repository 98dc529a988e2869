import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { getEvaluation, listAutolabelJobs, listEngines, listModels, scan } from "../api/client";
import { ended } from "../api/operations";
import { listBlindDocuments, listSecondReviews } from "../api/second";
import { listAssignments } from "../api/team";
import type { Band, Statistics } from "../domain/statistics";
import { engineName, FEW_LABELS, howWithoutLabels, withoutLabels } from "../domain/engines";
import { readEvaluation } from "../domain/evaluation";
import {
  ago,
  count,
  kindName,
  moment,
  percent,
  plural,
  score,
  studioName,
  trained,
  visible,
} from "../domain/format";
import { may, person } from "../auth/session";
import { href } from "../router";
import type { OpenProject } from "../state/project";
import { toast } from "../state/toasts";
import { Bar, ErrorNotice, Failure, Loading, Progress, TableScroll } from "../ui/parts";
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
  const { busy, error, warnings, unconfirmed, rescan } = useRescan(open);
  const empty = statistics?.total === 0;
  useEffect(() => {
    // Of an empty project the first question is whether its container can be read at all.
    if (empty && may("Projects.Write")) rescan(false);
  }, [empty]);
  return (
    <>
      <div class="title-row">
        <h1>
          <bdi>{open.title.value}</bdi>
        </h1>
        <Actions
          open={open}
          suggested={statistics?.byStatus.autoLabeled ?? 0}
          busy={busy.value}
          onRescan={() => rescan(true)}
        />
      </div>
      <p class="meta">
        {kindName(open.kind.value)} · container <bdi>{project.storageInputContainerName}</bdi> ·{" "}
        <bdi>{project.language}</bdi> · Labeling happens in{" "}
        <strong>{studioName(open.connection.value?.activeStudio)}</strong> ·{" "}
        <span title={moment(project.lastTrainedDateTime)}>{trained(project.lastTrainedDateTime)}</span>
      </p>
      {project.description && (
        <p>
          <bdi>{project.description}</bdi>
        </p>
      )}
      <ErrorNotice message={error.value} />
      {warnings.value.map((warning) => (
        <p key={warning} class="notice" role="alert">
          {warning}
        </p>
      ))}
      {unconfirmed.value && may("Projects.Write") && (
        <p class="actions">
          <button type="button" disabled={busy.value} onClick={() => rescan(true, true)}>
            Remove these documents
          </button>
        </p>
      )}
      {!!statistics?.missing && (
        <p class="notice">
          {plural(statistics.missing, "labeled document is", "labeled documents are")} missing from the
          container. The labels are kept; training leaves out what is missing until it is back.
        </p>
      )}
      {!!statistics?.total && statistics.byStatus.labeled < FEW_LABELS && may("Projects.Write") && (
        <WithoutLabels open={open} away={!!jobs.error.value} />
      )}
      <div class="grid">
        <section class="card wide">
          <h2>Documents</h2>
          {statistics ? <StatusBar statistics={statistics} /> : <Loading what="the counts" />}
          {empty && (
            <p class="hint">
              Upload .txt files to the container <bdi>{project.storageInputContainerName}</bdi>. They appear
              here automatically, or after “Rescan container”.
            </p>
          )}
        </section>
        {running.length > 0 && (
          <section class="card wide">
            <h2>Running now</h2>
            {running.map((job) => (
              <div key={job.jobId} class="running">
                <a href={href(open.name, "autolabel", { job: job.jobId })}>
                  Autolabel job with {job.result?.engine ?? "the engine of the project"}
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

const heldBack = (documents: number): string =>
  `The container no longer has the ${documents === 1 ? "file" : "files"} of ${plural(documents, "document")}, ` +
  "more than half of all. Nothing was removed. Check that the container is the right one and complete. " +
  (may("Projects.Write")
    ? "“Remove these documents” removes those without labels."
    : "A lead can remove those without labels here.");

/** Rescans the container, and holds what the person should know about it. */
function useRescan(open: OpenProject) {
  const { busy, error, run } = useAction();
  const warnings = useSignal<readonly string[]>([]);
  /** Most documents have no blob any more; they stay until a person confirms their removal. */
  const unconfirmed = useSignal(false);
  const rescan = (loud: boolean, confirmRemovals = false): void =>
    void run(async () => {
      const job = await scan(open.name, confirmRemovals);
      const held = job.result?.removalsHeldBack ?? 0;
      warnings.value =
        job.warnings?.map((warning) =>
          warning.code === "RemovalsNotConfirmed" ? heldBack(held) : warning.message,
        ) ?? [];
      unconfirmed.value = job.warnings?.some((warning) => warning.code === "RemovalsNotConfirmed") ?? false;
      await open.refreshStatistics();
      if (loud && !warnings.value.length) toast("The container was rescanned.", "good");
    });
  return { busy, error, warnings, unconfirmed, rescan };
}

/** The second reviews that wait for a person, with the number of documents that are left. */
async function secondReviewsOf(
  project: string,
  name: string | undefined,
): Promise<{ id: string; left: number }[]> {
  const mine = (await listSecondReviews(project)).filter((review) => review.reviewer === name);
  const found = await Promise.all(
    mine.map(async ({ id }) => {
      const items = await listBlindDocuments(project, id);
      return { id, left: items.filter((item) => !item.reviewed).length };
    }),
  );
  return found.filter(({ left }) => left > 0);
}

interface ActionProps {
  open: OpenProject;
  suggested: number;
  busy: boolean;
  onRescan: () => void;
}

function Actions({ open, suggested, busy, onRescan }: ActionProps) {
  const assignments = usePoll(
    () => listAssignments(open.name),
    () => REFRESH_MS,
    open.name,
  );
  const mine =
    assignments.data.value?.find((assignment) => assignment.assignee === person.value?.name)?.autoLabeled ??
    0;
  const second = usePoll(
    () => secondReviewsOf(open.name, person.value?.name),
    () => null,
    open.name,
  );
  return (
    <div class="actions">
      {may("Projects.Write") && (
        <button type="button" disabled={busy} onClick={onRescan}>
          {busy ? "Rescanning…" : "Rescan container"}
        </button>
      )}
      {second.data.value?.map(({ id, left }) => (
        <a key={id} class="button" href={href(open.name, "review", { second: id })}>
          Second review: {plural(left, "document")} to label
        </a>
      ))}
      {mine > 0 && (
        <a class="button" href={href(open.name, "review", { assigned: "@me" })}>
          Review {plural(mine, "document")} assigned to you
        </a>
      )}
      {suggested > 0 && (
        <a class="button primary" href={href(open.name, "review")}>
          Review {plural(suggested, "document")}
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
      {!rows.length && <p class="hint">No categories yet. The first label with a new category defines it.</p>}
      {rows.length > 0 && (
        <TableScroll label="Labels by category, table">
          <table class="bars distribution">
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
                  <th scope="row" title={row.category}>
                    <bdi>{visible(row.category)}</bdi>
                  </th>
                  <td class="bar-cell">
                    <Bar share={row.count / most} />
                  </td>
                  <td class="number">{count(row.count)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </TableScroll>
      )}
    </section>
  );
}

/** Calibration: the share accepted of what was decided in each band of confidence; the tick marks the ideal share. */
function Calibration({ bands }: { bands: readonly Band[] }) {
  const decided = bands.reduce((sum, b) => sum + b.accepted + b.rejected, 0);
  return (
    <section class="card">
      <h2>Accepted by confidence</h2>
      {decided === 0 && (
        <p class="hint">
          After some reviews, this shows whether suggestions with 80% confidence are accepted 80% of the time.
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
          Not trained yet. <a href={href(open.name, "training")}>Train a model</a> when there are enough
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

/**
 * Offers an engine that needs no labels where there are too few for the embedded one. `away`: the page says already
 * that the server does not respond.
 */
function WithoutLabels({ open, away }: { open: OpenProject; away: boolean }) {
  const engines = usePoll(
    () => listEngines(open.name),
    (found) => (found ? null : REFRESH_MS),
    open.name,
  );
  if (engines.error.value && !away)
    return (
      <Failure
        message={`The list of engines could not be read. ${engines.error.value}`}
        onRetry={engines.again}
      />
    );
  const without = withoutLabels(engines.data.value ?? []);
  if (!without) return null;
  return (
    <p class="notice">
      The embedded engine needs labels to learn from. {engineName(without.engine)}{" "}
      {howWithoutLabels(without.engine)}{" "}
      <a href={href(open.name, "autolabel", { engine: without.engine })}>Suggest without labels</a>
    </p>
  );
}
