"""From "something waits" to jobs with batches: for uploads, for content that waited, and for callers' jobs."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from shared.domain.errors import NotFound, ProjectNotFound, QuotaExceeded
from shared.domain.ids import derived_job_id
from shared.domain.jobs import Batch, Job, JobError, JobKind, JobStatus
from shared.domain.kinds import DocumentStatus
from shared.domain.page import Flag, Head, page_of
from shared.domain.project import Project
from shared.domain.text import text_records
from shared.engines.base import EngineError
from shared.engines.registry import Engines
from shared.services.budgets import BudgetService
from shared.services.jobs import JobService
from shared.services.messages import PLAN_QUEUE, PlanMessage
from shared.services.models import ModelProvider
from shared.services.selection import is_unlabeled
from shared.services.stores import Stores
from shared.storage.gateways.ports import Operation
from shared.storage.todo import Todo

MAX_PAGES: Final = 32
"""Changed pages of a batch: with heads, history and the batch row they fit one transaction of 100 operations."""
MAX_DOCUMENTS: Final = 500
UPLOADS_AT_ONCE: Final = 20_000
WINDOW_SECONDS: Final = 2


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether suggestions can be made now: the parameters of the job, or the reason why not."""

    parameters: Mapping[str, Any]
    error: JobError | None = None


class Planner:
    def __init__(
        self,
        stores: Stores,
        engines: Engines,
        models: ModelProvider,
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
        self._planning: dict[str, asyncio.Lock] = {}
        self._budgets = budgets
        self._default_engine = default_engine
        self._window = window

    async def plan(self, message: PlanMessage) -> None:
        """Plan the uploads that were seen, and the content that waited. A repeat finds its own job.

        One plan of a project at a time: fitting may take seconds, and the next plan must see the job that comes of it.
        """
        async with self._planning.setdefault(message.incarnation, asyncio.Lock()):
            await self._plan(message)

    async def _plan(self, message: PlanMessage) -> None:
        try:
            project = await self._stores.directory.read(message.project)
        except ProjectNotFound:
            return
        if project.incarnation != message.incarnation:
            return
        todos = await self._stores.todo.all(project.scope, UPLOADS_AT_ONCE)
        under_way = await self._under_way(project)
        fresh = [
            t
            for t in todos
            if not any(b.low <= page_of(t.document_id, project.pages) < b.high for b in under_way)
        ]
        heads = await self._stores.pages.heads(project.scope)
        if fresh:
            await self._plan_uploads(project, heads, fresh, message.id)
        elif not todos and not under_way:
            await self._plan_waiting(project, heads, message.id)
        if len(fresh) < len(todos) or len(todos) == UPLOADS_AT_ONCE:
            await self.plan_later(project.name, project.incarnation, derived_job_id(message.id, "again"))

    async def plan_later(self, name: str, incarnation: str, plan_id: str) -> None:
        """Plan when the collection window has passed (rule A8)."""
        message = PlanMessage(project=name, incarnation=incarnation, id=plan_id)
        queue = PLAN_QUEUE
        await self._stores.queues.send(queue, message.model_dump_json(), delay=self._window)

    async def plan_job(self, job: Job, own: int = 0) -> Job:
        """Give a caller's job its model and its batches, all queued but the first `own`.

        Raises RowChanged when somebody else planned it meanwhile.
        """
        project = await self._stores.directory.read(job.project)
        heads = await self._stores.pages.heads(project.scope)
        ready = await self.readiness(project, heads, job.parameters)
        if ready.error is not None:
            return await self._jobs.end(job, JobStatus.FAILED, errors=(ready.error,))
        batches = self._selected(project, heads, job)
        try:
            reserved, more = await self._reserve(project, ready.parameters, batches)
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
            parameters={**ready.parameters, **reserved},
            batches=tuple(batches),
        )
        return await self._jobs.start(planned, *more, own=own)

    async def _reserve(
        self, project: Project, parameters: Mapping[str, Any], batches: Sequence[Batch]
    ) -> tuple[Mapping[str, object], list[Operation]]:
        """Take the job's text records out of the budget of its engine. Raises QuotaExceeded.

        Texts that were not read yet count as one record; the end of the job settles what it took.
        """
        engine = parameters["engine"]
        if not self._budgets.applies(engine):
            return {}, []
        records = sum(batch.planned for batch in batches)
        if parameters.get("source") != "upload":
            records = await self._records(project, parameters)
        reserved, operation = await self._budgets.reserve(project.incarnation, engine, records)
        return reserved, [operation]

    async def _records(self, project: Project, parameters: Mapping[str, Any]) -> int:
        named: Sequence[str] | None = parameters.get("documents")
        wanted = set(named) if named is not None else None
        records = 0
        async for page in self._stores.pages.scan(project.scope):
            for document in page.documents.values():
                if document.id in wanted if wanted is not None else is_unlabeled(document, project):
                    records += text_records(document.characters)
        return records

    async def readiness(self, project: Project, heads: Sequence[Head], asked: Mapping[str, Any]) -> Readiness:
        """Fit or find the model that a job would use now."""
        settings = project.settings.autolabel
        name = asked.get("engine") or settings.engine or self._default_engine
        label = asked.get("modelLabel")
        try:
            model = await self._models.trained(project, label)
            if model is not None and (label is not None or model.engine == name):
                name, label, artefact = model.engine, model.label, model.artefact
                self._engines.get(name)
            else:
                engine = self._engines.get(name)
                if project.kind not in engine.capabilities.kinds:
                    text = f"The engine '{name}' does not label projects of kind {project.kind}."
                    return Readiness({}, JobError("UnsupportedKind", text, "engine"))
                fitted = await self._models.fit(project, engine, heads)
                if fitted.missing is not None:
                    return Readiness({}, JobError("NotEnoughLabels", fitted.missing))
                artefact = fitted.artefact
                model = await self._models.trained(project, None)
                if model is not None and model.engine == name:  # trained while we fitted
                    label, artefact = model.label, model.artefact
        except (EngineError, NotFound) as error:
            return Readiness({}, JobError(type(error).__name__, str(error), "engine"))
        chosen = (asked.get("categories"), settings.categories, project.category_names)
        categories = next(one for one in chosen if one is not None)  # an empty choice is a choice
        return Readiness(
            {
                **asked,
                "kind": project.kind.value,
                "engine": name,
                "modelLabel": label,
                "artefact": artefact,
                "categories": [c for c in categories if c in project.category_names],
                "threshold": round(project.settings.confidence_threshold * 100),
            }
        )

    async def _plan_uploads(
        self, project: Project, heads: Sequence[Head], todos: list[Todo], plan_id: str
    ) -> None:
        """Documents are registered whether or not suggestions can be made now (rule D5)."""
        ready = await self._for_uploads(project, heads)
        batches = batches_of((page_of(t.document_id, project.pages), 1) for t in sorted(todos, key=_by_id))
        parameters, more = await self._afford(
            project, {"source": "upload", **ready.parameters}, ready, batches
        )
        kind = JobKind.REGISTER if parameters is None else JobKind.AUTOLABEL
        await self._create(
            project, kind, derived_job_id(plan_id), parameters or {"source": "upload"}, batches, more
        )

    async def _plan_waiting(self, project: Project, heads: Sequence[Head], plan_id: str) -> None:
        waiting = [(h.number, sum(1 for e in h.entries if e.flags & Flag.WAITING)) for h in heads]
        if not any(count for _, count in waiting):
            return
        ready = await self._for_uploads(project, heads)
        batches = batches_of(waiting)
        parameters, more = await self._afford(
            project, {"source": "waiting", **ready.parameters}, ready, batches
        )
        if parameters is not None:
            await self._create(project, JobKind.AUTOLABEL, derived_job_id(plan_id), parameters, batches, more)

    async def _afford(
        self, project: Project, parameters: Mapping[str, Any], ready: Readiness, batches: Sequence[Batch]
    ) -> tuple[Mapping[str, Any] | None, list[Operation]]:
        """The parameters of a job that can be paid for; None: no suggestions now, the documents wait."""
        if ready.error is not None:
            return None, []
        try:
            reserved, more = await self._reserve(project, parameters, batches)
        except QuotaExceeded:
            return None, []
        return {**parameters, **reserved}, more

    async def _for_uploads(self, project: Project, heads: Sequence[Head]) -> Readiness:
        settings = project.settings.autolabel
        if project.lock is not None:
            return Readiness({}, JobError("LabelingLocked", project.lock.reason))
        if not settings.on_upload:
            return Readiness({}, JobError("OnUploadOff", "The project does not label uploads."))
        return await self.readiness(project, heads, {"modelLabel": settings.model_label})

    async def _create(
        self,
        project: Project,
        kind: JobKind,
        job_id: str,
        parameters: Mapping[str, Any],
        batches: list[Batch],
        more: list[Operation],
    ) -> None:
        now = self._stores.clock()
        job = Job(
            id=job_id,
            kind=kind,
            project=project.name,
            incarnation=project.incarnation,
            edition=project.edition,
            created=now,
            updated=now,
            status=JobStatus.RUNNING,
            generation=project.generation,
            parameters=parameters,
            batches=tuple(batches),
        )
        created, new = await self._stores.jobs.create(job, *more)
        if new:
            await self._jobs.enqueue(created, range(len(created.batches)))

    async def _under_way(self, project: Project) -> list[Batch]:
        """The batches of upload jobs that will yet look at all `todo` rows of their pages."""
        batches: list[Batch] = []
        for job in await self._stores.jobs.open_jobs(project.incarnation):
            if job.parameters.get("source") == "upload":
                done = {state.number for state in await self._stores.jobs.states(job) if state.done}
                batches.extend(batch for number, batch in enumerate(job.batches) if number not in done)
        return batches

    def _selected(self, project: Project, heads: Sequence[Head], job: Job) -> list[Batch]:
        named: Sequence[str] | None = job.parameters.get("documents")
        if named is not None:
            return batches_of((page_of(one, project.pages), 1) for one in sorted(named))
        return batches_of((h.number, _unlabeled(project, h)) for h in heads)


def _by_id(todo: Todo) -> str:
    return todo.document_id


def _unlabeled(project: Project, head: Head) -> int:
    wanted = DocumentStatus.UNLABELED
    return sum(
        1
        for e in head.entries
        if e.status(project.generation, project.active_studio) is wanted and not e.flags & Flag.MISSING
    )


def batches_of(documents: Iterable[tuple[int, int]]) -> list[Batch]:
    """Batches over (page, documents) in page order; pages without documents are passed over."""
    batches: list[Batch] = []
    pages: set[int] = set()
    for page, count in documents:
        if not count:
            continue
        last = batches[-1] if batches else None
        full = (
            last is not None
            and page not in pages
            and (len(pages) == MAX_PAGES or last.planned >= MAX_DOCUMENTS)
        )
        if last is None or full:
            batches.append(Batch(page, page + 1, count))
            pages = {page}
        else:
            batches[-1] = Batch(last.low, page + 1, last.planned + count)
            pages.add(page)
    return batches
