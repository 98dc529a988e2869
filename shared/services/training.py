"""Training: one at a time, on the labels of the active studio; starting it ends every suggestion (rules T1 to T7)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from shared.domain.errors import (
    Conflict,
    InvalidArgument,
    LabelbridgeError,
    LabelingLocked,
    ProjectNotFound,
    Unavailable,
)
from shared.domain.ids import random_id
from shared.domain.jobs import TRAINING_STARTED, Job, JobError, JobKind, JobStatus
from shared.domain.kinds import Studio
from shared.domain.page import Head
from shared.domain.project import Project
from shared.domain.splitting import SplitKind, SplitOptions
from shared.domain.trained import MAX_MODELS, TrainedModel
from shared.engines.base import Engine, EngineError, EngineUnavailable
from shared.engines.registry import Engines
from shared.services import training_state as state
from shared.services.claims import renewing
from shared.services.evaluating import Evaluator
from shared.services.jobs import JobService
from shared.services.messages import TRAINING_QUEUE, JobMessage
from shared.services.stores import Stores
from shared.services.sufficiency import check_training
from shared.storage.gateways.ports import RowChanged
from shared.storage.jobs import ClaimLost

#: Errors that are the answer to a training, and those that pass when it is tried again.
_FINAL = (EngineError, LabelbridgeError)
_PASSING = (EngineUnavailable, Unavailable)

type ImportLabels = Callable[[str], Awaitable[object]]
"""Imports the latest labels of the connected labeling project (rule T3). Raises LabelbridgeError with the reason."""


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """`origin`: whose labels are meant; None: the active studio's."""

    model_label: str
    split: SplitOptions = field(default_factory=SplitOptions)
    origin: Studio | None = None


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
        """Begin training. When it returns, the suggestions that were not accepted are gone (rule T4).

        Raises InvalidArgument when there is too little to learn from, Conflict when a training runs already.
        """
        project = await self._stores.directory.read(name)
        found = await self._stores.jobs.find(project.incarnation, JobKind.TRAIN, job_id)
        if found is not None:
            return found
        engine = self._trainable(project)
        await self._check(project, request, engine)
        now = self._stores.clock()
        parameters = {
            "modelLabel": request.model_label,
            "engine": engine.name,
            "split": request.split.kind.value,
            "testing": request.split.testing,
            "origin": request.origin.value if request.origin else None,
        }
        job = Job(
            job_id, JobKind.TRAIN, name, project.incarnation, project.edition, now, now, parameters=parameters
        )
        job, _ = await self._stores.jobs.create(replace(job, result=state.begun(request.model_label)))
        if request.origin is not Studio.AZURE_ML:
            try:
                job = await self._end_generation(job)
            except LabelbridgeError:
                await self._stores.jobs.remove(job)
                raise
        await self._jobs.send(job, TRAINING_QUEUE)
        return job

    async def run(self, message: JobMessage) -> None:
        """Train, or go on with it; a second worker finds the claim taken, and what it made is made once."""
        job = await self._stores.jobs.find(message.incarnation, JobKind.TRAIN, message.job)
        if job is None or job.status.ended:
            return
        claim = await self._stores.jobs.claim(job, 0, random_id(), self._stores.clock())
        if claim is None:
            return
        try:
            async with renewing(claim, self._stores.clock):
                await self._train(job)
        except (ClaimLost, RowChanged, ProjectNotFound):
            return  # another worker has it, or it was cancelled, or the project is gone
        except Exception as error:
            if isinstance(error, _FINAL) and not isinstance(error, _PASSING):
                code = error.code if isinstance(error, LabelbridgeError) else type(error).__name__
                await self.fail(job, JobError(code, str(error)))
                return
            await claim.release(self._stores.clock(), "")
            raise  # the message comes again, and ends as poison

    async def cancel(self, name: str, job_id: str) -> Job:
        project = await self._stores.directory.read(name)
        job = await self._stores.jobs.get(project.incarnation, JobKind.TRAIN, job_id)
        if not job.status.ended:
            job = replace(job, result=state.stopped(job.result, JobStatus.CANCELLED, self._stores.clock()))
        cancelled = await self._jobs.cancel(job)
        await self._release(job)
        return cancelled

    async def get(self, name: str, job_id: str) -> Job:
        project = await self._stores.directory.read(name)
        return await self._stores.jobs.get(project.incarnation, JobKind.TRAIN, job_id)

    async def list(self, name: str) -> "list[Job]":
        """Newest first."""
        project = await self._stores.directory.read(name)
        return await self._stores.jobs.list(project.incarnation, JobKind.TRAIN)

    async def fail(self, job: Job, error: JobError) -> None:
        """End the job with its reason, and let the next training begin."""
        job = await self._stores.jobs.find(job.incarnation, job.kind, job.id) or job
        result = state.stopped(job.result, JobStatus.FAILED, self._stores.clock())
        await self._jobs.end(job, JobStatus.FAILED, result=result, errors=(error,))
        await self._release(job)

    async def _train(self, job: Job) -> None:
        started = self._stores.clock()
        if job.parameters.get("origin") == Studio.AZURE_ML and not job.parameters.get("generationEnded"):
            if self._import_labels is None:
                raise Conflict("The project is not connected to a labeling project.", target="labelOrigin")
            await self._import_labels(job.project)
        engine = self._engines.get(job.parameters["engine"])
        split = _read_split(job.parameters)
        if not job.parameters.get("generationEnded"):
            await self._check_labels(await self._stores.directory.read(job.project), engine, split)
            job = await self._end_generation(job)
        job = await self._progress(job, state.fitting)
        project = await self._stores.directory.read(job.project)
        learned = await self._evaluator.read(project, split)
        artefact = await engine.fit(project.kind, learned.examples, unlabeled=())
        job = await self._progress(job, state.evaluating)
        base = f"{project.incarnation}/models/{job.id}"
        await self._stores.artefacts.write(f"{base}/artefact", artefact)
        loaded = await engine.load(artefact)
        summary, results = await self._evaluator.write(project, loaded, learned.test, split, base)
        ended = self._stores.clock()
        model = TrainedModel(
            job.parameters["modelLabel"], job.id, engine.name, ended, max(1, round((ended - started).total_seconds())),
            f"{base}/artefact", summary, results, split, project.kind,
        )  # fmt: skip
        done = replace(
            job, status=JobStatus.SUCCEEDED, updated=ended, result=state.succeeded(job.result, ended)
        )
        former = await self._stores.models.find(project.incarnation, model.label)
        await self._stores.models.save_with(done, model)
        if former is not None and former.model_id != model.model_id:
            await self._delete_blobs(project, former)
        await self._stores.directory.update(
            job.project, lambda one: _release(replace(one, last_trained=ended), job.id)
        )

    async def _end_generation(self, job: Job) -> Job:
        """Rule T4: one write of the project row, and no write that rests on an older one lands after the cut."""

        def change(project: Project) -> Project:
            if project.training == job.id:
                return project
            if project.training is not None:
                raise _runs_already()
            return replace(project, training=job.id, generation=project.generation + 1)

        try:
            project = await self._stores.gate.cut(job.project, job.id, change)
        except LabelingLocked as error:
            raise await self._who_locks(job.project) or error from None
        dropped = _count(await self._stores.pages.heads(project.scope), project.generation - 1)
        for other in await self._stores.jobs.open_jobs(project.incarnation):
            if other.kind in {JobKind.AUTOLABEL, JobKind.REVIEW} and other.generation < project.generation:
                await self._jobs.stop(other, TRAINING_STARTED)
        parameters = {**job.parameters, "generationEnded": True}
        result = {**job.result, "suggestionsDropped": dropped}
        return await self._stores.jobs.save(replace(job, parameters=parameters, result=result))

    async def _who_locks(self, name: str) -> Conflict | None:
        """The conflict to tell of where the lock is that of another training, which begins just now."""
        project = await self._stores.directory.read(name)
        holder = project.lock.holder if project.lock else ""
        trains = project.training or await self._stores.jobs.find(project.incarnation, JobKind.TRAIN, holder)
        return _runs_already() if trains else None

    async def _progress(self, job: Job, step: Callable[[Mapping[str, Any], datetime], state.Result]) -> Job:
        """Raises RowChanged when the job was cancelled."""
        now = self._stores.clock()
        changed = replace(job, status=JobStatus.RUNNING, updated=now, result=step(job.result, now))
        return await self._stores.jobs.save(changed)

    async def _delete_blobs(self, project: Project, former: TrainedModel) -> None:
        """Those of a model that another one replaced; a job that runs may still predict with it."""
        jobs = await self._stores.jobs.open_jobs(project.incarnation)
        used = {job.parameters.get("artefact") for job in jobs}
        for name in former.blobs:
            if name not in used:
                await self._stores.artefacts.delete(name)

    async def _release(self, job: Job) -> None:
        """Let the next training begin; a cut that died is opened, too."""
        try:
            await self._stores.gate.unlock(job.project, job.id)
            await self._stores.directory.update(job.project, lambda project: _release(project, job.id))
        except ProjectNotFound:
            return

    def _trainable(self, project: Project) -> Engine:
        """The project's engine where it can be trained, else the default one."""
        for name in (project.settings.autolabel.engine, self._default_engine, "embedded"):
            if name is not None:
                try:
                    engine = self._engines.get(name)
                except EngineError:
                    continue
                if engine.capabilities.trainable and project.kind in engine.capabilities.kinds:
                    return engine
        raise InvalidArgument(
            "No engine of this app can be trained for this kind of project.", target="modelLabel"
        )

    async def _check(self, project: Project, request: TrainRequest, engine: Engine) -> None:
        if request.origin is Studio.AZURE_ML and project.aml_project_path is None:
            raise InvalidArgument("The project is not connected to a labeling project.", target="labelOrigin")
        if request.origin is Studio.LANGUAGE_STUDIO and project.active_studio is not request.origin:
            text = (
                "Labeling is active in Azure Machine Learning; training uses the labels of the active studio."
            )
            raise InvalidArgument(text, target="labelOrigin")
        models = await self._stores.models.all(project.incarnation)
        if len(models) >= MAX_MODELS and request.model_label not in {one.label for one in models}:
            raise InvalidArgument(
                f"A project has at most {MAX_MODELS} models; delete one first.", target="modelLabel"
            )
        if request.origin is Studio.AZURE_ML:
            return  # whether the labels suffice is known after their import
        await self._check_labels(project, engine, request.split)

    async def _check_labels(self, project: Project, engine: Engine, split: SplitOptions) -> None:
        """What would fail is refused before it costs the suggestions. Raises InvalidArgument."""
        usable = await self._evaluator.usable(project)
        documents = usable.to_split(project)
        check_training(engine, project.kind, documents, split, usable.unusable)


def _runs_already() -> Conflict:
    return Conflict("A training of this project runs already; one runs at a time.", target="modelLabel")


def _read_split(parameters: Mapping[str, Any]) -> SplitOptions:
    return SplitOptions(SplitKind(parameters["split"]), parameters["testing"])


def _release(project: Project, job_id: str) -> Project:
    return replace(project, training=None) if project.training == job_id else project


def _count(heads: Sequence[Head], generation: int) -> int:
    """Documents with suggestions of the generation."""
    return sum(1 for head in heads for entry in head.entries if entry.suggested(generation))
