import { useSignal } from "@preact/signals";
import { disconnect } from "../api/client";
import { watch } from "../api/operations";
import type { Connection } from "../api/types";
import type { OpenProject } from "../state/project";
import { toast } from "../state/toasts";
import { Dialog } from "../ui/dialog";
import { useAction } from "../ui/use-action";

/** Says what is lost, and goes on only when the name was typed. */
export function Disconnect({
  open,
  connection,
  onClose,
}: {
  open: OpenProject;
  connection: Connection;
  onClose: () => void;
}) {
  const typed = useSignal("");
  const discard = useSignal(false);
  const { busy, error, run } = useAction();
  const name = connection.amlProjectName ?? "";
  const unsynced = connection.activeStudio === "azureMachineLearning" || !!connection.unsyncedLabels;
  const ready = typed.value === name && (!unsynced || discard.value);
  const submit = (event: Event): void => {
    event.preventDefault();
    void run(async () => {
      const location = await disconnect(open.name, typed.value, discard.value);
      await open.refreshConnection();
      await watch(location);
      await open.refresh();
      toast("The project is disconnected.", "good");
      onClose();
    });
  };
  return (
    <Dialog title="Disconnect for ever" onClose={onClose}>
      <form class="stack" onSubmit={submit}>
        <p>What happens:</p>
        <ul class="losses">
          <li>
            <bdi class="strong">{name}</bdi> can never be connected again, to this or any other project, also
            not after this project is deleted or the app is deployed again.
          </li>
          <li>Its labeling job is paused, not deleted; labels made there stay there.</li>
          <li>
            Labels of this project stay. It may be connected with another Azure Machine Learning project.
          </li>
          {unsynced && (
            <li class="bad-text">
              Labels made there since the last import are not in this project. Sync or switch back first to
              keep them.
            </li>
          )}
        </ul>
        {unsynced && (
          <label class="check">
            <input
              type="checkbox"
              checked={discard.value}
              onChange={(event) => (discard.value = event.currentTarget.checked)}
            />
            Give up the labels that were not imported
          </label>
        )}
        <label class="field">
          <span class="field-label">
            Type <bdi class="strong">{name}</bdi> to confirm
          </span>
          <input
            autocomplete="off"
            spellcheck={false}
            value={typed.value}
            onInput={(event) => (typed.value = event.currentTarget.value)}
          />
        </label>
        {error.value && (
          <p class="notice bad" role="alert">
            {error.value}
          </p>
        )}
        <div class="actions">
          <button type="button" class="quiet" onClick={onClose}>
            Keep the connection
          </button>
          <button type="submit" class="danger" disabled={!ready || busy.value}>
            {busy.value ? "Disconnecting…" : "Disconnect for ever"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
