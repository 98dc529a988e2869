"""The listing is the truth: what a container holds, compared with what the pages know (rules D3, D5; section 5)."""

from dataclasses import replace

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
            return
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
        counts = await self._compare(project)
        listed = replace(
            job,
            status=JobStatus.RUNNING,
            updated=self._stores.clock(),
            result={**counts, "listedDateTime": self._stores.clock().isoformat()},
            warnings=warnings,
        )
        try:
            listed = await self._stores.jobs.save(listed)
        except RowChanged:
            return job  # somebody else listed too
        if counts["looks"]:
            await self._planner.plan_later(project.name, project.incarnation, derived_job_id(job.id, "plan"))
        return await self.view(listed)

    async def _compare(self, project: Project) -> dict[str, int]:
        """Ask for a look at every blob that is new or changed, and at every document whose blob is gone."""
        known: dict[str, str] = {}
        flagged: set[str] = set()
        async for page in self._stores.pages.scan(project.scope):
            for document in page.documents.values():
                known[document.location] = document.blob_etag
                if document.missing:
                    flagged.add(document.location)
        total = new = changed = 0
        async for blobs in self._stores.uploads.listing(project.container):
            looks: list[str] = []
            for blob in blobs:
                total += 1
                etag = known.pop(blob.name, None)
                if etag != blob.etag:
                    looks.append(blob.name)
                    new, changed = (new + 1, changed) if etag is None else (new, changed + 1)
            await self._stores.todo.add_many(project.incarnation, looks)
        gone = [location for location in known if location not in flagged]
        await self._stores.todo.add_many(project.incarnation, gone)
        return {
            "blobs": total,
            "new": new,
            "changed": changed,
            "gone": len(gone),
            "looks": new + changed + len(gone),
        }

    async def _expire(self, project: Project) -> None:
        now = self._stores.clock()
        for kind in JobKind:
            for job in await self._stores.jobs.list(project.incarnation, kind):
                if job.status.ended and job.expires < now and job.kind is kind:
                    await self._stores.jobs.remove(job)
