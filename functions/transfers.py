"""HTTP: the Azure project file in and out."""

from typing import Literal

from functions.http import Call, P, Routes
from functions.reply import Reply
from shared.domain.errors import NotOffered, TooLarge
from shared.domain.jobs import JobStatus
from shared.wire.answers import job_json
from shared.wire.api import JobModel, Wire
from shared.wire.api_project_file import ExportJobModel, ProjectFileModel

routes = Routes()
MAX_FILE = 100 * 1024 * 1024


class ExportQuery(Wire):
    """`stringIndexType` has one value; snapshots of models are not kept."""

    string_index_type: Literal["Utf16CodeUnit"]
    asset_kind: str | None = None
    trained_model_label: str | None = None


@routes.add(
    "POST",
    f"{P}/:import",
    {202: None},
    headers=("operation-location",),
    max_body=MAX_FILE,
    reads=ProjectFileModel,
)
async def import_project(call: Call) -> Reply:
    """Import an Azure project file; a project of this name is replaced."""
    body = call.request.get_body()
    if len(body) > MAX_FILE:
        raise TooLarge(
            f"A project file has at most {MAX_FILE:,} bytes; this one has {len(body):,}.", target="body"
        )
    job = await call.container.imports.start(call.project_name, body, call.caller.name, call.job_id())
    return call.accepted(f"import/jobs/{job.id}")


@routes.add("GET", f"{P}/import/jobs/{{jobId}}", {200: JobModel})
async def get_import_job(call: Call) -> Reply:
    """Get the state of an import."""
    job = await call.container.imports.get(call.project_name, call.path("jobId"))
    return Reply(200, job_json(job), {} if job.status.ended else {"Retry-After": "1"})


@routes.add("POST", f"{P}/:export", {202: None}, headers=("operation-location",))
async def export_project(call: Call, query: ExportQuery) -> Reply:
    """Export the project as an Azure project file."""
    if query.trained_model_label is not None:
        raise NotOffered(
            "Labelbridge keeps no snapshots of the labels of a model.", target="trainedModelLabel"
        )
    job = await call.container.exports.start(call.project_name, call.job_id())
    return call.accepted(f"export/jobs/{job.id}")


@routes.add("GET", f"{P}/export/jobs/{{jobId}}", {200: ExportJobModel})
async def get_export_job(call: Call) -> Reply:
    """Get the state of an export; `resultUrl` is where the file is."""
    job = await call.container.exports.get(call.project_name, call.path("jobId"))
    data = job_json(job)
    if job.status is JobStatus.SUCCEEDED:
        data["resultUrl"] = call.project_url(f"export/jobs/{job.id}/result")
    return Reply(200, data, {} if job.status.ended else {"Retry-After": "1"})


@routes.add("GET", f"{P}/export/jobs/{{jobId}}/result", {200: ProjectFileModel})
async def get_export_result(call: Call) -> Reply:
    """Download the file of an export."""
    return Reply(200, await call.container.exports.result(call.project_name, call.path("jobId")))
