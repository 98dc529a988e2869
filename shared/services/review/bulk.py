"""Bulk decisions and their undo: jobs in batches of pages (rules V3, V4)."""

from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

from shared import telemetry
from shared.domain.batches import batches_of, pages_at_once
from shared.domain.document import Document
from shared.domain.errors import Conflict, InvalidArgument, LabelingLocked, ProjectNotFound
from shared.domain.jobs import (
    Batch,
    BatchResult,
    BulkParameters,
    Job,
    JobError,
    JobKind,
    JobStatus,
    UndoParameters,
    UndoResult,
)
from shared.domain.labels import Suggestion, SuggestionSet
from shared.domain.names import Dataset, ProjectKind, derived_id
from shared.domain.page import (
    Change,
    Edit,
    EngineTally,
    Flag,
    Head,
    HistoryEntry,
    Page,
    decisions_of,
    undone_decisions,
)
from shared.domain.project import Project, unknown_categories
from shared.domain.review import Decision, decide, undo
from shared.domain.text import Offsets, content_hash, utf16_length
from shared.services.jobs.dispatch import run_leased
from shared.services.jobs.lifecycle import BatchMessage, JobService, for_a_moment
from shared.services.jobs.stores import Stores
from shared.services.review.service import DECISIONS, SavedTraces, decided_entry, undone_entry
from shared.storage.leases import Lease
from shared.storage.page_access import run_each
from shared.storage.pages import Author, locked
from shared.wire.json_codec import ValidationErrors

#: Pages between two batches that are read with both, as one query: the next query costs a call.
GAP = 64
#: Texts in memory at a time, where a decision is about entities with a certain text.
TEXTS_AT_ONCE = 50


type _Read = tuple[int, Mapping[int, Page] | None]
"""The number of a batch, and its pages; None: they are still to be read."""


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """Which suggestions, and what to do with them. Confidences in hundredths, both ends included."""

    accept: bool
    min_confidence: int | None = None
    max_confidence: int | None = None
    categories: tuple[str, ...] | None = None
    job_id: str | None = None
    location_prefix: str | None = None
    #: Only entities with exactly this text.
    text: str | None = None
    #: Only of documents that are so; `assignee` "": that are assigned to nobody.
    flagged: bool | None = None
    assignee: str | None = None
    dataset: Dataset | None = None
    dry_run: bool = False


class BulkService:
    def __init__(self, stores: Stores, jobs: JobService) -> None:
        self._stores = stores
        self._jobs = jobs
        self._traces = SavedTraces(stores)

    async def start(self, name: str, request: BulkRequest, by: str, job_id: str) -> Job:
        """Decide on every suggestion that matches; a dry run only counts them, also while labeling is locked."""
        project = await self._stores.directory.read(name)
        if project.lock is not None and not request.dry_run:
            raise locked(project)
        errors = ValidationErrors()
        low, high = request.min_confidence, request.max_confidence
        if low is not None and high is not None and low > high:
            errors.add("minConfidence", "'minConfidence' must not be greater than 'maxConfidence'.")
        if request.text is not None and project.kind is not ProjectKind.ENTITIES:
            errors.add(
                "text", "'text' applies to entities only; the suggestions of this project are classes."
            )
        errors.add_all(unknown_categories(project, request.categories or ()))
        errors.raise_any()
        heads = await self._stores.pages.heads(project.scope)
        parameters = BulkParameters(
            by,
            accept=request.accept,
            low=low,
            high=high,
            categories=request.categories,
            from_job=request.job_id,
            prefix=request.location_prefix,
            dry_run=request.dry_run,
            edits=project.edits,
            text=request.text,
            flagged=request.flagged,
            assignee=request.assignee,
            dataset=request.dataset,
        )
        loaded = pages_at_once(sum(len(h.entries) for h in heads), project.pages)
        batches = batches_of(((h.number, _suggested(h, project)) for h in heads), loaded=loaded, whole=True)
        return await self._begin(project, JobKind.REVIEW, job_id, parameters, tuple(batches))

    async def get(self, name: str, kind: JobKind, job_id: str) -> Job:
        project = await self._stores.directory.read(name)
        return await self._view(await self._stores.jobs.get(project.incarnation, kind, job_id))

    async def list(self, name: str) -> list[Job]:
        """The bulk decisions, newest first."""
        project = await self._stores.directory.read(name)
        jobs = await self._stores.jobs.list(project.incarnation, JobKind.REVIEW)
        return [await self._view(job) for job in jobs]

    async def start_undo(self, name: str, job_id: str, by: str, undo_id: str) -> Job:
        """Undo a bulk decision, except where a later decision was made. Raises Conflict once training has begun."""
        project = await self._stores.directory.read(name)
        job = await self._stores.jobs.get(project.incarnation, JobKind.REVIEW, job_id)
        if project.lock is not None:
            raise locked(project)
        if not (await self._jobs.view(job)).status.ended:
            raise Conflict("The bulk decision is still running; try again when it has ended.", target="jobId")
        if not job.is_current(project):
            raise Conflict(
                "Training or an import came after the decision; it can no longer be undone.", target="jobId"
            )
        changed = (await self._jobs.progress(job)).counts.get("documents", 0)
        undone = await self._undone(project, job_id)
        parameters = UndoParameters(by, job_id, changed - undone)
        return await self._begin(project, JobKind.UNDO, undo_id, parameters, job.batches)

    async def _undone(self, project: Project, job_id: str) -> int:
        """The number of documents of a bulk decision that were undone before."""
        undos = await self._stores.jobs.list(project.incarnation, JobKind.UNDO)
        earlier = [u for u in undos if u.parameters_as(UndoParameters).undoes == job_id]
        results = [(await self._jobs.view(undo)).result_as(UndoResult) for undo in earlier]
        return sum(result.undone for result in results if result)

    async def _view(self, job: Job) -> Job:
        """What was decided again, or is gone, is not undone: an undo reports for how many documents that is so."""
        seen = await self._jobs.view(job)
        if not isinstance(seen.parameters, UndoParameters):
            return seen
        documents, result = seen.parameters.documents, seen.result_as(UndoResult) or UndoResult()
        conflicts = documents - result.undone if seen.status.ended else 0
        return replace(seen, result=replace(result, documents=documents, conflicts=conflicts))

    async def run_batch(self, message: BatchMessage) -> None:
        """Run one batch of a bulk decision or its undo; a repeat changes nothing."""
        await run_leased(self._stores, self._jobs, message, self._run)

    async def give_up(self, message: BatchMessage, reason: str) -> None:
        """The batch failed too often: it ends with the reason."""
        job = await self._stores.jobs.find(message.incarnation, JobKind(message.kind), message.job)
        if job is not None and not job.status.ended and message.number < len(job.batches):
            result = BatchResult(counts={}, error=JobError("BatchFailed", reason))
            await self._stores.jobs.finish(job, message.number, result)
            await self._jobs.settle(job)

    async def _begin(
        self,
        project: Project,
        kind: JobKind,
        job_id: str,
        parameters: BulkParameters | UndoParameters,
        batches: tuple[Batch, ...],
    ) -> Job:
        job = Job.new(kind, job_id, project, self._stores.clock(), parameters)
        job, new = await self._stores.jobs.create(replace(job, status=JobStatus.RUNNING, batches=batches))
        if not new:
            return await self._jobs.view(job)
        return await for_a_moment(self._work(job)) or job

    async def _work(self, job: Job) -> Job:
        """All batches, some at a time, in the request as far as its moment reaches; the sweep sees to the rest.

        The service works on a commit while the next pages are computed. The job is settled once, at the end. After a
        failure those under way are finished, so that what they have written is counted, and no other is begun.
        """
        failures: list[Exception] = []

        async def batches() -> AsyncIterator[_Read]:
            try:
                async with aclosing(self._read(job)) as found:
                    async for batch in found:
                        if failures:
                            return
                        yield batch
            except Exception as error:  # noqa: BLE001 - raised below
                failures.append(error)

        async def run(batch: _Read) -> None:
            number, pages = batch
            message = BatchMessage.of(job, number)
            work = partial(self._run, loaded=pages)
            try:
                await run_leased(self._stores, self._jobs, message, work, settles=False)
            except Exception as error:  # noqa: BLE001 - raised below
                failures.append(error)

        await run_each(batches(), run)
        if failures:
            raise failures[0]
        found = await self._stores.jobs.find(job.incarnation, job.kind, job.id)
        return await self._jobs.settle(found) if found else job  # also one that had nothing to do

    async def _read(self, job: Job) -> AsyncGenerator[_Read]:
        """Each batch with its pages, read by one query for those that lie close together, while batches are run."""
        if not job.batches:
            return
        project = await self._stores.projects.find(job.project)
        if project is None or not job.is_current(project):
            for number in range(len(job.batches)):
                yield number, None
            return
        for left in _close_together(job.batches):
            pages: dict[int, Page] = {}
            async for page in self._stores.pages.scan(project.scope, left[0][1].low, left[-1][1].high):
                while page.number >= left[0][1].high:
                    yield left.popleft()[0], pages
                    pages = {}
                if page.number >= left[0][1].low:
                    pages[page.number] = page
            for number, _ in left:
                yield number, pages
                pages = {}

    async def _run(
        self, job: Job, batch: Batch, lease: Lease, loaded: Mapping[int, Page] | None = None
    ) -> None:
        """`loaded`: the pages of the batch, where they were read for it. One that was changed since is read again."""
        counts: dict[int, Counter[str]] = {}
        sources: dict[int, Counter[str]] = {}
        parameters = job.parameters
        if not isinstance(parameters, BulkParameters | UndoParameters):
            raise TypeError(f"The {job.kind} job {job.id} is not a bulk decision.")
        # The revision of each batch is its own, and the same for a repeat: what was committed before is recognized.
        author = Author(parameters.by, self._stores.clock(), derived_id(job.id, str(lease.number)))
        lease.close_with(lambda: BatchResult(counts=dict(sum(counts.values(), Counter[str]()))))
        try:
            handle = await self._stores.directory.open(job.project)
            pages = loaded
            if pages is None or not job.is_current(handle.current):
                pages = await self._stores.pages.load_range(handle.current.scope, batch.low, batch.high)
            if isinstance(parameters, UndoParameters):
                change = _undo(job, parameters, counts, author)
            else:
                chosen = await self._with_text(handle.current, pages.values(), parameters)
                change = _decide(job, parameters, counts, author, chosen, sources)
            written = await self._stores.pages.write(
                handle, pages, change, author, loaded=pages, closing=lease,
                ignores_fence=isinstance(parameters, BulkParameters) and parameters.dry_run,
            )  # fmt: skip
            if isinstance(parameters, BulkParameters) and not parameters.dry_run:
                changed = sum(count["changed"] for count in counts.values())
                telemetry.count(DECISIONS, changed, decision="accepted" if parameters.accept else "rejected")
                await self._traces.end(written.project, sum(sources.values(), Counter[str]()))
        except (ProjectNotFound, _Obsolete):
            await self._stores.jobs.finish(job, lease.number, BatchResult())
        except LabelingLocked as error:
            await self._stores.jobs.finish(
                job, lease.number, BatchResult(error=JobError("LabelingLocked", error.message))
            )

    async def _with_text(
        self, project: Project, pages: Iterable[Page], wanted: BulkParameters
    ) -> frozenset[str] | None:
        """Ids of the entities with the text that is wanted; None: any will do. An id stands for content and place.

        Only texts of documents with an entity of that length are read, some at a time.
        """
        if wanted.text is None:
            return None
        length, categories = utf16_length(wanted.text), _current_categories(wanted, project)
        candidates: list[tuple[Document, list[Suggestion]]] = []
        for document in (document for page in pages for document in page.documents.values()):
            pending = document.pending(project.generation)
            ids = set(_matching(document, pending, wanted, categories))
            items = [s for s in pending.items if s.id in ids and s.length == length] if pending else []
            if items and document.rejection is None and not document.missing:
                candidates.append((document, items))
        found: set[str] = set()
        for first in range(0, len(candidates), TEXTS_AT_ONCE):
            chunk = candidates[first : first + TEXTS_AT_ONCE]
            locations = [document.location for document, _ in chunk]
            readings = await self._stores.uploads.inspect_all(project.container, locations)
            for (document, items), reading in zip(chunk, readings, strict=True):
                if reading and reading.text is not None and content_hash(reading.text) == document.content:
                    found.update(_having(wanted.text, items, reading.text))
        return frozenset(found)


class _Obsolete(Exception):
    """Training or an import began meanwhile: the suggestions are gone."""


def _close_together(batches: Sequence[Batch]) -> list[deque[tuple[int, Batch]]]:
    """The batches with their numbers, in groups with no wide gap inside."""
    groups: list[deque[tuple[int, Batch]]] = []
    for number, batch in enumerate(batches):
        if not groups or batch.low - batches[number - 1].high > GAP:
            groups.append(deque())
        groups[-1].append((number, batch))
    return groups


def _having(wanted: str, items: Iterable[Suggestion], text: str) -> Iterator[str]:
    """Ids of the entities that have the wanted text."""
    offsets = Offsets(text)
    for suggestion in items:
        span = offsets.span_to_code_points(suggestion.offset, suggestion.length)
        if span is not None and text[span[0] : sum(span)] == wanted:
            yield suggestion.id


def _current_categories(wanted: BulkParameters, project: Project) -> set[str | None] | None:
    """The categories that are asked for, by their names now; None: all."""
    if wanted.categories is None:
        return None
    return {project.current_name(name, wanted.edits) for name in wanted.categories}


def _decide(
    job: Job,
    wanted: BulkParameters,
    counts: dict[int, Counter[str]],
    author: Author,
    chosen: frozenset[str] | None,
    sources: dict[int, Counter[str]],
) -> Change:
    """`chosen`: the ids that count; None: all. `sources`: filled with the documents by the job that suggested."""

    def change(page: Page, project: Project) -> Edit | None:
        if not job.is_current(project):
            raise _Obsolete
        count = counts[page.number] = Counter[str]()
        suggested_by = sources[page.number] = Counter[str]()
        categories = _current_categories(wanted, project)
        edits: dict[str, Document | None] = {}
        history: list[HistoryEntry] = []
        tallies: list[tuple[int, bool]] = []
        engines: list[EngineTally] = []
        for document in page.documents.values():
            pending = document.pending(project.generation)
            ids = _matching(document, pending, wanted, categories)
            if chosen is not None:
                ids = tuple(key for key in ids if key in chosen)
            count["matched"] += len(ids)
            if wanted.dry_run or not ids or document.rejection is not None:
                continue
            decision = (
                Decision(document.id, accept=ids) if wanted.accept else Decision(document.id, reject=ids)
            )
            try:
                decided = decide(
                    document, decision, project.kind, project.generation, author.revision, job.id
                )
            except InvalidArgument:  # they conflict with each other: a person must decide
                count["conflicts"] += len(ids)
                continue
            count["changed"] += len(ids)
            count["documents"] += 1
            suggested_by[decided.source.job_id] += 1
            edits[document.id] = decided.document
            history.append(decided_entry(decided))
            tallies.extend(decided.tallies)
            engines.extend(decisions_of(decided.source, decided.tallies))
        return Edit(edits, tuple(history), tuple(tallies), engines=tuple(engines)) if edits else None

    return change


def _undo(job: Job, wanted: UndoParameters, counts: dict[int, Counter[str]], author: Author) -> Change:
    def change(page: Page, project: Project) -> Edit | None:
        if not job.is_current(project):
            raise _Obsolete
        count = counts[page.number] = Counter[str]()
        edits: dict[str, Document | None] = {}
        history: list[HistoryEntry] = []
        tallies: list[tuple[int, bool]] = []
        engines: list[EngineTally] = []
        for document in page.documents.values():
            if document.undo is None or document.undo.job_id != wanted.undoes:
                continue
            after = undo(document, project.kind, project.generation, author.revision)
            edits[document.id] = after
            history.append(undone_entry(document, after))
            tallies.extend(document.undo.tallies)
            engines.extend(undone_decisions(document.undo))
            count["undone"] += 1
        return Edit(edits, tuple(history), tuple(tallies), -1, tuple(engines)) if edits else None

    return change


def _matching(
    document: Document,
    pending: SuggestionSet | None,
    wanted: BulkParameters,
    categories: Collection[str | None] | None,
) -> tuple[str, ...]:
    """Ids of the suggestions of a document that a bulk decision is about; `categories`: by their current names."""
    if pending is None or (wanted.from_job is not None and pending.job_id != wanted.from_job):
        return ()
    if not _is_chosen(document, wanted):
        return ()
    low = 0 if wanted.low is None else wanted.low
    high = 100 if wanted.high is None else wanted.high
    return tuple(
        s.id
        for s in pending.items
        if low <= s.confidence <= high and (categories is None or s.category in categories)
    )


def _is_chosen(document: Document, wanted: BulkParameters) -> bool:
    """By what is known of a document besides its suggestions."""
    return (
        (wanted.prefix is None or document.location.startswith(wanted.prefix))
        and wanted.flagged in {None, document.flagged}
        and wanted.assignee in {None, document.assignee}
        and wanted.dataset in {None, document.dataset}
    )


def _suggested(head: Head, project: Project) -> int:
    return sum(1 for e in head.entries if e.flags & Flag.SUGGESTED and e.suggested(project.generation))
