import { useSignal } from "@preact/signals";
import { assign, listAssignments, type Assignment } from "../api/team";
import { may, person } from "../auth/session";
import { count, plural } from "../domain/format";
import { href } from "../router";
import type { OpenProject } from "../state/project";
import { toast } from "../state/toasts";
import { CategorySelect } from "../ui/category";
import { Failure, Field, Loading, Options, TextInput } from "../ui/parts";
import { numbers, Table } from "../ui/table";
import { useAction } from "../ui/use-action";
import { usePoll } from "../ui/use-poll";

const POLL_MS = 15_000;

/** Who is to review which documents. */
export function Assignments({ open }: { open: OpenProject }) {
  const found = usePoll(
    () => listAssignments(open.name),
    () => POLL_MS,
    open.name,
  );
  const list = found.data.value;
  return (
    <section class="card stack" aria-labelledby="assignments">
      <h2 id="assignments">Assignments</h2>
      <p class="hint">
        An assignment is advice, not a lock: everyone may still review every document, and what two people
        change at the same time is never overwritten.
      </p>
      {found.error.value && <Failure message={found.error.value} onRetry={found.again} />}
      {!list && !found.error.value && <Loading what="the assignments" />}
      {list?.length === 0 && <p class="hint">The project has no documents yet.</p>}
      {!!list?.length && <People project={open.name} list={list} />}
      {may("Projects.Write") && !!list?.length && <AssignForm open={open} list={list} onDone={found.again} />}
    </section>
  );
}

function People({ project, list }: { project: string; list: readonly Assignment[] }) {
  return (
    <Table
      label="Assignments by person"
      columns={[
        { name: "Person", class: "name" },
        ...numbers("Documents", "Suggested", "Unlabeled", "Labeled"),
        { name: "List" },
      ]}
      rows={list.map((assignment) => ({
        key: assignment.assignee ?? "@none",
        cells: [
          <>
            {assignment.assignee === null ? "Nobody" : <bdi>{assignment.assignee}</bdi>}
            {assignment.assignee !== null && assignment.assignee === person.value?.name && " (you)"}
          </>,
          ...[assignment.documents, assignment.autoLabeled, assignment.unlabeled, assignment.labeled].map(
            count,
          ),
          <a
            href={href(project, "review", { assigned: assignment.assignee ?? "@none" })}
            aria-label={`Review documents assigned to ${assignment.assignee ?? "nobody"}`}
          >
            Review
          </a>,
        ],
      }))}
    />
  );
}

interface FormProps {
  open: OpenProject;
  list: readonly Assignment[];
  onDone: () => void;
}

function AssignForm({ open, list, onDone }: FormProps) {
  const names = list.flatMap((assignment) => assignment.assignee ?? []);
  const number = useSignal(100);
  const from = useSignal("@none");
  const to = useSignal("");
  const status = useSignal("autoLabeled");
  const category = useSignal("");
  const prefix = useSignal("");
  const { busy, error, run } = useAction();
  const start = (event: Event): void => {
    event.preventDefault();
    const name = to.value.trim();
    void run(async () => {
      const done = await assign(open.name, name || "@none", number.value, {
        assignedTo: from.value,
        ...(status.value ? { status: status.value } : {}),
        ...(category.value ? { category: category.value } : {}),
        ...(prefix.value ? { locationPrefix: prefix.value } : {}),
      });
      toast(`Assigned ${plural(done, "document")} to ${name || "nobody"}.`, "good");
      onDone();
    });
  };
  return (
    <form class="stack" onSubmit={start} aria-labelledby="assign">
      <h3 id="assign">Assign documents</h3>
      <div class="form-grid">
        <Field label="How many">
          <input
            type="number"
            min={1}
            required
            value={number.value}
            onInput={(e) => (number.value = Math.max(1, Number(e.currentTarget.value) || 1))}
          />
        </Field>
        <Field label="Status">
          <select value={status.value} onChange={(e) => (status.value = e.currentTarget.value)}>
            <option value="autoLabeled">Suggested</option>
            <option value="unlabeled">Unlabeled</option>
            <option value="labeled">Labeled</option>
            <option value="">All</option>
          </select>
        </Field>
        <Field label="Currently assigned to">
          <select value={from.value} onChange={(e) => (from.value = e.currentTarget.value)}>
            <option value="@none">Nobody</option>
            <Options values={names} />
          </select>
        </Field>
        <Field label="Category">
          <CategorySelect
            any="Any"
            categories={open.categories.value.map((c) => c.category)}
            value={category.value}
            onChange={(next) => (category.value = next)}
          />
        </Field>
        <Field label="Name begins with">
          <TextInput signal={prefix} />
        </Field>
        <Field label="To" hint="The name that the person signs in with. Leave empty to unassign.">
          <TextInput list="people" signal={to} />
        </Field>
      </div>
      <datalist id="people">
        {[...new Set([...names, person.value?.name ?? ""])].filter(Boolean).map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      {error.value && <Failure message={error.value} />}
      <div class="actions start">
        <button type="submit" disabled={busy.value || from.value === (to.value.trim() || "@none")}>
          {busy.value ? "Assigning…" : "Assign"}
        </button>
      </div>
    </form>
  );
}
