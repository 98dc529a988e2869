"""Trained models: listed, read, deleted, and evaluated again (rules T6, T7)."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from shared.domain.errors import Conflict, JobNotFound, LabelbridgeError, NotFound
from shared.domain.jobs import Job, JobError, JobKind, JobStatus
from shared.domain.project import Project
from shared.domain.splitting import SplitKind, SplitOptions
from shared.domain.trained import TrainedModel
from shared.engines.base import EngineError
from shared.engines.registry import Engines
from shared.services.evaluating import Evaluator
from shared.services.jobs import JobService
from shared.services.messages import TRAINING_QUEUE, JobMessage
from shared.services.models import other_kind
from shared.services.stores import Stores
from shared.services.sufficiency import check_testing
from shared.storage.gateways.ports import RowChanged


class ModelService:
    def __init__(self, stores: Stores, engines: Engines, jobs: JobService, evaluator: Evaluator) -> None:
        self._stores = stores
        self._engines = engines
        self._jobs = jobs
        self._evaluator = evaluator

    async def list(self, name: str) -> "list[TrainedModel]":
        """Newest first."""
        project = await self._stores.directory.read(name)
        return await self._stores.models.all(project.incarnation)

    async def get(self, name: str, label: str) -> TrainedModel:
        project = await self._stores.directory.read(name)
        return await self._stores.models.get(project.incarnation, label)

    async def delete(self, name: str, label: str) -> None:
        project = await self._stores.directory.read(name)
        while True:
            model = await self._stores.models.get(project.incarnation, label)
            try:
                await self._stores.models.delete(project.incarnation, model)
            except RowChanged:
                continue  # trained or evaluated again: its blobs are others
            await self._delete_blobs(model.blobs)
            return

    async def summary(self, name: str, label: str) -> bytes:
        """The summary of the evaluation, as JSON."""
        return await self._evaluation(name, label, lambda model: model.summary)

    async def results(self, name: str, label: str) -> bytes:
        """The evaluation of each test document, as a JSON list."""
        return await self._evaluation(name, label, lambda model: model.results)

    async def _evaluation(self, name: str, label: str, blob: Callable[[TrainedModel], str]) -> bytes:
        for _ in range(2):  # an evaluation that ends meanwhile puts other blobs in their place
            data = await self._stores.artefacts.read(blob(await self.get(name, label)))
            if data is not None:
                return data
        raise NotFound(f"The evaluation of the model '{label}' is gone.", target="trainedModelLabel")

    async def evaluate(self, name: str, label: str, split: SplitOptions, job_id: str) -> Job:
        """Begin to evaluate a model on the labels as they are now.

        Raises InvalidArgument when no document would test it, Conflict when it is of another kind.
        """
        project = await self._stores.directory.read(name)
        model = await self._fitting(project, label)
        check_testing((await self._evaluator.usable(project)).to_split(project), split)
        now = self._stores.clock()
        options = {"kind": split.kind.value}
        if split.kind is SplitKind.PERCENTAGE:
            options |= {
                "trainingSplitPercentage": 100 - split.testing,
                "testingSplitPercentage": split.testing,
            }
        result = {
            "modelLabel": model.label,
            "trainingConfigVersion": "2022-05-01",
            "evaluationOptions": options,
            "percentComplete": 0,
        }
        parameters = {"modelLabel": label, "split": split.kind.value, "testing": split.testing}
        job = Job(
            job_id, JobKind.EVALUATE, name, project.incarnation, project.edition, now, now,
            parameters=parameters, result=result,
        )  # fmt: skip
        job, new = await self._stores.jobs.create(job)
        if new:
            await self._jobs.send(job, TRAINING_QUEUE)
        return job

    async def get_evaluation(self, name: str, label: str, job_id: str) -> Job:
        """The job that evaluates this model. Raises JobNotFound for one of another model."""
        project = await self._stores.directory.read(name)
        job = await self._stores.jobs.get(project.incarnation, JobKind.EVALUATE, job_id)
        if job.parameters["modelLabel"] != label:
            raise JobNotFound(job_id)
        return job

    async def run(self, message: JobMessage) -> None:
        """Evaluate; doing it twice writes the same."""
        job = await self._stores.jobs.find(message.incarnation, JobKind.EVALUATE, message.job)
        if job is None or job.status.ended:
            return
        try:
            await self._run(job)
        except (EngineError, LabelbridgeError) as error:
            await self._jobs.end(job, JobStatus.FAILED, errors=(JobError(type(error).__name__, str(error)),))

    async def _run(self, job: Job) -> None:
        project = await self._stores.directory.read(job.project)
        model = await self._fitting(project, job.parameters["modelLabel"])
        split = SplitOptions(SplitKind(job.parameters["split"]), job.parameters["testing"])
        artefact = await self._stores.artefacts.read(model.artefact)
        if artefact is None:
            raise NotFound(f"The model '{model.label}' is gone.", target="trainedModelLabel")
        learned = await self._evaluator.read(project, split, only_test=True)
        loaded = await self._engines.get(model.engine).load(artefact)
        base = f"{project.incarnation}/models/{model.model_id}/{job.id}"
        written = await self._evaluator.write(project, loaded, learned.test, split, base)
        try:
            await self._save(job, model, split, written)
        except LabelbridgeError:
            await self._delete_blobs(written)
            raise

    async def _save(self, job: Job, model: TrainedModel, split: SplitOptions, blobs: tuple[str, str]) -> None:
        """Put the evaluation in the place of the one before. Raises Conflict when it has no place any more."""
        summary, results = blobs
        while True:
            result = {**job.result, "percentComplete": 100}
            ended = replace(job, status=JobStatus.SUCCEEDED, updated=self._stores.clock(), result=result)
            evaluated = replace(model, split=split, summary=summary, results=results)
            try:
                await self._stores.models.replace_with(ended, evaluated)
            except RowChanged:
                current = await self._stores.models.find(job.incarnation, model.label)
                found = await self._stores.jobs.find(job.incarnation, job.kind, job.id)
                if found is None or found.status.ended:
                    return  # by another worker, or it was ours and the answer was lost
                if current is None or current.model_id != model.model_id:
                    what = "deleted" if current is None else "trained again"
                    text = f"The model '{model.label}' was {what} while it was evaluated."
                    raise Conflict(text, target="trainedModelLabel") from None
                job, model = found, current  # another job evaluated it
                continue
            await self._delete_blobs((model.summary, model.results))
            return

    async def _fitting(self, project: Project, label: str) -> TrainedModel:
        """The model, if it fits the project. Raises ModelNotFound, Conflict."""
        model = await self._stores.models.get(project.incarnation, label)
        if not model.fits(project.kind):
            raise Conflict(other_kind(model, project), target="trainedModelLabel")
        return model

    async def _delete_blobs(self, names: Iterable[str]) -> None:
        for name in names:
            await self._stores.artefacts.delete(name)
