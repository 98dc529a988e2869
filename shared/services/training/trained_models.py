"""Trained models: listed, read, deleted, and evaluated again (rules T6, T7)."""

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from shared.domain.document import document_id
from shared.domain.errors import Conflict, JobNotFound, LabelbridgeError, NotFound
from shared.domain.jobs import (
    EvaluateParameters,
    EvaluateResult,
    Job,
    JobError,
    JobKind,
    JobStatus,
)
from shared.domain.project import Project
from shared.domain.training import EvaluationSplit, LeftOut, SplitOptions, TrainedModel, left_out
from shared.engines.evaluation import locations_in
from shared.engines.registry import Engines
from shared.services.jobs.dispatch import run_undivided
from shared.services.jobs.lifecycle import JobMessage, JobService
from shared.services.jobs.stores import Stores
from shared.services.training.evaluating import Evaluator, WrittenEvaluation, warnings_of
from shared.services.training.sufficiency import check_testing
from shared.storage.gateways.ports import RowChanged
from shared.wire.training import CONFIG_VERSION

log = logging.getLogger("labelbridge.models")

#: Ids of documents in recently shown cells of confusion matrices.
MAX_REMEMBERED: Final = 100_000
#: What a cell costs in addition, counted in ids: callers can make up any number of names, whose cells are empty.
_CELL: Final = 20


class TrainedModelService:
    def __init__(self, stores: Stores, engines: Engines, jobs: JobService, evaluator: Evaluator) -> None:
        self._stores = stores
        self._engines = engines
        self._jobs = jobs
        self._evaluator = evaluator
        #: By the evaluation's blobs, which never change, and the cell: each page of a list needs it.
        self._cells: OrderedDict[tuple[str, str, str | None, str | None], frozenset[str]] = OrderedDict()

    async def list(self, name: str) -> "list[TrainedModel]":
        """Newest first."""
        project = await self._stores.directory.read(name)
        return await self._stores.models.all(project)

    async def get(self, name: str, label: str) -> TrainedModel:
        project = await self._stores.directory.read(name)
        return await self._stores.models.get(project, label)

    async def delete(self, name: str, label: str) -> None:
        while True:
            project = await self._stores.directory.read(name)
            model = await self._stores.models.get(project, label)
            try:
                await self._stores.models.delete(project.incarnation, model)
            except RowChanged:
                continue  # trained or evaluated again: it has other blobs
            await self._delete_blobs(model.blobs)
            return

    async def summary(self, name: str, label: str) -> bytes:
        """The summary of the evaluation, as JSON."""
        return await self._evaluation(name, label, lambda model: model.summary)

    async def results(self, name: str, label: str) -> bytes:
        """The evaluation of each test document, as a JSON list."""
        return await self._evaluation(name, label, lambda model: model.results)

    async def counted_in(
        self, name: str, label: str, expected: str | None, predicted: str | None
    ) -> frozenset[str]:
        """Ids of the test documents that the model's evaluation counts in a cell of its confusion matrix; None: in any.

        Evaluations of multi-label projects have no matrix: there, missed categories are paired with wrong ones.
        """
        model = await self.get(name, label)
        cell = model.summary, model.results, expected, predicted
        if cell in self._cells:
            self._cells.move_to_end(cell)
            return self._cells[cell]
        summary, results = await self.summary(name, label), await self.results(name, label)

        def chosen() -> frozenset[str]:
            found = locations_in(json.loads(summary), json.loads(results), expected, predicted)
            return frozenset(document_id(location) for location in found)

        self._cells[cell] = found = await asyncio.to_thread(chosen)
        while len(self._cells) > 1 and self._remembered() > MAX_REMEMBERED:
            self._cells.popitem(last=False)
        return found

    def _remembered(self) -> int:
        return sum(_CELL + len(ids) for ids in self._cells.values())

    async def _evaluation(self, name: str, label: str, blob: Callable[[TrainedModel], str]) -> bytes:
        for _ in range(2):  # an evaluation that ends meanwhile replaces the blobs
            data = await self._stores.artifacts.read(blob(await self.get(name, label)))
            if data is not None:
                return data
        raise NotFound(f"The evaluation of the model '{label}' no longer exists.", target="trainedModelLabel")

    async def evaluate(self, name: str, label: str, split: SplitOptions, job_id: str) -> Job:
        """Start evaluating a model on the current labels.

        Raises InvalidArgument if no document would test it, Conflict if it has another kind.
        """
        project = await self._stores.directory.read(name)
        model = await self._fitting(project, label)
        usable = await self._evaluator.usable(project)
        check_testing(usable.to_split(project), split, left_out(usable.unused))
        parameters = EvaluateParameters(label, split.kind, split.testing)
        job = Job.new(JobKind.EVALUATE, job_id, project, self._stores.clock(), parameters)
        result = EvaluateResult(model.label, CONFIG_VERSION, EvaluationSplit.of(split))
        job, new = await self._stores.jobs.create(replace(job, result=result))
        if new:
            await self._jobs.send(job)
        return job

    async def get_evaluation(self, name: str, label: str, job_id: str) -> Job:
        """The job that evaluates this model. Raises JobNotFound for one of another model."""
        project = await self._stores.directory.read(name)
        job = await self._stores.jobs.get(project.incarnation, JobKind.EVALUATE, job_id)
        if job.parameters_as(EvaluateParameters).model_label != label:
            raise JobNotFound(job_id)
        return job

    async def run(self, message: JobMessage) -> None:
        """Evaluate. A repeat writes the same."""
        job = await self._stores.jobs.find(message.incarnation, JobKind.EVALUATE, message.job)
        await run_undivided(self._stores, self._jobs, job, self._run, self._fail)

    async def _fail(self, job: Job, error: JobError) -> None:
        await self._jobs.end(job, JobStatus.FAILED, errors=(error,))

    async def _run(self, job: Job) -> None:
        project = await self._stores.directory.read(job.project)
        asked = job.parameters_as(EvaluateParameters)
        model, split = await self._fitting(project, asked.model_label), asked.options
        artifact = await self._stores.artifacts.read(model.artifact)
        if artifact is None:
            raise NotFound(f"The model '{model.label}' no longer exists.", target="trainedModelLabel")
        usable = await self._evaluator.usable(project)
        usable = await asyncio.to_thread(usable.sampled, project, split)
        found = await self._evaluator.read(project, usable)
        job = await self._note(job, found.left_out)
        check_testing(found.documents, split, found.left_out, apart=usable.apart)
        data = self._evaluator.divide(project, usable, found, split)
        job = await self._note(job, data.left_out)
        loaded = await self._engines.get(model.engine).load(artifact)
        base = f"{project.incarnation}/models/{model.model_id}/{job.id}"
        written = await self._evaluator.write(project, loaded, model.edits, data, split, base)
        try:
            await self._save(replace(job, warnings=written.warnings), model, split, written, data.left_out)
        except LabelbridgeError:
            await self._delete_blobs((written.summary, written.results))
            raise

    async def _note(self, job: Job, left_out: tuple[LeftOut, ...]) -> Job:
        """Record on the job what it does not use, even if it fails later."""
        result = job.result_as(EvaluateResult)
        if result is None or (result.left_out or ()) == left_out:
            return job
        changed = replace(job, result=replace(result, left_out=left_out), warnings=warnings_of(left_out))
        return await self._stores.jobs.save(changed)

    async def _save(
        self,
        job: Job,
        model: TrainedModel,
        split: SplitOptions,
        written: WrittenEvaluation,
        unused: tuple[LeftOut, ...],
    ) -> None:
        """Replace the previous evaluation. Raises Conflict if the model has been deleted or trained again."""
        while True:
            options = EvaluationSplit.of(split)
            result = EvaluateResult(model.label, CONFIG_VERSION, options, 100, unused or None)
            ended = replace(job, status=JobStatus.SUCCEEDED, updated=self._stores.clock(), result=result)
            evaluated = replace(model, split=split, summary=written.summary, results=written.results)
            try:
                await self._stores.models.replace_with(ended, evaluated)
            except RowChanged:
                current = await self._stores.models.stored(job.incarnation, model.label)
                found = await self._stores.jobs.find(job.incarnation, job.kind, job.id)
                if found is None or found.status.ended:
                    return  # by another worker, or by this one with a lost response
                if current is None or current.model_id != model.model_id:
                    what = "deleted" if current is None else "trained again"
                    text = f"The model '{model.label}' was {what} while it was evaluated."
                    raise Conflict(text, target="trainedModelLabel") from None
                job, model = replace(found, warnings=written.warnings), current  # another job evaluated it
                continue
            await self._delete_blobs((model.summary, model.results))
            return

    async def _fitting(self, project: Project, label: str) -> TrainedModel:
        """The model, if it fits the project. Raises ModelNotFound, Conflict."""
        model = await self._stores.models.get(project, label)
        if not model.fits(project.kind):
            raise Conflict(model.other_kind(project.kind), target="trainedModelLabel")
        return model

    async def _delete_blobs(self, names: Iterable[str]) -> None:
        for name in names:
            await self._stores.artifacts.delete(name)
