/** The labeling guidelines of a project: write them, see them as reviewers do, and read earlier versions. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { getGuidelines, listGuidelineVersions, putGuidelines } from "../api/client";
import { ApiError } from "../api/http";
import type { Guidelines, GuidelineVersion } from "../api/types";
import { may } from "../auth/session";
import { count, moment } from "../domain/format";
import type { OpenProject } from "../state/project";
import { toast } from "../state/toasts";
import { Dialog, DialogActions } from "../ui/dialog";
import { Markdown } from "../ui/markdown";
import { Failure, Field, Loading } from "../ui/parts";
import { useAction } from "../ui/use-action";

/** As many characters as the server takes. */
const MAX_LENGTH = 50_000;

export function GuidelinesCard({ open }: { open: OpenProject }) {
  const dialog = useSignal<"edit" | "versions" | null>(null);
  const close = (): void => void (dialog.value = null);
  const guidelines = open.guidelines.value;
  useEffect(() => void open.refreshGuidelines(), [open]);
  return (
    <section class="card stack" aria-labelledby="settings-guidelines">
      <h2 id="settings-guidelines">Labeling guidelines</h2>
      <p class="hint">
        {guidelines?.version
          ? `Version ${guidelines.version} by ${guidelines.by}, ${moment(guidelines.dateTime ?? undefined)}. `
          : "No guidelines yet. "}
        Reviewers open them beside the text with the key g.
      </p>
      {guidelines?.text && (
        <div class="guidelines-text" tabIndex={0} role="region" aria-label="Text of the guidelines">
          <Markdown text={guidelines.text} />
        </div>
      )}
      <div class="actions start">
        {may("Projects.Write") && (
          <button type="button" disabled={!guidelines} onClick={() => (dialog.value = "edit")}>
            Edit guidelines…
          </button>
        )}
        {!!guidelines?.version && (
          <button type="button" class="quiet" onClick={() => (dialog.value = "versions")}>
            Versions…
          </button>
        )}
      </div>
      {dialog.value === "edit" && guidelines && (
        <EditDialog open={open} before={guidelines} onClose={close} />
      )}
      {dialog.value === "versions" && <VersionsDialog open={open} onClose={close} />}
    </section>
  );
}

function EditDialog({
  open,
  before,
  onClose,
}: {
  open: OpenProject;
  before: Guidelines;
  onClose: () => void;
}) {
  const text = useSignal(before.text);
  const read = useSignal(before);
  const theirs = useSignal<Guidelines | null>(null);
  const preview = useSignal(false);
  const { busy, error, run } = useAction();
  const length = [...text.value].length;
  const submit = (event: Event): void => {
    event.preventDefault();
    void run(async () => {
      try {
        open.guidelines.value = await putGuidelines(open.name, text.value, read.value.version);
      } catch (failure) {
        if (failure instanceof ApiError && failure.status === 409)
          theirs.value = await getGuidelines(open.name);
        throw failure;
      }
      toast(`Guidelines saved as version ${open.guidelines.value.version}.`, "good");
      onClose();
    });
  };
  return (
    <Dialog title="Labeling guidelines" wide onClose={onClose}>
      <form class="stack" onSubmit={submit}>
        <fieldset class="segmented">
          <legend>View</legend>
          {[false, true].map((shown) => (
            <label key={String(shown)}>
              <input
                type="radio"
                name="view"
                checked={preview.value === shown}
                onChange={() => (preview.value = shown)}
              />
              <span>{shown ? "Preview" : "Write"}</span>
            </label>
          ))}
        </fieldset>
        {preview.value ? (
          <div class="guidelines-text tall" tabIndex={0} role="region" aria-label="Preview">
            <Markdown text={text.value} />
          </div>
        ) : (
          <Field
            label="Text"
            hint={`Markdown: # heading, **bold**, *italic*, - list, [link](https://…). ${count(length)} of ${count(MAX_LENGTH)} characters.`}
          >
            <textarea
              class="tall"
              dir="auto"
              autofocus
              value={text.value}
              onInput={(event) => (text.value = event.currentTarget.value)}
            />
          </Field>
        )}
        {theirs.value && (
          <div class="notice" role="alert">
            <p>
              <bdi>{theirs.value.by}</bdi> saved version {theirs.value.version} while you wrote. Your text is
              still here. Compare the two, then replace theirs or take it.
            </p>
            <button
              type="button"
              onClick={() => {
                read.value = theirs.value!;
                theirs.value = null;
                error.value = null;
              }}
            >
              Keep my text
            </button>
            <button
              type="button"
              onClick={() => {
                read.value = theirs.value!;
                text.value = theirs.value!.text;
                theirs.value = null;
                error.value = null;
              }}
            >
              Use their version
            </button>
            <div class="guidelines-text" tabIndex={0} role="region" aria-label="Their version">
              <Markdown text={theirs.value.text} />
            </div>
          </div>
        )}
        <DialogActions error={theirs.value ? null : error.value} onCancel={onClose}>
          <button
            type="submit"
            class="primary"
            disabled={busy.value || !!theirs.value || length > MAX_LENGTH || text.value === read.value.text}
          >
            {busy.value ? "Saving…" : "Save guidelines"}
          </button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

function VersionsDialog({ open, onClose }: { open: OpenProject; onClose: () => void }) {
  const versions = useSignal<GuidelineVersion[] | null>(null);
  const shown = useSignal<Guidelines | null>(null);
  const { error, run } = useAction();
  useEffect(() => {
    void run(async () => {
      versions.value = await listGuidelineVersions(open.name);
    });
  }, []);
  const show = (version: number): void =>
    void run(async () => {
      shown.value = await getGuidelines(open.name, version);
    });
  return (
    <Dialog title="Versions of the guidelines" wide onClose={onClose}>
      <div class="stack">
        {error.value && <Failure message={error.value} />}
        {!versions.value && !error.value && <Loading what="the versions" />}
        <ol class="history-rows" aria-label="Versions" tabIndex={0}>
          {versions.value?.map((version) => (
            <li key={version.version}>
              <span>
                Version {version.version} by <bdi>{version.by}</bdi>{" "}
                <span class="hint">
                  <time>{moment(version.dateTime ?? undefined)}</time> · {count(version.length)} characters
                </span>
              </span>
              <button
                type="button"
                class="small"
                aria-label={`Show version ${version.version}`}
                aria-pressed={shown.value?.version === version.version}
                onClick={() => show(version.version)}
              >
                Show
              </button>
            </li>
          ))}
        </ol>
        {shown.value && (
          <section class="guidelines-text tall" tabIndex={0} aria-label={`Version ${shown.value.version}`}>
            {shown.value.text ? (
              <Markdown text={shown.value.text} />
            ) : (
              <p class="hint">This version is empty.</p>
            )}
          </section>
        )}
        <div class="actions">
          <button type="button" class="quiet" onClick={onClose}>
            Close
          </button>
        </div>
      </div>
    </Dialog>
  );
}
