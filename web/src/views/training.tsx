import { useEffect } from "preact/hooks";
import {
  cancelTraining,
  getEvaluation,
  listModels,
  listTrainingJobs,
  startTraining,
  type TrainingResult,
} from "../api/client";
import { ended, reasons } from "../api/operations";
import type { Job, Model } from "../api/types";
import { may } from "../auth/session";
import { readEvaluation } from "../domain/evaluation";
import { ago, moment, plural } from "../domain/format";
import { href } from "../router";
import type { OpenProject } from "../state/project";
import { toast } from "../state/toasts";
import { Badge, CancelJob, ErrorNotice, Failure, Field, Loading, Progress } from "../ui/parts";
import { useAction } from "../ui/use-action";
import { usePoll } from "../ui/use-poll";
import { EvaluationView } from "./evaluation";
import { Push } from "./push";

const LIVE_MS = 700;
const CALM_MS = 15_000;

export function Training({ open, query }: { open: OpenProject; query: URLSearchParams }) {
  const jobs = usePoll(
    () => listTrainingJobs(open.name),
    (found) => (found?.some((j) => !ended(j)) ? LIVE_MS : CALM_MS),
    open.name,
  );
  const finished = jobs.data.value?.filter((j) => ended(j)).length ?? 0;
  const models = usePoll(
    () => listModels(open.name),
    () => CALM_MS,
    `${open.name}|${finished}`,
  );
  const list = [...(models.data.value ?? [])].sort((a, b) =>
    (a.lastTrainedDateTime ?? "") < (b.lastTrainedDateTime ?? "") ? 1 : -1,
  );
  const shown = list.find((m) => m.label === query.get("model")) ?? list[0];
  const running = jobs.data.value?.filter((job) => !ended(job)) ?? [];
  const latest = jobs.data.value?.find((job) => ended(job));
  return (
    <>
      <h1>Training</h1>
      {may("Projects.Write") && <TrainForm open={open} busy={running.length > 0} onStarted={jobs.again} />}
      {jobs.error.value && <Failure message={jobs.error.value} onRetry={jobs.again} />}
      {running.map((job) => (
        <RunningJob key={job.jobId} open={open} job={job} onChange={jobs.again} />
      ))}
      {!running.length && latest && <LatestJob job={latest} />}
      <h2>Models</h2>
      {models.error.value && <Failure message={models.error.value} onRetry={models.again} />}
      {!models.data.value && !models.error.value && <Loading what="the models" />}
      {models.data.value?.length === 0 && (
        <p class="hint">Not trained yet. Label a few dozen documents, then train a model.</p>
      )}
      {list.length > 0 && (
        <div class="chips" role="group" aria-label="Model to show">
          {list.map((model) => (
            <button
              key={model.label}
              type="button"
              class="chip option"
              aria-pressed={model.label === shown?.label}
              onClick={() => (window.location.hash = href(open.name, "training", { model: model.label }))}
            >
              <bdi>{model.label}</bdi>
              <span class="hint">{ago(model.lastTrainedDateTime)}</span>
            </button>
          ))}
        </div>
      )}
      {shown && <ModelResult key={shown.label} project={open.name} model={shown} />}
      <Push open={open} />
    </>
  );
}

/** Why the training that ended last failed, if it did. */
function LatestJob({ job }: { job: Job<TrainingResult> }) {
  if (job.status !== "failed") return null;
  return (
    <>
      <p class="notice bad">
        The latest training ({moment(job.createdDateTime)}) failed: {reasons(job)}
      </p>
      <LeftOut title="These labels could not be used:" messages={job.warnings?.map((w) => w.message) ?? []} />
    </>
  );
}

function LeftOut({ title, messages, of = "" }: { title: string; messages: readonly string[]; of?: string }) {
  if (!messages.length) return null;
  return (
    <section class="notice" aria-label={`Labels left out or adjusted${of}`}>
      <p>{title}</p>
      <ul>
        {messages.map((message) => (
          <li key={message}>{message}</li>
        ))}
      </ul>
    </section>
  );
}

function ModelResult({ project, model }: { project: string; model: Model }) {
  const result = usePoll(
    () => getEvaluation(project, model.label).then(readEvaluation),
    () => null,
    `${project}|${model.label}`,
  );
  if (result.error.value) return <Failure message={result.error.value} onRetry={result.again} />;
  return result.data.value ? (
    <>
      <LeftOut
        title="Not every label was used as it is:"
        messages={result.data.value.warnings}
        of={` for the model ${model.label}`}
      />
      <EvaluationView evaluation={result.data.value} project={project} model={model.label} />
    </>
  ) : (
    <Loading what="the evaluation" />
  );
}

function RunningJob({
  open,
  job,
  onChange,
}: {
  open: OpenProject;
  job: Job<TrainingResult>;
  onChange: () => void;
}) {
  const { busy, run } = useAction();
  const training = job.result?.trainingStatus?.percentComplete ?? 0;
  const evaluation = job.result?.evaluationStatus?.percentComplete ?? 0;
  return (
    <section class="card running" aria-label={`Training of ${job.result?.modelLabel ?? "a model"}`}>
      <div class="job-head">
        <Badge status={job.status} />
        <strong>
          <bdi>{job.result?.modelLabel}</bdi>
        </strong>
      </div>
      <Progress value={training / 100} label="Training" />
      <Progress value={evaluation / 100} label="Evaluation" />
      {may("Projects.Write") && (
        <CancelJob
          what="training"
          status={job.status}
          busy={busy.value}
          onCancel={() =>
            void run(async () => {
              await cancelTraining(open.name, job.jobId);
              onChange();
            })
          }
        />
      )}
    </section>
  );
}

function TrainForm({
  open,
  busy: running,
  onStarted,
}: {
  open: OpenProject;
  busy: boolean;
  onStarted: () => void;
}) {
  const { busy, error, run } = useAction();
  const suggested = open.statistics.value?.byStatus.autoLabeled ?? 0;
  useEffect(() => void open.refreshStatistics(), [open, running]);
  const connected = open.connection.value?.state === "connected";
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const manual = form.get("split") === "manual";
    void run(async () => {
      await startTraining(open.name, {
        modelLabel: String(form.get("label")),
        trainingConfigVersion: "latest",
        evaluationOptions: manual
          ? { kind: "manual" }
          : { kind: "percentage", trainingSplitPercentage: 80, testingSplitPercentage: 20 },
        ...(form.get("origin") ? { labelOrigin: String(form.get("origin")) } : {}),
      });
      toast("Training has started.", "good");
      onStarted();
      void open.refreshStatistics();
    });
  };
  return (
    <form class="card stack" onSubmit={submit}>
      <h2>New model</h2>
      <div class="form-grid">
        <Field label="Name" hint="Letters, digits, and _ . -, for example model-1">
          <input name="label" required maxLength={50} pattern="[A-Za-z0-9_.\-]+" autocomplete="off" />
        </Field>
        <Field label="Test set">
          <select name="split">
            <option value="percentage">A random 20% of the labeled documents</option>
            <option value="manual">Documents in the Test set</option>
          </select>
        </Field>
        {connected && (
          <Field label="Labels">
            <select name="origin">
              <option value="">Current labels in Labelbridge</option>
              <option value="azureMachineLearning">
                Import the latest from Azure Machine Learning first
              </option>
            </select>
          </Field>
        )}
      </div>
      {suggested > 0 && (
        <p class="notice">
          When the training succeeds, the pending suggestions of {plural(suggested, "document")} are removed.
          You can review them until then, but the new model learns only the labels that are saved now.
        </p>
      )}
      <ErrorNotice message={error.value} />
      <div class="actions start">
        <button type="submit" class="primary" disabled={busy.value || running}>
          {running ? "Training…" : "Train"}
        </button>
      </div>
    </form>
  );
}
