import { percent, plural, splitLocation, count as written } from "../domain/format";
import { derive } from "../domain/draft";
import { queryFrom, type Filters } from "../state/filters";
import type { Row } from "../state/list";
import type { Review } from "../state/review";
import { href, type Tab } from "../router";
import { Icon } from "../ui/icon";
import { VirtualList } from "../ui/virtual-list";

const ROW = 58;

interface Props {
  review: Review;
  filters: Filters;
  tab: Tab;
  onOpen: () => void;
}

export function DocumentListView({ review, filters, tab, onOpen }: Props) {
  const list = review.list.value;
  if (!list) return null;
  const rows = list.rows.value;
  const done = list.done.value;
  const expected = done
    ? rows.length
    : Math.max(rows.length + (list.error.value ? 0 : 3), expectedCount(review, filters));
  if (list.error.value) {
    return (
      <div class="notice bad" role="alert">
        <p>{list.error.value}</p>
        <button type="button" onClick={() => void list.retry()}>
          Try again
        </button>
      </div>
    );
  }
  if (done && !rows.length) return <Nothing review={review} filters={filters} />;
  return (
    <>
      <p class="list-count hint">
        {done ? plural(rows.length, "document") : `about ${written(expected)} documents`}
      </p>
      <VirtualList
        count={expected}
        rowHeight={ROW}
        index={review.index.value}
        label="Documents"
        onReach={(last) => void list.ensure(last)}
        renderRow={(index) => {
          const row = rows[index];
          if (!row) return <span class="row-skeleton" />;
          return (
            <DocumentRow
              review={review}
              row={row}
              index={index}
              filters={filters}
              tab={tab}
              onOpen={onOpen}
            />
          );
        }}
      />
    </>
  );
}

/** The whole length of the list, where the project's counts tell it. */
function expectedCount(review: Review, filters: Filters): number {
  const numbers = review.open.statistics.value;
  const { category, jobId, dataset, prefix, min, max } = filters;
  if (!numbers || category || jobId || dataset || prefix || min > 0 || max < 1) return 0;
  return filters.status === "all" ? numbers.total : (numbers.byStatus[filters.status as "labeled"] ?? 0);
}

function DocumentRow({
  review,
  row,
  index,
  filters,
  tab,
  onOpen,
}: {
  review: Review;
  row: Row;
  index: number;
  filters: Filters;
  tab: Tab;
  onOpen: () => void;
}) {
  const { folder, name } = splitLocation(row.location);
  const current = review.current.value?.document.id === row.id;
  const draft = review.drafts.all.value.get(row.id);
  const decided = draft ? derive(draft.base, draft.steps, review.kind).verdicts.size : 0;
  const conflict = review.saving.conflicts.value.has(row.id);
  return (
    <a
      class="row"
      href={href(review.open.name, tab, { ...queryFrom(filters, tab === "review"), doc: row.id })}
      aria-current={current ? "true" : undefined}
      onClick={(event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        void review.openRow(index);
        onOpen();
      }}
    >
      <span class="row-name">
        {folder && <bdi class="row-folder">{folder}</bdi>}
        <bdi>{name}</bdi>
      </span>
      <span class="row-meta">
        <span class={`dot ${row.status}`} aria-hidden="true" />
        {describe(row)}
        {draft && (
          <span class="row-draft">{conflict ? "conflict" : decided ? `${decided} decided` : "changed"}</span>
        )}
      </span>
    </a>
  );
}

function describe(row: Row): string {
  if (row.status === "rejected") return "rejected file";
  if (row.suggestions)
    return `${plural(row.suggestions, "suggestion")}${row.confidence === null ? "" : `, ${percent(row.confidence)}`}`;
  if (row.status === "labeled") return row.labels ? plural(row.labels, "label") : "labeled with nothing";
  return "unlabeled";
}

function Nothing({ review, filters }: { review: Review; filters: Filters }) {
  const name = review.open.name;
  if (filters.status === "autoLabeled") {
    return (
      <div class="empty small">
        <Icon name="check" size={28} />
        <p>
          <strong>
            Nothing waits for review
            {filters.category || filters.jobId || filters.prefix ? " with these filters" : ""}.
          </strong>
        </p>
        <p>
          <a href={href(name, "autolabel")}>Get suggestions</a> from an engine, or{" "}
          <a href={href(name, "label")}>choose labels yourself</a>.
        </p>
      </div>
    );
  }
  return (
    <div class="empty small">
      <p>
        <strong>No document is shown by these filters.</strong>
      </p>
      <p>Widen the filters, or upload .txt files to the project’s container.</p>
    </div>
  );
}
