import { useCallback, useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { may } from "../auth/session";
import { count, plural } from "../domain/format";
import { isEntities } from "../domain/labels";
import { href, isAskedFor, isShown, replace, type Tab } from "../router";
import { filtersFrom, narrowing, queryFrom, type Filters } from "../state/filters";
import { keyCap, readLayout } from "../state/keyboard";
import type { OpenProject } from "../state/project";
import { Review } from "../state/review";
import { ProjectSource, SecondReviewSource, type Source } from "../state/source";
import { Icon } from "../ui/icon";
import { Empty, Failure, Loading, Progress } from "../ui/parts";
import { BulkDialog } from "./bulk";
import { CategoryMenu } from "./category-menu";
import { CategoryPicker } from "./category-picker";
import { ClassStrip } from "./class-strip";
import { ConflictDialog } from "./conflict";
import { DocumentNotices } from "./document-facts";
import { DocumentListView } from "./document-list";
import { DocumentText } from "./document-text";
import { FilterBar } from "./filter-bar";
import { BULK, EVERYWHERE, moreOf } from "./commands";
import { FoundNotice } from "./found";
import { Help } from "./help";
import { GuidelinesButton, GuidelinesPane } from "./guidelines";
import { listenToKeys } from "./keys";
import { MarkTools, NoteDialog, NoteNotice } from "./marks";
import { NumberKeys } from "./number-keys";
import { Panel } from "./panel";
import { Toolbar } from "./toolbar";

interface Props {
  open: OpenProject;
  tab: Tab;
  query: URLSearchParams;
}

export function ReviewView({ open, tab, query }: Props) {
  const inReview = tab === "review";
  const { second } = filtersFrom(query, inReview);
  const review = useMemo(() => new Review(open, sourceOf(open, second), !inReview), [open, second]);
  const { dialogs, listOpen } = review;
  const shown = dialogs.shown.value;
  const selected = review.labeling.pointed();
  const close = (): void => dialogs.close();
  const closeList = useCallback(() => void (listOpen.value = false), [review]);

  // The address holds filters and document: what it says is shown, however it was changed.
  const filters = filtersFrom(query, inReview);
  const filterKey = JSON.stringify(filters);
  const wanted = query.get("doc");
  const filtered = useRef("");
  const filter = (next: Filters): void =>
    void (window.location.hash = href(open.name, tab, queryFrom(next, inReview)));
  useEffect(() => {
    if (filtered.current !== filterKey) void review.filter(filters, wanted);
    else if (wanted && isAskedFor()) void review.goTo(wanted);
    filtered.current = filterKey;
  }, [review, filterKey, wanted]);

  useEffect(() => {
    void open.refreshStatistics();
    void readLayout();
    const silent = listenToKeys(review);
    return () => {
      silent();
      review.close();
    };
  }, [review]);

  // With the document itself, not after the paint: a reload must find it again. An address that was changed
  // since is left as it is, for its own filters and document are about to be shown.
  const id = review.current.value?.document.id;
  useLayoutEffect(() => {
    if (id && isShown()) replace(href(open.name, tab, { ...queryFrom(filters, inReview), doc: id }));
  }, [id]);

  return (
    <main class={`desk${review.choices.percentages.value ? "" : " no-shares"}`}>
      <h1 class="sr-only">{second ? "Second review" : inReview ? "Review" : "Label by hand"}</h1>
      <Toolbar review={review} onHelp={() => dialogs.open("help")} />
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
          {second ? (
            <SampleProgress review={review} />
          ) : (
            <FilterBar review={review} filters={filters} onChange={filter} />
          )}
          {inReview && !second && may("Labels.Review") && (
            <button
              type="button"
              class="bulk-open"
              aria-keyshortcuts={BULK.key}
              disabled={!BULK.enabled(review)}
              onClick={() => BULK.run(review)}
            >
              {BULK.name} <kbd aria-hidden="true">{keyCap(BULK.key)}</kbd>
            </button>
          )}
          <DocumentListView review={review} filters={filters} tab={tab} onOpen={closeList} />
        </div>
      </section>
      <Sheet review={review} tab={tab} filters={filters} />
      {shown === "help" && <Help review={review} onClose={close} />}
      {shown === "bulk" && <BulkDialog review={review} filters={filters} onClose={close} />}
      {shown === "everywhere" && selected && (
        <BulkDialog review={review} filters={filters} entity={selected} onClose={close} />
      )}
      {shown === "picker" && <CategoryPicker review={review} onClose={close} />}
      {shown === "numbers" && <NumberKeys review={review} onClose={close} />}
      <NoteDialog review={review} />
      <ConflictDialog review={review} />
    </main>
  );
}

const sourceOf = (open: OpenProject, second: string): Source =>
  second ? new SecondReviewSource(open.name, open.kind.value, second) : new ProjectSource(open.name);

/** How much of its sample a second person has labeled. */
function SampleProgress({ review }: { review: Review }) {
  const rows = review.list.value?.rows.value ?? [];
  const labeled = rows.filter((row) => row.status === "labeled").length;
  const refusal = review.readOnly.value;
  return (
    <div class="sample stack">
      <p>
        <strong>Second review.</strong> Label independently. Other people’s labels are hidden.
      </p>
      {rows.length > 0 && <Progress value={labeled / rows.length} label="Labeled documents of the sample" />}
      <p class="hint" role="status">
        {rows.length > 0 && labeled === rows.length
          ? "All are labeled. You can change your labels until the disagreement is resolved."
          : `${count(labeled)} of ${plural(rows.length, "document")} labeled.`}
      </p>
      {refusal && <p class="notice">{refusal}</p>}
    </div>
  );
}

interface SheetProps {
  review: Review;
  tab: Tab;
  filters: Filters;
}

/** The current document, or what to do when there is none. */
function Sheet({ review, tab, filters }: SheetProps) {
  const loaded = review.current.value;
  const list = review.list.value;
  if (!loaded) {
    return (
      <div class="sheet">
        <Unread review={review} />
        {review.reads.value && <Loading what="the documents" />}
        {list?.done.value && !list.rows.value.length && (
          <NoDocument review={review} tab={tab} filters={filters} />
        )}
      </div>
    );
  }
  const { percentages } = review.choices;
  const { blind } = review.source;
  return (
    <>
      <div class="sheet">
        <Unread review={review} />
        <ConflictNotice review={review} />
        <header class="sheet-head">
          <h2>
            <bdi>{loaded.document.location}</bdi>
          </h2>
          {blind ? (
            <div class="mark-tools">
              <GuidelinesButton review={review} />
            </div>
          ) : (
            <MarkTools review={review} />
          )}
          <div class="sheet-moves">
            {moreOf(review).map((command) => (
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
                <kbd aria-hidden="true">{keyCap(command.key)}</kbd>
              </button>
            ))}
            {!blind && (
              <button
                type="button"
                class="quiet small"
                aria-label="Show percentages"
                aria-pressed={percentages.value}
                title={percentages.value ? "Hide percentages" : "Show percentages"}
                onClick={() => review.choices.showPercentages(!percentages.value)}
              >
                %
              </button>
            )}
          </div>
          {review.labeling.pointed() && may("Labels.Review") && (
            <button
              type="button"
              class="quiet small everywhere"
              aria-keyshortcuts={EVERYWHERE.key}
              title={EVERYWHERE.help}
              disabled={!EVERYWHERE.enabled(review)}
              onClick={() => EVERYWHERE.run(review)}
            >
              {EVERYWHERE.name} <kbd aria-hidden="true">{keyCap(EVERYWHERE.key)}</kbd>
            </button>
          )}
          {review.drafts.unstored.value && (
            <span class="hint bad-text">
              This browser cannot store drafts. Save before you close the page.
            </span>
          )}
        </header>
        {!isEntities(review.kind) && <ClassStrip review={review} />}
        <GuidelinesPane review={review} />
        <NoteNotice review={review} />
        <DocumentNotices review={review} />
        <FoundNotice review={review} />
        {loaded.text && (
          <div class="text-pane" tabIndex={0} role="region" aria-label="Document text">
            <DocumentText key={loaded.document.id} review={review} />
          </div>
        )}
        {isEntities(review.kind) && (
          <CategoryMenu review={review} onMore={() => review.dialogs.open("picker")} />
        )}
      </div>
      <Panel
        review={review}
        onMore={() => review.dialogs.open("picker")}
        onNumbers={() => review.dialogs.open("numbers")}
      />
    </>
  );
}

/** Why the document that was asked for is not shown. */
function Unread({ review: { opening } }: { review: Review }) {
  const message = opening.failure.value;
  return message && <Failure message={message} onRetry={() => opening.again()} />;
}

function NoDocument({ review, tab, filters }: SheetProps) {
  const name = review.open.name;
  // Whether the project has documents at all is known with its counts.
  if (!review.open.statistics.value) return <Loading what="the documents" />;
  if (review.open.statistics.value.total === 0) {
    return (
      <Empty title="No documents yet">
        <p>
          Upload .txt files to the container <bdi>{review.open.project.value?.storageInputContainerName}</bdi>
          , then <a href={href(name, "overview")}>rescan it</a>.
        </p>
      </Empty>
    );
  }
  const whole = !narrowing(filters) && !filters.search;
  const reviewed = tab === "review" && filters.status === "autoLabeled" && whole;
  return (
    <Empty title={reviewed ? "All reviewed" : "No documents here"}>
      <p>
        {reviewed
          ? "No suggestion is left to decide. Train a model with the new labels, or start another job."
          : "Change the filters to see other documents."}
      </p>
      <p class="actions start">
        <a class="button" href={href(name, "autolabel")}>
          Get more suggestions
        </a>
        <a class="button" href={href(name, "training")}>
          Train a model
        </a>
      </p>
    </Empty>
  );
}

function ConflictNotice({ review }: { review: Review }) {
  const count = review.saving.conflicts.value.size;
  if (!count) return null;
  return (
    <div class="notice" role="alert">
      <p>
        {count === 1 ? "One document was" : `${count} documents were`} changed by someone else while you
        worked on
        {count === 1 ? " it" : " them"}. Your version is kept.
      </p>
      <button type="button" onClick={() => (review.saving.showConflicts.value = true)}>
        Compare versions
      </button>
    </div>
  );
}
