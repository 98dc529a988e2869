"""HTTP: projects."""

from typing import Any

from functions.http import PROJECTS, Call, P, Routes
from functions.reply import Reply
from shared.domain.project import AutolabelSettings
from shared.services.projects import ProjectPatch
from shared.wire.answers import job_json, project_json
from shared.wire.api import JobModel
from shared.wire.api_projects import ProjectBody, ProjectList, ProjectListQuery, ProjectModel

routes = Routes()


@routes.add("GET", PROJECTS, {200: ProjectList})
async def list_projects(call: Call, query: ProjectListQuery) -> Reply:
    """List projects by name."""
    wanted = query.skip + (query.top if query.top is not None else 1_000_000)
    page_end = query.skip + query.maxpagesize
    found = await call.container.projects.list("", min(wanted, page_end) + 1)
    shown = found[query.skip : min(wanted, page_end)]
    answer: dict[str, Any] = {"value": [project_json(project) for project in shown]}
    if len(found) > page_end and wanted > page_end:
        top = "" if query.top is None else f"&top={query.top - query.maxpagesize}"
        answer["nextLink"] = call.url(PROJECTS, f"skip={page_end}&maxpagesize={query.maxpagesize}{top}")
    return Reply(200, answer)


@routes.add("GET", P, {200: ProjectModel})
async def get_project(call: Call) -> Reply:
    """Get a project."""
    return Reply(200, project_json(await call.container.projects.get(call.project_name)))


@routes.add("PATCH", P, {200: ProjectModel, 201: ProjectModel})
async def put_project(call: Call, body: ProjectBody) -> Reply:
    """Create a project, or change one."""
    project, created = await call.container.projects.put(call.project_name, _patch(body))
    return Reply(201 if created else 200, project_json(project))


@routes.add("DELETE", P, {202: None}, headers=("operation-location",))
async def delete_project(call: Call) -> Reply:
    """Delete a project with everything that Labelbridge knows of it; the documents in its container stay."""
    job = await call.container.projects.delete(call.project_name, call.job_id())
    return call.accepted_at(call.url(f"{PROJECTS}/global/deletion-jobs/{job.id}"))


@routes.add("GET", f"{PROJECTS}/global/deletion-jobs/{{jobId}}", {200: JobModel})
async def get_deletion_job(call: Call) -> Reply:
    """Get the state of a deletion."""
    return Reply(200, job_json(await call.container.projects.deletion(call.path("jobId"))))


def _patch(body: ProjectBody) -> ProjectPatch:
    settings = body.settings
    autolabel = settings.autolabel if settings else None
    return ProjectPatch(
        name=body.project_name,
        kind=body.project_kind,
        container=body.storage_input_container_name,
        language=body.language,
        multilingual=body.multilingual,
        description=body.description,
        confidence_threshold=settings.confidence_threshold if settings else None,
        run_gpt_predictions=settings.run_gpt_predictions if settings else None,
        gpt_predictive_lookahead=settings.gpt_predictive_lookahead if settings else None,
        autolabel=AutolabelSettings(
            autolabel.on_upload,
            autolabel.engine,
            autolabel.model_label,
            tuple(autolabel.categories) if autolabel.categories is not None else None,
        )
        if autolabel
        else None,
        autolabel_fields=frozenset(autolabel.model_fields_set) if autolabel else None,
    )
