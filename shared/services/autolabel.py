"""Autolabel jobs as callers start, watch, repeat and end them."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from shared.domain.errors import Conflict, InvalidArgument, JobNotFound, NotFound
from shared.domain.jobs import DocumentOutcome, Job, JobKind, JobStatus, Outcome
from shared.domain.page import is_document_id
from shared.domain.project import Project
from shared.domain.text import text_records
from shared.engines.base import UnknownEngine
from shared.engines.registry import Engines
from shared.services.batches import BatchRunner
from shared.services.inline import for_a_moment
from shared.services.jobs import SAFETY_SECONDS, JobService
from shared.services.messages import BatchMessage, JobMessage
from shared.services.planning import Planner
from shared.services.selection import is_unlabeled
from shared.services.stores import Stores
from shared.storage.gateways.ports import RowChanged
from shared.storage.models import ModelNotFound
from shared.storage.pages import locked

log = logging.getLogger("labelbridge.jobs")

MAX_NAMED = 20_000
#: Batches that the request itself begins with, and how many of them at once.
OWN_BATCHES, OWN_AT_ONCE = 8, 2
#: A usual rule of thumb for English; a bill is made by the service.
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class AutolabelRequest:
    """What a caller asks for; None: the project's settings, every unlabeled document, every category."""

    engine: str | None = None
    model_label: str | None = None
    documents: tuple[str, ...] | None = None
    categories: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Cost of a job: `tokens` only for engines that are paid by the token."""

    documents: int
    text_records: int
    tokens: int | None


class AutolabelService:
    def __init__(
        self,
        stores: Stores,
        engines: Engines,
        planner: Planner,
        batches: BatchRunner,
        jobs: JobService,
        *,
        default_engine: str,
    ) -> None:
        self._stores = stores
        self._engines = engines
        self._planner = planner
        self._batches = batches
        self._jobs = jobs
        self._default_engine = default_engine

    async def start(self, name: str, request: AutolabelRequest, job_id: str) -> Job:
        """Begin a job; the same `job_id` again is the same job. Raises InvalidArgument, LabelingLocked."""
        project = await self._stores.directory.read(name)
        self._check(project, request)
        await self._check_model(project, request)
        now = self._stores.clock()
        parameters = {
            "source": "http",
            "engine": request.engine,
            "modelLabel": request.model_label or project.settings.autolabel.model_label,
            "documents": sorted(set(request.documents)) if request.documents is not None else None,
            "categories": list(request.categories) if request.categories is not None else None,
        }
        job = Job(
            job_id, JobKind.AUTOLABEL, project.name, project.incarnation, project.edition, now, now,
            generation=project.generation, parameters={k: v for k, v in parameters.items() if v is not None},
        )  # fmt: skip
        job, new = await self._stores.jobs.create(job)
        if not new:
            return job
        await self._jobs.send(job, delay=SAFETY_SECONDS)
        return await self._begin(job)

    async def estimate(self, name: str, request: AutolabelRequest) -> Estimate:
        """What a job would cost; nothing is begun."""
        project = await self._stores.directory.read(name)
        self._check(project, request, locks=False)
        await self._check_model(project, request)
        named = set(request.documents) if request.documents is not None else None
        documents = records = characters = 0
        async for page in self._stores.pages.scan(project.scope):
            for document in page.documents.values():
                if document.id in named if named is not None else is_unlabeled(document, project):
                    documents += 1
                    records += text_records(document.characters)
                    characters += document.characters
        engine = self._engines.get(
            request.engine or project.settings.autolabel.engine or self._default_engine
        )
        tokens = characters // CHARACTERS_PER_TOKEN if engine.capabilities.cost_unit == "token" else None
        return Estimate(documents, records, tokens)

    async def plan(self, message: JobMessage) -> None:
        """Plan a job that was begun; one that is planned already is left to its batches."""
        job = await self._stores.jobs.find(message.incarnation, JobKind(message.kind), message.job)
        if job is None or job.status is not JobStatus.NOT_STARTED:
            return
        try:
            await self._planner.plan_job(job)
        except RowChanged:
            return  # planned, or cancelled, meanwhile

    async def get(self, name: str, job_id: str) -> Job:
        project = await self._stores.directory.read(name)
        job = await self._jobs.view(
            await self._stores.jobs.get(project.incarnation, JobKind.AUTOLABEL, job_id)
        )
        if not job.result:
            raise JobNotFound(job_id)
        return job

    async def list(self, name: str) -> "list[Job]":
        """Newest first. An upload job that turns out to have planned nothing is none (A1): it has no result."""
        project = await self._stores.directory.read(name)
        jobs = await self._stores.jobs.list(project.incarnation, JobKind.AUTOLABEL)
        return [seen for job in jobs if (seen := await self._jobs.view(job)).result]

    async def outcomes(self, name: str, job_id: str) -> "list[DocumentOutcome]":
        """What became of each document so far, by document id."""
        project = await self._stores.directory.read(name)
        job = await self._stores.jobs.get(project.incarnation, JobKind.AUTOLABEL, job_id)
        return sorted(await self._stores.jobs.outcomes(job), key=lambda one: one.document_id)

    async def cancel(self, name: str, job_id: str) -> Job:
        project = await self._stores.directory.read(name)
        return await self._jobs.cancel(
            await self._stores.jobs.get(project.incarnation, JobKind.AUTOLABEL, job_id)
        )

    async def retry(self, name: str, job_id: str, new_id: str) -> Job:
        """A new job over the failed documents of one that has ended. Raises Conflict when none failed."""
        project = await self._stores.directory.read(name)
        job = await self._stores.jobs.get(project.incarnation, JobKind.AUTOLABEL, job_id)
        if not job.status.ended:
            raise Conflict(
                "The job is still running; only a job that has ended can be repeated.", target="jobId"
            )
        failed = [o.document_id for o in await self._stores.jobs.outcomes(job) if o.outcome is Outcome.FAILED]
        if not failed and job.status is not JobStatus.FAILED:
            raise Conflict("No document of the job failed.", target="jobId")
        asked = job.parameters
        documents = tuple(failed) if failed else _optional(asked.get("documents"))
        request = AutolabelRequest(
            asked.get("engine"), asked.get("modelLabel"), documents, _optional(asked.get("categories"))
        )
        return await self.start(name, request, new_id)

    async def _run_or_queue(self, job: Job, number: int) -> None:
        """Run a batch; when it fails, its next tries and its end come by the queue, as for any other."""
        message = BatchMessage(
            project=job.project, incarnation=job.incarnation, kind=job.kind, job=job.id, number=number
        )
        try:
            await self._batches.run(message)
        except Exception:
            log.warning("A batch failed within the request; the queue tries it again.", exc_info=True)
            await self._jobs.enqueue(job, [number])

    async def _begin(self, job: Job) -> Job:
        """Plan, and run the first batches, within the request: a small job has ended when its caller is answered,
        and a large one does not wait for the queue to be polled. What dies here the sweep brings back.
        """

        async def work() -> None:
            try:
                planned = await self._planner.plan_job(job, OWN_BATCHES)
            except RowChanged:
                return  # planned, or cancelled, meanwhile
            numbers = iter(range(min(OWN_BATCHES, len(planned.batches))))

            async def run_some() -> None:
                for number in numbers:
                    await self._run_or_queue(planned, number)

            await asyncio.gather(*(run_some() for _ in range(OWN_AT_ONCE)))

        await for_a_moment(work())
        found = await self._stores.jobs.find(job.incarnation, job.kind, job.id)
        return found or job

    async def _check_model(self, project: Project, request: AutolabelRequest) -> None:
        """Raises NotFound, Conflict or InvalidArgument, which name the field of the request."""
        if request.model_label is None:
            return
        try:
            model = await self._stores.models.get(project.incarnation, request.model_label)
        except ModelNotFound as error:
            raise NotFound(error.message, target="modelLabel") from None
        if not model.fits(project.kind):
            text = (
                f"The model '{model.label}' was trained when the project was of another kind; train one anew."
            )
            raise Conflict(text, target="modelLabel")
        if request.engine not in {None, model.engine}:
            text = f"The model '{model.label}' is of the engine '{model.engine}', not '{request.engine}'."
            raise InvalidArgument(text, target="engine")

    def _check(self, project: Project, request: AutolabelRequest, *, locks: bool = True) -> None:
        if locks and project.lock is not None:
            raise locked(project)
        if request.engine is not None:
            try:
                self._engines.get(request.engine)
            except UnknownEngine as error:
                raise InvalidArgument(str(error), target="engine") from error
        known = set(project.category_names)
        for index, category in enumerate(request.categories or ()):
            if category not in known:
                raise InvalidArgument(
                    f"The project has no category '{category}'.", target=f"categories[{index}]"
                )
        if request.documents is not None and len(request.documents) > MAX_NAMED:
            raise InvalidArgument(f"A job takes at most {MAX_NAMED:,} named documents.", target="documents")
        for index, document in enumerate(request.documents or ()):
            if not is_document_id(document):
                raise InvalidArgument(
                    f"'{document[:40]}' is not a document id.", target=f"documents[{index}]"
                )


def _optional(values: Sequence[str] | None) -> tuple[str, ...] | None:
    return tuple(values) if values is not None else None
