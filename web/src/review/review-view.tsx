import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo } from "preact/hooks";
import { may } from "../auth/session";
import { isEntities } from "../domain/labels";
import { href, replace, type Tab } from "../router";
import { filtersFrom, queryFrom, type Filters } from "../state/filters";
import type { OpenProject } from "../state/project";
import { Review } from "../state/review";
import { Icon } from "../ui/icon";
import { Empty, Failure, Loading } from "../ui/parts";
import { BulkDialog } from "./bulk";
import { CategoryMenu } from "./category-menu";
import { ClassStrip } from "./class-strip";
import { ConflictDialog } from "./conflict";
import { DocumentNotices } from "./document-facts";
import { DocumentListView } from "./document-list";
import { DocumentText } from "./document-text";
import { FilterBar } from "./filter-bar";
import { MORE } from "./commands";
import { Help } from "./help";
import { listenToKeys } from "./keys";
import { Panel } from "./panel";
import { Toolbar } from "./toolbar";

interface Props {
  open: OpenProject;
  tab: Tab;
  query: URLSearchParams;
}

export function ReviewView({ open, tab, query }: Props) {
  const review = useMemo(() => new Review(open), [open]);
  const inReview = tab === "review";
  const filters = useSignal(filtersFrom(query, inReview));
  const help = useSignal(false);
  const bulk = useSignal(false);
  const listOpen = useSignal(false);

  const show = (next: Filters, id: string | null = null): void => {
    filters.value = next;
    void review.filter(next, id);
  };

  useEffect(() => {
    show(filters.value, query.get("doc"));
    void open.refreshStatistics();
    const silent = listenToKeys(review, () => (help.value = true));
    return () => {
      silent();
      review.close();
    };
  }, [review]);

  // With the document itself, not after the paint: whoever reloads now must find it again.
  const id = review.current.value?.document.id;
  useLayoutEffect(() => {
    if (review.list.value) replace(href(open.name, tab, { ...queryFrom(filters.value, inReview), doc: id }));
  }, [id, filters.value]);

  return (
    <main class="desk">
      <h1 class="sr-only">{inReview ? "Review" : "Label by hand"}</h1>
      <Toolbar review={review} onHelp={() => (help.value = true)} />
      <section class={`list-pane${listOpen.value ? " open" : ""}`} aria-label="Documents of the project">
        <button
          type="button"
          class="list-toggle"
          aria-expanded={listOpen.value}
          onClick={() => (listOpen.value = !listOpen.value)}
        >
          <Icon name="list" /> Documents
        </button>
        <div class="list-body">
          <FilterBar review={review} filters={filters.value} onChange={(next) => show(next)} />
          {inReview && may("Labels.Review") && (
            <button
              type="button"
              class="bulk-open"
              disabled={review.locked.value}
              onClick={() => (bulk.value = true)}
            >
              Bulk accept or reject…
            </button>
          )}
          <DocumentListView
            review={review}
            filters={filters.value}
            tab={tab}
            onOpen={() => (listOpen.value = false)}
          />
        </div>
      </section>
      <Sheet review={review} tab={tab} />
      {help.value && <Help review={review} onClose={() => (help.value = false)} />}
      {bulk.value && <BulkDialog review={review} onClose={() => (bulk.value = false)} />}
      <ConflictDialog review={review} />
    </main>
  );
}

/** The document in hand, or what to do when there is none. */
function Sheet({ review, tab }: { review: Review; tab: Tab }) {
  const loaded = review.current.value;
  const list = review.list.value;
  if (!loaded) {
    return (
      <div class="sheet">
        {review.failure.value && <Failure message={review.failure.value} />}
        {(list?.loading.value || review.opening.value) && <Loading what="the documents" />}
        {list?.done.value && !list.rows.value.length && (
          <Empty title={tab === "review" ? "All reviewed" : "No documents here"}>
            <p>
              {tab === "review"
                ? "Nothing waits for a decision. Train a model with the new labels, or let another job suggest more."
                : "Change the filters to see other documents."}
            </p>
            <p class="actions start">
              <a class="button" href={href(review.open.name, "autolabel")}>
                Get more suggestions
              </a>
              <a class="button" href={href(review.open.name, "training")}>
                Train a model
              </a>
            </p>
          </Empty>
        )}
      </div>
    );
  }
  return (
    <>
      <div class="sheet">
        <ConflictNotice review={review} />
        <header class="sheet-head">
          <h2>
            <bdi>{loaded.document.location}</bdi>
          </h2>
          <div class="sheet-moves">
            {MORE.map((command) => (
              <button
                key={command.id}
                type="button"
                class="quiet small"
                aria-label={command.name}
                aria-keyshortcuts={command.key}
                title={`${command.name} (${command.key})`}
                onClick={() => command.run(review)}
              >
                <Icon name={command.icon} size={15} />
                <kbd aria-hidden="true">{command.key}</kbd>
              </button>
            ))}
          </div>
          {review.drafts.unstored.value && (
            <span class="hint bad">This browser stores nothing: save before you close the page.</span>
          )}
        </header>
        {!isEntities(review.kind) && <ClassStrip review={review} />}
        <DocumentNotices review={review} />
        <div class="text-pane" tabIndex={0} role="region" aria-label="Document text">
          <DocumentText key={loaded.document.id} review={review} />
        </div>
        {isEntities(review.kind) && <CategoryMenu review={review} />}
      </div>
      <Panel review={review} />
    </>
  );
}

function ConflictNotice({ review }: { review: Review }) {
  const count = review.saving.conflicts.value.size;
  if (!count) return null;
  return (
    <div class="notice" role="alert">
      <p>
        {count === 1 ? "One document was" : `${count} documents were`} changed by somebody else while you
        worked on
        {count === 1 ? " it" : " them"}. Your version is kept.
      </p>
      <button type="button" onClick={() => (review.saving.showConflicts.value = true)}>
        Compare versions
      </button>
    </div>
  );
}
