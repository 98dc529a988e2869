"""Projects: create, change, list, delete."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.domain.errors import Conflict, InvalidArgument
from shared.domain.ids import random_id
from shared.domain.jobs import Job, JobKind, JobStatus
from shared.domain.kinds import ProjectKind
from shared.domain.names import container_fault, language_fault, project_name_fault
from shared.domain.project import AutolabelSettings, Project, ProjectSettings
from shared.engines.base import UnknownEngine
from shared.engines.registry import Engines
from shared.services.jobs import JobService
from shared.services.registering import RegisterService
from shared.services.stores import Stores
from shared.wire.faults import Faults

MAX_PROJECTS = 500


@dataclass(frozen=True, slots=True)
class ProjectPatch:
    """What a PATCH sets; None: leave it (or the default of a new project).

    `autolabel_fields`: which fields of `autolabel` the caller named; None: all of them. `name` can only be repeated.
    """

    kind: ProjectKind | None = None
    container: str | None = None
    language: str | None = None
    multilingual: bool | None = None
    description: str | None = None
    confidence_threshold: float | None = None
    autolabel: AutolabelSettings | None = None
    autolabel_fields: frozenset[str] | None = None
    run_gpt_predictions: bool | None = None
    gpt_predictive_lookahead: int | None = None
    name: str | None = None


class ProjectService:
    def __init__(
        self, stores: Stores, engines: Engines, jobs: JobService, registering: RegisterService
    ) -> None:
        self._stores = stores
        self._engines = engines
        self._jobs = jobs
        self._registering = registering

    async def get(self, name: str) -> Project:
        return await self._stores.directory.read(name)

    async def list(self, after: str, limit: int) -> Sequence[Project]:
        """Projects by name, after a name."""
        found: list[Project] = []
        while len(found) < limit:
            batch = await self._stores.projects.all(after, limit - len(found))
            found.extend(project for project in batch if not project.deleting)
            if not batch:
                break
            after = batch[-1].name
        return found

    async def put(self, name: str, patch: ProjectPatch) -> tuple[Project, bool]:
        """Create or change a project; True: it is new, and its container is being scanned."""
        fault = project_name_fault(name)
        if fault:
            raise InvalidArgument(fault, target="projectName")
        existing = await self._stores.projects.find(name)
        self._check(name, patch, new=existing is None)
        if existing is not None and existing.deleting:
            raise Conflict(
                f"The project '{name}' is being deleted; try again in a moment.", target="projectName"
            )
        if existing is not None:
            return await self._update(name, patch), False
        try:
            created = await self._stores.directory.create(self._new(name, patch))
        except Conflict:  # somebody made it meanwhile: then this is a change of theirs
            return await self._update(name, patch), False
        await self._registering.scan_new(created)
        return created, True

    async def _update(self, name: str, patch: ProjectPatch) -> Project:
        return await self._stores.directory.update(
            name, lambda project: _change(project, patch, self._stores.clock())
        )

    def _new(self, name: str, patch: ProjectPatch) -> Project:
        if patch.kind is None or patch.container is None or patch.language is None:
            raise InvalidArgument("A new project needs a kind, a container and a language.")
        now = self._stores.clock()
        project = Project(
            name,
            patch.kind,
            patch.container,
            patch.language,
            now,
            now,
            incarnation=random_id(),
            edition=random_id(),
        )
        return _change(project, replace(patch, kind=None, container=None), now)

    def _check(self, name: str, patch: ProjectPatch, *, new: bool) -> None:
        """Raises InvalidArgument with all that is wrong with the patch, whatever the project holds."""
        faults = Faults("request")
        if patch.name not in (None, name):
            faults.add("projectName", "'projectName' must be the name in the address.")
        required = {
            "projectKind": patch.kind,
            "storageInputContainerName": patch.container,
            "language": patch.language,
        }
        for field in (field for field, value in required.items() if new and value is None):
            faults.add(field, f"'{field}' is required for a new project.")
        if patch.container is not None and (fault := container_fault(patch.container)):
            faults.add("storageInputContainerName", fault)
        elif patch.container and self._stores.names.is_ours(patch.container):
            text = (
                f"The container '{patch.container}' belongs to Labelbridge itself; choose one with documents."
            )
            faults.add("storageInputContainerName", text)
        if patch.language is not None and (fault := language_fault(patch.language)):
            faults.add("language", fault)
        if patch.autolabel is not None and patch.autolabel.engine is not None:
            try:
                self._engines.get(patch.autolabel.engine)
            except UnknownEngine as error:
                faults.add("settings.autolabel.engine", str(error))
        faults.raise_any()

    # Deletion

    async def delete(self, name: str, job_id: str) -> Job:
        """Take the project out of the index at once; its content is purged by the job and the sweep after it.

        Raises Conflict while the project is connected (rule C12).
        """
        found = await self._stores.jobs.find("", JobKind.DELETION, job_id)
        if found is not None:
            return found
        project = await self._stores.directory.read(name)
        now = self._stores.clock()
        job = Job(job_id, JobKind.DELETION, name, project.incarnation, project.edition, now, now)
        await self._stores.directory.update(name, _mark_deleting)
        job, _ = await self._stores.jobs.create(job)
        return await self.go_on_deleting(job)

    async def go_on_deleting(self, job: Job) -> Job:
        project = await self._stores.projects.find(job.project)
        if project is not None and project.incarnation == job.incarnation:
            await self.take_out(project)
        return await self._jobs.end(job, JobStatus.SUCCEEDED)

    async def take_out(self, project: Project) -> None:
        """Take a project that is marked `deleting` out of the index.

        Its pages are shut first: a writer that still knows the project reads it again, and finds it gone or another.
        """
        await self._stores.pages.shut(project.scope, project.locks)
        await self._stores.projects.remove(project, self._stores.clock())
        self._stores.directory.forget(project)

    async def deletion(self, job_id: str) -> Job:
        return await self._stores.jobs.get("", JobKind.DELETION, job_id)


def _mark_deleting(project: Project) -> Project:
    if project.aml_project_path is not None:
        raise Conflict(
            "The project is connected to a labeling project; disconnect it first.", target="projectName"
        )
    return replace(project, deleting=True, locks=project.locks + 1)


def _change(project: Project, patch: ProjectPatch, now: datetime) -> Project:
    faults = Faults("request")
    if patch.kind is not None and patch.kind is not project.kind:
        faults.add("projectKind", "The kind of a project cannot be changed.")
    if patch.container is not None and patch.container != project.container:
        faults.add("storageInputContainerName", "The container of a project cannot be changed.")
    faults.raise_any()
    settings = project.settings
    after = replace(
        project,
        language=project.language if patch.language is None else patch.language,
        multilingual=project.multilingual if patch.multilingual is None else patch.multilingual,
        description=project.description if patch.description is None else patch.description,
        settings=ProjectSettings(
            _or(patch.confidence_threshold, settings.confidence_threshold),
            _autolabel(patch, settings.autolabel),
            _or(patch.run_gpt_predictions, settings.run_gpt_predictions),
            _or(patch.gpt_predictive_lookahead, settings.gpt_predictive_lookahead),
        ),
    )
    bound = project.aml_project_path is not None
    if bound and (after.language != project.language or after.multilingual != project.multilingual):
        raise Conflict(
            "Language and 'multilingual' cannot be changed while the project is connected.", target="language"
        )
    return after if after == project else replace(after, modified=now)


def _autolabel(patch: ProjectPatch, current: AutolabelSettings) -> AutolabelSettings:
    if patch.autolabel is None or patch.autolabel_fields is None:
        return _or(patch.autolabel, current)
    return replace(current, **{name: getattr(patch.autolabel, name) for name in patch.autolabel_fields})


def _or[T](value: T | None, default: T) -> T:
    return default if value is None else value
