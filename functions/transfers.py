"""HTTP: projects in and out: the Azure project file, and the push to an Azure Language resource."""

import json
from typing import Annotated

from pydantic import Field

from functions.call import Call, P, Reply, cancel_state, job_state, paged_jobs, parse_body, read_body
from functions.http import Routes
from shared.domain.errors import InvalidArgument, NotOffered
from shared.domain.jobs import JobStatus
from shared.runtime.auth import Role
from shared.wire.api import IndexType, JobList, JobModel
from shared.wire.documents import PageQuery
from shared.wire.json_codec import Wire, to_json
from shared.wire.projects import ExportedFileModel, ExportJobModel, ProjectFileModel, ProjectFileReference
from shared.wire.training import PushBody, PushTargetModel

routes = Routes()
PUSHES = f"{P}/push/jobs"
#: Below FUNCTIONS_REQUEST_BODY_SIZE_LIMIT (32 MiB), above which the host refuses a body with an empty 500.
MAX_FILE = 30 * 1024 * 1024
#: A body that names a blob is no longer than this.
MAX_REFERENCE = 16 * 1024


class ExportQuery(Wire):
    """`stringIndexType` has one value; there are no snapshots of models."""

    string_index_type: IndexType
    asset_kind: str | None = None
    trained_model_label: str | None = None
    #: As the header of `:import`.
    format: str | None = None


class ImportQuery(Wire):
    """The specification has `format` in the query, some of Azure's clients send it as a header."""

    format: str | None = None


@routes.add(
    "POST",
    f"{P}/:import",
    {202: None},
    role=Role.WRITE,
    max_body=MAX_FILE,
    reads=ProjectFileModel,
    project_names="new",
)
async def import_project(call: Call, query: ImportQuery) -> Reply:
    """Import an Azure project file from the body, or `{"projectFile": ...}` from a blob; a project is replaced."""
    for name, kind in ((call.header("format"), "The header"), (query.format, "The parameter")):
        if _is_aml(name, kind):
            text = "To import a label file of Azure Machine Learning, use :import-labels."
            raise NotOffered(text, target="format")
    body, imports = read_body(call.request, MAX_FILE), call.container.imports
    if is_reference(body):
        blob = (await parse_body(ProjectFileReference, call.request, MAX_FILE)).project_file
        job = await imports.start_from_blob(
            call.project_name, blob.container_name, blob.blob_name, call.caller.name, call.job_id()
        )
    else:
        job = await imports.start(call.project_name, body, call.caller.name, call.job_id())
    return call.accepted(f"import/jobs/{job.id}")


def is_reference(body: bytes) -> bool:
    """Whether the body names a blob with the project file."""
    if len(body) > MAX_REFERENCE or b'"projectFile"' not in body:
        return False
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "projectFile" in value and "metadata" not in value


def _is_aml(name: str | None, what: str) -> bool:
    """Whether Azure's `format` means label files, not project files. Raises InvalidArgument for unknown formats.

    Azure's specification names the value `aml` and no body for it: neither its examples nor Microsoft's clients, their
    recordings and their documentation show one (searched 2026-11). To guess one could import labels in wrong places.
    """
    kind = "json" if name is None else name.lower()
    if kind not in {"json", "aml"}:
        raise InvalidArgument(f"{what} 'format' must be 'json' or 'aml'.", target="format")
    return kind == "aml"


@routes.add("GET", f"{P}/import/jobs/{{jobId}}", {200: JobModel}, role=Role.READ)
async def get_import_job(call: Call) -> Reply:
    """Get the state of an import."""
    job = await call.container.imports.get(call.project_name, call.path("jobId"))
    return job_state(job)


@routes.add("POST", f"{P}/:export", {202: None}, role=Role.READ)
async def export_project(call: Call, query: ExportQuery) -> Reply:
    """Export the project as an Azure project file."""
    if _is_aml(query.format, "The parameter"):
        text = "Labels are exported as an Azure project file only; the workspace studio writes label files."
        raise NotOffered(text, target="format")
    if query.trained_model_label is not None:
        raise NotOffered(
            "Labelbridge does not keep snapshots of the labels of a model.", target="trainedModelLabel"
        )
    job = await call.container.exports.start(call.project_name, call.job_id())
    return call.accepted(f"export/jobs/{job.id}")


@routes.add("GET", f"{P}/export/jobs/{{jobId}}", {200: ExportJobModel}, role=Role.READ)
async def get_export_job(call: Call) -> Reply:
    """Get the state of an export; `resultUrl` is the address of the file, which is kept for seven days."""
    job = await call.container.exports.get(call.project_name, call.path("jobId"))
    if job.status is not JobStatus.SUCCEEDED:
        return job_state(job)
    return job_state(job, resultUrl=call.project_url(f"export/jobs/{job.id}/result"))


class PartQuery(Wire):
    """`part`: of the file, from 0 on."""

    part: Annotated[int, Field(ge=0, le=1_000_000)] = 0


@routes.add("GET", f"{P}/export/jobs/{{jobId}}/result", {200: ExportedFileModel}, role=Role.READ)
async def get_export_result(call: Call, query: PartQuery) -> Reply:
    """Download the file of an export; one over 32 MiB comes in parts, each with the address of the next."""
    job_id = call.path("jobId")
    data, more = await call.container.exports.result(call.project_name, job_id, query.part)
    if more:
        following = call.project_url(f"export/jobs/{job_id}/result", f"part={query.part + 1}")
        data = b'%s,"nextLink":%s}' % (data.removesuffix(b"}"), json.dumps(following).encode())
    return Reply(200, data)


@routes.add("POST", f"{P}/:push", {202: None}, role=Role.OWN)
async def push_project(call: Call, body: PushBody) -> Reply:
    """Import the project into an Azure Language resource, train and deploy a model there, and suggest with it."""
    from shared.services.project_files.push import PushRequest

    request = PushRequest(
        body.project_name, body.deployment_name, body.model_label, body.split(), body.replace
    )
    job = await call.container.push.start(call.project_name, request, call.job_id())
    return call.accepted(f"push/jobs/{job.id}")


@routes.add("GET", f"{P}/push", {200: PushTargetModel}, role=Role.OWN)
async def get_push_target(call: Call) -> Reply:
    """Get the target of a push: the resource, and the names of project, deployment and model."""
    target = await call.container.push.target(call.project_name)
    return Reply(200, to_json(target) | {"available": target.unavailable is None})


@routes.add("GET", PUSHES, {200: JobList}, role=Role.READ)
async def list_push_jobs(call: Call, query: PageQuery) -> Reply:
    """List pushes, newest first."""
    project = await call.container.projects.get(call.project_name)
    jobs = await call.container.push.list(call.project_name)
    return paged_jobs(query, project, jobs, "push jobs")


@routes.add("GET", f"{PUSHES}/{{jobId}}", {200: JobModel}, role=Role.READ)
async def get_push_job(call: Call) -> Reply:
    """Get the state of a push: its step, its progress, and what it waits for."""
    return job_state(await call.container.push.get(call.project_name, call.path("jobId")))


@routes.add("POST", f"{PUSHES}/{{jobId}}/:cancel", {202: None}, role=Role.OWN)
async def cancel_push_job(call: Call) -> Reply:
    """Cancel a push; what it imported stays in the Language resource, and a training there is canceled."""
    job = await call.container.push.cancel(call.project_name, call.path("jobId"))
    return call.cancel_accepted(job, f"push/jobs/{job.id}")


@routes.add("GET", f"{PUSHES}/{{jobId}}/cancellation", {200: JobModel}, role=Role.READ)
async def get_push_cancellation(call: Call) -> Reply:
    """Get the state of the cancellation of a push; it ends `succeeded`."""
    return cancel_state(await call.container.push.get(call.project_name, call.path("jobId")))
