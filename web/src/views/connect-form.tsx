import { useSignal } from "@preact/signals";
import { checkConnection, connect } from "../api/client";
import { watch } from "../api/operations";
import type { ConnectRequest } from "../api/types";
import { config } from "../auth/session";
import { readConditions, type Condition } from "../domain/conditions";
import type { OpenProject } from "../state/project";
import { toast } from "../state/toasts";
import { Icon } from "../ui/icon";
import { ErrorNotice, Field, TextInput } from "../ui/parts";
import { useAction } from "../ui/use-action";

const STUDIOS = [
  ["azure-ml", "Azure Machine Learning"],
  ["workspace", "Label files in a container"],
] as const;

export function ConnectForm({ open }: { open: OpenProject }) {
  const offered = STUDIOS.filter(([value]) => config.value?.studios?.includes(value) ?? true);
  const studio = useSignal<ConnectRequest["studio"]>(offered[0]?.[0] ?? "workspace");
  const workspace = useSignal("");
  const name = useSignal("");
  const instructions = useSignal("");
  const conditions = useSignal<Condition[] | null>(null);
  const { busy, error, run } = useAction();
  const body = (): ConnectRequest => ({
    studio: studio.value,
    workspaceId: workspace.value.trim(),
    amlProjectName: name.value.trim(),
    ...(instructions.value.trim() ? { instructions: instructions.value.trim() } : {}),
  });
  const check = (): void =>
    void run(async () => {
      conditions.value = null;
      conditions.value = readConditions(await checkConnection(open.name, body()));
    });
  const submit = (event: Event): void => {
    event.preventDefault();
    void run(async () => {
      const location = await connect(open.name, body());
      await open.refreshConnection();
      await watch(location);
      await open.refresh();
      toast("Project connected.", "good");
    }).then(() => open.refreshConnection());
  };
  const azure = studio.value === "azure-ml";
  return (
    <form class="card stack" onSubmit={submit}>
      <h2>Connect</h2>
      <div class="form-grid">
        <Field label="Studio">
          <select
            value={studio.value}
            onChange={(event) => (studio.value = event.currentTarget.value as "workspace")}
          >
            {offered.map(([value, name]) => (
              <option key={value} value={value}>
                {name}
              </option>
            ))}
          </select>
        </Field>
        <Field
          label={azure ? "Workspace" : "Container"}
          hint={
            azure
              ? "Resource ID of the workspace, /subscriptions/…/workspaces/…"
              : "Its label file is NAME/labels.jsonl"
          }
        >
          <TextInput required signal={workspace} />
        </Field>
        <Field label="Azure Machine Learning project" hint="A new name; a name can never be used twice">
          <TextInput required maxLength={50} signal={name} />
        </Field>
        <Field
          label="Instructions for the people who label"
          hint={azure ? "Optional: the address of a page with the instructions" : "Optional"}
        >
          <TextInput signal={instructions} />
        </Field>
      </div>
      {conditions.value && <Conditions conditions={conditions.value} />}
      <ErrorNotice message={error.value} />
      <p class="hint">
        The connection is one to one. Disconnecting is permanent: the Azure Machine Learning project can never
        be connected again.
      </p>
      <div class="actions start">
        <button
          type="button"
          disabled={busy.value || !workspace.value.trim() || !name.value.trim()}
          onClick={check}
        >
          Check the conditions
        </button>
        <button type="submit" class="primary" disabled={busy.value}>
          {busy.value ? "Working…" : "Connect"}
        </button>
      </div>
    </form>
  );
}

function Conditions({ conditions }: { conditions: Condition[] }) {
  const unmet = conditions.filter((c) => !c.met).length;
  return (
    <div role="status">
      <p class="strong">
        {unmet ? `${unmet} of ${conditions.length} conditions are not met.` : "All conditions are met."}
      </p>
      <ul class="conditions" role="list">
        {conditions.map((condition) => (
          <li key={condition.code} class={condition.met ? "met" : "unmet"}>
            <Icon name={condition.met ? "check" : "cross"} size={16} />
            <span>
              <span class="sr-only">{condition.met ? "Met: " : "Not met: "}</span>
              {condition.message}
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}
