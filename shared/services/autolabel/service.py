"""Autolabel jobs as callers start, watch, retry and cancel them."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from time import monotonic

from shared import telemetry
from shared.domain.autolabel import is_unlabeled, needs_no_suggestion
from shared.domain.errors import Conflict, InvalidArgument, JobNotFound, ModelNotFound, NotFound, Unavailable
from shared.domain.jobs import AutolabelParameters, DocumentOutcome, Job, JobKind, JobStatus, Outcome
from shared.domain.labels import BANDS
from shared.domain.page import EngineTally, add_engine_tallies, is_document_id
from shared.domain.project import Project, unknown_categories
from shared.domain.text import NO_TOKENS, Tokens, text_records
from shared.engines.base import Engine, EngineError, ServiceEngine, calling
from shared.engines.registry import SERVICES, Engines
from shared.services.autolabel.batches import BatchRunner
from shared.services.autolabel.planning import NO_CATEGORIES, Planner
from shared.services.jobs.lifecycle import (
    SAFETY_SECONDS,
    BatchMessage,
    JobMessage,
    JobService,
    for_a_moment,
    in_flight,
)
from shared.services.jobs.stores import BudgetService, Stores
from shared.services.training.model_cache import ModelCache, label_counts, missing_for
from shared.storage.gateways.ports import RowChanged
from shared.storage.pages import locked
from shared.wire.json_codec import ValidationErrors

log = logging.getLogger("labelbridge.jobs")

MAX_NAMED = 20_000
BUSY = "Too many jobs are being planned at the same time; the job is planned again."
#: Batches that a request runs itself, how many at once, and for how many seconds it starts them: a batch that starts by
#: then ends before the work that continues after a request is stopped.
OWN_BATCHES, OWN_AT_ONCE, OWN_SECONDS = 8, 2, 60


@dataclass(frozen=True, slots=True)
class AutolabelRequest:
    """A request. None stands for the project's settings, every unlabeled document, every category."""

    engine: str | None = None
    model_label: str | None = None
    documents: tuple[str, ...] | None = None
    categories: tuple[str, ...] | None = None
    cost_limit: float | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimate of a job: `tokens` only for engines that are paid by the token, `cost` only if prices are set.

    `unavailable`: why the job would fail now.
    """

    engine: str
    documents: int
    text_records: int
    tokens: Tokens | None = None
    cost: float | None = None
    unavailable: str | None = None


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """The counts of suggestions of an engine in a project, by confidence band and by model, and their cost.

    `unavailable`: why a job cannot use the engine. `model`: the model of a service that a job would use now. `tokens`
    and `cost` are those of ended jobs; there is no cost without prices.
    """

    engine: str
    unavailable: str | None
    needs_labels: bool
    model: str | None
    bands: tuple[EngineTally, ...]
    models: tuple[EngineTally, ...]
    tokens: Tokens = NO_TOKENS
    cost: float | None = None


class AutolabelService:
    def __init__(
        self,
        stores: Stores,
        engines: Engines,
        planner: Planner,
        batches: BatchRunner,
        jobs: JobService,
        *,
        models: ModelCache,
        budgets: BudgetService,
        default_engine: str,
    ) -> None:
        self._stores = stores
        self._engines = engines
        self._planner = planner
        self._batches = batches
        self._jobs = jobs
        self._models = models
        self._budgets = budgets
        self._default_engine = default_engine

    async def start(self, name: str, request: AutolabelRequest, job_id: str) -> Job:
        """Start a job; the same `job_id` again is the same job. Raises InvalidArgument, LabelingLocked."""
        project = await self._stores.directory.read(name)
        await self._require_valid(project, request)
        parameters = AutolabelParameters(
            self._model_label(project, request),
            engine=request.engine,
            documents=tuple(sorted(set(request.documents))) if request.documents is not None else None,
            categories=request.categories,
            cost_limit=request.cost_limit,
            edits=project.edits,
        )
        job = Job.new(JobKind.AUTOLABEL, job_id, project, self._stores.clock(), parameters)
        job, new = await self._stores.jobs.create(job)
        if not new:
            return job
        await self._jobs.send(job, delay=SAFETY_SECONDS)
        return await self._begin(job)

    async def estimate(self, name: str, request: AutolabelRequest) -> Estimate:
        """Estimate the cost of a job; nothing is started."""
        project = await self._stores.directory.read(name)
        await self._require_valid(project, request, locks=False)
        named = set(request.documents) if request.documents is not None else None
        documents = sent = records = characters = 0
        async for page in self._stores.pages.scan(project.scope):
            for document in page.documents.values():
                if not (document.id in named if named is not None else is_unlabeled(document, project)):
                    continue
                documents += 1
                if not needs_no_suggestion(document, project.kind):
                    sent += 1
                    records += text_records(document.characters)
                    characters += document.characters
        chosen = (request.categories, project.settings.autolabel.categories, project.category_names)
        wanted = next(names for names in chosen if names is not None)
        categories = [name for name in wanted if name in project.category_names]
        engine, unavailable = await self._would_use(project, request, categories)
        unavailable = unavailable or await self._budgets.exceeded(project.incarnation, engine.name, records)
        estimate = Estimate(engine.name, documents, records, unavailable=unavailable)
        if not isinstance(engine, ServiceEngine):
            return estimate
        try:
            task = await self._models.task(project, engine, categories)
            with calling(engine.name):
                tokens = engine.estimate(task, sent, characters)
                cost = engine.prices.cost(tokens) if tokens is not None else None
        except EngineError as error:
            return replace(estimate, unavailable=unavailable or str(error))
        return replace(estimate, tokens=tokens, cost=cost)

    async def _would_use(
        self, project: Project, request: AutolabelRequest, categories: Sequence[str]
    ) -> tuple[Engine, str | None]:
        """The engine that a job on these categories would use, and the reason if the job would fail now.

        Raises InvalidArgument for an engine that is not configured.
        """
        name = request.engine or project.settings.autolabel.engine or self._default_engine
        label, model, missing = self._model_label(project, request), None, None
        try:
            model = await self._models.trained(project, label)
        except NotFound as error:
            missing = error.message
        uses_model = model is not None and (label is not None or model.engine == name)
        name = model.engine if model is not None and uses_model else name
        try:
            engine = self._engines.get(name)
        except EngineError as error:
            raise InvalidArgument(str(error), target="engine") from error
        missing = missing or self._availability(project, name)[0]
        if missing is None and isinstance(engine, ServiceEngine) and not categories:
            missing = NO_CATEGORIES.format(name)
        elif missing is None and not uses_model:
            heads = await self._stores.pages.heads(project.scope)
            counts = label_counts(heads, project.active_studio)
            try:
                missing = missing_for(engine, project.kind, counts)
                missing = missing and missing + self._planner.offer(project)
            except EngineError as error:
                missing = str(error)
        return engine, missing

    def _model_label(self, project: Project, request: AutolabelRequest) -> str | None:
        """The requested model, or the one in the project's settings, which applies only to the engine in the
        settings.
        """
        settings = project.settings.autolabel
        if request.model_label is not None or request.engine in {None, settings.engine}:
            return request.model_label or settings.model_label
        return None

    async def engines(self, name: str) -> "list[EngineFigures]":
        """The engines of the app by name, and the counts of each one's suggestions in this project."""
        project = await self._stores.directory.read(name)
        tallies: dict[tuple[str, str, int], EngineTally] = {}
        for head in await self._stores.pages.heads(project.scope):
            tallies = add_engine_tallies(tallies, head.engines.values())
        tokens: dict[str, Tokens] = {}
        costs: dict[str, float] = {}
        for usage in await self._stores.usage.all(project.incarnation):
            tokens[usage.engine] = tokens.get(usage.engine, NO_TOKENS) + usage.tokens
            if usage.cost is not None:
                costs[usage.engine] = costs.get(usage.engine, 0.0) + usage.cost
        names = sorted({*self._engines.names, *(tally.engine for tally in tallies.values())})
        return [
            EngineFigures(
                engine,
                *self._availability(project, engine),
                *_by_band_and_model(engine, tallies.values()),
                tokens.get(engine, NO_TOKENS),
                costs.get(engine),
            )
            for engine in names
        ]

    def _availability(self, project: Project, name: str) -> tuple[str | None, bool, str | None]:
        """Why a job of the project cannot use the engine, whether it needs labels, and the model of a service."""
        try:
            engine = self._engines.get(name)
        except EngineError as error:
            return str(error), name not in SERVICES, None
        service = engine if isinstance(engine, ServiceEngine) else None
        model = None
        try:
            with calling(name):
                model = service.model_of(project.deployed) if service else None
                if project.kind not in engine.capabilities.kinds:
                    text = f"The engine '{name}' does not label projects of kind {project.kind}."
                    return text, service is None, model
                return service.missing_model(project.deployed) if service else None, service is None, model
        except EngineError as error:
            return str(error), service is None, model

    async def plan(self, message: JobMessage) -> None:
        """Plan a job that was created; a planned one continues with its batches."""
        job = await self._stores.jobs.find(message.incarnation, JobKind(message.kind), message.job)
        if job is None or job.status is not JobStatus.NOT_STARTED:
            return
        try:
            await self._planner.plan_job(job)
        except RowChanged as error:
            found = await self._stores.jobs.find(job.incarnation, job.kind, job.id)
            if found is not None and found.status is JobStatus.NOT_STARTED:
                raise Unavailable(BUSY, retry_after=1) from error
            # it was planned, or canceled, meanwhile

    async def get(self, name: str, job_id: str) -> Job:
        project = await self._stores.directory.read(name)
        job = await self._jobs.view(
            await self._stores.jobs.get(project.incarnation, JobKind.AUTOLABEL, job_id)
        )
        if not job.result:
            raise JobNotFound(job_id)
        return job

    async def list(self, name: str) -> "list[Job]":
        """Newest first. Upload jobs that planned nothing are left out (A1): they have no result."""
        project = await self._stores.directory.read(name)
        jobs = await self._stores.jobs.list(project.incarnation, JobKind.AUTOLABEL)
        return [seen for job in jobs if (seen := await self._jobs.view(job)).result]

    async def outcomes(self, name: str, job_id: str) -> "list[DocumentOutcome]":
        """The outcomes so far, by document id."""
        project = await self._stores.directory.read(name)
        job = await self._stores.jobs.get(project.incarnation, JobKind.AUTOLABEL, job_id)
        return sorted(await self._stores.jobs.outcomes(job), key=lambda outcome: outcome.document_id)

    async def fits(self, name: str) -> "list[Job]":
        """The fits of engines on the project's labels, newest first."""
        project = await self._stores.directory.read(name)
        return await self._stores.jobs.list(project.incarnation, JobKind.FIT)

    async def get_fit(self, name: str, job_id: str) -> Job:
        project = await self._stores.directory.read(name)
        return await self._stores.jobs.get(project.incarnation, JobKind.FIT, job_id)

    async def cancel(self, name: str, job_id: str) -> Job:
        project = await self._stores.directory.read(name)
        return await self._jobs.cancel(
            await self._stores.jobs.get(project.incarnation, JobKind.AUTOLABEL, job_id)
        )

    async def retry(self, name: str, job_id: str, new_id: str) -> Job:
        """A new job on the failed documents of an ended one. Raises Conflict if none failed."""
        project = await self._stores.directory.read(name)
        job = await self._stores.jobs.get(project.incarnation, JobKind.AUTOLABEL, job_id)
        if not job.status.ended:
            raise Conflict(
                "The job is still running; only a job that has ended can be repeated.", target="jobId"
            )
        failed = [o.document_id for o in await self._stores.jobs.outcomes(job) if o.outcome is Outcome.FAILED]
        if not failed and job.status is not JobStatus.FAILED:
            raise Conflict("No document of the job failed.", target="jobId")
        asked = job.parameters_as(AutolabelParameters)
        documents = tuple(failed) if failed else asked.documents
        names = asked.categories
        if names is not None:
            current = (project.current_name(name, asked.edits) for name in names)
            names = tuple(name for name in current if name is not None)
        request = AutolabelRequest(asked.engine, asked.model_label, documents, names, asked.cost_limit)
        return await self.start(name, request, new_id)

    async def _run_or_queue(self, job: Job, number: int) -> None:
        """Run a batch; if it fails, the queue retries it like any other."""
        try:
            await self._batches.run(BatchMessage.of(job, number))
        except Exception as error:  # noqa: BLE001 - the last attempt logs the stack
            log.warning(
                "A batch failed within the request; the queue will retry it: %s", telemetry.in_line(error)
            )
            await self._jobs.enqueue(job, [number])

    async def _begin(self, job: Job) -> Job:
        """Plan, and run the first batches, within the request: a small job has ended when the response is sent, and a
        large one does not wait for a poll of the queue. If this process dies, the sweep restarts the work.
        """

        async def work() -> None:
            end = monotonic() + OWN_SECONDS
            try:
                planned = await self._planner.plan_job(job, OWN_BATCHES)
            except RowChanged:
                return  # planned, or canceled, meanwhile; if not, its message, which comes later, plans it
            numbers = iter(range(min(OWN_BATCHES, len(planned.batches))))

            async def run_some() -> None:
                for number in numbers:
                    if monotonic() > end:
                        await self._jobs.enqueue(planned, [number, *numbers])
                        return
                    await self._run_or_queue(planned, number)

            await asyncio.gather(*(run_some() for _ in range(min(OWN_AT_ONCE, in_flight(planned)))))

        await for_a_moment(work())
        found = await self._stores.jobs.find(job.incarnation, job.kind, job.id)
        return found or job

    async def _require_valid(
        self, project: Project, request: AutolabelRequest, *, locks: bool = True
    ) -> None:
        """Raises LabelingLocked, InvalidArgument with all errors, NotFound or Conflict for the model."""
        if locks and project.lock is not None:
            raise locked(project)
        errors = self._errors_in(project, request)
        label = request.model_label
        model = await self._stores.models.find(project, label) if label else None
        if model is not None and request.engine not in {None, model.engine}:
            text = (
                f"The model '{model.label}' belongs to the engine '{model.engine}', not '{request.engine}'."
            )
            errors.add("engine", text)
        errors.raise_any()
        if label is not None and model is None:
            raise NotFound(ModelNotFound(label).message, target="modelLabel")
        if model is not None and not model.fits(project.kind):
            text = f"The model '{model.label}' was trained when the project had another kind; train it again."
            raise Conflict(text, target="modelLabel")

    def _errors_in(self, project: Project, request: AutolabelRequest) -> ValidationErrors:
        errors = ValidationErrors()
        name = request.engine or project.settings.autolabel.engine or self._default_engine
        priced = True
        try:
            engine = self._engines.get(name)
            if request.cost_limit and isinstance(engine, ServiceEngine):
                with calling(name):
                    priced = engine.prices.known
        except EngineError as error:
            if request.engine is not None:  # otherwise the job reports it
                errors.add("engine", str(error))
        if not priced:
            text = (
                f"The engine '{name}' has no prices, which 'costLimit' requires. For 'azure-openai', set "
                "OPENAI_INPUT_PRICE and OPENAI_OUTPUT_PRICE."
            )
            errors.add("costLimit", text)
        errors.add_all(unknown_categories(project, request.categories or ()))
        if request.documents is not None and len(request.documents) > MAX_NAMED:
            errors.add("documents", f"A job can name at most {MAX_NAMED:,} documents.")
        for index, document in enumerate(request.documents or ()):
            if not is_document_id(document):
                errors.add(f"documents[{index}]", f"'{document[:40]}' is not a document id.")
        return errors


def _by_band_and_model(
    engine: str, tallies: Iterable[EngineTally]
) -> tuple[tuple[EngineTally, ...], tuple[EngineTally, ...]]:
    """An engine's tallies, summed by confidence band and by model. Undoing a decision that was counted without a
    model must not make counts negative.
    """
    bands = [EngineTally(engine, place) for place in range(BANDS)]
    models: dict[str, EngineTally] = {}
    for tally in tallies:
        if tally.engine == engine and tally.band < BANDS:
            bands[tally.band] = bands[tally.band].plus(tally)
            models[tally.model] = models.get(tally.model, EngineTally(engine, 0, model=tally.model)).plus(
                tally
            )
    named = sorted(models.values(), key=lambda tally: (not tally.model, tally.model))
    shown = (
        tally._replace(accepted=max(0, tally.accepted), rejected=max(0, tally.rejected)) for tally in named
    )
    return tuple(bands), tuple(shown)
