import { useSignal } from "@preact/signals";
import { disconnect } from "../api/client";
import { watch } from "../api/operations";
import type { Connection } from "../api/types";
import type { OpenProject } from "../state/project";
import { toast } from "../state/toasts";
import { Dialog, DialogActions } from "../ui/dialog";
import { useAction } from "../ui/use-action";
import { ConfirmName } from "../ui/parts";

/** Shows what is lost, and disconnects only when the name was typed. */
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
      toast("Project disconnected.", "good");
      onClose();
    });
  };
  return (
    <Dialog title="Disconnect permanently" warns onClose={onClose}>
      <form class="stack" onSubmit={submit}>
        <p>What happens:</p>
        <ul class="losses">
          <li>
            <bdi class="strong">{name}</bdi> can never be connected again: not to this or any other project,
            not after this project is deleted, not after the app is redeployed.
          </li>
          <li>Its labeling job is paused, not deleted; labels made there stay there.</li>
          <li>
            This project keeps its labels. It can be connected to another Azure Machine Learning project.
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
            Discard the labels that were not imported
          </label>
        )}
        <ConfirmName name={name} typed={typed} />
        <DialogActions error={error.value} cancel="Keep the connection" onCancel={onClose}>
          <button type="submit" class="danger" disabled={!ready || busy.value}>
            {busy.value ? "Disconnecting…" : "Disconnect permanently"}
          </button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
