"""The listing is the truth: what a container holds, compared with what the pages know (rules D3, D5; section 5)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from shared.domain.errors import ProjectNotFound
from shared.domain.ids import derived_job_id
from shared.domain.jobs import Job, JobError, JobKind, JobStatus
from shared.domain.project import Project
from shared.services.inline import for_a_moment
from shared.services.jobs import SAFETY_SECONDS, JobService
from shared.services.messages import JobMessage
from shared.services.planning import Planner
from shared.services.stores import Stores
from shared.storage.gateways.ports import RowChanged
from shared.wire.answers import moment

LOOKS_AT_ONCE = 10_000
"""Looks that are outstanding at a time for a listing: a large container is registered in rounds."""
ROUNDS = 20
"""Of one scan, at most; 100,000 new blobs take ten. The rest of what changes all the time is for reconcile."""
ROUND_SECONDS = 5


@dataclass(slots=True)
class _Found:
    """What a listing found. `complete`: it came to the end of the container."""

    blobs: int = 0
    new: int = 0
    changed: int = 0
    gone: int = 0
    complete: bool = False

    @property
    def looks(self) -> int:
        return self.new + self.changed + self.gone

    def after(self, earlier: Mapping[str, Any]) -> dict[str, int]:
        """The result of the scan so far, with its earlier rounds."""
        counts = {"new": self.new, "changed": self.changed, "gone": self.gone, "looks": self.looks}
        return {"blobs": self.blobs} | {name: earlier.get(name, 0) + n for name, n in counts.items()}


class RegisterService:
    def __init__(self, stores: Stores, planner: Planner, jobs: JobService) -> None:
        self._stores = stores
        self._planner = planner
        self._jobs = jobs

    async def scan_new(self, project: Project, reason: str = "created") -> Job:
        """Look through the container of a project that was created or imported; once for each reason."""
        return await self._begin(project, derived_job_id(project.incarnation, reason))

    async def scan(self, name: str, job_id: str) -> Job:
        """Register every blob of the container. The job ends when each was looked at."""
        return await self._begin(await self._stores.directory.read(name), job_id)

    async def get(self, name: str, job_id: str) -> Job:
        project = await self._stores.directory.read(name)
        return await self.view(await self._stores.jobs.get(project.incarnation, JobKind.SCAN, job_id))

    async def view(self, job: Job) -> Job:
        """The job; it has ended when no look that it asked for is outstanding."""
        if job.status.ended or not job.result.get("listedDateTime"):
            return job
        if await self._stores.todo.any_asked(job.incarnation):
            return job
        return await self._jobs.end(job, JobStatus.SUCCEEDED)

    async def run(self, message: JobMessage) -> None:
        """Go on with a scan; listing again is harmless."""
        job = await self._stores.jobs.find(message.incarnation, JobKind.SCAN, message.job)
        if job is None or job.status.ended:
            return
        if job.result.get("listedDateTime"):
            await self.view(job)
        elif job.parameters.get("rounds") and await self._stores.todo.any_asked(job.incarnation):
            await self._wait(job)
        else:
            await self._list(job)

    async def reconcile(self, message: JobMessage) -> None:
        """Repair what events lost, doubled or reordered, and plan what waits."""
        try:
            project = await self._stores.directory.read(message.project)
        except ProjectNotFound:
            return
        if project.incarnation == message.incarnation:
            await self._compare(project)
            await self._planner.plan_later(project.name, project.incarnation, message.job)
            await self._expire(project)

    async def _begin(self, project: Project, job_id: str) -> Job:
        now = self._stores.clock()
        job = Job(job_id, JobKind.SCAN, project.name, project.incarnation, project.edition, now, now)
        job, new = await self._stores.jobs.create(job)
        if not new:
            return await self.view(job)
        await self._jobs.send(job, delay=SAFETY_SECONDS)
        return await for_a_moment(self._list(job)) or job

    async def _list(self, job: Job) -> Job:
        project = await self._stores.directory.read(job.project)
        warnings: tuple[JobError, ...] = ()
        if not await self._stores.uploads.container_exists(project.container):
            text = f"The container '{project.container}' does not exist (yet); its uploads are seen when it does."
            warnings = (JobError("ContainerNotFound", text, "storageInputContainerName"),)
        found = await self._compare(project)
        rounds = job.parameters.get("rounds", 0) + 1
        last = found.complete or rounds == ROUNDS
        listed = replace(
            job,
            status=JobStatus.RUNNING,
            updated=self._stores.clock(),
            parameters={**job.parameters, "rounds": rounds},
            result=found.after(job.result)
            | ({"listedDateTime": moment(self._stores.clock())} if last else {}),
            warnings=warnings,
        )
        try:
            listed = await self._stores.jobs.save(listed)
        except RowChanged:
            return job  # somebody else listed too
        if found.looks:
            plan_id = derived_job_id(job.id, f"plan {rounds}")
            await self._planner.plan_later(project.name, project.incarnation, plan_id)
        if last:
            return await self.view(listed)
        await self._jobs.send(listed, delay=ROUND_SECONDS)
        return listed

    async def _wait(self, job: Job) -> None:
        """Come again for the next round; touched, so that the sweep does not ask too."""
        try:
            touched = await self._stores.jobs.save(replace(job, updated=self._stores.clock()))
        except RowChanged:
            return  # another message is at it
        await self._jobs.send(touched, delay=ROUND_SECONDS)

    async def _compare(self, project: Project) -> "_Found":
        """Ask for a look at every blob that is new or changed, and at every document whose blob is gone.

        After LOOKS_AT_ONCE the listing is left: the rest, and what is gone, is for the next.
        """
        known: dict[str, str] = {}
        flagged: set[str] = set()
        async for page in self._stores.pages.scan(project.scope):
            for document in page.documents.values():
                known[document.location] = document.blob_etag
                if document.missing:
                    flagged.add(document.location)
        found = _Found()
        async for blobs in self._stores.uploads.listing(project.container):
            looks: list[str] = []
            for blob in blobs:
                etag = known.pop(blob.name, None)
                found.blobs += 1
                if etag == blob.etag:
                    continue
                looks.append(blob.name)
                found.new += etag is None
                found.changed += etag is not None
                if found.looks == LOOKS_AT_ONCE:
                    break
            await self._stores.todo.add_many(project.incarnation, looks)
            if found.looks == LOOKS_AT_ONCE:
                return found
        gone = [location for location in known if location not in flagged]
        await self._stores.todo.add_many(project.incarnation, gone)
        found.gone, found.complete = len(gone), True
        return found

    async def _expire(self, project: Project) -> None:
        now = self._stores.clock()
        for kind in JobKind:
            for job in await self._stores.jobs.list(project.incarnation, kind):
                if job.status.ended and job.expires < now and job.kind is kind:
                    await self._stores.jobs.remove(job)
