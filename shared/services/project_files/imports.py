"""Import of an Azure project file: a project is replaced at once for its readers.

The content is written as an edition that nobody sees. Then one transaction turns the project to it, or creates it, and
notes that on the job: so it happens once, and never after the job has ended, even after a crash or in a late worker.
Until then every try begins with what is there: the project may have been deleted, made again, replaced or locked.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from io import BytesIO
from random import random
from tempfile import TemporaryFile
from typing import BinaryIO

from shared.domain.document import PLANNED_WHEN_READ, Document, document_id
from shared.domain.errors import (
    Conflict,
    InvalidArgument,
    JobNotFound,
    LabelbridgeError,
    NotFound,
    ProjectNotFound,
    TooLarge,
)
from shared.domain.jobs import REPLACED, Job, JobError, JobKind, JobStatus
from shared.domain.names import derived_id, incarnation_of_import
from shared.domain.page import Action, HistoryEntry, ImportedLabels, Page, page_of
from shared.domain.project import Project, with_categories
from shared.domain.project_file import LabeledDocument, ProjectFile
from shared.domain.transfers import ImportParameters, ImportResult, ImportSource
from shared.services.autolabel.registering import RegisterService
from shared.services.jobs.dispatch import Later, run_undivided
from shared.services.jobs.lifecycle import SAFETY_SECONDS, JobMessage, JobService, for_a_moment
from shared.services.jobs.stores import Stores
from shared.storage.gateways.ports import CHUNK, BlobChanged, Operation, RowChanged, RowExists
from shared.storage.pages import Author, locked
from shared.wire.project_file import read_project_file


def obstacle(project: Project, holder: str = "") -> Conflict | None:
    """What prevents an import from replacing the project (rule C12); with `retry_after` if it is temporary."""
    if project.deleting:
        text = f"The project '{project.name}' is being deleted; try again in a moment."
        return Conflict(text, target="projectName", retry_after=1)
    if project.aml_project_path is not None:
        text = "The project is connected to a labeling project; disconnect it before importing over it."
        return Conflict(text, target="projectName")
    if project.training is not None:
        text = "A training of this project is running; import after it has ended."
        return Conflict(text, target="projectName")
    if project.lock is not None and project.lock.holder != holder:
        return locked(project)
    return None


def edition_of(job: Job) -> str:
    """Where the content of the import is stored, in any incarnation."""
    return derived_id(job.id, "edition")


def incarnation_of(job: Job) -> str:
    """Of the project that the import creates: at most once, for creating it is noted on the job in one write."""
    return incarnation_of_import(job.id)


def created(job: Job, file: ProjectFile) -> Project:
    """The project where there is none."""
    base = Project(
        job.project, file.details.kind, file.details.container, file.details.language, job.created, job.created,
        incarnation=incarnation_of(job), edition=edition_of(job),
    )  # fmt: skip
    return replaced(base, file, job)


def replaced(project: Project, file: ProjectFile, job: Job) -> Project:
    """The project with the content of the file."""
    details = file.details
    return replace(
        with_categories(project, file.categories),
        kind=details.kind,
        container=details.container,
        language=details.language,
        multilingual=details.multilingual,
        description=details.description,
        settings=details.settings,
        edition=edition_of(job),
        modified=job.created,
        deployed=project.deployed if details.kind is project.kind else None,
    )


def pages_of(project: Project, documents: Iterable[LabeledDocument], revision: str) -> Iterator[Page]:
    """The documents on their pages, each of which is made when it is asked for: others are being written by then."""
    buckets: dict[int, dict[str, LabeledDocument]] = defaultdict(dict)
    for document in documents:
        key = document_id(document.location)
        buckets[page_of(key, project.pages)][key] = document
    return (_page(number, bucket, revision) for number, bucket in sorted(buckets.items()))


def _page(number: int, bucket: Mapping[str, LabeledDocument], revision: str) -> Page:
    made = {
        key: Document(
            key,
            document.location,
            document.language,
            document.dataset,
            revision,
            planned=PLANNED_WHEN_READ,
            labels=document.labels,
        )
        for key, document in sorted(bucket.items())
    }
    return Page(number, made)


def history_of(page: Page) -> tuple[HistoryEntry, ...]:
    """The history entries of the labeled documents of a page."""
    return tuple(
        HistoryEntry(d.id, Action.IMPORTED, ImportedLabels(d.labels))
        for d in page.documents.values()
        if d.labels is not None
    )


def errors_of(error: LabelbridgeError) -> tuple[JobError, ...]:
    """The errors of a job that the error ends: each error of a file with its JSON path."""
    return tuple(JobError(each.code, each.message, each.target) for each in error.details or (error,))


NO_INCARNATION = "-"
ATTEMPTS = 20
#: Of a project file in a blob, in bytes.
MAX_BLOB = 100 * 1024 * 1024
PAUSE_SECONDS = 0.05
#: How long an import waits, from message to message, for temporary locks.
PATIENCE = timedelta(minutes=10)
#: After how long an import asks again whether this process reads another file.
TURN_SECONDS = 5
BUSY = "The project is being changed; try again in a moment."


class ImportService:
    def __init__(
        self, stores: Stores, jobs: JobService, registering: RegisterService, engines: Iterable[str]
    ) -> None:
        """`engines`: the names of those that there are."""
        self._stores = stores
        self._engines = frozenset(engines)
        self._jobs = jobs
        self._registering = registering
        self.reading = asyncio.Lock()

    async def start(
        self,
        name: str,
        body: bytes,
        by: str,
        job_id: str,
        *,
        skipped: Sequence[JobError] = (),
        warnings: Sequence[JobError] = (),
    ) -> Job:
        """Start an import; the whole file is checked before anything is written.

        `skipped`: lines of a label file that were left out; with any, the job ends `partiallyCompleted`. `warnings`
        are added to those of the file.

        Raises InvalidArgument with every error of the file, Conflict while the project is connected or trained.
        """
        found = await self._stores.jobs.find("", JobKind.IMPORT, job_id)
        if found is not None:
            return found
        source = BytesIO(body)
        file = await asyncio.to_thread(read_project_file, source, self._container_error)
        await self._check_project(name)
        await self._stores.artifacts.write_stream(_body(job_id), _pieces(source), "application/json")
        now = self._stores.clock()
        job = Job.of_name(JobKind.IMPORT, job_id, name, NO_INCARNATION, now, ImportParameters(by))
        warnings = (*file.warnings, *warnings, *self._engine_warnings(file))
        job, _ = await self._stores.jobs.create(replace(job, errors=tuple(skipped), warnings=warnings))
        await self._jobs.send(job, delay=SAFETY_SECONDS)
        work = run_undivided(self._stores, self._jobs, job, lambda leased: self._import(leased, file))
        return await for_a_moment(work) or job

    async def start_from_blob(self, name: str, container: str, blob: str, by: str, job_id: str) -> Job:
        """Begin an import of a file that is too large for a request; it must lie in the container that it names.

        The file is read by the job, whose errors say what is wrong with it. Raises InvalidArgument when there is no
        such blob, TooLarge, and Conflict while the project is connected or trained.
        """
        found = await self._stores.jobs.find("", JobKind.IMPORT, job_id)
        if found is not None:
            return found
        info = (
            None if self._stores.names.is_ours(container) else await self._stores.blobs.stat(container, blob)
        )
        if info is None:
            raise InvalidArgument(f"The blob '{container}/{blob}' does not exist.", target="projectFile")
        if info.size > MAX_BLOB:
            text = f"The project file has {info.size:,} bytes; at most {MAX_BLOB:,} are allowed."
            raise TooLarge(text, target="projectFile")
        await self._check_project(name)
        asked = ImportParameters(by, source=ImportSource(container, blob, info.etag))
        now = self._stores.clock()
        job = Job.of_name(JobKind.IMPORT, job_id, name, NO_INCARNATION, now, asked)
        job, new = await self._stores.jobs.create(job)
        if new:
            await self._jobs.send(job)
        return job

    def _container_error(self, named: str, lies_in: str | None = None) -> str | None:
        """Whether a file names a container of ours, or another than the one that it lies in."""
        if self._stores.names.is_ours(named):
            return f"The container '{named}' is reserved for Labelbridge; choose another."
        if lies_in not in {None, named}:
            return f"The project file must be in the container that it names, '{named}'."
        return None

    async def _check_project(self, name: str) -> None:
        """Raises Conflict while the project cannot be replaced; the job waits for temporary obstacles."""
        existing = await self._stores.projects.find(name)
        reason = obstacle(existing) if existing else None
        if reason is not None and reason.retry_after is None:
            raise reason

    def _engine_warnings(self, file: ProjectFile) -> tuple[JobError, ...]:
        engine = file.details.settings.autolabel.engine
        if engine is None or engine in self._engines:
            return ()
        text = (
            f"The engine '{engine}' is not available; uploads are not labeled until the project uses another."
        )
        return (JobError("Warning", text, "metadata.settings.autolabel.engine"),)

    async def get(self, name: str, job_id: str) -> Job:
        job = await self._stores.jobs.get("", JobKind.IMPORT, job_id)
        if job.project != name:
            raise JobNotFound(job_id)
        return job

    async def run(self, message: JobMessage) -> None:
        """Go on with an import that its request did not finish, or did not begin."""
        job = await self._stores.jobs.find("", JobKind.IMPORT, message.job)
        if job is None:
            return
        if job.status.ended:
            await self._clear(job)  # its worker may have crashed before it did
            await self._stores.artifacts.delete(_body(job.id))
            return
        await run_undivided(self._stores, self._jobs, job, self._take_up)

    async def _take_up(self, job: Job) -> Job:
        if self.reading.locked():  # a file of 100 MB takes several times its size, so one at a time is read
            raise Later(TURN_SECONDS)
        async with self.reading:
            try:
                job, file = await self._read_file(job)
            except LabelbridgeError as error:
                return await self.fail(job, *errors_of(error))
            return await self._import(job, file)

    async def _read_file(self, job: Job) -> tuple[Job, ProjectFile]:
        """The content of the file, and the job. Raises LabelbridgeError with every error of the file.

        The file is copied to the disk of this machine and read from there; memory holds what it says, not its text.
        """
        source = job.parameters_as(ImportParameters).source
        with TemporaryFile() as copy:
            if source is not None:
                await self._fetch(source, copy)
            elif not await _copy(self._stores.artifacts.stream(_body(job.id)), copy):
                raise NotFound("The file to import no longer exists.")
            lies_in = source.container if source else None
            wrong = partial(self._container_error, lies_in=lies_in)
            file = await asyncio.to_thread(read_project_file, copy, wrong)
            if source is not None:
                await self._stores.artifacts.write_stream(_body(job.id), _pieces(copy), "application/json")
                found = (*file.warnings, *self._engine_warnings(file))
                job = await self._note(
                    replace(job, warnings=found), replace(job.parameters_as(ImportParameters), source=None)
                )
        return job, file

    async def _fetch(self, source: ImportSource, copy: BinaryIO) -> None:
        """Copy the blob. Raises Conflict if it is another than when the import was asked for."""
        with suppress(BlobChanged):
            await _copy(self._stores.blobs.stream_read(source.container, source.blob), copy)
            info = await self._stores.blobs.stat(source.container, source.blob)
            if info is not None and info.etag == source.etag:
                return
        where = f"{source.container}/{source.blob}"
        text = f"The blob '{where}' was changed after the import was requested; import it again."
        raise Conflict(text, target="projectFile")

    async def fail(self, job: Job, *errors: JobError) -> Job:
        """End the import and delete what it wrote."""
        ended = await self._jobs.end(job, JobStatus.FAILED, errors=errors)
        await self._clear(ended)
        await self._stores.artifacts.delete(_body(job.id))
        return ended

    async def _import(self, job: Job, file: ProjectFile) -> Job:
        try:
            job, here = await self._land(job, file)
            return await self._finish(job, file, uninspected=here)
        except Conflict as error:
            if error.retry_after is None or self._stores.clock() - job.created > PATIENCE:
                return await self.fail(job, JobError(error.code, error.message))
            raise Later(error.retry_after) from error
        except LabelbridgeError as error:
            return await self.fail(job, JobError(error.code, error.message))

    async def _land(self, job: Job, file: ProjectFile) -> tuple[Job, bool]:
        """The job when it has landed, or ended, and whether it landed here and now. Raises Conflict when the project
        cannot be replaced (now).
        """
        written: set[str] = set()
        reason = Conflict(BUSY, target="projectName", retry_after=1)
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(attempt * PAUSE_SECONDS * random())  # so that racers do not meet again
            job = await self._stores.jobs.get("", JobKind.IMPORT, job.id)
            if job.status.ended or job.parameters_as(ImportParameters).landed is not None:
                return job, False
            try:
                return await self._try(job, file, written), True
            except (RowChanged, RowExists, ProjectNotFound):
                continue  # the project, or the job, is another by now
            except Conflict as error:
                if error.retry_after is None:
                    raise
                reason = error.with_traceback(None)  # its frames would keep the file in memory
        raise reason

    async def _try(self, job: Job, file: ProjectFile, written: set[str]) -> Job:
        """Write the content to where the project is now, if that is not done, and turn the project to it."""
        existing = await self._stores.projects.find(job.project)
        if existing is not None and (reason := obstacle(existing, job.id)):
            raise reason
        made = replaced(existing, file, job) if existing else created(job, file)
        if made.incarnation not in written:
            job = await self._write(job, file, made)
            written.add(made.incarnation)
        if existing is not None:
            return await self._turn(job, file, made)
        landed = replace(job.parameters_as(ImportParameters), landed=made.incarnation)
        return await self._note(job, landed, self._stores.projects.creation(made))

    async def _write(self, job: Job, file: ProjectFile, made: Project) -> Job:
        asked = job.parameters_as(ImportParameters)
        if made.incarnation not in asked.places:
            job = await self._note(job, replace(asked, places=(*asked.places, made.incarnation)))
        author = Author(asked.by, job.created, derived_id(job.id, "revision"))
        pages = await asyncio.to_thread(pages_of, made, file.documents, author.revision)
        await self._stores.pages.write_edition(made, pages, author, history_of)
        return job

    async def _turn(self, job: Job, file: ProjectFile, made: Project) -> Job:
        """As `WriteFence.bump`, with the last write shared with the job."""
        project = await self._stores.fence.lock(job.project, job.id, BUSY, 1)
        reason = obstacle(project, job.id)
        try:
            if reason is None and project.same_as(made):
                turned = replace(
                    replaced(project, file, job),
                    generation=project.generation + 1,
                    released=project.locks,
                    lock=None,
                )
                asked = job.parameters_as(ImportParameters)
                landed = replace(asked, landed=project.incarnation)
                purge = self._stores.projects.edition_purge(
                    project.incarnation, project.edition, self._stores.clock()
                )
                return await self._note(
                    job, landed, [*self._stores.projects.replacement(turned, project), purge]
                )
        except RowChanged:
            reason = None
        await self._stores.fence.unlock(job.project, job.id)
        raise reason or RowChanged("The project or the job was replaced in the meantime.")

    async def _note(
        self, job: Job, parameters: ImportParameters, operations: Sequence[Operation] = ()
    ) -> Job:
        """The job with these parameters, in one write with the operations. Raises RowChanged, RowExists."""
        noted = replace(job, parameters=parameters, updated=self._stores.clock())
        return await self._stores.jobs.save(noted, *operations)

    async def _finish(self, job: Job, file: ProjectFile, *, uninspected: bool) -> Job:
        """What follows from the new content. Raises Conflict when the project was deleted since.

        `uninspected`: it landed just now, so that no document was inspected, but for those of events since then. So the
        scan reads the documents if uploads are pending; one that was inspected by now was in the container just now.
        """
        if job.status.ended:
            await self._clear(job)  # by another worker, while we wrote
            return job
        try:
            project = await self._stores.directory.reread(job.project)
        except ProjectNotFound:
            project = None
        if project is None or not job.parameters_as(ImportParameters).landed_in(project):
            raise Conflict("The project was deleted after its content was imported.")
        await self._stop_jobs(project)
        if uninspected and await self._stores.pending.any(project.incarnation):
            uninspected = False
        locations = [document.location for document in file.documents] if uninspected else None
        await self._registering.begin_scan(project, derived_id(job.id, "scan"), locations)
        await self._clear(job)
        ended = await self._jobs.end(
            job,
            JobStatus.PARTIALLY_COMPLETED if job.errors else JobStatus.SUCCEEDED,
            result=ImportResult(len(file.documents), len(file.categories)),
        )
        await self._stores.artifacts.delete(_body(job.id))
        return ended

    async def _stop_jobs(self, project: Project) -> None:
        for job in await self._stores.jobs.open_jobs(project.incarnation):
            if job.edition != project.edition:
                await self._jobs.stop(job, REPLACED)

    async def _clear(self, job: Job) -> None:
        """Purge what nobody reads, of an import that has landed or ended: it lands nowhere else.

        What it replaced is purged by the sweep, for requests that began before may still read that.
        """
        asked = job.parameters_as(ImportParameters)
        for place in asked.places:
            if place == asked.landed:
                continue
            if place == incarnation_of(job):
                await self._stores.projects.purge_later(place, self._stores.clock())
            else:
                await self._stores.pages.purge_edition(place, edition_of(job))


async def _copy(chunks: AsyncIterable[bytes], file: BinaryIO) -> int:
    """Copy a blob to a file, which is then at its beginning; return how many bytes there were."""
    async for chunk in chunks:
        await asyncio.to_thread(file.write, chunk)
    size = file.tell()
    file.seek(0)
    return size


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    """The whole file, piece by piece."""
    file.seek(0)
    while data := await asyncio.to_thread(file.read, CHUNK):
        yield data


def _body(job_id: str) -> str:
    return f"imports/{job_id}"
