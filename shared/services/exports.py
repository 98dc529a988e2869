"""Export as an Azure project file, streamed page by page."""

import asyncio
from collections.abc import AsyncIterator

from shared.domain.document import PLANNED_WHEN_READ, Document
from shared.domain.errors import Conflict, ProjectNotFound, Unavailable
from shared.domain.jobs import Job, JobKind, JobStatus
from shared.domain.project import Project
from shared.domain.project_file import LabeledDocument, ProjectDetails
from shared.services.inline import for_a_moment
from shared.services.jobs import SAFETY_SECONDS, JobService
from shared.services.messages import JobMessage
from shared.services.stores import Stores
from shared.wire.project_file_writer import ProjectFileWriter

ATTEMPTS = 20
PAUSE_SECONDS = 0.5


class ExportService:
    def __init__(self, stores: Stores, jobs: JobService) -> None:
        self._stores = stores
        self._jobs = jobs

    async def start(self, name: str, job_id: str) -> Job:
        project = await self._stores.directory.read(name)
        now = self._stores.clock()
        job = Job(job_id, JobKind.EXPORT, name, project.incarnation, project.edition, now, now)
        job, new = await self._stores.jobs.create(job)
        if not new:
            return job
        await self._jobs.send(job, delay=SAFETY_SECONDS)
        return await for_a_moment(self._export(job)) or job

    async def get(self, name: str, job_id: str) -> Job:
        project = await self._stores.directory.read(name)
        return await self._stores.jobs.get(project.incarnation, JobKind.EXPORT, job_id)

    async def result(self, name: str, job_id: str) -> bytes:
        """The file of an export that has succeeded."""
        job = await self.get(name, job_id)
        data = await self._stores.artefacts.read(_result(job)) if job.status is JobStatus.SUCCEEDED else None
        if data is None:
            raise Conflict(f"The export has no result: it is '{job.status}'.", target="jobId")
        return data

    async def run(self, message: JobMessage) -> None:
        job = await self._stores.jobs.find(message.incarnation, JobKind.EXPORT, message.job)
        if job is not None and not job.status.ended:
            await self._export(job)

    async def _export(self, job: Job) -> Job:
        """Write the file; again, when what it lists at its beginning changed while documents were read."""
        for _ in range(ATTEMPTS):
            project = await self._current(job)
            if project is None:
                return job
            if project.lock is not None and project.lock.edits_categories:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            writer = ProjectFileWriter(details_of(project), project.categories)
            await self._stores.artefacts.write_stream(
                _result(job), self._chunks(project, writer), "application/json"
            )
            after = await self._current(job)
            if after is None or (after.locks, after.categories) == (project.locks, project.categories):
                return await self._jobs.end(job, JobStatus.SUCCEEDED)
        raise Unavailable("The project's categories are being changed; try again.", retry_after=1)

    async def _current(self, job: Job) -> Project | None:
        try:
            project = await self._stores.directory.read(job.project)
        except ProjectNotFound:
            return None
        return project if project.incarnation == job.incarnation else None

    async def _chunks(self, project: Project, writer: ProjectFileWriter) -> AsyncIterator[bytes]:
        yield writer.start()
        async for page in self._stores.pages.scan(project.scope):
            chunk = writer.documents(
                LabeledDocument(d.location, d.language, d.dataset, d.active_labels(project.active_studio))
                for d in page.documents.values()
                if _exported(d, project)
            )
            if chunk:
                yield chunk
        yield writer.end()


def _exported(document: Document, project: Project) -> bool:
    """Of blobs that are no documents only what people said of them (rule D2), and what an import brought."""
    return (
        document.rejection is None
        or document.active_labels(project.active_studio) is not None
        or document.planned == PLANNED_WHEN_READ
    )


def details_of(project: Project) -> ProjectDetails:
    return ProjectDetails(
        project.name,
        project.kind,
        project.container,
        project.language,
        project.multilingual,
        project.description,
        project.settings,
    )


def _result(job: Job) -> str:
    return f"{job.incarnation}/exports/{job.id}.json"
