"""HTTP: training, models and evaluation."""

import json
from typing import Any

from functions.http import PROJECTS, Call, P, Routes
from functions.reply import Reply
from shared.domain.trained import TrainedModel
from shared.services.training import TrainRequest
from shared.wire.answers import job_json
from shared.wire.api import JobList, JobModel, Wire
from shared.wire.training import (
    CONFIG_VERSION,
    EvaluationOptionsModel,
    GlobalQuery,
    LanguageList,
    TrainBody,
    TrainedModelList,
    TrainedModelModel,
    TrainingConfigVersionList,
    languages,
    training_config_versions,
)

routes = Routes()
JOBS = f"{P}/train/jobs"
MODELS = f"{P}/models"
ONE = f"{MODELS}/{{trainedModelLabel}}"


class ListQuery(Wire):
    """Azure's paging of short lists; all fit one page here."""

    top: int | None = None
    skip: int = 0


@routes.add("POST", f"{P}/:train", {202: None}, headers=("operation-location",))
async def train(call: Call, body: TrainBody) -> Reply:
    """Train a model on the labels of the active studio; suggestions that were not accepted vanish."""
    request = TrainRequest(body.model_label, body.split(), body.label_origin)
    job = await call.container.training.start(call.project_name, request, call.job_id())
    return call.accepted(f"train/jobs/{job.id}")


@routes.add("GET", JOBS, {200: JobList})
async def list_train_jobs(call: Call, query: ListQuery) -> Reply:
    """List train jobs, newest first."""
    jobs = await call.container.training.list(call.project_name)
    return Reply(200, {"value": [job_json(job) for job in _slice(jobs, query)]})


@routes.add("GET", f"{JOBS}/{{jobId}}", {200: JobModel})
async def get_train_job(call: Call) -> Reply:
    """Get the state of a train job."""
    job = await call.container.training.get(call.project_name, call.path("jobId"))
    return Reply(200, job_json(job), {} if job.status.ended else {"Retry-After": "1"})


@routes.add("POST", f"{JOBS}/{{jobId}}/:cancel", {202: None}, headers=("operation-location",))
async def cancel_train_job(call: Call) -> Reply:
    """Cancel a train job."""
    job = await call.container.training.cancel(call.project_name, call.path("jobId"))
    return call.accepted(f"train/jobs/{job.id}/cancellation")


@routes.add("GET", f"{JOBS}/{{jobId}}/cancellation", {200: JobModel})
async def get_train_cancellation(call: Call) -> Reply:
    """Get the state of the cancellation of a train job; it ends `succeeded`."""
    job = await call.container.training.get(call.project_name, call.path("jobId"))
    return Reply(
        200, job_json(job) | {"status": "succeeded" if job.status.ended else "running", "errors": []}
    )


@routes.add("GET", MODELS, {200: TrainedModelList})
async def list_models(call: Call, query: ListQuery) -> Reply:
    """List trained models, newest first."""
    models = await call.container.trained.list(call.project_name)
    return Reply(200, {"value": [_model_json(one) for one in _slice(models, query)]})


@routes.add("GET", ONE, {200: TrainedModelModel})
async def get_model(call: Call) -> Reply:
    """Get a trained model."""
    return Reply(200, _model_json(await call.container.trained.get(call.project_name, _label(call))))


@routes.add("DELETE", ONE, {204: None})
async def delete_model(call: Call) -> Reply:
    """Delete a trained model."""
    await call.container.trained.delete(call.project_name, _label(call))
    return Reply(204)


@routes.add("GET", f"{ONE}/evaluation/summary-result", {200: "application/json"})
async def get_evaluation_summary(call: Call) -> Reply:
    """Get the figures of a model's evaluation."""
    return Reply(200, await call.container.trained.summary(call.project_name, _label(call)))


@routes.add("GET", f"{ONE}/evaluation/result", {200: "application/json"})
async def get_evaluation_result(call: Call) -> Reply:
    """Get the evaluation of each test document."""
    params = call.request.params
    top, skip, size = (_number(params.get(name)) for name in ("top", "skip", "maxpagesize"))
    results = json.loads(await call.container.trained.results(call.project_name, _label(call)))
    start, end = skip or 0, len(results) if top is None else (skip or 0) + top
    stop = min(end, start + (size or 100))
    answer: dict[str, Any] = {"value": results[start:stop]}
    if stop < min(end, len(results)):
        rest = "" if top is None else f"&top={end - stop}"
        path = f"models/{_label(call)}/evaluation/result"
        answer["nextLink"] = call.project_url(
            path, f"stringIndexType=Utf16CodeUnit&skip={stop}&maxpagesize={size or 100}{rest}"
        )
    return Reply(200, answer)


@routes.add("POST", f"{ONE}/:evaluate", {202: None}, headers=("operation-location",))
async def evaluate_model(call: Call, body: EvaluationOptionsModel) -> Reply:
    """Evaluate a model again, on the labels as they are now."""
    job = await call.container.trained.evaluate(call.project_name, _label(call), body.split(), call.job_id())
    return call.accepted(f"models/{_label(call)}/evaluate/jobs/{job.id}")


@routes.add("GET", f"{ONE}/evaluate/jobs/{{jobId}}", {200: JobModel})
async def get_evaluate_job(call: Call) -> Reply:
    """Get the state of an evaluation."""
    job = await call.container.trained.get_evaluation(call.project_name, call.path("jobId"))
    return Reply(200, job_json(job), {} if job.status.ended else {"Retry-After": "1"})


@routes.add("GET", f"{PROJECTS}/global/languages", {200: LanguageList})
async def list_languages(call: Call, query: GlobalQuery) -> Reply:
    """List the languages that documents may have."""
    return Reply(200, languages().to_wire())


@routes.add("GET", f"{PROJECTS}/global/training-config-versions", {200: TrainingConfigVersionList})
async def list_training_config_versions(call: Call, query: GlobalQuery) -> Reply:
    """List the versions that a train request may name."""
    return Reply(200, training_config_versions().to_wire())


def _label(call: Call) -> str:
    return call.path("trainedModelLabel")


def _slice[T](items: list[T], query: ListQuery) -> list[T]:
    end = None if query.top is None else query.skip + query.top
    return items[query.skip : end]


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None


def _model_json(model: TrainedModel) -> dict[str, Any]:
    return TrainedModelModel(
        label=model.label,
        model_id=model.model_id,
        last_trained_date_time=model.trained,
        last_training_duration_in_seconds=model.seconds,
        model_training_config_version=CONFIG_VERSION,
    ).to_wire() | {"engine": model.engine}
