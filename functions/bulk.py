"""HTTP: bulk decisions and their undoing."""

from functions.http import Call, P, Routes
from functions.reply import Reply, listed
from shared.domain.jobs import JobKind
from shared.services import paging
from shared.services.bulk import BulkRequest
from shared.wire.answers import job_json
from shared.wire.api import JobList, JobModel
from shared.wire.api_autolabel import BulkBody
from shared.wire.api_documents import PageQuery

routes = Routes()


@routes.add("POST", f"{P}/documents/:review-all", {202: None}, headers=("operation-location",))
async def review_all_documents(call: Call, body: BulkBody) -> Reply:
    """Accept or reject every suggestion that matches, as a job; a dry run only counts."""
    request = BulkRequest(
        accept=body.decision == "accept",
        min_confidence=_hundredths(body.min_confidence, up=True),
        max_confidence=_hundredths(body.max_confidence, up=False),
        categories=tuple(body.categories) if body.categories is not None else None,
        job_id=body.job_id,
        location_prefix=body.location_prefix,
        dry_run=body.dry_run,
    )
    job = await call.container.bulk.start(call.project_name, request, call.caller.name, call.job_id())
    return call.accepted(f"review/jobs/{job.id}")


@routes.add("GET", f"{P}/review/jobs", {200: JobList})
async def list_review_jobs(call: Call, query: PageQuery) -> Reply:
    """List bulk decisions, newest first."""
    project = await call.container.projects.get(call.project_name)
    jobs = await call.container.bulk.list(call.project_name)
    shown, token = paging.cut(
        jobs, paging.newest_first, query.top, query.continuation_token, project, "review jobs"
    )
    return listed([job_json(job) for job in shown], token)


@routes.add("GET", f"{P}/review/jobs/{{jobId}}", {200: JobModel})
async def get_review_job(call: Call) -> Reply:
    """Get the state of a bulk decision."""
    job = await call.container.bulk.get(call.project_name, JobKind.REVIEW, call.path("jobId"))
    return Reply(200, job_json(job), {} if job.status.ended else {"Retry-After": "1"})


@routes.add("POST", f"{P}/review/jobs/{{jobId}}/:undo", {202: None}, headers=("operation-location",))
async def undo_review_job(call: Call) -> Reply:
    """Take back a bulk decision, wherever nothing was decided since."""
    job_id = call.path("jobId")
    job = await call.container.bulk.start_undo(call.project_name, job_id, call.caller.name, call.job_id())
    return call.accepted(f"review/undo-jobs/{job.id}")


@routes.add("GET", f"{P}/review/undo-jobs/{{jobId}}", {200: JobModel})
async def get_undo_job(call: Call) -> Reply:
    """Get the state of the undoing of a bulk decision."""
    job = await call.container.bulk.get(call.project_name, JobKind.UNDO, call.path("jobId"))
    return Reply(200, job_json(job), {} if job.status.ended else {"Retry-After": "1"})


def _hundredths(confidence: float | None, *, up: bool) -> int | None:
    """A bound in whole hundredths, rounded inwards: 0.805 is 81 as a least and 80 as a greatest confidence."""
    if confidence is None:
        return None
    exact = round(confidence * 100, 6)
    return -int(-exact // 1) if up else int(exact // 1)
