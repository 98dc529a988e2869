"""One batch of an autolabel or register job: read blobs, predict, and commit pages with the result in one transaction.

A batch may be delivered twice, run twice at once, or die anywhere: its claim row decides (see `shared.storage.jobs`).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from shared.domain.autolabel import Looked, Source, fail, look, outcome, suggest
from shared.domain.category_edits import by_present_names, rejected_by_present_names
from shared.domain.document import Document, Reading
from shared.domain.errors import LabelingLocked, ProjectNotFound
from shared.domain.ids import random_id
from shared.domain.jobs import (
    REPLACED,
    TRAINING_STARTED,
    Batch,
    BatchResult,
    DocumentOutcome,
    Job,
    JobError,
    JobKind,
    Outcome,
)
from shared.domain.kinds import ProjectKind
from shared.domain.page import Change, Edit, HistoryEntry, Page, page_of
from shared.domain.prediction import Prediction
from shared.domain.project import Project
from shared.domain.suggestions import Filter
from shared.domain.text import text_records
from shared.engines.registry import Engines
from shared.services.claims import run_claimed
from shared.services.directory import Handle
from shared.services.jobs import JobService
from shared.services.messages import BatchMessage
from shared.services.models import ModelProvider
from shared.services.predicting import predict
from shared.services.selection import selected
from shared.services.stores import Stores
from shared.storage.jobs import Claim
from shared.storage.page_rows import Author
from shared.storage.todo import Todo

SYSTEM = "labelbridge"


class Superseded(Exception):
    """Training or an import made the job obsolete; nothing of it may land. Its argument is the reason, a JobError."""


@dataclass(slots=True)
class _Work:
    """What a batch has found out so far, by document id."""

    job: Job
    pages: dict[int, Page]
    todos: Sequence[Todo] = ()
    locations: dict[str, str] = field(default_factory=dict[str, str])
    readings: dict[str, Reading | None] = field(default_factory=dict[str, Reading | None])
    predictions: dict[str, list[Prediction]] = field(default_factory=dict[str, list[Prediction]])
    missing: tuple[str, ...] = ()
    outcomes: dict[int, list[DocumentOutcome]] = field(default_factory=dict[int, list[DocumentOutcome]])
    #: Why a document fails, when the batch failed too often.
    failures: dict[str, JobError] = field(default_factory=dict[str, JobError])

    def result(self) -> BatchResult:
        unknown = [
            DocumentOutcome(
                one, "", Outcome.FAILED, JobError("DocumentNotFound", "The project has no such document.")
            )
            for one in self.missing
        ]
        found = [one for outcomes in self.outcomes.values() for one in outcomes]
        texts = (self.readings[key] for key in self.predictions)
        records = sum(text_records(len(reading.text)) for reading in texts if reading and reading.text)
        outcomes = tuple(sorted((*found, *unknown), key=lambda o: o.document_id))
        return BatchResult(outcomes, records)


class BatchRunner:
    def __init__(self, stores: Stores, engines: Engines, models: ModelProvider, jobs: JobService) -> None:
        self._stores = stores
        self._engines = engines
        self._models = models
        self._jobs = jobs

    async def run(self, message: BatchMessage) -> None:
        """Run the batch. Raises to be delivered again."""
        await run_claimed(self._stores, self._jobs, message, self._run)

    async def give_up(self, message: BatchMessage, reason: str) -> None:
        """The batch failed too often: documents that an engine fails on get a failed outcome with the reason (rule A5).

        The others get what they would have got, and uploads are registered all the same (D5). Raises to be delivered
        again.
        """

        async def fail(job: Job, batch: Batch, claim: Claim) -> None:
            await self._run(job, batch, claim, reason)

        await run_claimed(self._stores, self._jobs, message, fail, gives_up=True)

    async def _run(self, job: Job, batch: Batch, claim: Claim, last_try: str | None = None) -> None:
        try:
            handle = await self._stores.directory.open(job.project)
            if handle.current.incarnation != job.incarnation:
                await handle.refresh()
            work = await self._select(self._check(job, handle.current), job, batch)
            await self._look(handle.current, work)
            await self._predict(handle.current, work, last_try)
            await self._commit(handle, work, claim)
        except ProjectNotFound:
            await self._stores.jobs.finish(job, claim.number, BatchResult())
            return
        except Superseded as superseded:
            await self._jobs.stop(job, superseded.args[0])
            return
        await self._stores.todo.remove(handle.current.scope, work.todos)

    def _check(self, job: Job, project: Project) -> Project:
        registers = job.kind is JobKind.REGISTER
        if project.incarnation != job.incarnation or project.edition != job.edition:
            raise Superseded(REPLACED)
        if project.generation != job.generation and not registers:
            raise Superseded(TRAINING_STARTED)
        return project

    async def _select(self, project: Project, job: Job, batch: Batch) -> _Work:
        """The documents of the batch: seen uploads, named ones, or those of the pages that fit."""
        scope = project.scope
        if job.parameters.get("source") == "upload":
            todos = await self._stores.todo.of_pages(scope, batch.low, batch.high)
            numbers = {page_of(t.document_id, scope.pages) for t in todos}
            pages = await self._stores.pages.load_many(scope, numbers)
            return _Work(job, pages, todos, {t.document_id: t.location for t in todos})
        named: Sequence[str] | None = job.parameters.get("documents")
        if named is not None:
            mine = [one for one in named if batch.low <= page_of(one, scope.pages) < batch.high]
            pages = await self._stores.pages.load_many(scope, {page_of(one, scope.pages) for one in mine})
            known = {key: d.location for page in pages.values() for key, d in page.documents.items()}
            found = {one: known[one] for one in mine if one in known}
            return _Work(job, pages, (), found, missing=tuple(one for one in mine if one not in known))
        pages = await self._stores.pages.load_range(scope, batch.low, batch.high)
        documents = [
            d for page in pages.values() for d in page.documents.values() if selected(d, project, job)
        ]
        return _Work(job, pages, (), {d.id: d.location for d in documents})

    async def _look(self, project: Project, work: _Work) -> None:
        items = list(work.locations.items())
        readings = await asyncio.gather(
            *(self._stores.uploads.look(project.container, where) for _, where in items)
        )
        work.readings = {key: reading for (key, _), reading in zip(items, readings, strict=True)}

    async def _predict(self, project: Project, work: _Work, last_try: str | None) -> None:
        """Predict for every document that was read, if the job has a model."""
        if work.job.kind is JobKind.REGISTER:
            return
        known = {key: d for page in work.pages.values() for key, d in page.documents.items()}
        source = _source(work.job, project)
        texts: dict[str, str] = {}
        for key, reading in work.readings.items():
            if (
                reading is not None
                and reading.text is not None
                and _may_suggest(known.get(key), reading, source)
            ):
                texts[key] = reading.text
        if texts:
            engine = self._engines.get(work.job.parameters["engine"])
            load = partial(self._models.load, engine, work.job.parameters["artefact"])
            work.predictions, work.failures = await predict(load, engine.capabilities, texts, last_try)

    async def _commit(self, handle: Handle, work: _Work, claim: Claim) -> None:
        author = Author(SYSTEM, self._stores.clock(), random_id())
        numbers = {page_of(key, handle.current.pages) for key in work.locations}
        claim.close_with(work.result)
        change = self._change(work, author)
        try:
            await self._stores.pages.write(
                handle, numbers, change, author,
                passes_gate=work.job.kind is JobKind.REGISTER, loaded=work.pages, closing=claim,
            )  # fmt: skip
        except LabelingLocked:
            # Documents are registered all the same (D5); their content waits for the next plan.
            change = self._change(work, author, locked=True)
            await self._stores.pages.write(handle, numbers, change, author, passes_gate=True, closing=claim)

    def _change(self, work: _Work, author: Author, *, locked: bool = False) -> Change:
        def change(page: Page, project: Project) -> Edit | None:
            self._check(work.job, project)
            source = None if work.job.kind is JobKind.REGISTER else _source(work.job, project)
            edits: dict[str, Document | None] = {}
            history: list[HistoryEntry] = []
            outcomes: list[DocumentOutcome] = []
            for key, reading in work.readings.items():
                if page_of(key, project.pages) != page.number:
                    continue
                rejected = rejected_by_present_names(page.gone.get(key, frozenset()), project)
                looked = look(
                    page.documents.get(key),
                    work.locations[key],
                    project.language,
                    reading,
                    author.revision,
                    rejected,
                )
                predictions = work.predictions.get(key)
                if predictions:
                    predictions = by_present_names(predictions, project)
                if key in work.failures and source and looked.after is not None:
                    after, result = fail(looked.after, source, work.failures[key])
                else:
                    after, result = _step(
                        looked, reading, predictions, source, author.revision, locked=locked
                    )
                if after is not looked.before:
                    edits[key] = after
                history.extend(looked.history)
                if result is not None:
                    outcomes.append(result)
            work.outcomes[page.number] = outcomes
            return Edit(edits, tuple(history)) if edits else None

        return change


def _step(
    looked: Looked,
    reading: Reading | None,
    predictions: list[Prediction] | None,
    source: Source | None,
    revision: str,
    *,
    locked: bool,
) -> tuple[Document | None, DocumentOutcome | None]:
    """The document after the look and the suggestions, and its outcome for the job."""
    after = looked.after
    if after is None or reading is None:
        gone = looked.before if source is not None and source.named else None
        return after, outcome(gone, Outcome.SKIPPED, "BlobNotFound", "The blob is gone.") if gone else None
    if reading.text is None or source is None:
        fault = after.rejection
        told = fault is not None and source is not None and (looked.changed or source.named)
        return after, outcome(after, Outcome.SKIPPED, fault.code, fault.message) if told and fault else None
    if predictions is None:
        return after, None
    if locked:
        return after, outcome(
            after, Outcome.SKIPPED, "LabelingLocked", "Labeling is locked; the document waits."
        )
    return suggest(after, reading.text, predictions, source, revision)


def _source(job: Job, project: Project) -> Source:
    """Categories that were renamed since the job was planned go by their names of today."""
    p, former = job.parameters, dict(project.former)
    planned: Sequence[str] = p["categories"]
    wanted = frozenset(former.get(name, name) for name in planned)
    rule = Filter(ProjectKind(p["kind"]), p["threshold"], wanted.intersection(project.category_names))
    return Source(job.id, p["engine"], p["modelLabel"], job.generation, p.get("source") == "http", rule)


def _may_suggest(document: Document | None, reading: Reading, source: Source) -> bool:
    """Whether predicting is worth it: not for content that was planned before (rule A1)."""
    if source.named or document is None or document.blob_etag != reading.blob_etag:
        return True
    return document.waiting or (
        document.suggestions is not None and document.suggestions.job_id == source.job_id
    )
