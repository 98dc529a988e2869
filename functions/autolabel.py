"""HTTP: autolabel jobs, and the engines that make their suggestions."""

from functools import reduce
from typing import TYPE_CHECKING, Any

from functions.call import Call, P, Reply, cancel_state, job_state, paged, paged_jobs
from functions.http import Routes
from shared.domain.labels import BAND
from shared.runtime.auth import Role
from shared.wire.api import JobList, JobModel, outcome_json
from shared.wire.autolabel import AutolabelBody, EngineList, EstimateModel, OutcomeList, OutcomeQuery
from shared.wire.documents import PageQuery

if TYPE_CHECKING:
    from shared.domain.page import EngineTally
    from shared.services.autolabel.service import AutolabelRequest, EngineFigures

routes = Routes()
JOBS = f"{P}/autolabel/jobs"
ONE = f"{JOBS}/{{jobId}}"
FITS = f"{P}/autolabel/fits"


@routes.add("POST", JOBS, {202: None}, role=Role.WRITE)
async def start_autolabel(call: Call, body: AutolabelBody) -> Reply:
    """Start an autolabel job; by default, for every unlabeled document."""
    job = await call.container.autolabel.start(call.project_name, _request(body), call.job_id())
    return call.accepted(f"autolabel/jobs/{job.id}")


@routes.add("POST", f"{P}/autolabel/:estimate", {200: EstimateModel}, role=Role.READ)
async def estimate_autolabel(call: Call, body: AutolabelBody) -> Reply:
    """Estimate the cost of a job with this body."""
    found = await call.container.autolabel.estimate(call.project_name, _request(body))
    data: dict[str, Any] = {
        "engine": found.engine,
        "documents": found.documents,
        "textRecords": found.text_records,
    }
    if (tokens := found.tokens) is not None:
        data |= {
            "tokens": tokens.input + tokens.output,
            "inputTokens": tokens.input,
            "outputTokens": tokens.output,
            "cost": found.cost,
        }
    if found.unavailable is not None:
        data["unavailable"] = found.unavailable
    return Reply(200, data)


@routes.add("GET", f"{P}/engines", {200: EngineList}, role=Role.READ)
async def list_engines(call: Call) -> Reply:
    """Compare the engines: suggestions made, accepted and rejected, precision by confidence, tokens and cost."""
    found = await call.container.autolabel.engines(call.project_name)
    return Reply(200, {"value": [_engine_json(figures) for figures in found]})


@routes.add("GET", JOBS, {200: JobList}, role=Role.READ)
async def list_autolabel_jobs(call: Call, query: PageQuery) -> Reply:
    """List autolabel jobs, newest first."""
    project = await call.container.projects.get(call.project_name)
    jobs = await call.container.autolabel.list(call.project_name)
    return paged_jobs(query, project, jobs, "autolabel jobs")


@routes.add("GET", ONE, {200: JobModel}, role=Role.READ)
async def get_autolabel_job(call: Call) -> Reply:
    """Get the state of an autolabel job."""
    job = await call.container.autolabel.get(call.project_name, call.path("jobId"))
    return job_state(job)


@routes.add("GET", f"{ONE}/documents", {200: OutcomeList}, role=Role.READ)
async def get_autolabel_outcomes(call: Call, query: OutcomeQuery) -> Reply:
    """List the outcome of each document of the job."""
    project = await call.container.projects.get(call.project_name)
    job_id = call.path("jobId")
    outcomes = await call.container.autolabel.outcomes(call.project_name, job_id)
    return paged(
        query,
        project,
        [outcome for outcome in outcomes if query.outcome in {None, outcome.outcome}],
        outcome_json,
        ("outcomes", job_id, query.outcome),
        lambda outcome: (outcome.document_id,),
    )


@routes.add("POST", f"{ONE}/:cancel", {202: None}, role=Role.WRITE)
async def cancel_autolabel_job(call: Call) -> Reply:
    """Cancel an autolabel job; none of its suggestions appear afterwards."""
    job = await call.container.autolabel.cancel(call.project_name, call.path("jobId"))
    return call.cancel_accepted(job, f"autolabel/jobs/{job.id}")


@routes.add("GET", f"{ONE}/cancellation", {200: JobModel}, role=Role.READ)
async def get_autolabel_cancellation(call: Call) -> Reply:
    """Get the state of the cancellation of an autolabel job; it ends `succeeded`."""
    return cancel_state(await call.container.autolabel.get(call.project_name, call.path("jobId")))


@routes.add("POST", f"{ONE}/:retry", {202: None}, role=Role.WRITE)
async def retry_autolabel_job(call: Call) -> Reply:
    """Start a new job for the failed documents of this one."""
    job = await call.container.autolabel.retry(call.project_name, call.path("jobId"), call.job_id())
    return call.accepted(f"autolabel/jobs/{job.id}")


@routes.add("GET", FITS, {200: JobList}, role=Role.READ)
async def list_fits(call: Call, query: PageQuery) -> Reply:
    """List the fits of engines on the labels of the project, newest first."""
    project = await call.container.projects.get(call.project_name)
    jobs = await call.container.autolabel.fits(call.project_name)
    return paged_jobs(query, project, jobs, "fits")


@routes.add("GET", f"{FITS}/{{jobId}}", {200: JobModel}, role=Role.READ)
async def get_fit(call: Call) -> Reply:
    """Get the state of a fit: its engine, progress, times and, when it failed, the reason.

    While another fit of the engine runs, it has not started.
    """
    return job_state(await call.container.autolabel.get_fit(call.project_name, call.path("jobId")))


def _request(body: AutolabelBody) -> "AutolabelRequest":
    from shared.services.autolabel.service import AutolabelRequest

    return AutolabelRequest(
        body.engine,
        body.model_label,
        tuple(body.documents) if body.documents is not None else None,
        tuple(body.categories) if body.categories is not None else None,
        body.cost_limit,
    )


def _engine_json(figures: "EngineFigures") -> dict[str, Any]:
    total = reduce(lambda some, tally: some.plus(tally), figures.bands)
    data: dict[str, Any] = {
        "engine": figures.engine,
        "available": figures.unavailable is None,
        "needsLabels": figures.needs_labels,
        "model": figures.model,
        **_counts(total),
        "tokens": {"input": figures.tokens.input, "output": figures.tokens.output},
        "cost": figures.cost,
        "bands": [
            {
                "minConfidence": tally.band * BAND / 100,
                "maxConfidence": (tally.band + 1) * BAND / 100,
                **_counts(tally),
            }
            for tally in figures.bands
        ],
        "models": [{"model": tally.model or None, **_counts(tally)} for tally in figures.models],
    }
    if figures.unavailable is not None:
        data["unavailable"] = figures.unavailable
    return data


def _counts(tally: "EngineTally") -> dict[str, Any]:
    decided = tally.accepted + tally.rejected
    return {
        "suggested": tally.suggested,
        "accepted": tally.accepted,
        "rejected": tally.rejected,
        "precision": tally.accepted / decided if decided else None,
    }
