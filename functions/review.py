"""HTTP: decisions of reviewers, one by one and in bulk, and the undo of bulk decisions."""

from typing import TYPE_CHECKING, Any

from functions.call import Call, P, Reply, hundredths, job_state, paged_jobs
from functions.documents import assignee_of
from functions.http import Routes, error_json
from shared.domain.document import parse_version
from shared.domain.errors import InvalidArgument
from shared.domain.jobs import JobKind
from shared.domain.project import Project
from shared.domain.review import Decision
from shared.runtime.auth import Role
from shared.wire.api import JobList, JobModel
from shared.wire.documents import PageQuery, document_json, etag
from shared.wire.review import BulkBody, DecisionModel, ReviewAnswer, ReviewBody

if TYPE_CHECKING:
    from shared.services.review.service import Result, Submitted


routes = Routes()


@routes.add("POST", f"{P}/documents/:review", {200: ReviewAnswer}, role=Role.REVIEW)
async def review_documents(call: Call, body: ReviewBody) -> Reply:
    """Save the decisions on up to 100 documents; a conflict on one document does not stop the others."""
    decisions = [_submitted(decision) for decision in body.decisions]
    project, results = await call.container.review.save(
        call.project_name, decisions, call.caller.name, call.revision()
    )
    return Reply(200, {"results": [_result(result, project, index) for index, result in enumerate(results)]})


def _submitted(given: DecisionModel) -> "Submitted":
    from shared.services.review.service import Submitted

    decision = Decision(
        given.document_id, tuple(given.accept), tuple(given.reject), given.accept_all, given.reject_all
    )
    try:
        return Submitted(decision, parse_version(given.e_tag))
    except InvalidArgument as error:  # that document's own: the others are saved (V2)
        return Submitted(decision, error)


def _result(result: "Result", project: Project, index: int) -> dict[str, Any]:
    data: dict[str, Any] = {"documentId": result.document_id, "status": result.status.value}
    if result.document is not None:
        data["eTag"] = etag(result.document, project.generation)
        data["document"] = document_json(result.document, project)
    if result.error is not None:
        within = f".{result.error.target}" if result.error.target else ""
        data["error"] = error_json(result.error) | {"target": f"decisions[{index}]{within}"}
    return data


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
    project = await call.container.projects.get(call.project_name)
    jobs = await call.container.bulk.list(call.project_name)
    return paged_jobs(query, project, jobs, "review jobs")


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
