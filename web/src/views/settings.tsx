import { useSignal } from "@preact/signals";
import { changeProject, deleteProject, exportProject } from "../api/client";
import { ENGINES } from "../domain/engines";
import { kindName } from "../domain/format";
import { may } from "../auth/session";
import type { OpenProject } from "../state/project";
import { toast } from "../state/toasts";
import { Dialog } from "../ui/dialog";
import { ConfirmName, ErrorNotice, Field } from "../ui/parts";
import { useAction } from "../ui/use-action";
import { CategoryEditor } from "./category-editor";
import { GuidelinesCard } from "./guidelines";

export function Settings({ open }: { open: OpenProject }) {
  const project = open.project.value!;
  return (
    <>
      <h1>Settings</h1>
      <p class="meta">
        {kindName(open.kind.value)} · name <bdi>{open.name}</bdi> · container{" "}
        <bdi>{project.storageInputContainerName}</bdi>. Kind, name and container of a project cannot be
        changed.
      </p>
      {!may("Projects.Write") && <p class="notice">Changing settings requires the Projects.Write role.</p>}
      <ProjectForm open={open} />
      <CategoryEditor open={open} />
      <GuidelinesCard open={open} />
      <Export open={open} />
      {may("Projects.Own") && <Delete open={open} />}
    </>
  );
}

function ProjectForm({ open }: { open: OpenProject }) {
  const project = open.project.value!;
  const { settings } = project;
  const { busy, error, run } = useAction();
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string): string => String(form.get(name) ?? "").trim();
    void run(async () => {
      await changeProject(open.name, {
        displayName: text("displayName"),
        description: text("description"),
        language: text("language"),
        multilingual: form.get("multilingual") === "on",
        settings: {
          confidenceThreshold: Number(text("threshold")) / 100,
          autolabel: { onUpload: form.get("onUpload") === "on", engine: text("engine") || null },
        },
      });
      await open.refresh();
      toast("Settings saved.", "good");
    });
  };
  const engine = settings?.autolabel?.engine ?? "";
  const known = ENGINES.some(([value]) => value === engine);
  return (
    <form class="card stack" aria-labelledby="settings-project" onSubmit={submit}>
      <h2 id="settings-project">Project</h2>
      <fieldset class="stack" disabled={!may("Projects.Write")}>
        <div class="form-grid">
          <Field
            label="Display name"
            hint="Shown instead of the name. Events, jobs and connections still use the name."
          >
            <input
              name="displayName"
              maxLength={100}
              autocomplete="off"
              dir="auto"
              defaultValue={project.displayName ?? ""}
            />
          </Field>
          <Field label="Description">
            <input
              name="description"
              autocomplete="off"
              dir="auto"
              defaultValue={project.description ?? ""}
            />
          </Field>
          <Field label="Language" hint="For example en-us or de">
            <input name="language" required autocomplete="off" defaultValue={project.language} />
          </Field>
          <Field
            label="Confidence threshold, %"
            hint="Engines suggest nothing below this value. Existing suggestions stay."
          >
            <input
              name="threshold"
              type="number"
              min={0}
              max={100}
              step="any"
              required
              defaultValue={String(Math.round((settings?.confidenceThreshold ?? 0) * 1_000) / 10)}
            />
          </Field>
          <Field label="Engine">
            <select name="engine" defaultValue={engine}>
              {!known && <option value={engine}>{engine}</option>}
              {ENGINES.map(([value, name]) => (
                <option key={value} value={value}>
                  {value ? name : "The default engine of the server"}
                </option>
              ))}
            </select>
          </Field>
        </div>
        <label class="check">
          <input type="checkbox" name="multilingual" defaultChecked={project.multilingual ?? false} />
          Documents in several languages
        </label>
        <label class="check">
          <input type="checkbox" name="onUpload" defaultChecked={settings?.autolabel?.onUpload ?? true} />
          Autolabel new documents when they are uploaded
        </label>
        <ErrorNotice message={error.value} />
        <div class="actions start">
          <button type="submit" class="primary" disabled={busy.value}>
            {busy.value ? "Saving…" : "Save settings"}
          </button>
        </div>
      </fieldset>
    </form>
  );
}

function Export({ open }: { open: OpenProject }) {
  const { busy, error, run } = useAction();
  const download = (): void =>
    void run(async () => {
      const file = new Blob([await exportProject(open.name)], { type: "application/json" });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(file);
      link.download = `${open.name}.json`;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  return (
    <section class="card stack" aria-labelledby="settings-export">
      <h2 id="settings-export">Export</h2>
      <p class="hint">
        The Azure project file holds the settings, categories and labels, not the texts. To import it, go to
        Projects.
      </p>
      <ErrorNotice message={error.value} />
      <div class="actions start">
        <button type="button" disabled={busy.value} onClick={download}>
          {busy.value ? "Exporting…" : "Export project file"}
        </button>
      </div>
    </section>
  );
}

function Delete({ open }: { open: OpenProject }) {
  const asking = useSignal(false);
  return (
    <section class="card stack" aria-labelledby="settings-delete">
      <h2 id="settings-delete">Delete</h2>
      <p class="hint">
        Deletes labels, suggestions, models and history. The documents stay in their container.
      </p>
      <div class="actions start">
        <button type="button" class="danger" onClick={() => (asking.value = true)}>
          Delete project…
        </button>
      </div>
      {asking.value && <DeleteDialog open={open} onClose={() => (asking.value = false)} />}
    </section>
  );
}

function DeleteDialog({ open, onClose }: { open: OpenProject; onClose: () => void }) {
  const typed = useSignal("");
  const { busy, error, run } = useAction();
  const submit = (event: Event): void => {
    event.preventDefault();
    void run(async () => {
      await deleteProject(open.name);
      toast(`The project “${open.name}” was deleted.`, "good");
      window.location.hash = "#/projects";
    });
  };
  return (
    <Dialog title="Delete project" warns onClose={onClose}>
      <form class="stack" onSubmit={submit}>
        <p>
          All labels, suggestions, models and history of <bdi class="strong">{open.name}</bdi> are deleted
          permanently. Export the project first to keep its labels.
        </p>
        <ConfirmName name={open.name} typed={typed} />
        <ErrorNotice message={error.value} />
        <div class="actions">
          <button type="button" class="quiet" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="danger" disabled={busy.value || typed.value !== open.name}>
            {busy.value ? "Deleting…" : "Delete permanently"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
