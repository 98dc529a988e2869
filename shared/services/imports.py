"""Import of an Azure project file: a project is replaced at once for its readers.

The content is written as an edition that nobody sees. Then one transaction turns the project to it, or creates it, and
notes that on the job: so it happens once, and never after the job has ended, whoever goes on after a crash or comes
late. Until then every try begins with what is there: the project may have been deleted, made again, replaced or locked.

Parameters of the job: `places`, the incarnations that pages were written to; `landed`, the one of the project that was
turned or created; `replaces`, the edition that the project had before.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from random import random
from typing import Any

from shared.domain.errors import Conflict, InvalidArgument, JobNotFound, LabelbridgeError, ProjectNotFound
from shared.domain.ids import derived_id
from shared.domain.jobs import REPLACED, Job, JobError, JobKind, JobStatus
from shared.domain.project import Project
from shared.domain.project_file import ProjectFile
from shared.services.import_content import (
    created,
    edition_of,
    history_of,
    incarnation_of,
    obstacle,
    pages_of,
    replaced,
)
from shared.services.inline import for_a_moment
from shared.services.jobs import SAFETY_SECONDS, JobService
from shared.services.messages import JobMessage
from shared.services.registering import RegisterService
from shared.services.stores import Stores
from shared.storage.gateways.ports import Operation, RowChanged, RowExists
from shared.storage.page_rows import Author
from shared.wire.project_file import read_project_file

NO_INCARNATION = "-"
ATTEMPTS = 20
PAUSE_SECONDS = 0.05
#: How long an import waits, from message to message, for locks that are over in a moment.
PATIENCE = timedelta(minutes=10)
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

    async def start(
        self, name: str, body: bytes, by: str, job_id: str, *, told: Sequence[JobError] = ()
    ) -> Job:
        """Begin an import; the whole file is checked before anything is written.

        `told` is what was left out before (lines of a label file): with it the job ends `partiallyCompleted`.

        Raises InvalidArgument with every fault of the file, Conflict while the project is connected or trained.
        """
        found = await self._stores.jobs.find("", JobKind.IMPORT, job_id)
        if found is not None:
            return found
        file = await asyncio.to_thread(read_project_file, body)
        if self._stores.names.is_ours(file.details.container):
            text = f"The container '{file.details.container}' belongs to Labelbridge itself."
            raise InvalidArgument(text, target="metadata.storageInputContainerName")
        existing = await self._stores.projects.find(name)
        reason = obstacle(existing) if existing else None
        if reason is not None and reason.retry_after is None:  # what is over in a moment, the job waits for
            raise reason
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
            warnings=(*file.warnings, *self._engine_warnings(file)),
        )
        job, _ = await self._stores.jobs.create(job)
        await self._jobs.send(job, delay=SAFETY_SECONDS)
        return await for_a_moment(self._import(job, file)) or job

    def _engine_warnings(self, file: ProjectFile) -> tuple[JobError, ...]:
        engine = file.details.settings.autolabel.engine
        if engine is None or engine in self._engines:
            return ()
        text = f"There is no engine '{engine}' here; uploads are not labeled until the project has another."
        return (JobError("Warning", text, "metadata.settings.autolabel.engine"),)

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
            await self._clear(job)  # its worker may have died before it did
            await self._stores.artefacts.delete(_body(job.id))
            return
        body = await self._stores.artefacts.read(_body(job.id))
        if body is None:
            await self.fail(job, JobError("FileGone", "The file to import is gone."))
            return
        await self._import(job, await asyncio.to_thread(read_project_file, body))

    async def fail(self, job: Job, error: JobError) -> Job:
        """End the import; of what it wrote nothing stays."""
        ended = await self._jobs.end(job, JobStatus.FAILED, errors=(error,))
        await self._clear(ended)
        await self._stores.artefacts.delete(_body(job.id))
        return ended

    async def _import(self, job: Job, file: ProjectFile) -> Job:
        try:
            job = await self._land(job, file)
            return await self._finish(job, file)
        except Conflict as error:
            if error.retry_after is None or self._stores.clock() - job.created > PATIENCE:
                return await self.fail(job, JobError(error.code, error.message))
            await self._jobs.send(job, delay=error.retry_after)
            return job
        except LabelbridgeError as error:
            return await self.fail(job, JobError(error.code, error.message))

    async def _land(self, job: Job, file: ProjectFile) -> Job:
        """The job when it has landed, or ended. Raises Conflict when the project cannot be replaced (now)."""
        written: set[str] = set()
        reason = Conflict(BUSY, target="projectName", retry_after=1)
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(attempt * PAUSE_SECONDS * random())  # so that racers do not meet again
            job = await self._stores.jobs.get("", JobKind.IMPORT, job.id)
            if job.status.ended or "landed" in job.parameters:
                return job
            try:
                return await self._try(job, file, written)
            except (RowChanged, RowExists, ProjectNotFound):
                continue  # the project, or the job, is another by now
            except Conflict as error:
                if error.retry_after is None:
                    raise
                reason = error
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
            return await self._turn(job, file, made.incarnation)
        return await self._note(job, {"landed": made.incarnation}, self._stores.projects.creation(made))

    async def _write(self, job: Job, file: ProjectFile, made: Project) -> Job:
        places = job.parameters.get("places", [])
        if made.incarnation not in places:
            job = await self._note(job, {"places": [*places, made.incarnation]})
        author = Author(str(job.parameters.get("by", "")), job.created, derived_id(job.id, "revision"))
        pages = pages_of(made, file.documents, author.revision)
        await self._stores.pages.write_edition(made, pages, author, history_of)
        return job

    async def _turn(self, job: Job, file: ProjectFile, incarnation: str) -> Job:
        """A cut of the gate whose last write is shared with the job."""
        project = await self._stores.gate.lock(job.project, job.id, BUSY, 1)
        reason = obstacle(project, job.id)
        try:
            if reason is None and project.incarnation == incarnation:
                turned = replace(
                    replaced(project, file, job),
                    generation=project.generation + 1,
                    opened=project.locks,
                    lock=None,
                )
                facts = {"landed": incarnation, "replaces": project.edition}
                return await self._note(job, facts, self._stores.projects.replacement(turned, project))
        except RowChanged:
            reason = None
        await self._stores.gate.unlock(job.project, job.id)
        raise reason or RowChanged("The project, or the job, is another by now.")

    async def _note(self, job: Job, facts: Mapping[str, Any], operations: Sequence[Operation] = ()) -> Job:
        """The job with these parameters, in one write with the operations. Raises RowChanged, RowExists."""
        return await self._stores.jobs.save(
            replace(job, parameters={**job.parameters, **facts}, updated=self._stores.clock()), *operations
        )

    async def _finish(self, job: Job, file: ProjectFile) -> Job:
        """What follows from the new content. Raises Conflict when the project was deleted since."""
        if job.status.ended:
            await self._clear(job)  # by another worker, while we wrote
            return job
        try:
            project = await self._stores.directory.reread(job.project)
        except ProjectNotFound:
            project = None
        if project is None or project.incarnation != job.parameters["landed"]:
            raise Conflict("The project was deleted after its content had been imported.")
        await self._stop_jobs(project)
        await self._registering.scan_new(project, derived_id(job.id, "scan"))
        await self._clear(job)
        ended = await self._jobs.end(
            job,
            JobStatus.PARTIALLY_COMPLETED if job.errors else JobStatus.SUCCEEDED,
            result={"documents": len(file.documents), "categories": len(file.categories)},
        )
        await self._stores.artefacts.delete(_body(job.id))
        return ended

    async def _stop_jobs(self, project: Project) -> None:
        for job in await self._stores.jobs.open_jobs(project.incarnation):
            if job.edition != project.edition:
                await self._jobs.stop(job, REPLACED)

    async def _clear(self, job: Job) -> None:
        """Purge what nobody reads, of an import that has landed or ended: it lands nowhere else."""
        landed = job.parameters.get("landed")
        for place in job.parameters.get("places", []):
            if place == landed:
                continue
            if place == incarnation_of(job):
                await self._stores.projects.purge_later(place, self._stores.clock())
            else:
                await self._stores.pages.purge_edition(place, edition_of(job))
        if landed and (before := job.parameters.get("replaces")):
            await self._stores.pages.purge_edition(landed, before)


def _body(job_id: str) -> str:
    return f"imports/{job_id}"
