"""Export as an Azure project file, streamed page by page into blobs of a bounded size.

Each attempt writes a separate file, and the result of the job names the valid one, so that parts of two are never
mixed. The file is deleted with its job, after seven days, or with the project.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Final

from shared.domain.document import PLANNED_WHEN_READ, Document
from shared.domain.errors import Conflict, InvalidArgument, Unavailable
from shared.domain.jobs import ExportResult, Job, JobKind, JobStatus
from shared.domain.labels import without_open_end
from shared.domain.names import random_id
from shared.domain.project import Project
from shared.domain.project_file import LabeledDocument, ProjectDetails
from shared.services.jobs.dispatch import run_undivided
from shared.services.jobs.lifecycle import SAFETY_SECONDS, JobMessage, JobService, for_a_moment
from shared.services.jobs.stores import Stores
from shared.storage.models import export_name
from shared.wire.project_file_writer import ProjectFileWriter

ATTEMPTS = 20
PAUSE_SECONDS = 0.5
#: Of one part, in bytes: the answer, with the address of the next part, stays below 32 MiB.
MAX_PART: Final = 31 * 1024 * 1024


class ExportService:
    def __init__(self, stores: Stores, jobs: JobService) -> None:
        self._stores = stores
        self._jobs = jobs

    async def start(self, name: str, job_id: str) -> Job:
        project = await self._stores.directory.read(name)
        job = Job.new(JobKind.EXPORT, job_id, project, self._stores.clock())
        job, new = await self._stores.jobs.create(job)
        if not new:
            return job
        await self._jobs.send(job, delay=SAFETY_SECONDS)
        return await for_a_moment(self._run(job)) or job

    async def get(self, name: str, job_id: str) -> Job:
        project = await self._stores.directory.read(name)
        return await self._stores.jobs.get(project.incarnation, JobKind.EXPORT, job_id)

    async def result(self, name: str, job_id: str, part: int = 0) -> tuple[bytes, bool]:
        """A part of the file of an export that has succeeded, from 0 on, and whether another follows."""
        job = await self.get(name, job_id)
        made = job.result_as(ExportResult) or ExportResult(parts=1)
        if job.status is JobStatus.SUCCEEDED and part >= made.parts:
            raise InvalidArgument(f"The exported file has only {made.parts} parts.", target="part")
        data = None
        if job.status is JobStatus.SUCCEEDED:
            data = await self._stores.artifacts.read(_name(job, made.file_id, part))
        if data is None:
            raise Conflict(f"The export has no result; its status is '{job.status}'.", target="jobId")
        return data, part + 1 < made.parts

    async def run(self, message: JobMessage) -> None:
        await self._run(await self._stores.jobs.find(message.incarnation, JobKind.EXPORT, message.job))

    async def _run(self, job: Job | None) -> Job | None:
        return await run_undivided(self._stores, self._jobs, job, self._export)

    async def _export(self, job: Job) -> Job:
        """Write the file; again, if its header changed while documents were read."""
        for _ in range(ATTEMPTS):
            project = await self._stores.directory.project_of(job)
            if project is None:
                return job
            if project.lock is not None and project.lock.edits_categories:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            made = await self._write(job, project)
            after = await self._stores.directory.project_of(job)
            if after is None or (after.locks, after.categories) == (project.locks, project.categories):
                ended = await self._jobs.end(job, JobStatus.SUCCEEDED, result=made)
                if ended.result != made:  # another worker was first
                    await self._stores.artifacts.delete_export(job.incarnation, job.id, made.file_id)
                return ended
            await self._stores.artifacts.delete_export(job.incarnation, job.id, made.file_id)
        raise Unavailable("The project's categories are being changed; try again.", retry_after=1)

    async def _write(self, job: Job, project: Project) -> ExportResult:
        """Write the parts, each full but for the last."""
        file_id, parts, count = random_id(), 0, 0
        left: LabeledDocument | None = None

        async def part() -> AsyncIterator[bytes]:
            nonlocal count, left
            writer = ProjectFileWriter(details_of(project), project.categories)
            size = len(head := writer.start())
            yield head
            while left is not None:
                line = writer.documents([left])
                size += len(line)
                if size > MAX_PART and size > len(head) + len(line):
                    break
                yield line
                count += 1
                left = await anext(documents, None)
            yield writer.end()

        async with aclosing(_documents(self._stores, project, _exported)) as documents:
            left = await anext(documents, None)
            while parts == 0 or left is not None:
                name = _name(job, file_id, parts)
                await self._stores.artifacts.write_stream(name, part(), "application/json")
                parts += 1
        return ExportResult(count, parts, file_id)


type Written = Callable[[Document, Project], LabeledDocument | None]
"""Converts a document for a file; None: it is left out."""


async def file_chunks(
    stores: Stores, project: Project, writer: ProjectFileWriter, written: Written
) -> AsyncIterator[bytes]:
    """The bytes of a project file."""
    yield writer.start()
    async with aclosing(_documents(stores, project, written)) as documents:
        async for document in documents:
            yield writer.documents([document])
    yield writer.end()


async def _documents(stores: Stores, project: Project, written: Written) -> AsyncGenerator[LabeledDocument]:
    async for page in stores.pages.scan(project.scope):
        for document in page.documents.values():
            found = written(document, project)
            if found is not None:
                yield found


def _exported(document: Document, project: Project) -> LabeledDocument | None:
    """Documents without a readable blob only with labels of people (rules D2, D11) or of an import."""
    labels = document.active_labels(project.active_studio)
    if document.rejection is None or labels is not None or document.planned == PLANNED_WHEN_READ:
        shown = labels and without_open_end(labels, document.length)
        return LabeledDocument(document.location, document.language, document.dataset, shown)
    return None


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


def _name(job: Job, file_id: str, part: int) -> str:
    if not file_id:  # of a version before, which wrote one file
        return f"{export_name(job.incarnation, job.id)}.json"
    return export_name(job.incarnation, job.id, file_id, part)
