"""One batch of an autolabel or register job: read blobs, predict, and commit pages with the result in one transaction.

A batch may be delivered twice, run twice at once, or crash anywhere: its lease decides (see `shared.storage.leases`).
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from shared import telemetry
from shared.domain.autolabel import (
    Inspection,
    Source,
    fail,
    inspect,
    needs_no_suggestion,
    outcome,
    selected,
    suggest,
)
from shared.domain.document import Document, Reading
from shared.domain.errors import LabelingLocked, ProjectNotFound
from shared.domain.jobs import (
    REPLACED,
    TRAINING_SUCCEEDED,
    AutolabelParameters,
    Batch,
    BatchResult,
    DocumentOutcome,
    Job,
    JobError,
    JobKind,
    JobSource,
    Outcome,
)
from shared.domain.labels import (
    NONE_REJECTED,
    Filter,
    Prediction,
    by_current_names,
    rejected_by_current_names,
)
from shared.domain.names import random_id
from shared.domain.page import Change, Edit, EngineTally, HistoryEntry, Page, page_of, suggestions_made
from shared.domain.project import Project
from shared.domain.text import text_records
from shared.engines.base import (
    Answer,
    ArtifactError,
    DeferredModel,
    EngineError,
    Model,
    ServiceEngine,
    ServiceModel,
    Text,
)
from shared.engines.registry import Engines
from shared.services.autolabel.exchanges import Exchanges
from shared.services.autolabel.predicting import failure, log_last_try, predict
from shared.services.jobs.dispatch import run_leased
from shared.services.jobs.lifecycle import BatchMessage, JobService
from shared.services.jobs.stores import NOT_PAID, Handle, Paid, Stores
from shared.services.training.model_cache import ModelCache, ModelDeleted
from shared.storage.leases import Lease, LeaseLost
from shared.storage.pages import Author
from shared.storage.uploads import PendingUpload

log = logging.getLogger("labelbridge.jobs")

SYSTEM = "labelbridge"


class Superseded(Exception):
    """A training or an import made the job obsolete, so it must commit nothing. The argument is a JobError."""


@dataclass(slots=True)
class _Work:
    """The findings of a batch so far, by document id."""

    job: Job
    pages: dict[int, Page]
    uploads: Sequence[PendingUpload] = ()
    locations: dict[str, str] = field(default_factory=dict[str, str])
    readings: dict[str, Reading | None] = field(default_factory=dict[str, Reading | None])
    #: Documents that were not read because their container does not exist.
    unreachable: frozenset[str] = frozenset()
    predictions: dict[str, list[Prediction]] = field(default_factory=dict[str, list[Prediction]])
    #: Documents for which the engine is not asked, because a person labeled them.
    labeled: set[str] = field(default_factory=set[str])
    missing: tuple[str, ...] = ()
    number: int = 0
    check: Callable[[], Awaitable[None]] | None = None
    outcomes: dict[int, list[DocumentOutcome]] = field(default_factory=dict[int, list[DocumentOutcome]])
    #: Why a document fails: the batch failed too often, or the service reported it.
    failures: dict[str, JobError] = field(default_factory=dict[str, JobError])
    #: What the service charged.
    paid: Paid = NOT_PAID
    left_out: int = 0

    def result(self) -> BatchResult:
        unknown = [
            DocumentOutcome(
                key, "", Outcome.FAILED, JobError("DocumentNotFound", "The project has no such document.")
            )
            for key in self.missing
        ]
        found = [document_outcome for outcomes in self.outcomes.values() for document_outcome in outcomes]
        records = self.paid.records
        if records is None:
            texts = (self.readings[key] for key in self.predictions)
            records = sum(text_records(len(reading.text)) for reading in texts if reading and reading.text)
        outcomes = tuple(sorted((*found, *unknown), key=lambda o: o.document_id))
        return BatchResult(outcomes, records, tokens=self.paid.tokens, left_out=self.left_out)


class BatchRunner:
    def __init__(
        self,
        stores: Stores,
        engines: Engines,
        models: ModelCache,
        jobs: JobService,
        renew_model: Callable[[Job], Awaitable[object]],
    ) -> None:
        """`renew_model` gives a job whose model was deleted the current one."""
        self._renew_model = renew_model
        self._stores = stores
        self._engines = engines
        self._models = models
        self._jobs = jobs
        self._exchanges = Exchanges(stores, engines)

    async def run(self, message: BatchMessage) -> None:
        """Run the batch. After an exception the message is delivered again."""
        await run_leased(self._stores, self._jobs, message, self._run, over=self._clear)

    async def give_up(self, message: BatchMessage, reason: str) -> None:
        """The batch failed too often: documents on which the engine fails fail with the reason (rule A5).

        The others get their normal outcome, and uploads are registered (D5). After an exception the message is
        delivered again.
        """

        async def fail(job: Job, batch: Batch, lease: Lease) -> None:
            await self._run(job, batch, lease, reason)

        await run_leased(self._stores, self._jobs, message, fail, gives_up=True, over=self._clear)

    async def _run(self, job: Job, batch: Batch, lease: Lease, last_try: str | None = None) -> None:
        try:
            handle = await self._stores.directory.open(job.project)
            if not job.applies_to(handle.current):
                await handle.refresh()
            current = self._check_current(job, handle.current)
            if last_try is None:
                await self._require_answers(job, lease.number)
            work = await self._select(current, job, batch)
            work.number, work.check = lease.number, lease.check
            await self._inspect(handle.current, work)
            await self._predict(handle.current, work, last_try)
            await self._commit(handle, work, lease)
        except ProjectNotFound:
            await self._stores.jobs.finish(job, lease.number, BatchResult())
            return
        except Superseded as superseded:
            await self._jobs.stop(job, superseded.args[0])
            await self._clear(job, lease.number)
            return
        except ModelDeleted:
            await self._renew_model(job)
            raise  # the next try uses it
        _count(work)
        await self._stores.pending.remove(handle.current.scope, work.uploads)
        await self._clear(job, lease.number)

    def _service(self, job: Job) -> ServiceEngine | None:
        """The engine of the job, if it is external."""
        asked = job.parameters
        engine = self._engines.get(asked.engine or "") if isinstance(asked, AutolabelParameters) else None
        return engine if isinstance(engine, ServiceEngine) else None

    async def _require_answers(self, job: Job, number: int) -> None:
        """Raises Later while a service is working on the documents that it has, or its limits are used up: until
        then, no documents need to be read.
        """
        engine, asked = self._service(job), job.parameters
        if engine is not None and engine.limited:
            await self._exchanges.require_turn(engine.name)
        if engine is not None and engine.deferred and isinstance(asked, AutolabelParameters):
            model = await self._models.load(engine, asked.artifact or "")
            if isinstance(model, DeferredModel):
                await self._exchanges.require_answers(job, number, engine.name, model)

    async def _clear(self, job: Job, number: int) -> None:
        """Delete the stored state of a batch that is done, or whose job has ended."""
        try:
            keeps = self._service(job) is not None
        except EngineError:  # its settings were removed while the job ran
            keeps = True
        if keeps:
            await self._exchanges.remove(job, number)

    def _check_current(self, job: Job, project: Project) -> Project:
        registers = job.kind is JobKind.REGISTER
        if not job.applies_to(project) or project.edition != job.edition:
            raise Superseded(REPLACED)
        if project.generation != job.generation and not registers:
            raise Superseded(TRAINING_SUCCEEDED)
        return project

    async def _select(self, project: Project, job: Job, batch: Batch) -> _Work:
        """The documents of the batch: uploads, named ones, or matching ones of its pages."""
        scope = project.scope
        if job.source is JobSource.UPLOAD:
            uploads = await self._stores.pending.of_pages(scope, batch.low, batch.high)
            numbers = {page_of(t.document_id, scope.pages) for t in uploads}
            pages = await self._stores.pages.load_many(scope, numbers)
            return _Work(job, pages, uploads, {t.document_id: t.location for t in uploads})
        parameters = job.parameters_as(AutolabelParameters)
        if parameters.documents is not None:
            mine = [k for k in parameters.documents if batch.low <= page_of(k, scope.pages) < batch.high]
            pages = await self._stores.pages.load_many(scope, {page_of(key, scope.pages) for key in mine})
            known = {key: d.location for page in pages.values() for key, d in page.documents.items()}
            found = {key: known[key] for key in mine if key in known}
            return _Work(job, pages, (), found, missing=tuple(key for key in mine if key not in known))
        pages = await self._stores.pages.load_range(scope, batch.low, batch.high)
        documents = [
            d for page in pages.values() for d in page.documents.values() if selected(d, project, parameters)
        ]
        return _Work(job, pages, (), {d.id: d.location for d in documents})

    async def _inspect(self, project: Project, work: _Work) -> None:
        with telemetry.span("read texts", documents=len(work.locations)):
            inspect_batch, key = self._stores.uploads.inspect_batch, project.incarnation
            readings = await inspect_batch(key, project.container, work.locations.values())
        work.readings = dict(zip(work.locations, readings, strict=True))
        gone = [key for key, reading in work.readings.items() if reading is None]
        if gone and not await self._stores.uploads.container_exists(project.container):
            # An outage, not a deletion: these documents stay as they are, and reconcile compares them later.
            for key in gone:
                del work.readings[key]
            work.unreachable = frozenset(gone)

    async def _predict(self, project: Project, work: _Work, last_try: str | None) -> None:
        """Predict for every document that was read, if the job has a model."""
        parameters = work.job.parameters
        if not isinstance(parameters, AutolabelParameters):
            return
        known = {key: d for page in work.pages.values() for key, d in page.documents.items()}
        source = _source(work.job, project)
        texts: dict[str, str] = {}
        for key, reading in work.readings.items():
            if reading is None or reading.text is None:
                continue
            document = known.get(key)
            if not _may_suggest(document, reading, source):
                continue
            if document is not None and needs_no_suggestion(document, source.rule.kind):
                work.labeled.add(key)
            else:
                texts[key] = reading.text
        if texts:
            with telemetry.timed("predict", engine=parameters.engine or ""):
                telemetry.annotate(documents=len(texts))
                await self._ask(project, work, parameters, texts, last_try)

    async def _ask(
        self,
        project: Project,
        work: _Work,
        asked: AutolabelParameters,
        texts: Mapping[str, str],
        last_try: str | None,
    ) -> None:
        """Get the engine's answer for every document; if a service fails on one document, no other fails.

        Raises failures that affect all, to be tried again, and Later. In the last attempt, documents without one fail.
        """
        try:
            engine = self._engines.get(asked.engine or "")
            load = partial(self._models.load, engine, asked.artifact or "")
            if not isinstance(engine, ServiceEngine):
                work.predictions, work.failures = await predict(load, engine.capabilities, texts, last_try)
                return
            answers, work.paid = await self._answers(project, work, await load(), texts, last_try)
        except LeaseLost:
            raise
        except Exception as error:
            if last_try is None:
                raise
            log_last_try(len(texts), error)
            reason = failure(last_try, error)
            answers, work.paid = await self._exchanges.so_far(
                work.job, work.number, project.kind, texts, reason
            )
        for key, answer in answers.items():
            work.left_out += answer.left_out
            if answer.failure is not None:
                work.failures[key] = answer.failure
            else:
                work.predictions[key] = list(answer.predictions)

    async def _answers(
        self, project: Project, work: _Work, model: Model, texts: Mapping[str, str], last_try: str | None
    ) -> tuple[Mapping[str, Answer], Paid]:
        engine = work.job.parameters_as(AutolabelParameters).engine or ""
        if isinstance(model, DeferredModel):
            known = {key: d.language for page in work.pages.values() for key, d in page.documents.items()}
            sent = {key: Text(text, known.get(key, project.language)) for key, text in texts.items()}
            return await self._exchanges.answers(work.job, work.number, engine, model, sent, last_try)
        if not isinstance(model, ServiceModel):
            raise ArtifactError(f"The job's model does not belong to the engine '{engine}'.")
        return await self._exchanges.paid_answers(work.job, work.number, model, texts, last_try, work.check)

    async def _commit(self, handle: Handle, work: _Work, lease: Lease) -> None:
        author = Author(SYSTEM, self._stores.clock(), random_id())
        numbers = {page_of(key, handle.current.pages) for key in work.locations}
        lease.close_with(work.result)
        change = self._change(work, author)
        try:
            await self._stores.pages.write(
                handle, numbers, change, author,
                ignores_fence=work.job.kind is JobKind.REGISTER, loaded=work.pages, closing=lease,
            )  # fmt: skip
        except LabelingLocked:
            # Documents are still registered (D5); their content waits for the next plan.
            change = self._change(work, author, locked=True)
            await self._stores.pages.write(handle, numbers, change, author, ignores_fence=True, closing=lease)

    def _change(self, work: _Work, author: Author, *, locked: bool = False) -> Change:
        def change(page: Page, project: Project) -> Edit | None:
            self._check_current(work.job, project)
            source = None if work.job.kind is JobKind.REGISTER else _source(work.job, project)
            edits: dict[str, Document | None] = {}
            history: list[HistoryEntry] = []
            outcomes: list[DocumentOutcome] = []
            made: list[EngineTally] = []
            for key, reading in work.readings.items():
                if page_of(key, project.pages) != page.number:
                    continue
                rejected = rejected_by_current_names(page.gone.get(key, NONE_REJECTED), project)
                inspection = inspect(
                    page.documents.get(key),
                    work.locations[key],
                    project.language,
                    reading,
                    author.revision,
                    rejected,
                    removes=work.job.source is JobSource.UPLOAD,
                )
                predictions = work.predictions.get(key)
                if predictions:
                    planned = work.job.parameters_as(AutolabelParameters)
                    predictions = by_current_names(predictions, project, planned.model_edits)
                if key in work.failures and source and inspection.after is not None:
                    after, result = fail(inspection.after, source, work.failures[key])
                else:
                    after, result = _step(
                        inspection, reading, predictions, source, author.revision,
                        locked=locked, labeled=key in work.labeled,
                    )  # fmt: skip
                if after is not inspection.before:
                    edits[key] = after
                made.extend(_made(inspection.before, after))
                history.extend(inspection.history)
                if result is not None:
                    outcomes.append(result)
            if source is not None and source.named:
                outcomes += _failed(page, project, work.unreachable)
            work.outcomes[page.number] = outcomes
            return Edit(edits, tuple(history), engines=tuple(made)) if edits else None

        return change


def _failed(page: Page, project: Project, unreachable: Collection[str]) -> list[DocumentOutcome]:
    """The outcomes of the page's documents whose container does not exist."""
    error = JobError("ContainerNotFound", f"The container '{project.container}' does not exist.")
    found = (page.documents[key] for key in page.documents if key in unreachable)
    return [DocumentOutcome(document.id, document.location, Outcome.FAILED, error) for document in found]


def _made(before: Document | None, after: Document | None) -> tuple[EngineTally, ...]:
    """The new suggestions of a document, for the comparison of engines."""
    found = after.suggestions if after is not None else None
    known = before.suggestions if before is not None else None
    return suggestions_made(found) if found is not None and found is not known else ()


def _count(work: _Work) -> None:
    """The metrics of the batch."""
    for kind, number in Counter(o.outcome for page in work.outcomes.values() for o in page).items():
        telemetry.count("labelbridge.documents", number, outcome=kind)
    parameters = work.job.parameters
    if isinstance(parameters, AutolabelParameters) and parameters.engine:
        tokens, engine = work.paid.tokens, parameters.engine
        telemetry.count("labelbridge.tokens", tokens.input, engine=engine, type="input")
        telemetry.count("labelbridge.tokens", tokens.output, engine=engine, type="output")


def _step(
    inspection: Inspection,
    reading: Reading | None,
    predictions: list[Prediction] | None,
    source: Source | None,
    revision: str,
    *,
    locked: bool,
    labeled: bool,
) -> tuple[Document | None, DocumentOutcome | None]:
    """The document after the inspection and the suggestions, and its outcome for the job.

    `labeled`: there are no predictions, because it was labeled when the engine was asked.
    """
    after = inspection.after
    if after is None or reading is None:
        gone = inspection.before if source is not None and source.named else None
        return after, outcome(
            gone, Outcome.SKIPPED, "BlobNotFound", "The blob no longer exists."
        ) if gone else None
    if reading.text is None or source is None:
        rejection = after.rejection
        has_outcome = rejection is not None and source is not None and (inspection.changed or source.named)
        return after, outcome(
            after,
            Outcome.FAILED if reading.unreadable else Outcome.SKIPPED,
            rejection.code,
            rejection.message,
        ) if has_outcome and rejection else None
    if predictions is None and not labeled:
        return after, None
    if locked:
        return after, outcome(
            after, Outcome.SKIPPED, "LabelingLocked", "Labeling is locked; the document waits."
        )
    return suggest(after, reading.text, predictions, source, revision)


def _source(job: Job, project: Project) -> Source:
    """The source of the job's suggestions; renamed categories have their current names."""
    planned = job.parameters_as(AutolabelParameters)
    wanted = {project.current_name(name, planned.edits) for name in planned.categories or ()}
    rule = Filter(
        planned.project_kind or project.kind,
        planned.threshold or 0,
        frozenset(project.category_names).intersection(wanted),
    )
    named = planned.source is JobSource.HTTP
    model = planned.model_label or planned.service_model
    return Source(job.id, planned.engine or "", model, job.generation, named, rule)


def _may_suggest(document: Document | None, reading: Reading, source: Source) -> bool:
    """Whether to predict: not for content that was planned before (rule A1)."""
    if source.named or document is None or document.blob_etag != reading.blob_etag:
        return True
    return document.waiting or (
        document.suggestions is not None and document.suggestions.job_id == source.job_id
    )
