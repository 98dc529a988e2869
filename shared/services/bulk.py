"""Bulk decisions, and taking one back as a whole: jobs in batches of pages (rules V3, V4)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from shared.domain.document import Document
from shared.domain.errors import Conflict, InvalidArgument, LabelingLocked, ProjectNotFound
from shared.domain.ids import derived_id
from shared.domain.jobs import Batch, BatchResult, Job, JobError, JobKind, JobStatus
from shared.domain.page import Change, Edit, Flag, Head, HistoryEntry, Page
from shared.domain.project import Project
from shared.domain.review import Decision, decide, undo
from shared.domain.suggestions import SuggestionSet
from shared.services.claims import run_claimed
from shared.services.inline import for_a_moment
from shared.services.jobs import JobService
from shared.services.messages import BatchMessage
from shared.services.planning import batches_of
from shared.services.review import decided_entry, undone_entry
from shared.services.stores import Stores
from shared.storage.jobs import Claim
from shared.storage.page_rows import Author
from shared.storage.pages import locked


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """Which suggestions, and what to do with them. Confidences in hundredths, both ends included."""

    accept: bool
    min_confidence: int | None = None
    max_confidence: int | None = None
    categories: tuple[str, ...] | None = None
    job_id: str | None = None
    location_prefix: str | None = None
    dry_run: bool = False


class BulkService:
    def __init__(self, stores: Stores, jobs: JobService) -> None:
        self._stores = stores
        self._jobs = jobs

    async def start(self, name: str, request: BulkRequest, by: str, job_id: str) -> Job:
        """Decide on every suggestion that matches; a dry run only counts them, also while labeling is locked."""
        project = await self._stores.directory.read(name)
        if project.lock is not None and not request.dry_run:
            raise locked(project)
        low, high = request.min_confidence, request.max_confidence
        if low is not None and high is not None and low > high:
            raise InvalidArgument("'minConfidence' is above 'maxConfidence'.", target="minConfidence")
        known = set(project.category_names)
        for index, category in enumerate(request.categories or ()):
            if category not in known:
                raise InvalidArgument(
                    f"The project has no category '{category}'.", target=f"categories[{index}]"
                )
        heads = await self._stores.pages.heads(project.scope)
        parameters = {
            "by": by,
            "accept": request.accept,
            "low": low,
            "high": high,
            "categories": list(request.categories) if request.categories is not None else None,
            "fromJob": request.job_id,
            "prefix": request.location_prefix,
            "dryRun": request.dry_run,
        }
        batches = batches_of((h.number, _suggested(h, project)) for h in heads)
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
        """Take back a bulk decision wherever nothing was decided since. Raises Conflict once training has begun."""
        project = await self._stores.directory.read(name)
        job = await self._stores.jobs.get(project.incarnation, JobKind.REVIEW, job_id)
        if project.lock is not None:
            raise locked(project)
        if not (await self._jobs.view(job)).status.ended:
            raise Conflict("The bulk decision is still running.", target="jobId")
        if job.generation != project.generation or job.edition != project.edition:
            raise Conflict("Training or an import ended what can be undone.", target="jobId")
        changed = (await self._jobs.progress(job)).counts.get("documents", 0)
        undone = await self._undone(project, job_id)
        parameters = {"by": by, "undoes": job_id, "documents": changed - undone}
        return await self._begin(project, JobKind.UNDO, undo_id, parameters, job.batches)

    async def _undone(self, project: Project, job_id: str) -> int:
        """Of how many documents a bulk decision was taken back before."""
        undos = await self._stores.jobs.list(project.incarnation, JobKind.UNDO)
        earlier = [await self._jobs.view(u) for u in undos if u.parameters["undoes"] == job_id]
        return sum(undo.result.get("undone", 0) for undo in earlier)

    async def _view(self, job: Job) -> Job:
        """What was decided on again, or is gone, is not undone: an undo tells of how many documents that is so."""
        seen = await self._jobs.view(job)
        if job.kind is not JobKind.UNDO:
            return seen
        documents, undone = seen.parameters.get("documents", 0), seen.result.get("undone", 0)
        counts = {"documents": documents, "conflicts": documents - undone if seen.status.ended else 0}
        return replace(seen, result={**seen.result, **counts})

    async def run_batch(self, message: BatchMessage) -> None:
        """Run one batch of a bulk decision or its undo; a repeat changes nothing."""
        await run_claimed(self._stores, self._jobs, message, self._run)

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
        parameters: Mapping[str, Any],
        batches: tuple[Batch, ...],
    ) -> Job:
        now = self._stores.clock()
        job = Job(
            job_id, kind, project.name, project.incarnation, project.edition, now, now, JobStatus.RUNNING,
            project.generation, parameters, batches,
        )  # fmt: skip
        job, new = await self._stores.jobs.create(job)
        if not new:
            return await self._jobs.view(job)
        return await for_a_moment(self._work(job)) or job

    async def _work(self, job: Job) -> Job:
        """All batches one after the other, in the request as far as its moment reaches; the sweep sees to the rest."""
        for number in range(len(job.batches)):
            await self.run_batch(
                BatchMessage(
                    project=job.project, incarnation=job.incarnation, kind=job.kind, job=job.id, number=number
                )
            )
        found = await self._stores.jobs.find(job.incarnation, job.kind, job.id)
        return await self._jobs.settle(found) if found else job  # also one that had nothing to do

    async def _run(self, job: Job, batch: Batch, claim: Claim) -> None:
        counts: dict[int, Counter[str]] = {}
        # The revision of each batch is its own, and the same for a repeat: what landed before is recognised.
        author = Author(job.parameters["by"], self._stores.clock(), derived_id(job.id, str(claim.number)))
        claim.close_with(lambda: BatchResult(counts=dict(sum(counts.values(), Counter[str]()))))
        try:
            handle = await self._stores.directory.open(job.project)
            pages = await self._stores.pages.load_range(handle.current.scope, batch.low, batch.high)
            change = _undo(job, counts, author) if job.kind is JobKind.UNDO else _decide(job, counts, author)
            await self._stores.pages.write(
                handle, pages, change, author, loaded=pages, closing=claim,
                passes_gate=bool(job.parameters.get("dryRun")),
            )  # fmt: skip
        except (ProjectNotFound, _Obsolete):
            await self._stores.jobs.finish(job, claim.number, BatchResult())
        except LabelingLocked as error:
            await self._stores.jobs.finish(
                job, claim.number, BatchResult(error=JobError("LabelingLocked", error.message))
            )


class _Obsolete(Exception):
    """Training or an import began meanwhile: the suggestions are gone."""


def _decide(job: Job, counts: dict[int, Counter[str]], author: Author) -> Change:
    wanted, dry = job.parameters, job.parameters["dryRun"]

    def change(page: Page, project: Project) -> Edit | None:
        _check(job, project)
        count = counts[page.number] = Counter[str]()
        edits: dict[str, Document | None] = {}
        history: list[HistoryEntry] = []
        tallies: list[tuple[int, bool]] = []
        for document in page.documents.values():
            pending = document.pending(project.generation)
            ids = _matching(document, pending, wanted)
            count["matched"] += len(ids)
            if dry or not ids or document.rejection is not None:
                continue
            decision = (
                Decision(document.id, accept=ids) if wanted["accept"] else Decision(document.id, reject=ids)
            )
            try:
                decided = decide(
                    document, decision, project.kind, project.generation, author.revision, job.id
                )
            except InvalidArgument:  # they exclude each other: that is for a person
                count["conflicts"] += len(ids)
                continue
            count["changed"] += len(ids)
            count["documents"] += 1
            edits[document.id] = decided.document
            history.append(decided_entry(decided))
            tallies.extend(decided.tallies())
        return Edit(edits, tuple(history), tuple(tallies)) if edits else None

    return change


def _undo(job: Job, counts: dict[int, Counter[str]], author: Author) -> Change:
    def change(page: Page, project: Project) -> Edit | None:
        _check(job, project)
        count = counts[page.number] = Counter[str]()
        edits: dict[str, Document | None] = {}
        history: list[HistoryEntry] = []
        tallies: list[tuple[int, bool]] = []
        for document in page.documents.values():
            if document.undo is None or document.undo.job_id != job.parameters["undoes"]:
                continue
            after = undo(document, project.kind, project.generation, author.revision)
            edits[document.id] = after
            history.append(undone_entry(document, after))
            tallies.extend(document.undo.tallies)
            count["undone"] += 1
        return Edit(edits, tuple(history), tuple(tallies), -1) if edits else None

    return change


def _check(job: Job, project: Project) -> None:
    if (
        project.incarnation != job.incarnation
        or project.edition != job.edition
        or project.generation != job.generation
    ):
        raise _Obsolete


def _matching(
    document: Document, pending: SuggestionSet | None, wanted: Mapping[str, Any]
) -> tuple[str, ...]:
    """Ids of the suggestions of a document that a bulk decision is about."""
    if pending is None or (wanted["fromJob"] is not None and pending.job_id != wanted["fromJob"]):
        return ()
    if wanted["prefix"] is not None and not document.location.startswith(wanted["prefix"]):
        return ()
    low = 0 if wanted["low"] is None else wanted["low"]
    high = 100 if wanted["high"] is None else wanted["high"]
    categories = wanted["categories"]
    return tuple(
        s.id
        for s in pending.items
        if low <= s.confidence <= high and (categories is None or s.category in categories)
    )


def _suggested(head: Head, project: Project) -> int:
    return sum(1 for e in head.entries if e.flags & Flag.SUGGESTED and e.suggested(project.generation))
