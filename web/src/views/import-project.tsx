import { useSignal } from "@preact/signals";
import { importProject } from "../api/client";
import { href } from "../router";
import { toast } from "../state/toasts";
import { Dialog, DialogActions } from "../ui/dialog";
import { Field, TextInput } from "../ui/parts";
import { useAction } from "../ui/use-action";

interface Props {
  /** Names of the projects that there are: importing one of them replaces it. */
  existing: readonly string[];
  onClose: () => void;
}

interface ProjectFile {
  metadata?: { projectName?: string | null };
}

/** A project from an Azure project file. */
export function ImportProject({ existing, onClose }: Props) {
  const file = useSignal<ProjectFile | null>(null);
  const name = useSignal("");
  const replace = useSignal(false);
  const { busy, error, run } = useAction();
  const exists = existing.some((other) => other.toLowerCase() === name.value.toLowerCase());
  const read = (chosen: File | undefined): void =>
    void run(async () => {
      file.value = null;
      if (!chosen) return;
      file.value = await parse(chosen);
      name.value = file.value.metadata?.projectName ?? "";
    });
  const submit = (event: Event): void => {
    event.preventDefault();
    void run(async () => {
      const metadata = { ...file.value?.metadata, projectName: name.value };
      const job = await importProject(name.value, { ...file.value, metadata });
      for (const warning of job.warnings?.slice(0, 3) ?? []) toast(warning.message);
      toast("Project imported.", "good");
      window.location.hash = href(name.value);
    });
  };
  return (
    <Dialog title="Import project" onClose={onClose}>
      <form class="stack" onSubmit={submit}>
        <Field label="Azure project file" hint="JSON, as exported here or by Azure AI Language">
          <input
            type="file"
            accept=".json,application/json"
            required
            onChange={(event) => read(event.currentTarget.files?.[0])}
          />
        </Field>
        <Field label="Name" hint="Letters, digits, and _ . -">
          <TextInput required maxLength={50} pattern="[A-Za-z0-9_.\-]+" signal={name} />
        </Field>
        {exists && (
          <label class="check notice">
            <input
              type="checkbox"
              checked={replace.value}
              onChange={(event) => (replace.value = event.currentTarget.checked)}
            />
            Replace the project of this name, with all its labels
          </label>
        )}
        <DialogActions error={error.value} onCancel={onClose}>
          <button
            type="submit"
            class="primary"
            disabled={busy.value || !file.value || (exists && !replace.value)}
          >
            {busy.value ? "Working…" : "Import"}
          </button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

async function parse(file: File): Promise<ProjectFile> {
  const found: unknown = await file
    .text()
    .then(JSON.parse)
    .catch(() => null);
  if (typeof found !== "object" || found === null || !("assets" in found))
    throw new Error(`“${file.name}” is not an Azure project file: it has no JSON object with “assets”.`);
  return found as ProjectFile;
}
