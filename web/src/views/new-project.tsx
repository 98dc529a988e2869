import { createProject, scan } from "../api/client";
import { messageOf } from "../api/http";
import { kindName } from "../domain/format";
import { KINDS } from "../domain/labels";
import { href } from "../router";
import { toast } from "../state/toasts";
import { Dialog, DialogActions } from "../ui/dialog";
import { Field } from "../ui/parts";
import { useAction } from "../ui/use-action";

/** A new project for the documents of one container, which the server scans by itself. */
export function NewProject({ onClose }: { onClose: () => void }) {
  const { busy, error, run } = useAction();
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string): string => String(form.get(name) ?? "").trim();
    const name = text("name");
    void run(async () => {
      await createProject(name, {
        projectName: name,
        projectKind: text("kind"),
        storageInputContainerName: text("container"),
        language: text("language"),
        description: text("description"),
        multilingual: form.get("multilingual") === "on",
      });
      // Creating scans too; this scans sooner and shows at once why a container cannot be read.
      scan(name).catch((failure: unknown) => toast(messageOf(failure), "bad"));
      window.location.hash = href(name);
    });
  };
  return (
    <Dialog title="New project" onClose={onClose}>
      <form class="stack" onSubmit={submit}>
        <Field label="Name" hint="Letters, digits, and _ . -">
          <input name="name" required maxLength={50} pattern="[A-Za-z0-9_.\-]+" autocomplete="off" />
        </Field>
        <Field
          label="Project type"
          hint="Single-label: one class per document. Multi-label: any number of classes. Entities: parts of the text."
        >
          <select name="kind">
            {KINDS.map((kind) => (
              <option key={kind} value={kind}>
                {kindName(kind)}
              </option>
            ))}
          </select>
        </Field>
        <Field label="Container" hint="The blob container with the .txt documents">
          <input name="container" required autocomplete="off" />
        </Field>
        <Field label="Language" hint="For example en-us or de">
          <input name="language" required defaultValue="en-us" autocomplete="off" />
        </Field>
        <Field label="Description">
          <input name="description" autocomplete="off" dir="auto" />
        </Field>
        <label class="check">
          <input type="checkbox" name="multilingual" /> Documents in several languages
        </label>
        <DialogActions error={error.value} onCancel={onClose}>
          <button type="submit" class="primary" disabled={busy.value}>
            Create project
          </button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
