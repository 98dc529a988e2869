"""Runs the due steps of a connection until it is idle, also after a crash.

A worker holds a lease of 20 s on the connection's row and renews it (heartbeat) while a step runs. Each step
ends with a transition of that row, so of two workers only one continues.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from shared.connection.state import (
    Connection,
    LogEntry,
    Progress,
    Step,
    Transition,
    done,
    fail,
    postpone,
    warn,
)
from shared.connection.steps import ConditionsNotMet, ConnectionSteps, Outcome
from shared.connection.store import LEASE_DURATION, ConnectionChanged, ConnectionStore, Stored
from shared.connection.studios.base import StudioFailed
from shared.domain.errors import LabelbridgeError, LabelingLocked, Unavailable
from shared.domain.jobs import ConnectionParameters, ConnectionResult, Job, JobError, JobKind, JobStatus
from shared.domain.names import random_id
from shared.services.jobs.lifecycle import JobService
from shared.services.jobs.stores import Stores
from shared.storage.jobs import LeaseLost

log = logging.getLogger("labelbridge.connection")

#: How long a step may wait for the studio before the operation is undone. AML creates about 20 data points a
#: second, so a labeling project of 100,000 documents needs an hour and a half.
STEP_TIMEOUTS = {Step.CREATE: timedelta(hours=4)}
DEFAULT_STEP_TIMEOUT = timedelta(minutes=30)


class ConnectionRunner:
    def __init__(
        self, stores: Stores, connections: ConnectionStore, steps: ConnectionSteps, jobs: JobService
    ) -> None:
        self._stores = stores
        self._connections = connections
        self._steps = steps
        self._jobs = jobs

    async def advance(
        self, project: str, incarnation: str, *, should_stop: Callable[[], bool] = lambda: False
    ) -> int | None:
        """Run due steps. None: the connection is idle. Else the seconds after which to call again (0: now)."""
        stored = await self._connections.get(project, incarnation)
        if stored.connection.idle:
            return None
        leased = await self._connections.acquire_lease(stored, random_id(), self._stores.clock())
        if leased is None:
            return int(LEASE_DURATION.total_seconds())
        try:
            job = await self.ensure_job(leased.connection)
            while (step := leased.connection.step) is not None:
                leased, wait = await self._step(leased, step, job)
                if wait is not None:
                    return wait
                if should_stop():
                    break
            else:
                return None
            await self._connections.update(leased, leased.connection, release=True)
        except (ConnectionChanged, LeaseLost):
            return 0  # another worker moved it on: read it again
        return 0

    async def give_up(self, project: str, incarnation: str, reason: str) -> None:
        """The message of the operation is poisoned: undo the operation if possible, and record the reason."""
        stored = await self._connections.get(project, incarnation)
        step = stored.connection.step
        if step is None:
            return
        after = fail(stored.connection, step, JobError("InternalServerError", reason))
        await self._transition(stored, after, keep_lease=False)

    async def ensure_job(self, connection: Connection) -> Job:
        now = connection.started or self._stores.clock()
        job = Job.of_name(
            JobKind.CONNECTION,
            connection.job_id,
            connection.project,
            connection.incarnation,
            now,
            ConnectionParameters(connection.actor),
        )
        return (await self._stores.jobs.create(replace(job, status=JobStatus.RUNNING)))[0]

    async def _step(self, leased: Stored, step: Step, job: Job) -> tuple[Stored, int | None]:
        """Run one step: (the connection after it, seconds to wait or None to continue)."""
        connection = leased.connection
        try:
            outcome, leased = await self._run_with_heartbeat(leased, job)
        except ConditionsNotMet as unmet:
            return await self._transition(leased, _refused(connection, step, unmet)), None
        except StudioFailed as failure:
            return await self._failed(leased, step, failure.error)
        except (Unavailable, LabelingLocked) as later:
            return await self._postpone(leased, step, later.message, later.retry_after or 5)
        except LabelbridgeError as error:
            return await self._failed(leased, step, JobError(error.code, error.message, error.target))
        if outcome.waiting is not None:
            waiting = outcome.waiting
            return await self._postpone(leased, step, waiting.reason, waiting.seconds, outcome.progress)
        if step is Step.REPORT:
            await self._report(connection, job)
        after = warn(done(connection, step, outcome.progress), *outcome.warnings)
        return await self._transition(leased, _record_import(after, step, self._stores.clock())), None

    async def _run_with_heartbeat(self, leased: Stored, job: Job) -> tuple[Outcome, Stored]:
        """Run the due step while renewing the lease; the step ends when the lease is lost."""
        connection = leased.connection

        async def ensure_current() -> None:
            now = (await self._connections.get(connection.project, connection.incarnation)).connection
            due = (connection.sequence, connection.saga, connection.step)
            if (now.sequence, now.saga, now.step) != due:
                raise ConnectionChanged

        work = asyncio.ensure_future(self._steps.run(connection, job, ensure_current))
        try:
            while True:
                finished, _ = await asyncio.wait({work}, timeout=LEASE_DURATION.total_seconds() / 3)
                if finished:
                    return work.result(), leased
                renewed = await self._connections.acquire_lease(leased, leased.token, self._stores.clock())
                if renewed is None:
                    raise ConnectionChanged
                leased = renewed
        finally:
            work.cancel()

    async def _failed(self, leased: Stored, step: Step, error: JobError) -> tuple[Stored, int | None]:
        after = fail(leased.connection, step, error)
        if after.step is leased.connection.step and after.saga is leased.connection.saga:
            return await self._postpone(replace(leased, connection=after), step, error.message, 30)
        return await self._transition(leased, after), None

    async def _postpone(
        self, leased: Stored, step: Step, reason: str, seconds: int, progress: Progress | None = None
    ) -> tuple[Stored, int | None]:
        connection, now = leased.connection, self._stores.clock()
        waited = now - (connection.since or now)
        if waited > STEP_TIMEOUTS.get(step, DEFAULT_STEP_TIMEOUT):
            after = fail(connection, step, JobError("Timeout", f"The step timed out. {reason}"))
            if after.saga is not connection.saga or after.step is not step:
                return await self._transition(leased, after), None
        after = postpone(connection, reason, progress)
        return await self._connections.update(leased, after, release=True), max(1, seconds)

    async def _transition(self, leased: Stored, after: Connection, *, keep_lease: bool = True) -> Stored:
        now = self._stores.clock()
        return await write_transition(self._connections, now, leased, after, keep_lease=keep_lease)

    async def _report(self, connection: Connection, job: Job) -> None:
        progress = connection.progress
        result = ConnectionResult(connection.state, connection.active)
        if progress.imported is not None:
            result = replace(result, documents_imported=progress.imported, lines_rejected=progress.bad_lines)
        errors = (connection.error, *progress.errors) if connection.error else progress.errors
        status = JobStatus.PARTIALLY_COMPLETED if progress.bad_lines else JobStatus.SUCCEEDED
        if connection.error:
            status = JobStatus.FAILED
        await self._jobs.end(job, status, result=result, errors=errors, warnings=connection.warnings)
        for job_id in connection.superseded:
            superseded = await self._stores.jobs.find(job.incarnation, JobKind.CONNECTION, job_id)
            if superseded is not None:
                reason = JobError("Superseded", "The project was disconnected before the operation ended.")
                await self._jobs.end(superseded, JobStatus.FAILED, errors=(reason,))


async def write_transition(
    connections: ConnectionStore,
    now: datetime,
    before: Stored,
    after: Connection,
    *,
    keep_lease: bool = False,
) -> Stored:
    """Write a transition with its log entry."""
    binding = after.binding or before.connection.binding
    transition = Transition(
        before.connection.state,
        after.state,
        after.active,
        operation=after.saga or before.connection.saga,
        next_step=after.step,
        aml_project_name=binding.name if binding else None,
        error=after.error.message if after.error else None,
    )
    entry = LogEntry(now, after.actor, transition)
    after = replace(after, since=None if after.idle else now)
    return await connections.transition(before, after, entry, keep_lease=keep_lease)


def _refused(connection: Connection, step: Step, unmet: ConditionsNotMet) -> Connection:
    """The job reports every unmet condition."""
    after = fail(connection, step, JobError("Conflict", f"The project cannot be connected. {unmet}"))
    errors = tuple(JobError(c.code, c.message, c.target) for c in unmet.conditions)
    return replace(after, progress=replace(after.progress, errors=errors))


def _record_import(after: Connection, step: Step, now: datetime) -> Connection:
    """What an import leaves on the connection. The marker, which lets the next import be skipped, only when
    no line was bad.
    """
    progress = after.progress
    if step is not Step.IMPORT or not progress.snapshot:
        return after
    return replace(
        after,
        last_imported=now,
        marker="" if progress.bad_lines else progress.marker,
        snapshot=progress.snapshot,
        imported=progress.imported or 0,
    )
