"""HTTP: training, models and evaluation."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from functions.call import PROJECTS, Call, P, Reply, cancel_state, job_state
from functions.http import Routes
from shared.domain.training import TrainedModel
from shared.runtime.auth import Role
from shared.wire.api import JobModel, job_json
from shared.wire.training import (
    DocumentEvaluationList,
    EvaluationOptionsModel,
    EvaluationResultQuery,
    EvaluationSummaryModel,
    GlobalQuery,
    LanguageList,
    ListQuery,
    TrainBody,
    TrainedModelList,
    TrainedModelModel,
    TrainingConfigVersionList,
    TrainJobList,
    languages,
    training_config_versions,
)

routes = Routes()
JOBS = f"{P}/train/jobs"
MODELS = f"{P}/models"
ONE = f"{MODELS}/{{trainedModelLabel}}"


@routes.add("POST", f"{P}/:train", {202: None}, role=Role.WRITE)
async def train(call: Call, body: TrainBody) -> Reply:
    """Train a model on the labels of the active studio; when it succeeds, pending suggestions are removed."""
    from shared.services.training.service import TrainRequest

    request = TrainRequest(body.model_label, body.split(), body.label_origin)
    job = await call.container.training.start(call.project_name, request, call.job_id())
    return call.accepted(f"train/jobs/{job.id}")


@routes.add("GET", JOBS, {200: TrainJobList}, role=Role.READ)
async def list_train_jobs(call: Call, query: ListQuery) -> Reply:
    """List train jobs, newest first."""
    jobs = [job_json(job) for job in await call.container.training.list(call.project_name)]
    return _page(jobs, query, call.project_url("train/jobs"))


@routes.add("GET", f"{JOBS}/{{jobId}}", {200: JobModel}, role=Role.READ)
async def get_train_job(call: Call) -> Reply:
    """Get the state of a train job."""
    job = await call.container.training.get(call.project_name, call.path("jobId"))
    return job_state(job)


@routes.add("POST", f"{JOBS}/{{jobId}}/:cancel", {202: None}, role=Role.WRITE)
async def cancel_train_job(call: Call) -> Reply:
    """Cancel a train job."""
    job = await call.container.training.cancel(call.project_name, call.path("jobId"))
    return call.cancel_accepted(job, f"train/jobs/{job.id}")


@routes.add("GET", f"{JOBS}/{{jobId}}/cancellation", {200: JobModel}, role=Role.READ)
async def get_train_cancellation(call: Call) -> Reply:
    """Get the state of the cancellation of a train job; it ends `succeeded`."""
    return cancel_state(await call.container.training.get(call.project_name, call.path("jobId")))


@routes.add("GET", MODELS, {200: TrainedModelList}, role=Role.READ)
async def list_models(call: Call, query: ListQuery) -> Reply:
    """List trained models, newest first."""
    models = [_model_json(model) for model in await call.container.trained_models.list(call.project_name)]
    return _page(models, query, call.project_url("models"))


@routes.add("GET", ONE, {200: TrainedModelModel}, role=Role.READ)
async def get_model(call: Call) -> Reply:
    """Get a trained model."""
    return Reply(200, _model_json(await call.container.trained_models.get(call.project_name, _label(call))))


@routes.add("DELETE", ONE, {204: None}, role=Role.OWN)
async def delete_model(call: Call) -> Reply:
    """Delete a trained model."""
    await call.container.trained_models.delete(call.project_name, _label(call))
    return Reply(204)


@routes.add("GET", f"{ONE}/evaluation/summary-result", {200: EvaluationSummaryModel}, role=Role.READ)
async def get_evaluation_summary(call: Call) -> Reply:
    """Get the scores of a model's evaluation."""
    return Reply(200, await call.container.trained_models.summary(call.project_name, _label(call)))


@routes.add("GET", f"{ONE}/evaluation/result", {200: DocumentEvaluationList}, role=Role.READ)
async def get_evaluation_result(call: Call, query: EvaluationResultQuery) -> Reply:
    """Get the evaluation of each test document."""
    results = json.loads(await call.container.trained_models.results(call.project_name, _label(call)))
    url = call.project_url(f"models/{_label(call)}/evaluation/result", _known(query, "stringIndexType"))
    return _page(results, query, url)


@routes.add("POST", f"{ONE}/:evaluate", {202: None}, role=Role.WRITE)
async def evaluate_model(call: Call, body: EvaluationOptionsModel) -> Reply:
    """Evaluate a model again, on the current labels."""
    job = await call.container.trained_models.evaluate(
        call.project_name, _label(call), body.split(), call.job_id()
    )
    return call.accepted(f"models/{_label(call)}/evaluate/jobs/{job.id}")


@routes.add("GET", f"{ONE}/evaluate/jobs/{{jobId}}", {200: JobModel}, role=Role.READ)
async def get_evaluate_job(call: Call) -> Reply:
    """Get the state of an evaluation."""
    job = await call.container.trained_models.get_evaluation(
        call.project_name, _label(call), call.path("jobId")
    )
    return job_state(job)


@routes.add("GET", f"{PROJECTS}/global/languages", {200: LanguageList}, role=Role.READ)
async def list_languages(call: Call, query: GlobalQuery) -> Reply:
    """List the languages that documents may have."""
    return _page(_of_kind(languages(), query), query, _global_url(call, "languages", query))


@routes.add(
    "GET", f"{PROJECTS}/global/training-config-versions", {200: TrainingConfigVersionList}, role=Role.READ
)
async def list_training_config_versions(call: Call, query: GlobalQuery) -> Reply:
    """List the versions that a train request may name."""
    return _page(
        _of_kind(training_config_versions(), query),
        query,
        _global_url(call, "training-config-versions", query),
    )


def _of_kind(listed: LanguageList | TrainingConfigVersionList, query: GlobalQuery) -> list[Any]:
    return [] if query.is_of_other_kind else listed.to_wire()["value"]


def _label(call: Call) -> str:
    return call.path("trainedModelLabel")


def _page(items: Sequence[Any], query: ListQuery, url: str) -> Reply:
    """One page of a list that is at hand whole; `url` is where it is, for the link to the next page."""
    end = len(items) if query.top is None else min(len(items), query.skip + query.top)
    stop = min(end, query.skip + query.maxpagesize)
    answer: dict[str, Any] = {"value": items[query.skip : stop]}
    if stop < end:
        rest = {"top": end - stop} if query.top is not None else {}
        answer["nextLink"] = f"{url}&{urlencode({'skip': stop, 'maxpagesize': query.maxpagesize} | rest)}"
    return Reply(200, answer)


def _global_url(call: Call, path: str, query: GlobalQuery) -> str:
    return call.url(f"{PROJECTS}/global/{path}", _known(query, "projectKind"))


def _known(query: ListQuery, name: str) -> str:
    """A parameter as it was given, for the link to the next page."""
    value = query.model_dump(mode="json", by_alias=True)[name]
    return "" if value is None else urlencode({name: value})


def _model_json(model: TrainedModel) -> dict[str, Any]:
    return TrainedModelModel(
        label=model.label,
        model_id=model.model_id,
        engine=model.engine,
        last_trained_date_time=model.trained,
        last_training_duration_in_seconds=model.seconds,
    ).to_wire()
