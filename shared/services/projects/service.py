"""Projects: create, change, list, delete."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.domain.errors import Conflict, InvalidArgument, NotFound
from shared.domain.jobs import Job, JobKind, JobStatus
from shared.domain.names import ProjectKind, container_error, language_error, project_name_error, random_id
from shared.domain.project import Guidelines, Project, ProjectSettings
from shared.engines.base import EngineError
from shared.engines.registry import Engines
from shared.services.autolabel.registering import RegisterService
from shared.services.jobs.lifecycle import JobService
from shared.services.jobs.stores import Stores
from shared.wire.json_codec import ValidationErrors

#: Attempts to add a version of the guidelines while others add theirs.
ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class ProjectPatch:
    """What a PATCH sets; None: leave it, or the default of a new project.

    `settings` makes the new settings of the current ones. `name`, if given, must be the project's.
    """

    kind: ProjectKind | None = None
    container: str | None = None
    language: str | None = None
    multilingual: bool | None = None
    description: str | None = None
    settings: Callable[[ProjectSettings], ProjectSettings] | None = None
    name: str | None = None
    #: "": people see the name.
    display_name: str | None = None


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
        wrong = project_name_error(name)
        if wrong:
            raise InvalidArgument(wrong, target="projectName")
        existing = await self._stores.projects.find(name)
        self._validate(name, patch, new=existing is None)
        if existing is not None and existing.deleting:
            raise Conflict(
                f"The project '{name}' is being deleted; try again in a moment.", target="projectName"
            )
        if existing is not None:
            return await self._update(name, patch), False
        try:
            created = await self._stores.directory.create(self._new(name, patch))
        except Conflict:  # created by someone else meanwhile: then this is a change of it
            return await self._update(name, patch), False
        await self._registering.scan_new(created)
        return created, True

    async def _update(self, name: str, patch: ProjectPatch) -> Project:
        return await self._stores.directory.update(
            name, lambda project: _change(project, patch, self._stores.clock())
        )

    def _new(self, name: str, patch: ProjectPatch) -> Project:
        if patch.kind is None or patch.container is None or patch.language is None:
            raise InvalidArgument("A new project requires a kind, a container and a language.")
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

    def _validate(self, name: str, patch: ProjectPatch, *, new: bool) -> None:
        """Raises InvalidArgument with all that is wrong with the patch, whatever the project holds."""
        errors = ValidationErrors("request")
        if patch.name not in (None, name):
            errors.add("projectName", "'projectName' must match the name in the URL.")
        required = {
            "projectKind": patch.kind,
            "storageInputContainerName": patch.container,
            "language": patch.language,
        }
        for field in (field for field, value in required.items() if new and value is None):
            errors.add(field, f"'{field}' is required for a new project.")
        if patch.container is not None and (wrong := container_error(patch.container)):
            errors.add("storageInputContainerName", wrong)
        elif patch.container and self._stores.names.is_ours(patch.container):
            text = f"The container '{patch.container}' is reserved for Labelbridge; choose another."
            errors.add("storageInputContainerName", text)
        if patch.language is not None and (wrong := language_error(patch.language)):
            errors.add("language", wrong)
        engine = patch.settings(ProjectSettings()).autolabel.engine if patch.settings else None
        if engine is not None:
            try:
                self._engines.get(engine)
            except EngineError as error:
                errors.add("settings.autolabel.engine", str(error))
        errors.raise_any()

    # Guidelines

    async def guidelines(self, name: str, version: int | None = None) -> Guidelines:
        """The newest version, or the one asked for. Raises NotFound when there is no such version."""
        project = await self._stores.directory.read(name)
        if version is None:
            return await self._stores.guidelines.newest(project.incarnation)
        found = await self._stores.guidelines.find(project.incarnation, version)
        if found is None:
            raise NotFound(f"The guidelines have no version {version}.", target="version")
        return found

    async def guideline_versions(self, name: str) -> tuple[Project, Sequence[Guidelines]]:
        """Every version without its text, newest first."""
        project = await self._stores.directory.read(name)
        return project, await self._stores.guidelines.versions(project.incarnation)

    async def put_guidelines(self, name: str, text: str, read: int | None, by: str) -> Guidelines:
        """Add a version. `read`: the version that the author has read; None: any.

        The text that is there already makes no version, whatever was read. Raises Conflict when another version came.
        """
        project = await self._stores.directory.read(name)
        for _ in range(ATTEMPTS):
            newest = await self._stores.guidelines.newest(project.incarnation)
            if newest.text == text:
                return newest
            if read is not None and read != newest.version:
                break
            made = Guidelines(newest.version + 1, text, by, self._stores.clock(), len(text))
            if await self._stores.guidelines.add(project.incarnation, made):
                return made
        raise Conflict(
            "The guidelines have changed since they were read; read them again and repeat the change.",
            target="If-Match",
        )

    # Deletion

    async def delete(self, name: str, job_id: str) -> Job:
        """Take the project out of the index at once; its content is purged by the job and the sweep after it.

        Raises Conflict while the project is connected (rule C12).
        """
        found = await self._stores.jobs.find("", JobKind.DELETION, job_id)
        if found is not None:
            return found
        project = await self._stores.directory.read(name)
        job = Job.new(JobKind.DELETION, job_id, project, self._stores.clock())
        await self._stores.directory.update(name, _mark_deleting)
        job, _ = await self._stores.jobs.create(job)
        return await self.go_on_deleting(job)

    async def go_on_deleting(self, job: Job) -> Job:
        project = await self._stores.projects.find(job.project)
        if project is not None and job.applies_to(project):
            await self.take_out(project)
        return await self._jobs.end(job, JobStatus.SUCCEEDED)

    async def take_out(self, project: Project) -> None:
        """Take a project that is marked `deleting` out of the index.

        Its pages are fenced first: a writer that still knows the project reads it again, and finds it deleted or
        replaced.
        """
        await self._stores.projects.raise_fence(project)
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
    errors = ValidationErrors("request")
    if patch.kind is not None and patch.kind is not project.kind:
        errors.add("projectKind", "The kind of a project cannot be changed.")
    if patch.container is not None and patch.container != project.container:
        errors.add("storageInputContainerName", "The container of a project cannot be changed.")
    errors.raise_any()
    after = replace(
        project,
        language=project.language if patch.language is None else patch.language,
        multilingual=project.multilingual if patch.multilingual is None else patch.multilingual,
        description=project.description if patch.description is None else patch.description,
        display_name=project.display_name if patch.display_name is None else patch.display_name,
        settings=project.settings if patch.settings is None else patch.settings(project.settings),
    )
    bound = project.aml_project_path is not None
    if bound and (after.language != project.language or after.multilingual != project.multilingual):
        raise Conflict(
            "'language' and 'multilingual' cannot be changed while the project is connected.",
            target="language",
        )
    return after if after == project else replace(after, modified=now)
