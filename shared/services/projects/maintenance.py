"""Timers: restart stalled work, purge deleted projects, compare containers with the registered documents."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from shared import telemetry
from shared.domain.errors import BadMessage
from shared.domain.jobs import Job, JobKind, JobSource, JobStatus
from shared.domain.names import EVENT_QUEUE, QUEUES, derived_job_id, random_job_id
from shared.domain.project import Project, released
from shared.domain.schedule import Schedule
from shared.services.jobs.dispatch import TOO_OFTEN, Dispatcher
from shared.services.jobs.lifecycle import (
    FORMER_QUEUES,
    RECONCILE,
    JobMessage,
    JobService,
    PlanMessage,
    in_flight,
    parse,
)
from shared.services.jobs.stores import Stores
from shared.services.projects.categories import CategoryService
from shared.services.projects.service import ProjectService
from shared.storage.gateways.limits import MAX_RECEIVED
from shared.storage.gateways.ports import Delete, Received, RowMissing
from shared.storage.projects import MARK_KEPT_FOR, Mark, Purge
from shared.storage.rows import outbox_key, pending_partition

log = logging.getLogger("labelbridge.maintenance")

#: A job that has not changed for this long is sent to the queue again.
STALE = timedelta(seconds=25)
#: An incarnation is purged again for this long, in case a late writer left something.
PURGED_FOR = timedelta(minutes=30)
#: How long content that an import replaced is kept: a request takes at most 200 seconds.
READ_FOR = timedelta(seconds=210)
#: How long a purge keeps events that could not be sent yet; every attempt has been made by then.
EVENTS_KEPT_FOR = timedelta(hours=20)
#: Time limit of a sweep for one project, job or purge; the next sweep continues.
ITEM_SECONDS = 60
#: A mark that is at most this much newer than the plan of an idle project was set by the work of that plan.
IDLE_PLAN_WORKS = timedelta(seconds=30)

#: Where the host puts an upload whose function failed five times within a second.
BLOB_TRIGGER_POISON = "webjobs-blobtrigger-poison"
#: How long such an upload is left to other apps of the account if no project of ours has its container.
UNCLAIMED_FOR = timedelta(days=1)
#: How long a sweep hides a message that it reads; and the limit when many messages cannot be settled.
HIDDEN_SECONDS = 60
MOST_HIDDEN_SECONDS = 3_600
#: The limit when some of them failed, as in an outage: they are ours.
MOST_HIDDEN_AFTER_FAILURES = 900
#: How many groups of 32 messages a sweep hides for the longest time: meanwhile, sweeps once a minute reach the end of a
#: queue of 60,000, or of 15,000 where messages fail and the time of the sweep suffices.
MOST_GROUPS_HIDDEN = 32
#: After this time a sweep reads at most 32 messages of each remaining queue; the next sweep continues.
SWEEP_SECONDS = 60


class PartsFailed(Exception):
    """Some parts of a timer's work failed; each is in the log."""


class Parts:
    """The parts of a timer's work, run independently: a failure is logged, and the next parts run."""

    def __init__(
        self,
        work: str,
        stacks: telemetry.Stacks,
        timeout: Callable[[float], asyncio.Timeout] = asyncio.timeout,
    ) -> None:
        """`work`: what the parts belong to, for the log."""
        self._work = work
        self._stacks = stacks
        self._timeout = timeout
        self._failed: list[str] = []

    @asynccontextmanager
    async def alone(self, name: str, seconds: float) -> AsyncGenerator[None]:
        """One part, with a time limit."""
        try:
            async with self._timeout(seconds):
                yield
        except Exception as error:
            text, stack = "The %s failed at '%s' and continues with the others: %s", self._stacks.of(error)
            log.error(text, self._work, name, telemetry.in_line(error), exc_info=stack)  # noqa: TRY400 - the stack once
            self._failed.append(name)

    def end(self) -> None:
        """Raises PartsFailed if any did."""
        if self._failed:
            count, names = len(self._failed), ", ".join(self._failed[:10])
            raise PartsFailed(f"{count} parts of the {self._work} failed: {names}")


class MaintenanceService:
    def __init__(
        self,
        stores: Stores,
        jobs: JobService,
        projects: ProjectService,
        categories: CategoryService,
        timeout: Callable[[float], asyncio.Timeout] = asyncio.timeout,
    ) -> None:
        self._timeout = timeout
        self._stores = stores
        self._jobs = jobs
        self._projects = projects
        self._categories = categories
        self._swept_all = False
        self._planned_idle: dict[str, datetime] = {}
        self._stacks = telemetry.Stacks()

    async def sweep(self, *, everything: bool = False) -> None:
        """Send the message again for everything that should be running and is not.

        Work is sought in the projects that are marked as active, with `everything` and at the first run of a
        process in all. What fails is logged, keeps nothing else waiting, and is tried again by the next sweep.
        """
        marks = await self._stores.active.all()
        everything = everything or not self._swept_all
        projects = await self._stores.projects.all()
        parts = Parts("sweep", self._stacks, self._timeout)
        for project in projects:
            async with parts.alone(f"project {project.name}", ITEM_SECONDS):
                if project.deleting:
                    await self._projects.take_out(project)
                    continue
                await self._free(project)
                await self._categories.go_on(project)
                mark = marks.get(project.incarnation)
                if everything or mark is not None:
                    await self._sweep_project(project, mark)
        self._swept_all = True
        for incarnation in marks.keys() - {project.incarnation for project in projects}:
            if self._is_old(marks[incarnation]):
                await self._stores.active.unmark(incarnation, marks[incarnation])
        for job in await self._stores.jobs.open_jobs(None):
            async with parts.alone(f"job {job.id}", ITEM_SECONDS):
                await (
                    self._projects.go_on_deleting(job) if job.kind is JobKind.DELETION else self._revive(job)
                )
        if everything:  # the jobs of a project expire with its comparison
            async with parts.alone("expired jobs", ITEM_SECONDS):
                for job in await self._stores.jobs.expired(None, self._stores.clock()):
                    await self._stores.jobs.remove(job)
        for purge in await self._stores.projects.purges():
            async with parts.alone(f"purge of {purge.incarnation}", ITEM_SECONDS):
                await (self._purge_edition(purge) if purge.edition else self._purge_project(purge))
        await self._stores.idempotency.purge()

    async def reconcile_if_due(self, schedule: Schedule) -> bool:
        """Reconcile when an occurrence of the schedule has passed since the last time."""
        now = self._stores.clock()
        if not schedule.is_due(await self._stores.projects.last_reconciled(), now):
            return False
        await self.reconcile()
        await self._stores.projects.set_reconciled(now)
        return True

    async def reconcile(self) -> None:
        """One message per project, so that a large one does not keep the others waiting."""
        for project in await self._stores.projects.all():
            if not project.deleting:
                message = JobMessage(
                    project=project.name,
                    incarnation=project.incarnation,
                    kind=RECONCILE,
                    job=random_job_id(),
                )
                await self._jobs.queue(message)

    def _is_old(self, mark: Mark) -> bool:
        return self._stores.clock() - mark.at > MARK_KEPT_FOR

    async def _sweep_project(self, project: Project, mark: Mark | None) -> None:
        uploads_run = False
        jobs = await self._stores.jobs.open_jobs(project.incarnation)
        for job in jobs:
            uploads_run |= job.source is JobSource.UPLOAD
            await self._revive(job)
        now = self._stores.clock()
        until = now - STALE
        pauses = mark is not None and mark.pauses(now)
        if not uploads_run and not pauses and await self._stores.pending.any(project.incarnation, until):
            plan_id = derived_job_id(project.incarnation, until.isoformat())
            await self._plan(project, plan_id, mark.given_up(now) if mark else 0)
        elif (
            mark
            and not jobs
            and self._is_old(mark)
            and not pauses
            and not await self._stores.pending.any(project.incarnation)
            and not await self._stores.outbox.any(project.incarnation)
        ):
            await self._plan_idle(project, mark)
            await self._stores.active.unmark(project.incarnation, mark)

    async def _plan_idle(self, project: Project, mark: Mark) -> None:
        """Plan again before a project counts as idle: documents may wait for a plan whose message was lost or given up.

        What that plan began is no reason for another: blobs may be gone, and their documents wait for a listing.
        """
        planned = self._planned_idle.pop(project.incarnation, None)
        if mark.again is not None or planned is None or mark.at - planned > IDLE_PLAN_WORKS:
            plan_id = derived_job_id(project.incarnation, "idle", mark.at.isoformat())
            await self._plan(project, plan_id, mark.given_up(self._stores.clock()))
            self._planned_idle[project.incarnation] = self._stores.clock()

    async def _plan(self, project: Project, plan_id: str, tries: int) -> None:
        """`tries`: how many plans in a row were given up before this one."""
        plan = PlanMessage(project=project.name, incarnation=project.incarnation, id=plan_id, tries=tries)
        await self._jobs.queue(plan)

    async def _free(self, project: Project) -> None:
        """Release what an ended job still holds because its worker crashed."""
        lock = project.lock if project.lock and not project.lock.edits_categories else None
        held = (project.training, lock.holder if lock else None)
        for holder in {job_id for job_id in held if job_id is not None}:
            job = await self._stores.jobs.find(project.incarnation, JobKind.TRAIN, holder)
            job = job or await self._stores.jobs.find("", JobKind.IMPORT, holder)
            if job.status.ended if job else holder == project.training:
                await self._stores.fence.unlock(project.name, holder)
                await self._stores.directory.update(project.name, partial(released, training=holder))

    async def _revive(self, job: Job) -> None:
        now = self._stores.clock()
        if job.batches or (
            self._jobs.kinds.of(job.kind).run_batch and job.status is not JobStatus.NOT_STARTED
        ):
            job = await self._jobs.settle(job)  # one that was planned without batches has ended, too
            if job.status.ended:
                return
            states = await self._stores.jobs.states(job)
            done = {state.number for state in states if state.done}
            live = {state.number for state in states if state.until and state.until > now} - done
            waiting = [number for number in range(len(job.batches)) if number not in done | live]
            if now - job.updated > STALE:
                await self._jobs.enqueue(job, waiting[: max(0, in_flight(job) - len(live))])
        elif now - job.updated > STALE:
            await self._jobs.send(job)

    async def _purge_edition(self, purge: Purge) -> None:
        """Delete the pages that an import replaced, once no request that began before can read them."""
        if self._stores.clock() - purge.since >= READ_FOR:
            await self._stores.pages.purge_edition(purge.incarnation, purge.edition)
            await self._stores.projects.purged(purge)

    async def _purge_project(self, purge: Purge) -> None:
        age = self._stores.clock() - purge.since
        unsent = age < EVENTS_KEPT_FOR and await self._stores.outbox.any(purge.incarnation)
        await self._purge(purge.incarnation, keep=outbox_key() if unsent else None)
        if age > PURGED_FOR and not unsent:
            await self._stores.projects.purged(purge)

    async def _purge(self, incarnation: str, keep: str | None) -> None:
        """Delete what a project left. `keep`: how the keys of rows begin that stay until they are done with."""
        for partition in (incarnation, pending_partition(incarnation)):
            async for rows in self._stores.table.pages(partition, select=["v"]):
                keys = [row.key for row in rows if keep is None or not row.key.startswith(keep)]
                for start in range(0, len(keys), 100):
                    try:
                        deletes = [Delete(key) for key in keys[start : start + 100]]
                        await self._stores.table.commit(partition, deletes)
                    except RowMissing:
                        continue  # another sweep is deleting it; the next one deletes the rest
        await self._stores.artifacts.delete_all(incarnation)


#: Whether the message is settled and can be deleted.
type Action = Callable[[Received], Awaitable[bool]]


class QueueSweep:
    """Handles what the host's triggers do not: poison queues, and the queues of the previous version.

    `seen` records an upload as pending.
    """

    def __init__(
        self,
        stores: Stores,
        jobs: JobService,
        dispatcher: Dispatcher,
        seen: Callable[[str, str], Awaitable[object]],
    ) -> None:
        self._stores = stores
        self._jobs = jobs
        self._dispatcher = dispatcher
        self._seen = seen
        self._former_seen = False
        #: Queues whose oldest messages could not be settled, with the seconds to hide them so that later ones are read.
        self._hidden: dict[str, int] = {}
        self._stacks = telemetry.Stacks()

    async def run(self, blob_function: str, *, former: bool = False) -> None:
        """`blob_function`: name of the function with the blob trigger, whose poisoned uploads become pending.

        `former`: read the queues of the version before, too, as the first run of a process always does.
        """
        until = self._stores.clock() + timedelta(seconds=SWEEP_SECONDS)
        for queue in QUEUES:
            await self._each(f"{queue}-poison", self._give_up, until)
        if self._stores.outbox.enabled:
            await self._each(f"{EVENT_QUEUE}-poison", self._drop, until)
        # Where this app hides messages for long, another app may not have seen its own: none is dropped.
        drops = BLOB_TRIGGER_POISON not in self._hidden
        await self._each(BLOB_TRIGGER_POISON, partial(self._record_upload, blob_function, drops), until)
        if former or not self._former_seen:
            read = [
                await self._each(queue, action, until)
                for former_queue in FORMER_QUEUES
                for queue, action in (
                    (former_queue, self._forward),
                    (f"{former_queue}-poison", self._give_up),
                )
            ]
            self._former_seen = all(read)

    async def _each(self, queue: str, action: Action, until: datetime) -> bool:
        """Do this with the messages of a queue and delete those that are settled; what fails comes again later.

        Whether the queue was read to its end. A queue that cannot be read leaves the others to the sweep.
        Whoever reads a message hides it from its app, so a sweep ends where it can settle nothing. If more messages
        may follow, each sweep doubles the time that unsettled ones are hidden, until all have been read; at the limit
        of that time it reads on.
        """
        hidden, groups, at_limit = self._hidden.get(queue, HIDDEN_SECONDS), 0, False
        try:
            while received := await self._stores.queues.receive(queue, hidden):
                settled = [await self._settle(queue, message, action) for message in received]
                if not any(settled):  # what is left is not ours, or fails
                    if len(received) < MAX_RECEIVED:
                        break
                    failed, groups = settled.count(None), groups + 1
                    most = MOST_HIDDEN_AFTER_FAILURES if failed else MOST_HIDDEN_SECONDS
                    at_limit |= hidden >= most
                    hidden = min(hidden, most)
                    if at_limit and groups < MOST_GROUPS_HIDDEN and self._stores.clock() < until:
                        continue
                    self._hidden[queue] = min(2 * hidden, most)
                    text = "None of %d messages in the queue '%s' could be settled (%d failed); the oldest is of %s."
                    oldest = min(m.inserted for m in received).isoformat()
                    log.warning(text, len(received), queue, failed, oldest)
                    return False
                if self._stores.clock() >= until:
                    if None in settled:
                        self._hidden[queue] = min(2 * hidden, MOST_HIDDEN_AFTER_FAILURES)
                    return False
        except Exception as error:  # noqa: BLE001 - whatever it is, the other queues are read
            text = "The queue '%s' could not be read; the next sweep will read it (%s: %s)"
            log.error(text, queue, type(error).__name__, str(error)[:300])  # noqa: TRY400 - in an outage, of each queue
            return False
        self._hidden.pop(
            queue, None
        )  # not before: until it was read to its end, the next sweep drops nothing
        return True

    async def _settle(self, queue: str, message: Received, action: Action) -> bool | None:
        """Whether the message is done with and deleted; None: that failed."""
        try:
            if not await action(message):
                return False
            await self._stores.queues.delete(queue, message)
        except Exception as error:
            text = "A message in the queue '%s' failed; a later sweep will retry it: %s"
            stack = self._stacks.of(error)
            log.error(text, queue, telemetry.in_line(error), exc_info=stack)  # noqa: TRY400 - the stack once
            return None
        if queue.endswith("-poison"):
            telemetry.count("labelbridge.poison_messages", queue=queue.removesuffix("-poison"))
        return True

    async def _give_up(self, message: Received) -> bool:
        try:
            work = parse(message.body)
        except BadMessage as error:
            log.error("Dropped an unreadable message from a poison queue: %s", error)  # noqa: TRY400 - no trace helps
            return True
        await self._dispatcher.give_up(work, TOO_OFTEN)
        return True

    async def _drop(self, message: Received) -> bool:
        """The row of the outbox is still there, and the sweep of events sends another message for it."""
        log.error("Dropped a message from the poison queue of events: %s", message.body[:200])
        return True

    async def _forward(self, message: Received) -> bool:
        try:
            work = parse(message.body)
        except BadMessage as error:
            log.error("Dropped an unreadable message of an earlier version: %s", error)  # noqa: TRY400 - no trace helps
            return True
        await self._jobs.queue(work)
        return True

    async def _record_upload(self, blob_function: str, drops: bool, message: Received) -> bool:
        """The queue belongs to all apps of the storage account, of which some may be Labelbridge as well: a message is
        ours where a project of ours has its container, and the others are left alone. A message of our function that no
        app took for a day is dropped if `drops`: its project was deleted.
        """
        try:
            data: Any = json.loads(message.body)
            function, container, name = data["FunctionId"], data["ContainerName"], data["BlobName"]
        except (ValueError, KeyError, TypeError):
            return False
        if str(function).rpartition(".")[2] != blob_function:
            return False
        if not await self._stores.directory.of_container(str(container)):
            if not drops or self._stores.clock() - message.inserted < UNCLAIMED_FOR:
                return False
            text = "Dropped a failed upload after a day: no project has the container '%s' any more."
            log.warning(text, str(container)[:63])
            return True
        await self._seen(str(container), str(name))
        return True
