"""Planning: creates jobs and batches for uploads, for content that waited, and for requested jobs."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import batched
from operator import attrgetter
from time import monotonic
from typing import Final

from shared import telemetry
from shared.domain.autolabel import is_unlabeled, needs_no_suggestion
from shared.domain.batches import MAX_BATCH_DOCUMENTS, MAX_BATCH_PAGES, batches_of, pages_at_once, pages_of
from shared.domain.document import PLANNED_WHEN_READ, Document
from shared.domain.errors import NotFound, ProjectNotFound, QuotaExceeded
from shared.domain.jobs import (
    AutolabelParameters,
    Batch,
    Job,
    JobError,
    JobKind,
    JobSource,
    JobStatus,
    RegisterParameters,
    ScanParameters,
)
from shared.domain.names import DocumentStatus, ProjectKind, derived_job_id
from shared.domain.page import Flag, Head, page_of
from shared.domain.project import Project
from shared.domain.text import reject_by_name, text_records
from shared.engines.base import EngineError, ServiceEngine, calling
from shared.engines.registry import SERVICES, Engines
from shared.services.autolabel.fits import FIT_RUNNING, FitRunner, obstacle
from shared.services.jobs.lifecycle import JobMessage, JobService, PlanMessage, in_background
from shared.services.jobs.stores import BudgetService, Stores, under_way
from shared.services.training.model_cache import ModelCache
from shared.storage.gateways.ports import Operation, RowChanged
from shared.storage.jobs import PLANNED, Latest
from shared.storage.uploads import PendingUpload

log = logging.getLogger("labelbridge.jobs")

NO_CATEGORIES: Final = "The engine '{}' needs categories; define at least one."
UPLOADS_AT_ONCE: Final = 20_000
FOLDERS_AT_ONCE: Final = 100
"""The maximum of folders per scan, which reads the documents once: the names must fit into its row."""
WINDOW_SECONDS: Final = 2
#: Attempts of a plan while other instances create jobs for the project.
TRIES: Final = 5
_BY_ID: Final = attrgetter("document_id")


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether suggestions can be made now: the parameters of the job, or the reason why not.

    `fit`: the missing fit, which the caller runs itself. `batch_documents`: about how many a batch should have.
    """

    parameters: AutolabelParameters
    error: JobError | None = None
    fit: Job | None = None
    batch_documents: int = MAX_BATCH_DOCUMENTS


@dataclass(frozen=True, slots=True)
class _New:
    """The job that a plan may create. `latest`: the previous one, as it was when the plan began to read."""

    job_id: str
    project: Project
    latest: Latest


class Planner:
    def __init__(
        self,
        stores: Stores,
        engines: Engines,
        models: ModelCache,
        jobs: JobService,
        *,
        budgets: BudgetService,
        default_engine: str,
        window: int = WINDOW_SECONDS,
    ) -> None:
        self._stores = stores
        self._engines = engines
        self._models = models
        self._jobs = jobs
        self.fits = FitRunner(stores, engines, models, jobs, window)
        self._planning: dict[str, asyncio.Lock] = {}
        self._again: dict[str, tuple[str, float]] = {}  # the next repeat of a plan of this process, and when
        self._budgets = budgets
        self._default_engine = default_engine
        self._window = window

    async def plan(self, message: PlanMessage) -> None:
        """Plan pending uploads and waiting content. A repeat finds its own job."""
        # Plans of a process wait for each other. If two instances plan, one creates its job and the other plans again.
        async with self._planning.setdefault(message.incarnation, asyncio.Lock()):
            for _ in range(TRIES):
                with suppress(RowChanged):
                    await self._plan(message)
                    return
            await self.plan_later(message.project, message.incarnation, derived_job_id(message.id, "again"))

    async def _plan(self, message: PlanMessage) -> None:
        try:
            project = await self._stores.directory.read(message.project)
        except ProjectNotFound:
            return
        if not message.applies_to(project):
            return
        latest = await self._stores.jobs.latest(project.incarnation, PLANNED)  # before what it stands for
        active = await under_way(self._stores, project)
        pending, more = await self._stores.pending.first(project.scope, UPLOADS_AT_ONCE)
        uploads = [upload for upload in pending if not upload.is_folder]
        if folders := [upload for upload in pending if upload.is_folder]:
            await self._scan_folders(project, folders[:FOLDERS_AT_ONCE])
        taken = pages_of(active.uploads)
        fresh = [u for u in uploads if page_of(u.document_id, project.pages) not in taken]
        heads, new = self._stores.pages.heads, _New(derived_job_id(message.id), project, latest)
        again = more or len(folders) > FOLDERS_AT_ONCE or len(fresh) < len(uploads)
        if fresh:
            again |= await self._plan_uploads(new, await heads(project.scope), fresh, active.uploads)
        elif not uploads and not active.uploads:
            await self._plan_waiting(new, await heads(project.scope), active.documents)
        again = again or bool(active.uploads and not uploads)  # what these register may wait for a plan
        if self._again.get(project.incarnation, ("", 0))[0] == message.id:
            del self._again[project.incarnation]  # it may come early: queue delays are whole seconds
        if again and monotonic() >= self._again.get(project.incarnation, ("", 0))[1]:
            plan_id, due = derived_job_id(message.id, "again"), monotonic() + self._window
            await self.plan_later(project.name, project.incarnation, plan_id)
            self._again[project.incarnation] = plan_id, due

    async def _scan_folders(self, project: Project, folders: Sequence[PendingUpload]) -> None:
        """Start a scan of renamed or deleted folders; a repeat is the same scan."""
        job_id = derived_job_id(project.incarnation, "folders", *(folder.etag for folder in folders))
        parameters = ScanParameters(folders=tuple(folder.location for folder in folders))
        scan = Job.new(JobKind.SCAN, job_id, project, self._stores.clock(), parameters)
        if (created := await self._stores.jobs.create(scan))[1]:
            await self._jobs.send(created[0])
        await self._stores.pending.remove(project.scope, folders)

    async def plan_later(self, name: str, incarnation: str, plan_id: str) -> None:
        """Plan after the collection window (rule A8)."""
        await self.plan_soon(name, incarnation, plan_id, self._window)

    async def plan_soon(self, name: str, incarnation: str, plan_id: str, delay: int = 0) -> None:
        """Plan at once what a listing found, or after a delay."""
        message = PlanMessage(project=name, incarnation=incarnation, id=plan_id)
        await self._jobs.queue(message, delay=delay)

    async def plan_job(self, job: Job, own: int = 0) -> Job:
        """Give a caller's job its model and its batches, and queue all but the first `own`.

        A caller with batches of its own also runs a short fit; what else waits for the model is planned beside these
        batches. Raises RowChanged if the job, or the budget of its engine, was changed meanwhile.
        """
        fitted: list[Project] = []
        try:
            return await self._plan_job(job, own, fitted)
        finally:
            for project in fitted:  # a failure is logged; then messages plan what waits
                in_background(self._wake(project, job))

    async def _plan_job(self, job: Job, own: int, fitted: list[Project]) -> Job:
        asked = job.parameters_as(AutolabelParameters)
        for here in (own > 0, False):
            project = await self._stores.directory.read(job.project)
            heads = await self._stores.pages.heads(project.scope)
            ready = await self.readiness(project, heads, asked, job, here=here)
            if ready.fit is None:
                break
            if (made := await self.fits.run(JobMessage.of(ready.fit))) is not None:
                fitted.append(made)
        if ready.error == FIT_RUNNING:
            return job  # when the fit has the model, it requests the plan of the job
        if ready.error is not None:
            return await self._jobs.end(job, JobStatus.FAILED, errors=(ready.error,))
        batches = _selected(project, heads, asked, ready.batch_documents)
        try:
            parameters, more = await self._reserve(project, ready.parameters, batches)
        except QuotaExceeded as error:
            return await self._jobs.end(
                job, JobStatus.FAILED, errors=(JobError(error.code, error.message, "engine"),)
            )
        planned = replace(
            job,
            status=JobStatus.RUNNING,
            generation=project.generation,
            edition=project.edition,
            updated=self._stores.clock(),
            parameters=parameters,
            batches=tuple(batches),
        )
        return await self._jobs.start(planned, *more, own=own)

    async def renew_model(self, job: Job) -> None:
        """Give a planned job whose model was deleted the current one, if there is one.

        A fit deletes what no written job uses, so a model can go that a plan has chosen when two fits end before the
        plan writes its job.
        """
        project = await self._stores.directory.project_of(job)
        if project is None:
            return
        asked = job.parameters_as(AutolabelParameters)
        ready = await self.readiness(project, await self._stores.pages.heads(project.scope), asked)
        found = ready.parameters
        if ready.error is not None or found.artifact == asked.artifact:
            return
        parameters = replace(
            asked,
            artifact=found.artifact,
            model_label=found.model_label,
            service_model=found.service_model,
            model_edits=found.model_edits,
        )
        with suppress(RowChanged):  # the job has ended, or another batch did this
            await self._stores.jobs.save(replace(job, updated=self._stores.clock(), parameters=parameters))
            log.warning("The model of the job %s was deleted; the job uses the current one.", job.id)

    async def _reserve(
        self, project: Project, parameters: AutolabelParameters, batches: Sequence[Batch]
    ) -> tuple[AutolabelParameters, list[Operation]]:
        """Reserve the job's text records in the budget of its engine. Raises QuotaExceeded.

        Texts that were not read yet count as one record; the actual use is settled at the end of the job.
        """
        if not self._budgets.applies(parameters.engine or ""):
            return parameters, []
        records = sum(batch.planned for batch in batches)
        if parameters.source is not JobSource.UPLOAD:
            records = await self._records(project, parameters)
        return await self._budgets.reserve(project.incarnation, parameters, records)

    async def _records(self, project: Project, parameters: AutolabelParameters) -> int:
        wanted = set(parameters.documents) if parameters.documents is not None else None
        records = 0
        async for page in self._stores.pages.scan(project.scope):
            for document in page.documents.values():
                chosen = document.id in wanted if wanted is not None else is_unlabeled(document, project)
                if chosen and not needs_no_suggestion(document, project.kind):
                    records += text_records(document.characters)
        return records

    async def readiness(
        self,
        project: Project,
        heads: Sequence[Head],
        asked: AutolabelParameters,
        request: Job | None = None,
        *,
        here: bool = False,
    ) -> Readiness:
        """The model that a job would use now, or why there is none.

        `request`: the job of a caller, who with `here` runs a short fit itself.
        """
        settings = project.settings.autolabel
        name = asked.engine or settings.engine or self._default_engine
        label = asked.model_label
        named = asked.categories
        if named is not None:
            named = tuple(project.current_name(name, asked.edits) for name in named)
        chosen = (named, settings.categories, project.category_names)
        wanted = next(names for names in chosen if names is not None)  # an empty list is a choice, too
        categories = tuple(name for name in wanted if name is not None and name in project.category_names)
        try:
            model = await self._models.trained(project, label)
            if model is not None and (label is not None or model.engine == name):
                name, label, artifact, edits = model.engine, model.label, model.artifact, model.edits
                self._engines.get(name)
            else:
                engine = self._engines.get(name)
                with calling(name):
                    unsupported = project.kind not in engine.capabilities.kinds
                if unsupported:
                    text = f"The engine '{name}' does not label projects of kind {project.kind}."
                    return Readiness(asked, JobError("UnsupportedKind", text, "engine"))
                if isinstance(engine, ServiceEngine):
                    return await self._ask(project, engine, asked, categories, request)
                fitted, fit = await self.fits.current(project, engine, heads, request, here=here)
                if (error := obstacle(fitted, lambda: self.offer(project))) is not None:
                    return Readiness(asked, error, fit)
                artifact, edits = fitted.artifact, fitted.edits
                model = await self._models.trained(project, None)
                if model is not None and model.engine == name:  # trained while we fitted
                    label, artifact, edits = model.label, model.artifact, model.edits
            size = self._batch_documents(name)
        except (EngineError, NotFound) as error:
            return Readiness(asked, JobError(type(error).__name__, str(error), "engine"))
        planned = replace(
            asked,
            project_kind=project.kind,
            engine=name,
            model_label=label,
            artifact=artifact,
            categories=categories,
            threshold=round(project.settings.confidence_threshold * 100),
            edits=project.edits,
            model_edits=edits,
        )
        return Readiness(planned, batch_documents=size)

    async def _ask(
        self,
        project: Project,
        engine: ServiceEngine,
        asked: AutolabelParameters,
        categories: tuple[str, ...],
        request: Job | None,
    ) -> Readiness:
        """A service needs categories, but no labels. Raises EngineError."""
        if not categories:
            return Readiness(asked, JobError("NoCategories", NO_CATEGORIES.format(engine.name), "categories"))
        artifact = await self._models.prepare(project, engine, categories, request)
        with calling(engine.name):
            planned = replace(
                asked,
                project_kind=project.kind,
                engine=engine.name,
                artifact=artifact,
                categories=categories,
                threshold=round(project.settings.confidence_threshold * 100),
                prices=engine.prices if engine.prices.known else None,
                cost_limit=min(filter(None, (asked.cost_limit, engine.cost_limit)), default=None),
                service_model=engine.model_of(project.deployed),
                edits=project.edits,
                model_edits=engine.named_at(project.deployed, project.edits),
            )
        return Readiness(planned, batch_documents=self._batch_documents(engine.name))

    def offer(self, project: Project) -> str:
        """The name of a service that has a model and suggests without labels; empty: there is none."""
        for name in SERVICES:
            try:
                engine = self._engines.get(name)
                with calling(name):
                    serves = (
                        isinstance(engine, ServiceEngine) and engine.missing_model(project.deployed) is None
                    )
                    serves = serves and project.kind in engine.capabilities.kinds
            except EngineError:
                continue
            if serves:
                how = f'start a job with "engine": "{name}" to use it.'
                return f" The engine '{name}' needs no labels; {how}"
        return ""

    def _batch_documents(self, name: str) -> int:
        """Raises EngineError."""
        engine = self._engines.get(name)
        with calling(name):
            return engine.capabilities.batch_documents or MAX_BATCH_DOCUMENTS

    async def fit(self, message: JobMessage) -> None:
        """Fit the engine of a job, and plan what waits for the model. A repeat finds what was done."""
        project = await self.fits.run(message)
        if project is not None:
            await self._wake(project, None)

    async def _wake(self, project: Project, asking: Job | None) -> None:
        """Send the jobs and fits that waited for this fit, and plan these jobs before their messages are polled.

        The fit has requested the plan of the documents that waited.
        """
        jobs = await self._stores.jobs.open_jobs(project.incarnation)
        jobs = [job for job in jobs if asking is None or job.id != asking.id]
        waiting = [j for j in jobs if j.kind is JobKind.AUTOLABEL and j.status is JobStatus.NOT_STARTED]
        for job in (*waiting, *(job for job in jobs if job.kind is JobKind.FIT)):
            await self._jobs.send(job)
        for job in waiting:
            try:
                await self.plan_job(job)
            except RowChanged:
                continue  # its message was faster
            except Exception as error:  # noqa: BLE001 - its message plans it, and the fit has ended
                text = "The job %s could not be planned; its message will plan it: %s"
                log.warning(text, job.id, telemetry.in_line(error))

    async def _plan_uploads(
        self,
        new: "_New",
        heads: Sequence[Head],
        uploads: list[PendingUpload],
        apart: Sequence[Batch],
    ) -> bool:
        """Register documents, whether or not suggestions can be made now (rule D5).

        Returns whether other documents wait that may get suggestions in the next plan.
        """
        project = new.project
        documents = [(page_of(u.document_id, project.pages), 1) for u in sorted(uploads, key=_BY_ID)]
        loaded = _pages_at_once(project, heads)
        batches = batches_of(documents, apart=apart, loaded=loaded)
        affordable = None
        if may := await self._may_suggest(project, uploads):
            ready = await self._for_uploads(project, heads, JobSource.UPLOAD)
            batches = batches_of(documents, ready.batch_documents, apart, loaded=loaded)
            affordable = await self._afford(project, ready, batches)
        parameters, more = affordable or (RegisterParameters(), [])
        kind = JobKind.AUTOLABEL if affordable else JobKind.REGISTER
        await self._create(kind, new, parameters, batches, more)
        others = any(entry.flags & Flag.WAITING for head in heads for entry in head.entries)
        return others and (affordable is not None or not may)

    async def _may_suggest(self, project: Project, uploads: Iterable[PendingUpload]) -> bool:
        """Whether any upload could get a suggestion, checked before a model is requested: labeled documents need
        none.
        """
        may = project.settings.autolabel.on_upload and project.lock is None
        wanted = sorted((u for u in uploads if may and reject_by_name(u.location) is None), key=_BY_ID)
        for some in (wanted[:1], *batched(wanted[1:], MAX_BATCH_PAGES, strict=False)):
            numbers = {u.document_id: page_of(u.document_id, project.pages) for u in some}
            pages = await self._stores.pages.load_many(project.scope, numbers.values())
            if any(_may_get_suggestions(pages[n].documents.get(key), project) for key, n in numbers.items()):
                return True
        return False

    async def _plan_waiting(self, new: "_New", heads: Sequence[Head], apart: Sequence[Batch]) -> None:
        taken = pages_of(apart)
        free = (head for head in heads if head.number not in taken)
        waiting = [(h.number, sum(1 for e in h.entries if e.flags & Flag.WAITING)) for h in free]
        if not any(count for _, count in waiting):
            return
        ready = await self._for_uploads(new.project, heads, JobSource.WAITING)
        loaded = _pages_at_once(new.project, heads)
        batches = batches_of(waiting, ready.batch_documents, apart, loaded=loaded, whole=True)
        if affordable := await self._afford(new.project, ready, batches):
            parameters, more = affordable
            await self._create(JobKind.AUTOLABEL, new, parameters, batches, more)

    async def _afford(
        self, project: Project, ready: Readiness, batches: Sequence[Batch]
    ) -> tuple[AutolabelParameters, list[Operation]] | None:
        """The parameters of a job within its budget, and what to commit with it; None: the documents wait."""
        if ready.error is not None:
            return None
        try:
            return await self._reserve(project, ready.parameters, batches)
        except QuotaExceeded:
            return None

    async def _for_uploads(self, project: Project, heads: Sequence[Head], source: JobSource) -> Readiness:
        settings = project.settings.autolabel
        asked = AutolabelParameters(settings.model_label, source)
        if project.lock is not None:
            return Readiness(asked, JobError("LabelingLocked", project.lock.reason))
        if not settings.on_upload:
            return Readiness(asked, JobError("OnUploadOff", "The project does not label uploads."))
        return await self.readiness(project, heads, asked)

    async def _create(
        self, kind: JobKind, new: "_New", parameters: AutolabelParameters | RegisterParameters,
        batches: Iterable[Batch], more: Iterable[Operation],
    ) -> None:  # fmt: skip
        """Raises RowChanged if another plan has created a job since this one read the work to do."""
        job = Job.new(kind, new.job_id, new.project, self._stores.clock(), parameters)
        job = replace(job, status=JobStatus.RUNNING, batches=tuple(batches))
        created, begins = await self._stores.jobs.create(job, new.latest.replaced_by(job), *more)
        if begins:
            await self._jobs.begin(created)


def _may_get_suggestions(document: Document | None, project: Project) -> bool:
    labeled = document and project.kind is ProjectKind.SINGLE_LABEL and document.labels is not None
    return document is None or (not labeled and document.planned != PLANNED_WHEN_READ)


def _selected(project: Project, heads: Sequence[Head], asked: AutolabelParameters, most: int) -> list[Batch]:
    loaded = _pages_at_once(project, heads)
    if asked.documents is not None:
        named = ((page_of(key, project.pages), 1) for key in sorted(asked.documents))
        return batches_of(named, most, loaded=loaded)
    return batches_of(((h.number, _unlabeled(project, h)) for h in heads), most, loaded=loaded, whole=True)


def _pages_at_once(project: Project, heads: Sequence[Head]) -> int:
    return pages_at_once(sum(len(head.entries) for head in heads), project.pages)


def _unlabeled(project: Project, head: Head) -> int:
    wanted = DocumentStatus.UNLABELED
    return sum(
        1
        for e in head.entries
        if e.status(project.generation, project.active_studio) is wanted and not e.flags & Flag.MISSING
    )
