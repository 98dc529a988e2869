"""HTTP: projects, their guidelines, categories and counts."""

import re
from typing import TYPE_CHECKING, Any

from functions.call import PROJECTS, Call, P, Reply, job_state, paged, require
from functions.http import Routes
from shared.domain.errors import InvalidArgument, NotFound, PreconditionRequired
from shared.domain.project import Guidelines, Project, ProjectSettings
from shared.runtime.auth import Role
from shared.wire.api import JobModel
from shared.wire.documents import PageQuery
from shared.wire.projects import (
    CategoriesBody,
    CategoryList,
    CategoryNames,
    GuidelinesBody,
    GuidelinesModel,
    GuidelineVersions,
    ProjectBody,
    ProjectList,
    ProjectListQuery,
    ProjectModel,
    Statistics,
    guidelines_json,
    project_json,
    statistics_json,
)

if TYPE_CHECKING:
    from shared.services.projects.service import ProjectPatch

routes = Routes()


@routes.add("GET", PROJECTS, {200: ProjectList}, role=Role.READ)
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


@routes.add("GET", P, {200: ProjectModel}, role=Role.READ)
async def get_project(call: Call) -> Reply:
    """Get a project."""
    return Reply(200, project_json(await call.container.projects.get(call.project_name)))


@routes.add("PATCH", P, {200: ProjectModel, 201: ProjectModel}, role=Role.WRITE, project_names="new")
async def put_project(call: Call, body: ProjectBody) -> Reply:
    """Create a project, or change one."""
    project, created = await call.container.projects.put(call.project_name, patch_of(body))
    return Reply(201 if created else 200, project_json(project))


@routes.add("DELETE", P, {202: None}, role=Role.OWN)
async def delete_project(call: Call) -> Reply:
    """Delete a project with all its data; the documents in its container stay."""
    job = await call.container.projects.delete(call.project_name, call.job_id())
    return call.accepted_at(call.url(f"{PROJECTS}/global/deletion-jobs/{job.id}"))


@routes.add("GET", f"{PROJECTS}/global/deletion-jobs/{{jobId}}", {200: JobModel}, role=Role.READ)
async def get_deletion_job(call: Call) -> Reply:
    """Get the state of a deletion."""
    return job_state(await call.container.projects.deletion(call.path("jobId")))


@routes.add("GET", f"{P}/guidelines", {200: GuidelinesModel}, role=Role.READ)
async def get_guidelines(call: Call) -> Reply:
    """Get the labeling guidelines of a project (Markdown); version 0 if there are none."""
    return _guidelines(await call.container.projects.guidelines(call.project_name))


@routes.add("PUT", f"{P}/guidelines", {200: GuidelinesModel}, role=Role.WRITE)
async def put_guidelines(call: Call, body: GuidelinesBody) -> Reply:
    """Replace the labeling guidelines: a new version, unless the text is the same."""
    read = guidelines_version(call.header("if-match"))
    made = await call.container.projects.put_guidelines(call.project_name, body.text, read, call.caller.name)
    return _guidelines(made)


@routes.add("GET", f"{P}/guidelines/versions", {200: GuidelineVersions}, role=Role.READ)
async def list_guideline_versions(call: Call, query: PageQuery) -> Reply:
    """List the versions of the guidelines without their texts, newest first."""
    project, versions = await call.container.projects.guideline_versions(call.project_name)
    return paged(
        query,
        project,
        versions,
        lambda guidelines: guidelines_json(guidelines, text=False),
        "guidelines",
        lambda guidelines: (-guidelines.version,),
    )


@routes.add("GET", f"{P}/guidelines/versions/{{version}}", {200: GuidelinesModel}, role=Role.READ)
async def get_guideline_version(call: Call) -> Reply:
    """Get a version of the guidelines with its text."""
    number = call.path("version")
    if not (number.isascii() and number.isdigit() and len(number) <= MAX_DIGITS):
        raise NotFound(f"The guidelines have no version '{number[:20]}'.", target="version")
    return _guidelines(await call.container.projects.guidelines(call.project_name, int(number)))


def _guidelines(guidelines: Guidelines) -> Reply:
    return Reply(200, guidelines_json(guidelines), {"ETag": f'"{guidelines.version}"'})


#: Of a version number.
MAX_DIGITS = 8
_VERSION = re.compile(f'"([0-9]{{1,{MAX_DIGITS}}})"')


def guidelines_version(header: str | None) -> int | None:
    """The version in an If-Match header; None for `*`. Raises PreconditionRequired when it is missing."""
    if header is None or not header.strip():
        text = "The header If-Match is required: the eTag of the guidelines, or * for any version."
        raise PreconditionRequired(text, target="If-Match")
    if header.strip() == "*":
        return None
    match = _VERSION.fullmatch(header.strip())
    if match is None:
        raise InvalidArgument(
            "The eTag is malformed; send it as it was returned, with its quotes.", target="If-Match"
        )
    return int(match[1])


def patch_of(body: ProjectBody) -> "ProjectPatch":
    """What a merge patch sets: an absent field stays as it is, null removes what can be removed.

    Raises InvalidArgument for null in a field that every project has.
    """
    from shared.services.projects.service import ProjectPatch

    nulls = {name for name in body.model_fields_set if getattr(body, name) is None}
    require(nulls, body, ("project_kind", "storage_input_container_name", "language"))
    return ProjectPatch(
        name=body.project_name,
        kind=body.project_kind,
        container=body.storage_input_container_name,
        language=body.language,
        multilingual=False if "multilingual" in nulls else body.multilingual,
        description="" if "description" in nulls else body.description,
        display_name="" if "display_name" in nulls else body.display_name,
        settings=_reset if "settings" in nulls else body.settings and body.settings.applied_to,
    )


def _reset(_: ProjectSettings) -> ProjectSettings:
    return ProjectSettings()


@routes.add("GET", f"{P}/categories", {200: CategoryList}, role=Role.READ)
async def list_categories(call: Call) -> Reply:
    """List the categories of a project."""
    return _categories(await call.container.projects.get(call.project_name))


@routes.add("PUT", f"{P}/categories", {200: CategoryList}, role=Role.WRITE)
async def put_categories(call: Call, body: CategoriesBody) -> Reply:
    """Define, describe or rename categories; the others stay unchanged."""
    from shared.services.projects.categories import CategoryChange

    changes = [CategoryChange(item.category, item.description, item.previous_category) for item in body.value]
    return _categories(await call.container.categories.put(call.project_name, changes, call.caller.name))


@routes.add("POST", f"{P}/categories/:remove", {200: CategoryList}, role=Role.WRITE)
async def remove_categories(call: Call, body: CategoryNames) -> Reply:
    """Remove categories that no label uses, with their suggestions."""
    return _categories(
        await call.container.categories.remove(call.project_name, body.categories, call.caller.name)
    )


@routes.add("GET", f"{P}/statistics", {200: Statistics}, role=Role.READ)
async def get_statistics(call: Call) -> Reply:
    """Get counts by status, labels by category, and the share accepted by confidence."""
    return Reply(200, statistics_json(await call.container.categories.statistics(call.project_name)))


def _categories(project: Project) -> Reply:
    value = [
        {"category": c.name} | ({"description": c.description} if c.description else {})
        for c in project.categories
    ]
    return Reply(200, {"value": value})
