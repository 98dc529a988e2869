import type { Kind } from "../api/types";
import { count, percent, plural, splitLocation } from "../domain/format";
import { derivedOf, isIdle, pending, type Draft } from "../domain/draft";
import { isEntities } from "../domain/labels";
import { narrowing, queryFrom, type Filters } from "../state/filters";
import { categoriesOf, namesOf, uncertainty, type DocumentList, type Row } from "../state/list";
import type { Review } from "../state/review";
import { href, type Tab } from "../router";
import { CategoryName } from "../ui/category";
import { Icon } from "../ui/icon";
import { Failure } from "../ui/parts";
import { VirtualList } from "../ui/virtual-list";

const ROW = 78;

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
  const counted = list.count.value;
  const complete = done || list.paused.value;
  const query = queryFrom(filters, tab === "review");
  const expected = complete ? rows.length : Math.max(rows.length + (list.error.value ? 0 : 3), counted ?? 0);
  const failure = list.error.value && (
    <Failure message={list.error.value} onRetry={() => void list.retry()} />
  );
  if (failure && !rows.length) return failure;
  if (done && !rows.length) {
    return (
      <>
        {filters.search && <SearchState review={review} list={list} />}
        <Nothing review={review} filters={filters} />
      </>
    );
  }
  return (
    <>
      {filters.search && <SearchState review={review} list={list} />}
      {failure}
      {counted !== null && !filters.second && <p class="list-count hint">{plural(counted, "document")}</p>}
      <VirtualList
        count={expected}
        rowHeight={ROW}
        index={review.index.value}
        label="Documents"
        open={!done}
        onReach={(last) => void list.ensure(last)}
        renderRow={(index) => {
          const row = rows[index];
          if (!row) return <span class="row-skeleton" />;
          return (
            <DocumentRow
              review={review}
              row={row}
              index={index}
              current={review.current.value?.document.id === row.id}
              draft={review.drafts.all.value.get(row.id)}
              conflict={review.saving.conflicts.value.has(row.id)}
              href={href(review.open.name, tab, { ...query, doc: row.id })}
              inSample={!!filters.second}
              onOpen={onOpen}
            />
          );
        }}
      />
    </>
  );
}

/** How much was searched, and what to do when a search waits. */
function SearchState({ review, list }: { review: Review; list: DocumentList }) {
  const state = list.searched.value;
  if (!state) return <p class="list-count hint">Searching…</p>;
  const { searched, total, unread } = state;
  const on = async (): Promise<void> => {
    await list.searchOn();
    if (!review.current.value && list.rows.value.length) await review.openRow(0);
  };
  return (
    <div class="list-count">
      <p class="hint" role="status">
        {count(list.rows.value.length)} found. Searched {count(searched)} of {plural(total, "document")}
        {unread > 0 ? `, ${count(unread)} without a readable text` : ""}.
      </p>
      {list.paused.value && (
        <button type="button" class="small" onClick={() => void on()}>
          Continue searching
        </button>
      )}
    </div>
  );
}

interface RowProps {
  review: Review;
  row: Row;
  index: number;
  current: boolean;
  draft: Draft | undefined;
  conflict: boolean;
  href: string;
  inSample: boolean;
  onOpen: () => void;
}

/** Rendered again only when one of its properties is another: the page has 20 rows, and a step changes two. */
function DocumentRow({ review, row, index, current, draft, conflict, href, inSample, onOpen }: RowProps) {
  const { folder, name } = splitLocation(row.location);
  const hues = review.open.hues.value;
  const shown = draft ? afterDraft(row, draft, review.kind) : row;
  return (
    <a
      class="row"
      href={href}
      aria-current={current ? "true" : undefined}
      onClick={(event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        void review.openRow(index);
        onOpen();
      }}
    >
      <span class="row-head">
        <span class="row-name">
          <bdi>
            {folder && <span class="row-folder">{folder}</span>}
            {name}
          </bdi>
        </span>
        {draft && (conflict || !isIdle(draft, review.kind)) && (
          <span class="row-draft">{conflict ? "conflict" : "not saved"}</span>
        )}
      </span>
      {(shown.match || shown.words) && (
        <span class="row-text">
          <bdi>{shown.match ? <Matched parts={shown.match} /> : shown.words}</bdi>
        </span>
      )}
      <span class="row-meta">
        <span class={`dot ${shown.status}`} aria-hidden="true" />
        {shown.categories.map((category) => (
          <CategoryName key={category} name={category} hue={hues.get(category)} />
        ))}
        <span class="row-words">{inSample ? describeSample(shown) : describe(shown, review.kind)}</span>
        {shown.flagged && <Mark name="flag" title="flagged" />}
        {shown.note && <Mark name="note" title="with a note" />}
      </span>
    </a>
  );
}

function Matched({ parts: [before, match, after] }: { parts: readonly [string, string, string] }) {
  return (
    <>
      {before}
      <mark class="found">{match}</mark>
      {after}
    </>
  );
}

function Mark({ name, title }: { name: "flag" | "note"; title: string }) {
  return (
    <span class={`row-mark ${name}`} title={title}>
      <Icon name={name} size={14} />
      <span class="sr-only">{title}</span>
    </span>
  );
}

/** The row as it will be once the draft is saved. */
function afterDraft(row: Row, draft: Draft, kind: Kind): Row {
  const derived = derivedOf(draft, kind);
  const waiting = pending(draft.base, derived, kind);
  const labels = categoriesOf(derived.labels);
  return {
    ...row,
    status: waiting.length ? "autoLabeled" : derived.labels ? "labeled" : "unlabeled",
    suggestions: waiting.length,
    confidence: uncertainty(waiting, kind),
    labels: labels.length,
    categories: namesOf(waiting.length ? waiting.map((s) => s.category) : labels),
    flagged: derived.flagged,
    note: !!derived.note,
  };
}

/** Of a document of a sample, the list knows whether it is labeled, not with what. */
const describeSample = (row: Row): string => (row.status === "labeled" ? "labeled" : "to label");

/** What the categories before it do not say. */
function describe(row: Row, kind: Kind): string {
  if (row.status === "rejected") return "unreadable file";
  if (row.suggestions) {
    const share = row.confidence === null ? "" : percent(row.confidence);
    if (row.suggestions === 1) return share;
    return `${isEntities(kind) ? "lowest" : "highest"} of ${count(row.suggestions)}: ${share}`;
  }
  if (row.status !== "labeled") return "unlabeled";
  return row.labels === 0 ? "no label applies" : row.labels === 1 ? "" : plural(row.labels, "label");
}

function Nothing({ review, filters }: { review: Review; filters: Filters }) {
  const name = review.open.name;
  const statistics = review.open.statistics.value;
  if (!statistics) return null; // whether the project has documents at all is not known yet
  const empty = statistics.total === 0;
  if (filters.status === "autoLabeled" && !empty) {
    return (
      <div class="empty small">
        <Icon name="check" size={28} />
        <p>
          <strong>
            Nothing to review{narrowing(filters) || filters.search ? " with these filters" : ""}.
          </strong>
        </p>
        <p>
          <a href={href(name, "autolabel")}>Get suggestions</a> from an engine, or{" "}
          <a href={href(name, "label")}>label by hand</a>.
        </p>
      </div>
    );
  }
  return (
    <div class="empty small">
      <p>
        <strong>{empty ? "The project has no documents yet." : "No documents match these filters."}</strong>
      </p>
      <p>
        {empty ? "" : "Widen the filters, or "}
        {empty ? "Upload" : "upload"} .txt files to the container{" "}
        <bdi>{review.open.project.value?.storageInputContainerName}</bdi>.
      </p>
    </div>
  );
}
