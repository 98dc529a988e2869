"""HTTP: bulk decisions and their undoing."""

from functions.call import Call, P, Reply, job_state, listed
from functions.documents import assignee_of
from functions.http import Routes
from functions.request import hundredths
from shared.domain.jobs import JobKind
from shared.runtime.auth import Role
from shared.wire.api import JobList, JobModel, job_json
from shared.wire.autolabel import BulkBody
from shared.wire.documents import PageQuery

routes = Routes()


@routes.add("POST", f"{P}/documents/:review-all", {202: None}, role=Role.REVIEW)
async def review_all_documents(call: Call, body: BulkBody) -> Reply:
    """Accept or reject every suggestion that matches, as a job; a dry run only counts."""
    from shared.services.review.bulk import BulkRequest

    request = BulkRequest(
        accept=body.decision == "accept",
        min_confidence=hundredths(body.min_confidence, up=True),
        max_confidence=hundredths(body.max_confidence, up=False),
        categories=tuple(body.categories) if body.categories is not None else None,
        job_id=body.job_id,
        location_prefix=body.location_prefix,
        text=body.text,
        flagged=body.flagged,
        assignee=assignee_of(call, body.assigned_to),
        dataset=body.dataset,
        dry_run=body.dry_run,
    )
    job = await call.container.bulk.start(call.project_name, request, call.caller.name, call.job_id())
    return call.accepted(f"review/jobs/{job.id}")


@routes.add("GET", f"{P}/review/jobs", {200: JobList}, role=Role.READ)
async def list_review_jobs(call: Call, query: PageQuery) -> Reply:
    """List bulk decisions, newest first."""
    from shared.services.review import paging

    project = await call.container.projects.get(call.project_name)
    jobs = await call.container.bulk.list(call.project_name)
    shown, token = paging.paginate(
        jobs, paging.newest_first, query.top, query.continuation_token, project, "review jobs"
    )
    return listed([job_json(job) for job in shown], token)


@routes.add("GET", f"{P}/review/jobs/{{jobId}}", {200: JobModel}, role=Role.READ)
async def get_review_job(call: Call) -> Reply:
    """Get the state of a bulk decision."""
    job = await call.container.bulk.get(call.project_name, JobKind.REVIEW, call.path("jobId"))
    return job_state(job)


@routes.add("POST", f"{P}/review/jobs/{{jobId}}/:undo", {202: None}, role=Role.REVIEW)
async def undo_review_job(call: Call) -> Reply:
    """Undo a bulk decision, except where a later decision was made."""
    job_id = call.path("jobId")
    job = await call.container.bulk.start_undo(call.project_name, job_id, call.caller.name, call.job_id())
    return call.accepted(f"review/undo-jobs/{job.id}")


@routes.add("GET", f"{P}/review/undo-jobs/{{jobId}}", {200: JobModel}, role=Role.READ)
async def get_undo_job(call: Call) -> Reply:
    """Get the state of the undo of a bulk decision."""
    job = await call.container.bulk.get(call.project_name, JobKind.UNDO, call.path("jobId"))
    return job_state(job)
