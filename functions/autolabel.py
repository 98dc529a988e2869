"""HTTP: autolabel jobs."""

from functions import cancellation
from functions.http import Call, P, Routes
from functions.reply import Reply, listed
from shared.services import paging
from shared.services.autolabel import AutolabelRequest
from shared.wire.answers import job_json, outcome_json
from shared.wire.api import JobList, JobModel
from shared.wire.api_autolabel import AutolabelBody, EstimateModel, OutcomeList, OutcomeQuery
from shared.wire.api_documents import PageQuery

routes = Routes()
JOBS = f"{P}/autolabel/jobs"
ONE = f"{JOBS}/{{jobId}}"


@routes.add("POST", JOBS, {202: None}, headers=("operation-location",))
async def start_autolabel(call: Call, body: AutolabelBody) -> Reply:
    """Start an autolabel job: without fields, over every unlabeled document."""
    job = await call.container.autolabel.start(call.project_name, _request(body), call.job_id())
    return call.accepted(f"autolabel/jobs/{job.id}")


@routes.add("POST", f"{P}/autolabel/:estimate", {200: EstimateModel})
async def estimate_autolabel(call: Call, body: AutolabelBody) -> Reply:
    """Tell what a job with this body would cost."""
    found = await call.container.autolabel.estimate(call.project_name, _request(body))
    return Reply(
        200,
        {"documents": found.documents, "textRecords": found.text_records}
        | ({"tokens": found.tokens} if found.tokens is not None else {}),
    )


@routes.add("GET", JOBS, {200: JobList})
async def list_autolabel_jobs(call: Call, query: PageQuery) -> Reply:
    """List autolabel jobs, newest first."""
    project = await call.container.projects.get(call.project_name)
    jobs = await call.container.autolabel.list(call.project_name)
    shown, token = paging.cut(
        jobs, paging.newest_first, query.top, query.continuation_token, project, "autolabel jobs"
    )
    return listed([job_json(job) for job in shown], token)


@routes.add("GET", ONE, {200: JobModel})
async def get_autolabel_job(call: Call) -> Reply:
    """Get the state of an autolabel job."""
    job = await call.container.autolabel.get(call.project_name, call.path("jobId"))
    return Reply(200, job_json(job), {} if job.status.ended else {"Retry-After": "1"})


@routes.add("GET", f"{ONE}/documents", {200: OutcomeList})
async def get_autolabel_outcomes(call: Call, query: OutcomeQuery) -> Reply:
    """List what became of each document of the job."""
    project = await call.container.projects.get(call.project_name)
    job_id = call.path("jobId")
    outcomes = await call.container.autolabel.outcomes(call.project_name, job_id)
    shown, token = paging.cut(
        [one for one in outcomes if query.outcome in {None, one.outcome}],
        lambda one: (one.document_id,),
        query.top,
        query.continuation_token,
        project,
        ("outcomes", job_id, query.outcome),
    )
    return listed([outcome_json(one) for one in shown], token)


@routes.add("POST", f"{ONE}/:cancel", {202: None}, headers=("operation-location",))
async def cancel_autolabel_job(call: Call) -> Reply:
    """Cancel an autolabel job: nothing of it appears after this."""
    job = await call.container.autolabel.cancel(call.project_name, call.path("jobId"))
    return cancellation.accepted(call, job, f"autolabel/jobs/{job.id}")


@routes.add("GET", f"{ONE}/cancellation", {200: JobModel})
async def get_autolabel_cancellation(call: Call) -> Reply:
    """Get the state of the cancellation of an autolabel job; it ends `succeeded`."""
    return cancellation.state(await call.container.autolabel.get(call.project_name, call.path("jobId")))


@routes.add("POST", f"{ONE}/:retry", {202: None}, headers=("operation-location",))
async def retry_autolabel_job(call: Call) -> Reply:
    """Start a new job over the documents of this one that failed."""
    job = await call.container.autolabel.retry(call.project_name, call.path("jobId"), call.job_id())
    return call.accepted(f"autolabel/jobs/{job.id}")


def _request(body: AutolabelBody) -> AutolabelRequest:
    return AutolabelRequest(
        body.engine,
        body.model_label,
        tuple(body.documents) if body.documents is not None else None,
        tuple(body.categories) if body.categories is not None else None,
    )
