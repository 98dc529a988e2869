"""Trained models: listed, read, deleted, and evaluated again (rules T6, T7)."""

from dataclasses import replace

from shared.domain.errors import LabelbridgeError, NotFound
from shared.domain.jobs import Job, JobError, JobKind, JobStatus
from shared.domain.splitting import SplitKind, SplitOptions
from shared.domain.trained import TrainedModel
from shared.engines.base import EngineError
from shared.engines.registry import Engines
from shared.services.evaluating import Evaluator
from shared.services.jobs import JobService
from shared.services.messages import TRAINING_QUEUE, JobMessage
from shared.services.stores import Stores
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
        model = await self.get(name, label)
        project = await self._stores.directory.read(name)
        await self._stores.models.delete(project.incarnation, label)
        for blob in (model.artefact, model.summary, model.results):
            await self._stores.artefacts.delete(blob)

    async def summary(self, name: str, label: str) -> bytes:
        """The summary of the evaluation, as JSON."""
        return await self._evaluation(name, label, (await self.get(name, label)).summary)

    async def results(self, name: str, label: str) -> bytes:
        """The evaluation of each test document, as a JSON list."""
        return await self._evaluation(name, label, (await self.get(name, label)).results)

    async def _evaluation(self, name: str, label: str, blob: str) -> bytes:
        data = await self._stores.artefacts.read(blob)
        if data is None:
            raise NotFound(f"The evaluation of the model '{label}' is gone.", target="trainedModelLabel")
        return data

    async def evaluate(self, name: str, label: str, split: SplitOptions, job_id: str) -> Job:
        """Begin to evaluate a model on the labels as they are now."""
        project = await self._stores.directory.read(name)
        model = await self._stores.models.get(project.incarnation, label)
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

    async def get_evaluation(self, name: str, job_id: str) -> Job:
        project = await self._stores.directory.read(name)
        return await self._stores.jobs.get(project.incarnation, JobKind.EVALUATE, job_id)

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
        model = await self._stores.models.get(project.incarnation, job.parameters["modelLabel"])
        split = SplitOptions(SplitKind(job.parameters["split"]), job.parameters["testing"])
        artefact = await self._stores.artefacts.read(model.artefact)
        if artefact is None:
            raise NotFound(f"The model '{model.label}' is gone.", target="trainedModelLabel")
        learned = await self._evaluator.read(project, split)
        loaded = await self._engines.get(model.engine).load(artefact)
        base = f"{project.incarnation}/models/{model.model_id}"
        await self._evaluator.write(project, loaded, learned.test, split, base)
        ended = replace(
            job,
            status=JobStatus.SUCCEEDED,
            updated=self._stores.clock(),
            result={**job.result, "percentComplete": 100},
        )
        try:
            await self._stores.models.save_with(ended, replace(model, split=split))
        except RowChanged:
            return  # somebody else ended it
