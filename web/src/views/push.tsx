import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { cancelPush, getPushTarget, listPushJobs, startPush } from "../api/client";
import { ApiError } from "../api/http";
import { ended, reasons } from "../api/operations";
import type { Job, PushRequest, PushResult, PushTarget } from "../api/types";
import { may } from "../auth/session";
import { ago, moment, plural } from "../domain/format";
import type { OpenProject } from "../state/project";
import { toast } from "../state/toasts";
import { Dialog, DialogActions } from "../ui/dialog";
import { Badge, CancelJob, ErrorNotice, Failure, Field, Progress } from "../ui/parts";
import { useAction } from "../ui/use-action";
import { usePoll } from "../ui/use-poll";

const LIVE_MS = 1_000;
const CALM_MS = 15_000;
/** What a push is refused for that would replace something that was not pushed from here. */
const FOREIGN = new Set(["projectName", "deploymentName"]);

const STEPS: Record<string, string> = {
  import: "Importing the project",
  train: "Training the model",
  deploy: "Deploying the model",
};

/** The push to Azure Language: where it goes, and how far the latest one is. */
export function Push({ open }: { open: OpenProject }) {
  const owns = may("Projects.Own");
  const jobs = usePoll(
    () => listPushJobs(open.name),
    (found) => (found?.some((job) => !ended(job)) ? LIVE_MS : CALM_MS),
    open.name,
  );
  const target = usePoll<PushTarget | null>(
    () => (owns ? getPushTarget(open.name) : Promise.resolve(null)),
    () => null,
    open.name,
  );
  const latest = jobs.data.value?.[0];
  const running = latest !== undefined && !ended(latest);
  useEffect(() => void (latest?.status === "succeeded" && open.refresh()), [latest?.status]);
  const deployed = open.project.value?.deployedModel;
  if (!owns && !latest) return null;
  return (
    <section class="card stack" aria-labelledby="push">
      <h2 id="push">Train in Azure Language</h2>
      <p class="hint">
        A push imports the project into an Azure Language resource, trains a model there and deploys it. From
        then on, jobs with the engine Azure AI Language use that deployment.
      </p>
      {deployed && (
        <p>
          Jobs use the deployment{" "}
          <bdi class="strong">
            {deployed.projectName}/{deployed.deploymentName}
          </bdi>
          .
        </p>
      )}
      {jobs.error.value && <Failure message={jobs.error.value} onRetry={jobs.again} />}
      {target.error.value && <Failure message={target.error.value} onRetry={target.again} />}
      {target.data.value && !target.data.value.available && (
        <p class="notice">{target.data.value.unavailable}</p>
      )}
      {target.data.value?.available && (
        <PushForm open={open} target={target.data.value} busy={running} onStarted={jobs.again} />
      )}
      {latest && <PushJob open={open} job={latest} onChange={jobs.again} />}
    </section>
  );
}

function PushForm({
  open,
  target,
  busy: running,
  onStarted,
}: {
  open: OpenProject;
  target: PushTarget;
  busy: boolean;
  onStarted: () => void;
}) {
  const asked = useSignal<PushRequest | null>(null);
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string): string => String(form.get(name) ?? "").trim();
    asked.value = {
      projectName: text("project"),
      deploymentName: text("deployment"),
      modelLabel: text("model"),
      evaluationOptions:
        text("split") === "manual"
          ? { kind: "manual" }
          : { kind: "percentage", trainingSplitPercentage: 80, testingSplitPercentage: 20 },
    };
  };
  return (
    <form class="stack" onSubmit={submit}>
      <p class="meta">
        Resource <bdi>{target.endpoint}</bdi>
      </p>
      <div class="form-grid">
        <Field
          label="Project in the resource"
          hint="A project of that name is replaced if it was pushed from here."
        >
          <input
            name="project"
            required
            maxLength={50}
            autocomplete="off"
            defaultValue={target.projectName}
          />
        </Field>
        <Field label="Deployment">
          <input
            name="deployment"
            required
            maxLength={50}
            autocomplete="off"
            defaultValue={target.deploymentName}
          />
        </Field>
        <Field label="Model in the resource" hint="A model of that name is trained again.">
          <input
            name="model"
            required
            maxLength={50}
            pattern="[A-Za-z0-9_.\-]+"
            autocomplete="off"
            defaultValue={target.modelLabel}
          />
        </Field>
        <Field label="Test set">
          <select name="split">
            <option value="percentage">20% of the documents, at random</option>
            <option value="manual">Documents in the Test set</option>
          </select>
        </Field>
      </div>
      <div class="actions start">
        <button type="submit" disabled={running}>
          {running ? "Pushing…" : "Push to Azure Language…"}
        </button>
      </div>
      {asked.value && (
        <Confirm
          open={open}
          target={target}
          request={asked.value}
          onClose={() => (asked.value = null)}
          onStarted={onStarted}
        />
      )}
    </form>
  );
}

function Confirm({
  open,
  target,
  request,
  onClose,
  onStarted,
}: {
  open: OpenProject;
  target: PushTarget;
  request: PushRequest;
  onClose: () => void;
  onStarted: () => void;
}) {
  const { busy, error, run } = useAction();
  const foreign = useSignal(false);
  const push = (): void =>
    void run(async () => {
      try {
        await startPush(open.name, { ...request, replace: foreign.value });
      } catch (failure) {
        if (failure instanceof ApiError && FOREIGN.has(failure.body.target ?? "")) foreign.value = true;
        throw failure;
      }
      toast("The push has started.", "good");
      onClose();
      onStarted();
    });
  return (
    <Dialog title="Push to Azure Language" onClose={onClose}>
      <div class="stack">
        <p>
          Categories, labels and the names of documents go to <bdi class="strong">{target.endpoint}</bdi>,
          which reads the texts from the container, into the project{" "}
          <bdi class="strong">{request.projectName}</bdi>
          {target.replaces && request.projectName === target.projectName
            ? ", and replace what the previous push imported"
            : ""}
          .
        </p>
        <DialogActions error={error.value} onCancel={onClose}>
          <button type="button" class="primary" disabled={busy.value} onClick={push}>
            {busy.value ? "Starting…" : foreign.value ? "Replace and train" : "Push and train"}
          </button>
        </DialogActions>
      </div>
    </Dialog>
  );
}

function PushJob({ open, job, onChange }: { open: OpenProject; job: Job<PushResult>; onChange: () => void }) {
  const { busy, error, run } = useAction();
  const live = !ended(job);
  const { result } = job;
  return (
    <section class="stack" aria-label="The latest push">
      <div class="job-head">
        <Badge status={job.status} />
        <bdi class="strong">
          {result?.projectName}/{result?.deploymentName}
        </bdi>
        <time class="hint" title={moment(job.createdDateTime)}>
          {ago(job.createdDateTime)}
        </time>
      </div>
      {live && (
        <>
          <Progress value={(result?.percentComplete ?? 0) / 100} label="Push" />
          <p role="status">
            {STEPS[result?.step ?? "import"]}
            {result?.waitingFor ? `, waiting: ${result.waitingFor}` : "…"}
          </p>
        </>
      )}
      {job.status === "succeeded" && (
        <p class="hint">
          {plural(result?.documents ?? 0, "document")} imported; the model {result?.modelLabel} is deployed.
        </p>
      )}
      {job.status === "failed" && (
        <p class="notice bad" role="alert">
          {STEPS[result?.step ?? "import"]} failed: {reasons(job)}
        </p>
      )}
      {job.warnings?.map((warning, index) => (
        <p key={index} class="notice">
          {warning.message}
        </p>
      ))}
      <ErrorNotice message={error.value} />
      {live && may("Projects.Own") && (
        <div class="actions start">
          <CancelJob
            what="push"
            status={job.status}
            busy={busy.value}
            onCancel={() =>
              void run(async () => {
                await cancelPush(open.name, job.jobId);
                onChange();
              })
            }
          />
        </div>
      )}
    </section>
  );
}
