"""Training: one at a time, on the labels of the active studio; starting it ends every suggestion (rules T1 to T7)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shared.domain.errors import Conflict, InvalidArgument, LabelbridgeError, ProjectNotFound, Unavailable
from shared.domain.ids import random_id
from shared.domain.jobs import Job, JobError, JobKind, JobStatus
from shared.domain.kinds import Studio
from shared.domain.page import Head
from shared.domain.project import Project
from shared.domain.splitting import SplitKind, SplitOptions
from shared.domain.trained import MAX_MODELS, TrainedModel
from shared.engines.base import Engine, EngineError, EngineUnavailable
from shared.engines.registry import Engines
from shared.services.claims import renewing
from shared.services.evaluating import Evaluator
from shared.services.jobs import JobService
from shared.services.messages import TRAINING_QUEUE, JobMessage
from shared.services.models import LabelCounts
from shared.services.stores import Stores
from shared.storage.gateways.ports import RowChanged
from shared.storage.jobs import ClaimLost
from shared.wire.answers import moment

#: Share of a train job that reading and fitting take; the rest is evaluation.
TRAINED_PERCENT = 70

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
        job, _ = await self._stores.jobs.create(replace(job, result=_result(job, "notStarted", 0)))
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
        await self._jobs.end(job, JobStatus.FAILED, errors=(error,))
        await self._release(job)

    async def _train(self, job: Job) -> None:
        started = self._stores.clock()
        if job.parameters.get("origin") == Studio.AZURE_ML and not job.parameters.get("generationEnded"):
            if self._import_labels is None:
                raise Conflict("The project is not connected to a labeling project.", target="labelOrigin")
            await self._import_labels(job.project)
        if not job.parameters.get("generationEnded"):
            job = await self._end_generation(job)
        job = await self._progress(job, "running", 10)
        project = await self._stores.directory.read(job.project)
        engine = self._engines.get(job.parameters["engine"])
        split = _read_split(job.parameters)
        learned = await self._evaluator.read(project, split)
        artefact = await engine.fit(project.kind, learned.examples, unlabeled=())
        job = await self._progress(job, "running", TRAINED_PERCENT)
        base = f"{project.incarnation}/models/{job.id}"
        await self._stores.artefacts.write(f"{base}/artefact", artefact)
        await self._evaluator.write(project, await engine.load(artefact), learned.test, split, base)
        ended = self._stores.clock()
        model = TrainedModel(
            job.parameters["modelLabel"], job.id, engine.name, ended, max(1, round((ended - started).total_seconds())),
            f"{base}/artefact", f"{base}/summary.json", f"{base}/results.json", split,
        )  # fmt: skip
        done = replace(
            job, status=JobStatus.SUCCEEDED, updated=ended, result=_result(job, "succeeded", 100, ended)
        )
        await self._stores.models.save_with(done, model)
        await self._stores.directory.update(
            job.project, lambda one: _release(replace(one, last_trained=ended), job.id)
        )

    async def _end_generation(self, job: Job) -> Job:
        """Rule T4: one write of the project row, and no write that rests on an older one lands after the cut."""

        def change(project: Project) -> Project:
            if project.training == job.id:
                return project
            if project.training is not None:
                raise Conflict(
                    "A training of this project runs already; one runs at a time.", target="modelLabel"
                )
            return replace(project, training=job.id, generation=project.generation + 1)

        project = await self._stores.gate.cut(job.project, job.id, change)
        dropped = _count(await self._stores.pages.heads(project.scope), project.generation - 1)
        reason = JobError(
            "TrainingStarted", "Training began, which ends all suggestions that were not accepted."
        )
        for other in await self._stores.jobs.open_jobs(project.incarnation):
            if other.kind in {JobKind.AUTOLABEL, JobKind.REVIEW} and other.generation < project.generation:
                await self._jobs.stop(other, reason)
        parameters = {**job.parameters, "generationEnded": True}
        result = {**job.result, "suggestionsDropped": dropped}
        return await self._stores.jobs.save(replace(job, parameters=parameters, result=result))

    async def _progress(self, job: Job, status: str, percent: int) -> Job:
        """Raises RowChanged when the job was cancelled."""
        changed = replace(
            job, status=JobStatus.RUNNING, updated=self._stores.clock(), result=_result(job, status, percent)
        )
        return await self._stores.jobs.save(changed)

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
        heads = await self._stores.pages.heads(project.scope)
        counts = LabelCounts.of(heads, project.active_studio)
        missing = engine.missing_for(project.kind, counts.by_category, counts.labeled)
        if missing is not None:
            raise InvalidArgument(missing, target="documents")
        if request.split.kind is SplitKind.PERCENTAGE and counts.labeled < 2:
            raise InvalidArgument(
                "A percentage split needs at least 2 labeled documents.", target="evaluationOptions"
            )


def _read_split(parameters: Mapping[str, Any]) -> SplitOptions:
    return SplitOptions(SplitKind(parameters["split"]), parameters["testing"])


def _release(project: Project, job_id: str) -> Project:
    return replace(project, training=None) if project.training == job_id else project


def _count(heads: Sequence[Head], generation: int) -> int:
    """Documents with suggestions of the generation."""
    return sum(1 for head in heads for entry in head.entries if entry.suggested(generation))


def _result(job: Job, status: str, percent: int, ended: Any = None) -> dict[str, Any]:
    """Azure's `result` of a train job; `suggestionsDropped` is ours."""
    training = {"percentComplete": min(100, percent * 100 // TRAINED_PERCENT), "status": status}
    evaluation = {
        "percentComplete": max(0, (percent - TRAINED_PERCENT) * 100 // (100 - TRAINED_PERCENT)),
        "status": status,
    }
    if percent < TRAINED_PERCENT:
        evaluation["status"] = "notStarted"
    elif status == "running":
        training["status"] = "succeeded"
    if ended is not None:
        training["endDateTime"] = evaluation["endDateTime"] = moment(ended)
    return {
        **job.result,
        "modelLabel": job.parameters["modelLabel"],
        "trainingConfigVersion": "2022-05-01",
        "trainingStatus": training,
        "evaluationStatus": evaluation,
    }
