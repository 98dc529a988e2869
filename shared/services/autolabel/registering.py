"""Registering documents: by events, and by comparing a container with the documents (rules D5, D12, D14)."""

import logging
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from random import sample
from time import monotonic

from shared.domain.errors import ProjectNotFound
from shared.domain.jobs import Job, JobError, JobKind, JobStatus, ScanParameters, ScanResult
from shared.domain.names import derived_job_id, random_job_id
from shared.domain.project import Project
from shared.services.autolabel.planning import Planner
from shared.services.jobs.dispatch import Later, run_undivided
from shared.services.jobs.lifecycle import SAFETY_SECONDS, JobMessage, JobService, for_a_moment, in_background
from shared.services.jobs.stores import Stores
from shared.storage.gateways.ports import BlobInfo, ContainerMissing, StorageUnavailable

log = logging.getLogger("labelbridge.jobs")

INSPECTIONS_AT_ONCE = 10_000
"""The maximum of pending inspections per listing: a large container is registered in rounds."""
ROUNDS = 20
"""The maximum of rounds per scan; 100,000 new blobs take ten. Reconcile handles a container that keeps changing."""
ROUND_SECONDS = 5


@dataclass(slots=True)
class _Found:
    """What a listing found. `complete`: it reached the end of the container, or the container does not exist."""

    blobs: int = 0
    new: int = 0
    changed: int = 0
    gone: int = 0
    complete: bool = False
    #: Of blobs that could not be read before, the last one inspected; "": none in this listing.
    retried: str = ""
    #: Why documents whose blobs are not listed stay as they are, and how many wait for a confirmation.
    held_back: JobError | None = None
    unconfirmed: int | None = None
    #: Whether a document may wait for suggestions: false only if all were read and none does.
    waiting: bool = True

    @property
    def inspections(self) -> int:
        return self.new + self.changed + self.gone

    def after(self, earlier: ScanResult, listed: datetime | None) -> ScanResult:
        """The result of the scan so far, with its earlier rounds."""
        return ScanResult(
            self.blobs,
            new=earlier.new + self.new,
            changed=earlier.changed + self.changed,
            gone=earlier.gone + self.gone,
            inspections=earlier.inspections + self.inspections,
            listed_date_time=listed,
            removals_held_back=self.unconfirmed,
        )


class RegisterService:
    def __init__(self, stores: Stores, planner: Planner, jobs: JobService) -> None:
        self._stores = stores
        self._planner = planner
        self._jobs = jobs

    async def scan_new(self, project: Project) -> Job:
        """Scan the container of a new project."""
        return await self._begin(project, derived_job_id(project.incarnation, "created"), ScanParameters())

    async def begin_scan(self, project: Project, reason: str, locations: Collection[str] | None) -> None:
        """Begin a scan of an imported project's container, once for each reason.

        `locations`: those of all documents, if none was inspected yet: then the scan does not read the documents.
        """
        job, new = await self._create(project, derived_job_id(project.incarnation, reason), ScanParameters())
        if new:
            in_background(self._list_once(job, locations))

    async def scan(self, name: str, job_id: str, *, confirm_removals: bool = False) -> Job:
        """Register every blob of the container. The job ends when each was inspected.

        `confirm_removals`: a person confirms that any number of documents may be removed.
        """
        project = await self._stores.directory.read(name)
        return await self._begin(project, job_id, ScanParameters(confirm_removals=confirm_removals))

    async def get(self, name: str, job_id: str) -> Job:
        project = await self._stores.directory.read(name)
        return await self.view(await self._stores.jobs.get(project.incarnation, JobKind.SCAN, job_id))

    async def view(self, job: Job) -> Job:
        """The job; it has ended when none of its inspections is pending."""
        if job.status.ended or not _is_listed(job):
            return job
        if await self._stores.pending.any_requested(job.incarnation):
            return job
        return await self._jobs.end(job, JobStatus.SUCCEEDED)

    async def run(self, message: JobMessage) -> None:
        """Continue a scan; listing again is harmless."""
        job = await self._stores.jobs.find(message.incarnation, JobKind.SCAN, message.job)
        if job is None or job.status.ended:
            return
        if _is_listed(job):
            await self.view(job)
        else:
            await self._list_once(job)

    async def reconcile(self, message: JobMessage) -> None:
        """Correct the effects of lost, repeated or reordered events, and plan waiting content."""
        try:
            project = await self._stores.directory.read(message.project)
        except ProjectNotFound:
            return
        if message.applies_to(project):
            # Asked before the documents are read: what is registered by then is among these, and may wait.
            pending = await self._stores.pending.any(project.incarnation)
            found = await self._compare(project)
            if found.held_back is not None:
                log.warning("Project %s: %s", project.name, found.held_back.message)
            if pending or found.inspections or found.waiting:
                await self._planner.plan_later(project.name, project.incarnation, message.job)
            await self._expire(project)

    async def _begin(self, project: Project, job_id: str, parameters: ScanParameters) -> Job:
        job, new = await self._create(project, job_id, parameters)
        return (await for_a_moment(self._list_once(job)) or job) if new else await self.view(job)

    async def _create(self, project: Project, job_id: str, parameters: ScanParameters) -> tuple[Job, bool]:
        """The job, and whether it is new: its creator starts it or, after a crash, a message."""
        job = Job.new(JobKind.SCAN, job_id, project, self._stores.clock(), parameters)
        job, new = await self._stores.jobs.create(job)
        if new:
            await self._jobs.send(job, delay=SAFETY_SECONDS)
        return job, new

    async def _list_once(self, job: Job, uninspected: Collection[str] | None = None) -> Job | None:
        return await run_undivided(
            self._stores, self._jobs, job, partial(self._list, uninspected=uninspected)
        )

    async def _list(self, job: Job, uninspected: Collection[str] | None = None) -> Job:
        """A round, after the inspections of the previous one. Raises Later until the last round is done."""
        project = await self._stores.directory.read(job.project)
        parameters = job.parameters_as(ScanParameters)
        if parameters.rounds and await self._stores.pending.any_requested(job.incarnation):
            # Update the job, so that the sweep does not also send a message.
            await self._stores.jobs.save(replace(job, updated=self._stores.clock()))
            raise Later(ROUND_SECONDS)
        found = await self._compare(
            project,
            confirmed=parameters.confirm_removals,
            folders=_outermost(parameters.folders),
            retried=parameters.retried,
            uninspected=uninspected,
        )
        rounds = parameters.rounds + 1
        last = found.complete or rounds == ROUNDS
        now = self._stores.clock()
        listed = replace(
            job,
            status=JobStatus.RUNNING,
            updated=now,
            parameters=replace(parameters, rounds=rounds, retried=found.retried or parameters.retried),
            result=found.after(job.result_as(ScanResult) or ScanResult(), now if last else None),
            warnings=(found.held_back,) if found.held_back else (),
        )
        listed = await self._stores.jobs.save(listed)
        if found.inspections:
            plan_id = derived_job_id(job.id, f"plan {rounds}")
            await self._planner.plan_soon(project.name, project.incarnation, plan_id)
        if not last:
            raise Later(ROUND_SECONDS)
        return await self.view(listed)

    async def _compare(
        self,
        project: Project,
        *,
        confirmed: bool = False,
        folders: Sequence[str] = (),
        retried: str | None = None,
        uninspected: Collection[str] | None = None,
    ) -> "_Found":
        """Request an inspection of every blob that is new or changed, and of every document whose blob is gone; then of
        those that could not be read before, from after `retried` on (None: of any of them, if they are many).

        After INSPECTIONS_AT_ONCE the rest is left for the next listing. A container that does not exist removes
        nothing, and neither does a listing without more than half of the documents, unless `confirmed`. `folders`
        were renamed or deleted, according to an event; everything outside of them is left alone. `uninspected`: the
        locations of all documents, if none has been inspected; None: the documents are read.
        """
        try:
            return await self._compare_listing(project, confirmed, folders, retried, uninspected)
        except ContainerMissing:
            text = f"The container '{project.container}' does not exist; uploads are registered once it does."
            held_back = JobError("ContainerNotFound", text, "storageInputContainerName")
            return _Found(complete=True, held_back=held_back)

    async def _compare_listing(
        self,
        project: Project,
        confirmed: bool,
        folders: Sequence[str],
        retried: str | None,
        uninspected: Collection[str] | None,
    ) -> "_Found":
        within = tuple(folders) or ("",)
        found = _Found()
        if uninspected is None:
            known, flagged, unread, found.waiting = await self._known(project, within)
        else:
            known, flagged, unread = dict.fromkeys(uninspected, ""), set[str](), set[str]()
        seen = {location for location, etag in known.items() if etag} | unread  # the others had no blob
        again: list[str] = []
        async for blobs in self._listing(project.container, within):
            to_inspect: list[str] = []
            for blob in blobs:
                etag = known.pop(blob.name, None)
                found.blobs += 1
                if blob.name in unread:
                    again.append(blob.name)
                    continue
                if etag == blob.etag and not blob.archived:
                    continue
                to_inspect.append(blob.name)
                found.new += etag is None
                found.changed += etag is not None
                if found.inspections == INSPECTIONS_AT_ONCE:
                    break
            await self._stores.pending.add_many(project.incarnation, to_inspect)
            if found.inspections == INSPECTIONS_AT_ONCE:
                return found
        found.complete = True
        gone = [location for location in known if location not in flagged]
        removed = len(seen.intersection(gone))
        if 2 * removed > len(seen) and not confirmed and not folders:
            found.held_back, found.unconfirmed = _too_many(project, removed, len(seen)), removed
            gone = [location for location in gone if location not in seen]
        room = INSPECTIONS_AT_ONCE - found.inspections
        found.gone = len(gone[:room])
        again = _from(again, retried, room - found.gone)
        found.complete = len(gone) + len(again) <= room
        again = again[: room - found.gone]
        found.changed += len(again)
        found.retried = again[-1] if again else ""
        await self._stores.pending.add_many(project.incarnation, [*gone[:room], *again])
        return found

    async def _known(
        self, project: Project, within: tuple[str, ...]
    ) -> tuple[dict[str, str], set[str], set[str], bool]:
        """The ETags of the documents by location, the locations of those that are flagged as missing, of those whose
        blobs could not be read, and whether any document of the project waits for suggestions.
        """
        known: dict[str, str] = {}
        flagged: set[str] = set()
        unread: set[str] = set()
        waiting = False
        async for page in self._stores.pages.scan(project.scope):
            for document in page.documents.values():
                waiting = waiting or document.waiting
                if document.location.startswith(within):
                    known[document.location] = document.blob_etag
                    if document.missing and document.stays_without_blob:
                        flagged.add(document.location)
                    elif document.rejection is not None and not document.blob_etag:
                        unread.add(document.location)
        return known, flagged, unread, waiting

    async def _listing(self, container: str, folders: Iterable[str]) -> AsyncIterator[list[BlobInfo]]:
        """The blobs of the folders, page by page; none for a folder that can never be listed."""
        for folder in folders:
            try:
                async for blobs in self._stores.uploads.listing(container, folder):
                    yield blobs
            except StorageUnavailable as error:
                if error.retryable or not folder:
                    raise
                # A file now has the folder's name: an account with a hierarchical namespace refuses the prefix.
                log.warning("A renamed or deleted folder cannot be listed: %s", error)

    async def _expire(self, project: Project) -> None:
        for job in await self._stores.jobs.expired(project.incarnation, self._stores.clock()):
            if job.kind is JobKind.EXPORT:
                await self._stores.artifacts.delete_export(job.incarnation, job.id)
            elif job.kind is JobKind.AUTOLABEL:
                await self._stores.artifacts.delete_exchanges(job.incarnation, job.id)
            await self._stores.jobs.remove(job)


def _from(locations: list[str], after: str | None, room: int) -> list[str]:
    """Locations after `after`, in order; if it is None, a random sample up to the limit `room`."""
    if after is None:
        return sample(locations, min(room, len(locations)))
    return sorted(location for location in locations if location > after)


def _too_many(project: Project, gone: int, present: int) -> JobError:
    text = (
        f"The container '{project.container}' no longer has the blobs of {gone:,} of {present:,} documents. They are "
        "kept; to remove those without labels, scan again with 'confirmRemovals': true."
    )
    return JobError("RemovalsNotConfirmed", text, "confirmRemovals")


def _outermost(folders: Iterable[str]) -> list[str]:
    """The folders that are not inside another one."""
    found: list[str] = []
    for folder in sorted(folders):
        if not found or not folder.startswith(found[-1]):
            found.append(folder)
    return found


def _is_listed(job: Job) -> bool:
    result = job.result_as(ScanResult)
    return result is not None and result.listed_date_time is not None


class UploadService:
    def __init__(self, stores: Stores, planner: Planner, window: int) -> None:
        self._stores = stores
        self._planner = planner
        self._window = window
        self._planned_at: dict[str, float] = {}

    async def seen(self, container: str, location: str, *, folder: bool = False) -> None:
        """Store a pending upload in every project of the container, and plan. Our own containers are ignored.

        `folder`: the location ends with `/` and is a folder that was renamed or deleted with its content.
        """
        if self._stores.names.is_ours(container):
            return
        for name, incarnation in await self._stores.directory.of_container(container):
            await self._stores.pending.add(incarnation, location, folder=folder)
            await self._plan(name, incarnation)

    async def _plan(self, name: str, incarnation: str) -> None:
        """One plan for all events of a window."""
        before = self._planned_at.get(incarnation, -1e9)
        if monotonic() - before < 0.9 * self._window:
            return
        self._planned_at[incarnation] = monotonic()
        try:
            await self._planner.plan_later(name, incarnation, random_job_id())
        except BaseException:
            self._planned_at[incarnation] = before
            raise
