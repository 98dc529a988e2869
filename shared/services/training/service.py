"""Training: one at a time, on the labels of the active studio; its success ends every suggestion (rules T1 to T10).

The labels are read and stored when the training is requested: later labels are not in this model. Rows of two
partitions change at the end. First the model is recorded on the job; from then on nothing stops it. Then one write of
the project row ends the generation and makes the model visible. Last, the model gets its row, together with the end
of the job. A worker that finds a job with a model continues from there.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from shared import telemetry
from shared.domain.errors import (
    Conflict,
    InvalidArgument,
    LabelbridgeError,
    LabelingLocked,
    ProjectNotFound,
    Unavailable,
)
from shared.domain.jobs import (
    CANCELED_BY_CALLER,
    TRAINING_SUCCEEDED,
    Job,
    JobError,
    JobKind,
    JobStatus,
    TrainingState,
    TrainParameters,
    TrainResult,
)
from shared.domain.names import Studio
from shared.domain.page import Head
from shared.domain.project import Project, released
from shared.domain.training import MAX_MODELS, LeftOut, SplitOptions, TrainedModel, left_out
from shared.engines.base import Engine, EngineError, EngineNotConfigured, UnknownEngine, calling
from shared.engines.registry import Engines
from shared.services.jobs.dispatch import run_undivided
from shared.services.jobs.lifecycle import JobMessage, JobService
from shared.services.jobs.stores import Stores
from shared.services.training.evaluating import Evaluator, LabelSnapshot, warnings_of
from shared.services.training.sufficiency import check_training
from shared.storage.gateways.ports import RowChanged
from shared.wire.json_codec import ValidationErrors
from shared.wire.training import CONFIG_VERSION

log = logging.getLogger("labelbridge.models")

ATTEMPTS = 20

type ImportLabels = Callable[[str], Awaitable[object]]
"""Imports the latest labels of the connected labeling project (rule T3). Raises LabelbridgeError with the reason."""


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """`origin`: the studio whose labels are used; None: the active one."""

    model_label: str
    split: SplitOptions = field(default_factory=SplitOptions)
    origin: Studio | None = None


class _Landed(Exception):
    """The training is no longer the project's current one: it has ended."""


class TrainingService:
    def __init__(
        self,
        stores: Stores,
        engines: Engines,
        jobs: JobService,
        evaluator: Evaluator,
        *,
        default_engine: str,
        import_labels: ImportLabels | None = None,
    ) -> None:
        self._stores = stores
        self._engines = engines
        self._jobs = jobs
        self._evaluator = evaluator
        self._default_engine = default_engine
        self._import_labels = import_labels

    async def start(self, name: str, request: TrainRequest, job_id: str) -> Job:
        """Start training on the current labels; suggestions can be reviewed until it succeeds (rules T4, T8).

        Raises InvalidArgument if there is too little to learn from, Conflict if a training is already running.
        """
        project = await self._stores.directory.read(name)
        found = await self._stores.jobs.find(project.incarnation, JobKind.TRAIN, job_id)
        if found is not None:
            return found
        if project.training is not None and project.training != job_id:
            await self._release_ended(project, project.training)
        engine = self._trainable(project)
        await self._check_request(project, request)
        split = request.split
        if request.origin is not Studio.AZURE_ML:  # otherwise they are known after their import
            try:
                await self._take_labels(project, job_id, engine, split)
            except EngineError as error:
                raise InvalidArgument(str(error), target="modelLabel") from error
        parameters = TrainParameters(
            request.model_label, engine.name, split.kind, split.testing, request.origin
        )
        nothing = TrainingState()
        result = TrainResult(request.model_label, CONFIG_VERSION, nothing, nothing)
        job = Job.new(JobKind.TRAIN, job_id, project, self._stores.clock(), parameters)
        job, _ = await self._stores.jobs.create(replace(job, result=result))
        try:
            await self._register(job)
        except LabelbridgeError:
            await self._stores.jobs.remove(job)
            await self._stores.artifacts.delete(_snapshot(job.incarnation, job.id))
            raise
        await self._jobs.send(job)
        return job

    async def run(self, message: JobMessage) -> None:
        """Train, or continue. A second worker finds the lease taken, so the model is made once."""
        job = await self._stores.jobs.find(message.incarnation, JobKind.TRAIN, message.job)
        await run_undivided(self._stores, self._jobs, job, self._train, self.fail)

    async def cancel(self, name: str, job_id: str) -> Job:
        """End a training that has not succeeded; its suggestions stay. Raises Conflict when it has ended."""
        project = await self._stores.directory.read(name)
        job = await self._stores.jobs.get(project.incarnation, JobKind.TRAIN, job_id)
        ended = await self._stop(job, JobStatus.CANCELLED, CANCELED_BY_CALLER)
        if ended.status is not JobStatus.CANCELLED:
            raise Conflict(f"The job has ended ({ended.status}); it cannot be canceled.", target="jobId")
        return ended

    async def get(self, name: str, job_id: str) -> Job:
        project = await self._stores.directory.read(name)
        return await self._stores.jobs.get(project.incarnation, JobKind.TRAIN, job_id)

    async def list(self, name: str) -> "list[Job]":
        """Newest first."""
        project = await self._stores.directory.read(name)
        return await self._stores.jobs.list(project.incarnation, JobKind.TRAIN)

    async def fail(self, job: Job, error: JobError) -> None:
        """End the job with its reason, and let the next training begin."""
        await self._stop(job, JobStatus.FAILED, error)

    async def _stop(self, job: Job, status: JobStatus, reason: JobError) -> Job:
        """End the job, unless it has ended or its model is about to become visible: then it succeeds."""
        for _ in range(ATTEMPTS):
            job = await self._stores.jobs.get(job.incarnation, job.kind, job.id)
            if job.status.ended:
                break
            if job.parameters_as(TrainParameters).model is not None:
                with suppress(RowChanged):
                    return await self._land(job)
                continue
            now = self._stores.clock()
            ended = replace(
                job,
                status=status,
                updated=now,
                result=_stopped(job, status, now),
                errors=(*job.errors, reason),
            )
            with suppress(RowChanged):
                job = await self._stores.jobs.save(ended)
                break
        await self._release(job.project, job.incarnation, job.id)
        return job

    async def _train(self, job: Job) -> None:
        started, asked = self._stores.clock(), job.parameters_as(TrainParameters)
        if asked.model is not None:
            await self._land(job)
            return
        project = await self._register(job)
        engine, split = self._engines.get(asked.engine), asked.options
        snapshot = await self._evaluator.read_snapshot(_snapshot(job.incarnation, job.id))
        if snapshot is None:
            if asked.origin is Studio.AZURE_ML:
                if self._import_labels is None:
                    raise Conflict(
                        "The project is not connected to a labeling project.", target="labelOrigin"
                    )
                await self._import_labels(job.project)
                project = await self._stores.directory.read(job.project)
            snapshot = await self._take_labels(project, job.id, engine, split)
        job = await self._progress(job, TrainResult.fitting)
        found = await self._evaluator.read(project, snapshot)
        job = await self._note(job, found.left_out)
        check_training(engine, project.kind, found.documents, split, found.left_out, snapshot.apart)
        data = self._evaluator.divide(project, snapshot, found, split)
        job = await self._note(job, data.left_out)
        with telemetry.timed("fit", engine=engine.name):
            telemetry.annotate(documents=len(data.examples))
            artifact = await engine.fit(project.kind, data.examples, unlabeled=())
        job = await self._progress(job, TrainResult.evaluating)
        base = f"{project.incarnation}/models/{job.id}"
        await self._stores.artifacts.write(f"{base}/artefact", artifact)
        loaded = await engine.load(artifact)
        project = await self._stores.directory.read(job.project)
        evaluation = await self._evaluator.write(project, loaded, snapshot.edits, data, split, base)
        ended = self._stores.clock()
        model = TrainedModel(
            asked.model_label, job.id, engine.name, ended, max(1, round((ended - started).total_seconds())),
            f"{base}/artefact", evaluation.summary, evaluation.results, split, project.kind, snapshot.edits,
        )  # fmt: skip
        noted = replace(
            job, updated=ended, parameters=replace(asked, model=model), warnings=evaluation.warnings
        )
        await self._land(await self._stores.jobs.save(noted))

    async def _register(self, job: Job) -> Project:
        """Make the job the project's only training. Raises Conflict if another one runs, or an import came first."""

        def register(project: Project) -> Project:
            if project.training == job.id:
                return project
            if project.training is not None:
                raise _runs_already()
            if not job.applies_to(project) or project.edition != job.edition:
                raise Conflict("An import replaced the project; train the model again.", target="modelLabel")
            return replace(project, training=job.id, trained=False)

        return await self._stores.directory.update(job.project, register)

    async def _land(self, job: Job) -> Job:
        """Rule T4: the model recorded on the job becomes visible and the suggestions end, in one write.

        A repeat changes nothing. Raises RowChanged if another worker did all of it.
        """
        model = job.parameters_as(TrainParameters).model
        if model is None:
            raise RowChanged("The job names no model.")
        project = await self._end_generation(job, model)
        dropped = _count(await self._stores.pages.heads(project.scope), project.generation - 1)
        for other in await self._stores.jobs.open_jobs(project.incarnation):
            if other.kind is JobKind.AUTOLABEL and other.status is JobStatus.NOT_STARTED:
                await self._jobs.send(other)  # it has no model yet, and uses this one
            elif other.kind in {JobKind.AUTOLABEL, JobKind.REVIEW} and other.generation < project.generation:
                await self._jobs.stop(other, TRAINING_SUCCEEDED)
        done = replace(
            job,
            status=JobStatus.SUCCEEDED,
            updated=model.trained,
            parameters=replace(job.parameters_as(TrainParameters), model=None),
            result=replace(_result(job).succeeded(model.trained), suggestions_dropped=dropped),
        )
        former = await self._stores.models.stored(project.incarnation, model.label)
        done = await self._stores.models.save_with(done, model)
        if former is not None and former.model_id != model.model_id:
            for name in former.blobs:  # no job predicts with it any more: its suggestions have ended, too
                await self._stores.artifacts.delete(name)
        await self._release(done.project, done.incarnation, done.id)
        return done

    async def _end_generation(self, job: Job, model: TrainedModel) -> Project:
        """Bump the write fence, so that nothing computed from an older project row can commit."""

        def change(project: Project) -> Project:
            if not job.applies_to(project):
                raise ProjectNotFound(job.project)
            if project.training != job.id:
                raise _Landed
            if project.trained:
                return project
            generation = project.generation + 1
            return replace(project, trained=True, generation=generation, last_trained=model.trained)

        for _ in range(ATTEMPTS):
            try:
                return await self._stores.fence.bump(job.project, job.id, change)
            except LabelingLocked:
                continue  # locked by someone else meanwhile: that lock is enough
            except _Landed:
                raise RowChanged("The training has ended.") from None
        raise Unavailable("The project is being changed; try again.", retry_after=1)

    async def _progress(self, job: Job, step: Callable[[TrainResult, datetime], TrainResult]) -> Job:
        """Raises RowChanged when the job was canceled."""
        now = self._stores.clock()
        changed = replace(job, status=JobStatus.RUNNING, updated=now, result=step(_result(job), now))
        return await self._stores.jobs.save(changed)

    async def _note(self, job: Job, left_out: tuple[LeftOut, ...]) -> Job:
        """Record on the job what it does not use, even if it fails later. Raises RowChanged if the job was canceled."""
        if not left_out or _result(job).left_out == left_out:
            return job
        result = replace(_result(job), left_out=left_out)
        return await self._stores.jobs.save(replace(job, result=result, warnings=warnings_of(left_out)))

    async def _release_ended(self, project: Project, other_id: str) -> None:
        """Let the next training start if the previous one has ended. Raises Conflict when it has not."""
        other = await self._stores.jobs.find(project.incarnation, JobKind.TRAIN, other_id)
        if other is not None and not other.status.ended:
            raise _runs_already()
        await self._release(project.name, project.incarnation, other_id)

    async def _release(self, name: str, incarnation: str, job_id: str) -> None:
        """Let the next training begin; also release the write fence if a worker died while it bumped it."""
        with suppress(ProjectNotFound):
            await self._stores.fence.unlock(name, job_id)
            await self._stores.directory.update(name, lambda project: released(project, job_id))
        await self._stores.artifacts.delete(_snapshot(incarnation, job_id))

    def _trainable(self, project: Project) -> Engine:
        """The project's engine if it can be trained, otherwise the default one. Raises InvalidArgument."""
        for name in (project.settings.autolabel.engine, self._default_engine, "embedded"):
            if name is not None:
                try:
                    engine = self._engines.get(name)
                    with calling(name):
                        if engine.capabilities.trainable and project.kind in engine.capabilities.kinds:
                            return engine
                except (UnknownEngine, EngineNotConfigured):
                    continue
                except EngineError as error:  # another engine would make another model than people expect
                    raise InvalidArgument(str(error), target="modelLabel") from error
        raise InvalidArgument(
            "No engine of this app can be trained for this kind of project.", target="modelLabel"
        )

    async def _check_request(self, project: Project, request: TrainRequest) -> None:
        errors = ValidationErrors()
        if request.origin is Studio.AZURE_ML and project.aml_project_path is None:
            errors.add("labelOrigin", "The project is not connected to a labeling project.")
        if request.origin is Studio.LANGUAGE_STUDIO and project.active_studio is not request.origin:
            text = (
                "Labeling is active in Azure Machine Learning; training uses the labels of the active studio."
            )
            errors.add("labelOrigin", text)
        models = await self._stores.models.all(project)
        if len(models) >= MAX_MODELS and request.model_label not in {model.label for model in models}:
            errors.add("modelLabel", f"A project has at most {MAX_MODELS} models; delete one first.")
        errors.raise_any()

    async def _take_labels(
        self, project: Project, job_id: str, engine: Engine, split: SplitOptions
    ) -> LabelSnapshot:
        """Store the current labels for the training. Raises InvalidArgument if they are too few, or the engine's error
        if it cannot say so.
        """
        snapshot = await self._evaluator.usable(project)
        documents = snapshot.to_split(project)
        check_training(engine, project.kind, documents, split, left_out(snapshot.unused))
        snapshot = await asyncio.to_thread(snapshot.sampled, project, split)
        await self._evaluator.write_snapshot(_snapshot(project.incarnation, job_id), snapshot)
        return snapshot


def _runs_already() -> Conflict:
    return Conflict(
        "The project is already being trained; only one training can run at a time.", target="modelLabel"
    )


def _result(job: Job) -> TrainResult:
    """The state so far; a job of an earlier version may have none."""
    label = job.parameters_as(TrainParameters).model_label
    return job.result_as(TrainResult) or TrainResult(label, CONFIG_VERSION)


def _stopped(job: Job, status: JobStatus, now: datetime) -> TrainResult | None:
    result = job.result_as(TrainResult)
    return result and result.stopped(status, now)


def _snapshot(incarnation: str, job_id: str) -> str:
    """The blob with the labels that a training learns from, while it runs."""
    return f"{incarnation}/models/{job_id}/labels"


def _count(heads: Sequence[Head], generation: int) -> int:
    """Documents with suggestions of the generation."""
    return sum(1 for head in heads for entry in head.entries if entry.suggested(generation))
