import { useSignal } from "@preact/signals";
import { estimateAutolabel, listDocuments, listModels, startAutolabel } from "../api/client";
import type { AutolabelRequest, EngineFigures, Estimate, Model } from "../api/types";
import { ENGINES, engineName, FEW_LABELS, howWithoutLabels, withoutLabels } from "../domain/engines";
import { count, money, plural, visible } from "../domain/format";
import type { OpenProject } from "../state/project";
import { toast } from "../state/toasts";
import { ErrorNotice, Field, Options, TextInput } from "../ui/parts";
import { useAction } from "../ui/use-action";
import { useEffect } from "preact/hooks";

/** A job lists at most so many documents; a job for everything unlabeled has no such limit. */
const MOST_NAMED = 20_000;

interface Props {
  open: OpenProject;
  engines: readonly EngineFigures[];
  /** The engine that the address names; empty: that of the project. */
  proposed: string;
  onStarted: () => void;
}

export function AutolabelForm({ open, engines, proposed, onStarted }: Props) {
  const engine = useSignal(proposed);
  const model = useSignal("");
  const models = useSignal<Model[]>([]);
  const left = useSignal<ReadonlySet<string>>(new Set());
  const which = useSignal<"unlabeled" | "all" | "prefix">("unlabeled");
  const prefix = useSignal("");
  const estimate = useSignal<string | null>(null);
  const { busy, error, run } = useAction();
  const categories = open.categories.value.map((c) => c.category);

  useEffect(() => {
    void open.refreshStatistics();
    void listModels(open.name).then(
      (found) => (models.value = found),
      () => undefined,
    );
  }, [open]);

  const request = async (): Promise<AutolabelRequest> => {
    const chosen = categories.filter((c) => !left.value.has(c));
    return {
      ...(engine.value ? { engine: engine.value } : {}),
      ...(model.value ? { modelLabel: model.value } : {}),
      ...(left.value.size ? { categories: chosen } : {}),
      ...(which.value === "unlabeled"
        ? {}
        : { documents: await named(open.name, which.value === "prefix" ? prefix.value : "") }),
    };
  };
  const ask = (): void =>
    void run(async () => {
      estimate.value = null;
      estimate.value = describe(await estimateAutolabel(open.name, await request()));
    });
  const begin = (): void =>
    void run(async () => {
      await startAutolabel(open.name, await request());
      estimate.value = null;
      toast("The job has started.", "good");
      onStarted();
    });
  const unavailable = new Set(engines.filter((engine) => !engine.available).map((engine) => engine.engine));
  const labeled = open.statistics.value?.byStatus.labeled;
  const without = withoutLabels(engines);
  const offered = without && labeled !== undefined && labeled < FEW_LABELS && engine.value !== without.engine;
  const nothingChosen = categories.length > 0 && left.value.size >= categories.length;
  return (
    <section class="card stack" aria-labelledby="new-job">
      <h2 id="new-job">New job</h2>
      {offered && (
        <p class="notice">
          The embedded engine needs labels to learn from. {engineName(without.engine)}{" "}
          {howWithoutLabels(without.engine)}{" "}
          <button type="button" class="small" onClick={() => (engine.value = without.engine)}>
            Use {engineName(without.engine)}
          </button>
        </p>
      )}
      <div class="form-grid">
        <Field label="Engine">
          <select value={engine.value} onChange={(event) => (engine.value = event.currentTarget.value)}>
            {ENGINES.map(([value, name]) => (
              <option key={value} value={value} disabled={unavailable.has(value)}>
                {unavailable.has(value) ? `${name}: not available` : name}
              </option>
            ))}
          </select>
        </Field>
        <Field label="Model">
          <select value={model.value} onChange={(event) => (model.value = event.currentTarget.value)}>
            <option value="">Newest, or fitted to current labels</option>
            <Options values={models.value.map(({ label }) => label)} />
          </select>
        </Field>
        <Field label="Documents">
          <select
            value={which.value}
            onChange={(event) => (which.value = event.currentTarget.value as "unlabeled")}
          >
            <option value="unlabeled">All unlabeled documents</option>
            <option value="all">All documents</option>
            <option value="prefix">Documents whose name begins with…</option>
          </select>
        </Field>
        {which.value === "prefix" && (
          <Field label="Name begins with">
            <TextInput signal={prefix} />
          </Field>
        )}
      </div>
      {categories.length > 0 && (
        <CategoryChoice categories={categories} left={left.value} onChange={(next) => (left.value = next)} />
      )}
      {estimate.value && (
        <p class="notice" role="status">
          {estimate.value}
        </p>
      )}
      <ErrorNotice message={error.value} />
      <div class="actions start">
        <button type="button" disabled={busy.value || nothingChosen} onClick={ask}>
          Estimate
        </button>
        <button
          type="button"
          class="primary"
          disabled={busy.value || nothingChosen || open.lock.value !== null}
          onClick={begin}
        >
          {busy.value ? "Working…" : "Start job"}
        </button>
        {open.lock.value && <span class="hint">Jobs cannot start while labeling is locked.</span>}
      </div>
    </section>
  );
}

function CategoryChoice({
  categories,
  left,
  onChange,
}: {
  categories: string[];
  left: ReadonlySet<string>;
  onChange: (left: ReadonlySet<string>) => void;
}) {
  const toggle = (category: string, on: boolean): void => {
    const next = new Set(left);
    if (on) next.delete(category);
    else next.add(category);
    onChange(next);
  };
  return (
    <fieldset class="choice">
      <legend class="field-label">Categories</legend>
      <div class="options">
        {categories.map((category) => (
          <label key={category} class="check">
            <input
              type="checkbox"
              checked={!left.has(category)}
              onChange={(event) => toggle(category, event.currentTarget.checked)}
            />{" "}
            <bdi>{visible(category)}</bdi>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

/** The ids of the documents that a job should name. */
async function named(project: string, prefix: string): Promise<string[]> {
  const ids: string[] = [];
  let token: string | undefined;
  do {
    const page = await listDocuments(project, {
      top: 1_000,
      ...(prefix ? { locationPrefix: prefix } : {}),
      ...(token ? { continuationToken: token } : {}),
    });
    ids.push(...page.value.filter((d) => d.status !== "rejected").map((d) => d.id));
    token = page.continuationToken;
    if (ids.length > MOST_NAMED)
      throw new Error(`A job can list at most ${count(MOST_NAMED)} documents. Narrow the selection.`);
  } while (token);
  return ids;
}

function describe({ documents, textRecords, tokens, cost, unavailable }: Estimate): string {
  if (unavailable !== undefined) return `This job would fail now: ${unavailable}`;
  const parts = [plural(documents, "document"), plural(textRecords, "text record")];
  if (tokens !== undefined) parts.push(`about ${plural(tokens, "token")}`);
  const price = cost == null ? "" : ` It would cost about ${money(cost)}.`;
  return `This job would read ${parts.join(", ")}.${price}`;
}
