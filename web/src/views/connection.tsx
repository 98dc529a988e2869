import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { connectionHistory, switchStudio, syncLabels } from "../api/client";
import { watch } from "../api/operations";
import type { Connection, ConnectionEvent, Job } from "../api/types";
import { may } from "../auth/session";
import { ago, moment, plural, studioName, words } from "../domain/format";
import type { OpenProject } from "../state/project";
import { toast } from "../state/toasts";
import { Dialog } from "../ui/dialog";
import { Badge, ErrorNotice, Failure } from "../ui/parts";
import { useAction } from "../ui/use-action";
import { ConnectForm } from "./connect-form";
import { Disconnect } from "./disconnect";

const MOVING = new Set(["connecting", "switching", "disconnecting"]);
const LIVE_MS = 1_000;

export function ConnectionView({ open }: { open: OpenProject }) {
  const connection = open.connection.value;
  const moving = MOVING.has(connection?.state ?? "");
  useEffect(() => {
    if (!moving) return;
    const timer = setInterval(() => void open.refresh(), LIVE_MS);
    return () => clearInterval(timer);
  }, [moving, open]);
  useEffect(() => void open.refreshConnection(), [open]);
  const bound = connection && !["none", "disconnected"].includes(connection.state);
  return (
    <>
      <h1>Connection</h1>
      <p class="lead">
        Labeling happens in Labelbridge, or in one Azure Machine Learning project that this project is
        connected to; never in both at once.
      </p>
      {!connection && open.error.value && (
        <Failure message={open.error.value.message} onRetry={() => void open.refresh()} />
      )}
      {connection && <State connection={connection} />}
      {connection && bound && <Bound open={open} connection={connection} moving={moving} />}
      {connection &&
        !bound &&
        (may("Projects.Own") ? (
          <ConnectForm open={open} />
        ) : (
          <p class="notice">Connecting requires the Projects.Own role.</p>
        ))}
      <History open={open} state={`${connection?.state}|${connection?.activeStudio}`} />
    </>
  );
}

function State({ connection }: { connection: Connection }) {
  return (
    <section class="card stack" aria-label="State of the connection">
      <div class="job-head">
        <Badge status={connection.state === "none" ? "not connected" : connection.state} />
        {connection.pendingStep && <span class="hint">step: {words(connection.pendingStep)}</span>}
        {connection.waitingFor && <span class="hint">waiting for: {connection.waitingFor}</span>}
      </div>
      {connection.error && (
        <p class="notice bad">
          {connection.error.message}
          {MOVING.has(connection.state) && " Labelbridge retries automatically."}
        </p>
      )}
      {connection.warnings?.map((warning) => (
        <p key={warning.message} class="notice">
          {warning.message}
        </p>
      ))}
      <dl class="facts">
        <div>
          <dt>Labeling happens in</dt>
          <dd>{studioName(connection.activeStudio)}</dd>
        </div>
        {connection.amlProjectName && (
          <div>
            <dt>{connection.state === "disconnected" ? "Last connected to" : "Connected to"}</dt>
            <dd>
              <bdi>{connection.amlProjectName}</bdi>{" "}
              {connection.studio && <span class="hint">({connection.studio})</span>}
            </dd>
          </div>
        )}
        {connection.workspaceId && (
          <div>
            <dt>{connection.studio === "workspace" ? "Container" : "Workspace"}</dt>
            <dd>
              <bdi class="break">{connection.workspaceId}</bdi>
            </dd>
          </div>
        )}
        {connection.amlProjectName && (
          <div>
            <dt>Labels last imported</dt>
            <dd title={moment(connection.lastImportedDateTime)}>
              {ago(connection.lastImportedDateTime)}
              {!!connection.unsyncedLabels && (
                <span class="bad-text">
                  {" "}
                  · {plural(connection.unsyncedLabels, "document")} labeled there since
                </span>
              )}
            </dd>
          </div>
        )}
      </dl>
    </section>
  );
}

function Bound({ open, connection, moving }: { open: OpenProject; connection: Connection; moving: boolean }) {
  const { busy, error, run } = useAction();
  const warnings = useSignal<string[]>([]);
  const dialog = useSignal<"switch" | "disconnect" | null>(null);
  const close = (): void => void (dialog.value = null);
  const there = connection.activeStudio === "azureMachineLearning";
  const follow = (start: () => Promise<string>, done: string): void =>
    void run(async () => {
      warnings.value = [];
      const location = await start();
      await open.refreshConnection();
      const job: Job<unknown> = await watch(location);
      warnings.value = job.warnings?.map((w) => w.message) ?? [];
      await open.refresh();
      toast(done, "good");
    });
  return (
    <section class="card stack" aria-label="What you can do">
      {busy.value && (
        <p class="loading" role="status">
          <span class="spinner" aria-hidden="true" /> Working. Labels cannot be changed until this is done.
        </p>
      )}
      {warnings.value.map((warning) => (
        <p key={warning} class="notice">
          {warning}
        </p>
      ))}
      <ErrorNotice message={error.value} />
      <div class="actions start">
        {may("Labeling.Switch") && (
          <button
            type="button"
            class="primary"
            disabled={busy.value || moving}
            onClick={() => (dialog.value = "switch")}
          >
            {there ? "Switch back to Labelbridge" : "Switch to Azure Machine Learning"}
          </button>
        )}
        {may("Labeling.Switch") && (
          <button
            type="button"
            disabled={busy.value || moving}
            onClick={() => follow(() => syncLabels(open.name), "The latest labels were imported.")}
          >
            Sync labels now
          </button>
        )}
        {may("Projects.Own") && (
          <button type="button" class="danger" onClick={() => (dialog.value = "disconnect")}>
            Disconnect…
          </button>
        )}
      </div>
      {dialog.value === "switch" && (
        <SwitchDialog
          there={there}
          onClose={close}
          onSwitch={() => {
            close();
            follow(
              () => switchStudio(open.name, there ? "languageStudio" : "azureMachineLearning"),
              `Labeling happens in ${there ? "Labelbridge" : "Azure Machine Learning"} now.`,
            );
          }}
        />
      )}
      {dialog.value === "disconnect" && <Disconnect open={open} connection={connection} onClose={close} />}
    </section>
  );
}

/** What a switch means, before it locks the labels for everyone. */
function SwitchDialog({
  there,
  onSwitch,
  onClose,
}: {
  there: boolean;
  onSwitch: () => void;
  onClose: () => void;
}) {
  const title = there ? "Switch back to Labelbridge?" : "Switch to Azure Machine Learning?";
  const effects = there
    ? [
        "All labels of Azure Machine Learning are imported first. A document labeled there takes those labels; its former labels stay in its history.",
        "Until the import is done, nobody can change labels. Then everyone labels in Labelbridge again.",
      ]
    : [
        "Nobody can change labels in Labelbridge until labeling is switched back. Unsaved work of reviewers stays in their browsers.",
        "Labels are transferred where Azure Machine Learning can take them.",
        "No autolabel job can start. Training still works.",
      ];
  return (
    <Dialog title={title} onClose={onClose}>
      <ul class="losses">
        {effects.map((effect) => (
          <li key={effect}>{effect}</li>
        ))}
      </ul>
      <div class="actions">
        <button type="button" class="quiet" onClick={onClose}>
          Cancel
        </button>
        <button type="button" class="primary" onClick={onSwitch}>
          Switch
        </button>
      </div>
    </Dialog>
  );
}

/** "switch: connected to switching", with what went wrong. */
function describe(details: Record<string, string>): string {
  const { operation, from, to, nextStep, error } = details;
  const moved = from === to ? `${words(nextStep ?? to ?? "")}` : `${words(from ?? "")} → ${words(to ?? "")}`;
  return [operation && words(operation), moved, error].filter(Boolean).join(": ");
}

function History({ open, state }: { open: OpenProject; state: string }) {
  const rows = useSignal<ConnectionEvent[]>([]);
  useEffect(() => {
    void connectionHistory(open.name).then(
      (found) => (rows.value = found),
      () => undefined,
    );
  }, [open, state]);
  if (!rows.value.length) return null;
  return (
    <section class="card" aria-labelledby="connection-history">
      <h2 id="connection-history">History</h2>
      <ol class="history-rows">
        {rows.value.map((row, index) => (
          <li key={index}>
            <span>
              {describe(row.details)} · by <bdi>{row.by}</bdi>
            </span>
            <time class="hint">{moment(row.dateTime)}</time>
          </li>
        ))}
      </ol>
    </section>
  );
}
