"""Import of an Azure project file: a project is replaced at once for its readers."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from shared.domain.document import PLANNED_WHEN_READ, Document, document_id
from shared.domain.errors import Conflict, InvalidArgument, JobNotFound, LabelbridgeError
from shared.domain.ids import derived_id
from shared.domain.jobs import Job, JobError, JobKind, JobStatus
from shared.domain.page import HistoryEntry, Page, page_of
from shared.domain.project import Project
from shared.domain.project_file import LabeledDocument, ProjectFile
from shared.services.inline import for_a_moment
from shared.services.jobs import SAFETY_SECONDS, JobService
from shared.services.messages import JobMessage
from shared.services.registering import RegisterService
from shared.services.stores import Stores
from shared.storage.document_codec import encode_labels
from shared.storage.gateways.ports import RowChanged
from shared.storage.page_rows import Author
from shared.storage.pages import locked
from shared.wire.project_file import read_project_file

NO_INCARNATION = "-"
ATTEMPTS = 20


class ImportService:
    def __init__(self, stores: Stores, jobs: JobService, registering: RegisterService) -> None:
        self._stores = stores
        self._jobs = jobs
        self._registering = registering

    async def start(
        self, name: str, body: bytes, by: str, job_id: str, *, told: Sequence[JobError] = ()
    ) -> Job:
        """Begin an import; the whole file is checked before anything is written.

        `told` is what was left out before (lines of a label file): with it the job ends `partiallyCompleted`.

        Raises InvalidArgument with every fault of the file, Conflict while the project is connected or locked.
        """
        found = await self._stores.jobs.find("", JobKind.IMPORT, job_id)
        if found is not None:
            return found
        file = await asyncio.to_thread(read_project_file, body)
        if self._stores.names.is_ours(file.details.container):
            text = f"The container '{file.details.container}' belongs to Labelbridge itself."
            raise InvalidArgument(text, target="metadata.storageInputContainerName")
        existing = await self._stores.projects.find(name)
        if existing is not None:
            _may_replace(existing)
        await self._stores.artefacts.write(_body(job_id), body)
        now = self._stores.clock()
        job = Job(
            job_id,
            JobKind.IMPORT,
            name,
            NO_INCARNATION,
            "",
            now,
            now,
            parameters={"by": by},
            errors=tuple(told),
            warnings=file.warnings,
        )
        job, _ = await self._stores.jobs.create(job)
        await self._jobs.send(job, delay=SAFETY_SECONDS)
        return await for_a_moment(self._import(job, file)) or job

    async def get(self, name: str, job_id: str) -> Job:
        job = await self._stores.jobs.get("", JobKind.IMPORT, job_id)
        if job.project != name:
            raise JobNotFound(job_id)
        return job

    async def run(self, message: JobMessage) -> None:
        """Go on with an import that its request did not finish."""
        job = await self._stores.jobs.find("", JobKind.IMPORT, message.job)
        if job is None:
            return
        if job.status.ended:
            await self._stores.artefacts.delete(_body(job.id))  # its worker may have died before it did
            return
        body = await self._stores.artefacts.read(_body(job.id))
        if body is None:
            await self._jobs.end(
                job, JobStatus.FAILED, errors=(JobError("FileGone", "The file to import is gone."),)
            )
            return
        await self._import(job, await asyncio.to_thread(read_project_file, body))

    async def _import(self, job: Job, file: ProjectFile) -> Job:
        try:
            project = await self._replace(job, file)
        except LabelbridgeError as error:
            return await self._jobs.end(job, JobStatus.FAILED, errors=(JobError(error.code, error.message),))
        await self._registering.scan_new(project, derived_id(job.id, "scan"))
        ended = await self._jobs.end(
            job,
            JobStatus.PARTIALLY_COMPLETED if job.errors else JobStatus.SUCCEEDED,
            result={"documents": len(file.documents), "categories": len(file.categories)},
        )
        await self._stores.artefacts.delete(_body(job.id))
        return ended

    async def _replace(self, job: Job, file: ProjectFile) -> Project:
        """Write the content as a new edition that nobody sees, then turn the project to it.

        Whoever goes on after a crash, or comes late, repeats the steps: none undoes what happened since.
        """
        edition = derived_id(job.id, "edition")
        existing = await self._stores.projects.find(job.project)
        if existing is None or existing.edition != edition:
            await self._write(job, file, existing, edition)
        if existing is None:
            return await self._create(_new(job, file, edition))
        for _ in range(ATTEMPTS):
            job = await self._note_replaced(job, edition)
            try:
                turned = await self._turn(job, file, edition)
            except _Overtaken:
                continue
            await self._stop_jobs(turned)
            if replaced := job.parameters.get("replaces"):
                await self._stores.pages.purge_edition(turned.incarnation, replaced)
            return turned
        raise Conflict("Other imports replace the project at the same time.", target="projectName")

    async def _write(self, job: Job, file: ProjectFile, existing: Project | None, edition: str) -> None:
        if existing is not None:
            _may_replace(existing, job.id)
        made = _content(existing, file, edition, job) if existing else _new(job, file, edition)
        author = Author(str(job.parameters.get("by", "")), job.created, derived_id(job.id, "revision"))
        await self._stores.pages.write_edition(
            made, _pages(made, file.documents, author.revision), author, _history
        )

    async def _create(self, made: Project) -> Project:
        """The new project; one that we made before, when the answer was lost, is ours."""
        try:
            return await self._stores.directory.create(made)
        except Conflict:
            found = await self._stores.projects.find(made.name)
            if found is None or found.incarnation != made.incarnation:
                raise
            return found

    async def _note_replaced(self, job: Job, edition: str) -> Job:
        """The job, with the edition that it replaces: that of the project until it is turned, to be purged then."""
        while True:
            found = await self._stores.jobs.get("", JobKind.IMPORT, job.id)
            project = await self._stores.directory.read(job.project)
            if found.status.ended:
                raise Conflict("The import has ended already.", target="jobId")
            if project.edition in {edition, found.parameters.get("replaces")}:
                return found
            try:
                parameters = {**found.parameters, "replaces": project.edition}
                return await self._stores.jobs.save(replace(found, parameters=parameters))
            except RowChanged:
                continue  # another worker is at it

    async def _turn(self, job: Job, file: ProjectFile, edition: str) -> Project:
        def turn(project: Project) -> Project:
            if project.edition == edition:
                return project
            _may_replace(project, job.id)
            if project.edition != job.parameters.get("replaces"):
                raise _Overtaken("Another import was faster.")
            return replace(_content(project, file, edition, job), generation=project.generation + 1)

        return await self._stores.gate.cut(job.project, job.id, turn)

    async def _stop_jobs(self, project: Project) -> None:
        reason = JobError("ProjectReplaced", "The project was replaced by an import.")
        for job in await self._stores.jobs.open_jobs(project.incarnation):
            if job.edition != project.edition:
                await self._jobs.stop(job, reason)


class _Overtaken(Conflict):
    """Another import turned the project first."""


def _may_replace(project: Project, holder: str = "") -> None:
    """Rule C12, and what else keeps an import from replacing the project now."""
    if project.deleting:
        raise Conflict(
            f"The project '{project.name}' is being deleted; try again in a moment.", target="projectName"
        )
    if project.aml_project_path is not None:
        text = "The project is connected to a labeling project; disconnect it before importing over it."
        raise Conflict(text, target="projectName")
    if project.lock is not None and project.lock.holder != holder:
        raise locked(project)
    if project.training is not None:
        raise Conflict(
            "A training of this project is running; import when it has ended.", target="projectName"
        )


def _new(job: Job, file: ProjectFile, edition: str) -> Project:
    base = Project(
        job.project, file.details.kind, file.details.container, file.details.language, job.created, job.created,
        incarnation=derived_id(job.id, "incarnation"), edition=edition,
    )  # fmt: skip
    return _content(base, file, edition, job)


def _content(project: Project, file: ProjectFile, edition: str, job: Job) -> Project:
    details = file.details
    return replace(
        project,
        kind=details.kind,
        container=details.container,
        language=details.language,
        multilingual=details.multilingual,
        description=details.description,
        settings=details.settings,
        categories=file.categories,
        edition=edition,
        modified=job.created,
    )


def _pages(project: Project, documents: Iterable[LabeledDocument], revision: str) -> list[Page]:
    buckets: dict[int, dict[str, Document]] = defaultdict(dict)
    for one in documents:
        key = document_id(one.location)
        buckets[page_of(key, project.pages)][key] = Document(
            key,
            one.location,
            one.language,
            one.dataset,
            revision,
            planned=PLANNED_WHEN_READ,
            labels=one.labels,
        )
    return [Page(number, dict(sorted(bucket.items()))) for number, bucket in sorted(buckets.items())]


def _history(page: Page) -> tuple[HistoryEntry, ...]:
    return tuple(
        HistoryEntry(d.id, "imported", {"after": encode_labels(d.labels)})
        for d in page.documents.values()
        if d.labels is not None
    )


def _body(job_id: str) -> str:
    return f"imports/{job_id}"
