import { useSignal } from "@preact/signals";
import { listAutolabelJobs } from "../api/client";
import { listAssignments } from "../api/team";
import type { AutolabelResult, Job } from "../api/types";
import { moment } from "../domain/format";
import { FLAGGED, narrowing, type Filters } from "../state/filters";
import type { Review } from "../state/review";
import { Icon } from "../ui/icon";
import { CategorySelect } from "../ui/category";
import { Field, Options } from "../ui/parts";

interface Props {
  review: Review;
  filters: Filters;
  onChange: (filters: Filters) => void;
}

const STATUSES = [
  ["autoLabeled", "Suggested"],
  ["all", "All"],
  ["unlabeled", "Unlabeled"],
  ["labeled", "Labeled"],
  ["rejected", "Unreadable files"],
  [FLAGGED, "Flagged"],
] as const;

export function FilterBar({ review, filters, onChange }: Props) {
  const jobs = useSignal<Job<AutolabelResult>[]>([]);
  const people = useSignal<string[]>([]);
  const set = (part: Partial<Filters>): void => onChange({ ...filters, ...part });
  const active = narrowing(filters);
  const expanded = useSignal(active > 0);
  return (
    <div class="filters">
      <div class="filter-search">
        <Field label="Search the texts">
          <input
            type="search"
            autocomplete="off"
            dir="auto"
            maxLength={200}
            value={filters.search}
            onChange={(event) => set({ search: event.currentTarget.value.trim() })}
          />
        </Field>
      </div>
      {filters.model && (
        <p class="notice cell-filter">
          <span>
            Test documents of the model <bdi class="strong">{filters.model}</bdi>: labeled{" "}
            <bdi class="strong">{filters.expected || "anything"}</bdi>, predicted{" "}
            <bdi class="strong">{filters.predicted || "anything"}</bdi>
          </span>
          <button
            type="button"
            class="quiet small"
            onClick={() => set({ model: "", expected: "", predicted: "" })}
          >
            Show all documents
          </button>
        </p>
      )}
      <div class="filter-main">
        <select
          aria-label="Status"
          value={filters.status}
          onChange={(event) => set({ status: event.currentTarget.value })}
        >
          {STATUSES.map(([value, name]) => (
            <option key={value} value={value}>
              {name}
            </option>
          ))}
        </select>
        <select
          aria-label="Order"
          value={filters.order}
          onChange={(event) => set({ order: event.currentTarget.value as Filters["order"] })}
        >
          <option value="uncertainty">Least certain</option>
          <option value="location">By name</option>
          <option value="id">Unsorted</option>
        </select>
      </div>
      <details
        class="filter-more"
        open={expanded.value}
        onToggle={(event) => {
          expanded.value = event.currentTarget.open;
          if (event.currentTarget.open && !jobs.value.length)
            void listAutolabelJobs(review.open.name).then(
              (found) => (jobs.value = found),
              () => undefined,
            );
          if (event.currentTarget.open && !people.value.length)
            void listAssignments(review.open.name).then(
              (found) => (people.value = found.flatMap((assignment) => assignment.assignee ?? [])),
              () => undefined,
            );
        }}
      >
        <summary>
          <Icon name="filter" size={15} /> Filters{active ? ` (${active})` : ""}
        </summary>
        <div class="filter-grid">
          <Field label="Category">
            <CategorySelect
              any="Any"
              categories={review.open.categories.value.map((c) => c.category)}
              value={filters.category}
              onChange={(category) => set({ category })}
            />
          </Field>
          <Field label="Job">
            <select value={filters.jobId} onChange={(event) => set({ jobId: event.currentTarget.value })}>
              <option value="">Any</option>
              {filters.jobId && !jobs.value.some((j) => j.jobId === filters.jobId) && (
                <option value={filters.jobId}>{filters.jobId}</option>
              )}
              {jobs.value.map((job) => (
                <option key={job.jobId} value={job.jobId}>
                  {moment(job.createdDateTime)} · {job.result?.engine ?? job.status}
                </option>
              ))}
            </select>
          </Field>
          <ConfidenceFields filters={filters} set={set} />
          <Field label="Used for">
            <select value={filters.dataset} onChange={(event) => set({ dataset: event.currentTarget.value })}>
              <option value="">Any</option>
              <option value="Train">Train</option>
              <option value="Test">Test</option>
            </select>
          </Field>
          <Field label="Assigned to">
            <select
              value={filters.assigned}
              onChange={(event) => set({ assigned: event.currentTarget.value })}
            >
              <option value="">Anyone</option>
              <option value="@me">Me</option>
              <option value="@none">Nobody</option>
              <Options
                values={[...new Set([...people.value, filters.assigned])].filter(
                  (name) => name && !name.startsWith("@"),
                )}
              />
            </select>
          </Field>
          <Field label="Name begins with">
            <input
              dir="auto"
              value={filters.prefix}
              onChange={(event) => set({ prefix: event.currentTarget.value })}
            />
          </Field>
          {active > 0 && (
            <button
              type="button"
              class="quiet small"
              onClick={() =>
                set({ category: "", jobId: "", dataset: "", prefix: "", assigned: "", min: 0, max: 1 })
              }
            >
              Clear filters
            </button>
          )}
        </div>
      </details>
    </div>
  );
}

function ConfidenceFields({ filters, set }: { filters: Filters; set: (part: Partial<Filters>) => void }) {
  const share = (text: string, otherwise: number): number => {
    const value = Number(text) / 100;
    return text !== "" && value >= 0 && value <= 1 ? value : otherwise;
  };
  return (
    <fieldset class="field range">
      <legend class="field-label">Confidence, %</legend>
      <input
        type="number"
        min={0}
        max={100}
        aria-label="Lowest confidence in percent"
        value={Math.round(filters.min * 100)}
        onChange={(event) => set({ min: share(event.currentTarget.value, 0) })}
      />
      <span aria-hidden="true">to</span>
      <input
        type="number"
        min={0}
        max={100}
        aria-label="Highest confidence in percent"
        value={Math.round(filters.max * 100)}
        onChange={(event) => set({ max: share(event.currentTarget.value, 1) })}
      />
    </fieldset>
  );
}
