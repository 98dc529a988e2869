"""The connection with a labeling studio as callers use it: check, connect, switch, sync, disconnect.

An operation is a row of steps. Its request runs them for a moment, and messages run those that are left.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from azure.core.credentials_async import AsyncTokenCredential

from shared import telemetry
from shared.connection import state as machine
from shared.connection.binding import Binding, StudioKind, binding_errors
from shared.connection.conditions import Condition
from shared.connection.label_exchange import LabelExchange
from shared.connection.state import (
    BindingStatus,
    Command,
    Connection,
    DisconnectRequest,
    LogEntry,
    Progress,
    State,
    Step,
    done,
    fail,
    postpone,
    warn,
)
from shared.connection.steps import ConditionsNotMet, ConnectionSteps, Outcome, Studios, not_configured
from shared.connection.store import (
    LEASE_DURATION,
    ConnectionChanged,
    ConnectionStore,
    Stored,
    write_transition,
)
from shared.connection.studios.base import Exported, StudioFailed
from shared.domain.errors import Conflict, LabelbridgeError, LabelingLocked, Unavailable
from shared.domain.jobs import ConnectionParameters, ConnectionResult, Job, JobError, JobKind, JobStatus
from shared.domain.names import Studio, random_id, random_job_id
from shared.domain.project import Project
from shared.services.jobs.lifecycle import JobMessage, JobService
from shared.services.jobs.stores import Stores
from shared.services.projects.maintenance import Parts
from shared.storage.leases import LeaseLost
from shared.wire.aml_jsonl import OffsetUnit
from shared.wire.json_codec import ValidationErrors

log = logging.getLogger("labelbridge.connection")

#: How long a step may wait for the studio before the operation is undone. AML creates about 20 data points a
#: second, so a labeling project of 100,000 documents needs an hour and a half.
STEP_TIMEOUTS = {Step.CREATE: timedelta(hours=4)}
DEFAULT_STEP_TIMEOUT = timedelta(minutes=30)
#: How long the timer waits for the import of one project; its message continues after that.
SYNC_SECONDS = 300


class ConnectionRunner:
    """Runs the due steps of a connection until it is idle, also after a crash.

    A worker holds a lease of 20 s on the connection's row and renews it (heartbeat) while a step runs. Each step
    ends with a transition of that row, so of two workers only one continues.
    """

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
        """The operation's message failed too often: undo the operation if possible, and record the reason."""
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


ATTEMPTS = 20
#: How long a request works on the operation before it answers; enough to connect a small project.
INLINE_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """`unsynced`: documents labeled in AML but not imported; None: currently unknown."""

    connection: Connection
    unsynced: int | None


class ConnectionService:
    def __init__(
        self,
        stores: Stores,
        connections: ConnectionStore,
        studios: Studios,
        jobs: JobService,
        unit: OffsetUnit = OffsetUnit.CODE_POINT,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._stores = stores
        self._connections = connections
        self._studios = studios
        self._jobs = jobs
        self._sleep = sleep
        self._stacks = telemetry.Stacks()
        self._exchange = LabelExchange(stores, unit)
        self._steps = ConnectionSteps(stores, studios, self._exchange)
        self._runner = ConnectionRunner(stores, connections, self._steps, jobs)

    # Reading

    async def get(self, name: str) -> ConnectionView:
        project = await self._stores.directory.read(name)
        connection = await self._connection_of(project)
        return ConnectionView(connection, await self._unsynced(connection, project))

    async def _connection_of(self, project: Project) -> Connection:
        return (await self._connections.get(project.name, project.incarnation)).connection

    async def history(self, name: str) -> Sequence[LogEntry]:
        """Every transition, newest first."""
        project = await self._stores.directory.read(name)
        return (await self._connections.log(project.incarnation))[::-1]

    async def check(self, name: str, binding: Binding) -> list[Condition]:
        """All conditions of connecting, met and unmet; nothing is changed."""
        project = await self._stores.directory.read(name)
        self._require_valid(binding)
        bound = (await self._connection_of(project)).bound
        message = "The project is already connected." if bound else "The project is not connected."
        status = await self._connections.binding_status(binding)
        messages = {
            BindingStatus.FREE: "The labeling project was never connected.",
            BindingStatus.BOUND: "The labeling project is already connected to a project.",
            BindingStatus.TOMBSTONED: "The labeling project was disconnected and can never be connected again.",
        }
        probe = replace(Connection(name, project.incarnation), binding=binding)
        try:
            conditions = await self._steps.conditions(probe, project)
        except StudioFailed as failure:
            conditions = [Condition(failure.error.code, False, failure.error.message, "workspaceId")]
        return [
            Condition("ProjectNotConnected", not bound, message),
            Condition("NeverConnected", status is BindingStatus.FREE, messages[status], "amlProjectName"),
            *conditions,
        ]

    async def job(self, name: str, job_id: str) -> Job:
        project = await self._stores.directory.read(name)
        return await self._stores.jobs.get(project.incarnation, JobKind.CONNECTION, job_id)

    # Commands

    async def connect(self, name: str, binding: Binding, actor: str, job_id: str) -> Job:
        """Raises InvalidArgument for invalid fields, Conflict for a project that is bound or tombstoned."""
        self._require_valid(binding)
        return await self._run_command(
            name, actor, job_id, lambda before, command: machine.connect(before, binding, command)
        )

    async def switch(
        self, name: str, to: Studio, actor: str, job_id: str, caller: AsyncTokenCredential | None = None
    ) -> Job:
        """`caller`: credential of the caller, whose permission on the workspace is checked to switch back."""
        project = await self._stores.directory.read(name)
        connection = await self._connection_of(project)
        ready = connection.state is State.CONNECTED and connection.idle
        if ready and to is Studio.LANGUAGE_STUDIO and connection.active is Studio.AZURE_ML:
            target = self._steps.target(connection, project)
            try:
                await self._steps.studio(connection).require_may_switch(target, caller)
            except StudioFailed as failure:
                raise Conflict(failure.error.message, inner_code=failure.error.code) from failure
        return await self._run_command(
            name, actor, job_id, lambda before, command: machine.switch(before, to, command)
        )

    async def sync(self, name: str, actor: str, job_id: str) -> Job:
        """Import the latest labels."""
        return await self._run_command(name, actor, job_id, machine.sync)

    async def disconnect(self, name: str, confirm: str, discard: bool, actor: str, job_id: str) -> Job:
        """Permanent. Raises InvalidArgument or Conflict, saying what would be lost, until it is confirmed."""
        project = await self._stores.directory.read(name)
        unsynced = await self._unsynced(await self._connection_of(project), project)
        request = DisconnectRequest(confirm, discard, unsynced)
        return await self._run_command(
            name, actor, job_id, lambda before, command: machine.disconnect(before, request, command)
        )

    async def _run_command(
        self, name: str, actor: str, job_id: str, decide: Callable[[Connection, Command], Connection]
    ) -> Job:
        """Start an operation and work on it briefly. A repeat with the same job id finds the same operation."""
        project = await self._stores.directory.read(name)
        known = await self._stores.jobs.find(project.incarnation, JobKind.CONNECTION, job_id)
        if known is not None:
            return known
        connection = await self._begin(project, Command(job_id, actor, self._stores.clock()), decide)
        job = await self._runner.ensure_job(connection)
        await self._jobs.send(job, delay=int(LEASE_DURATION.total_seconds()) + 5)
        end = time.monotonic() + INLINE_SECONDS
        wait = await self._runner.advance(
            name, project.incarnation, should_stop=lambda: time.monotonic() > end
        )
        if wait is not None:
            await self._jobs.send(job, delay=wait)
        return await self._stores.jobs.get(project.incarnation, JobKind.CONNECTION, job_id)

    async def _begin(
        self, project: Project, command: Command, decide: Callable[[Connection, Command], Connection]
    ) -> Connection:
        for _ in range(ATTEMPTS):
            stored = await self._connections.get(project.name, project.incarnation)
            if stored.connection.job_id == command.job_id:
                return stored.connection  # started before a crash, which came before its job was written
            after = decide(stored.connection, command)
            try:
                return (await write_transition(self._connections, command.at, stored, after)).connection
            except ConnectionChanged:
                continue
        raise Unavailable("Too many callers are changing the connection. Try again.", retry_after=1)

    def _require_valid(self, binding: Binding) -> None:
        errors = ValidationErrors()
        errors.add_all(dict(binding_errors(binding)))
        if binding.studio not in self._studios:
            errors.add("studio", not_configured(binding.studio))
        if binding.studio is StudioKind.WORKSPACE and self._stores.names.is_ours(binding.workspace_id):
            errors.add("workspaceId", "The container is reserved for Labelbridge. Choose another one.")
        errors.raise_any()

    # Work from the queue and the sweep

    async def advance(self, project: str, incarnation: str) -> int | None:
        """Run due steps. None: the connection is idle. Else the seconds after which to call again."""
        return await self._runner.advance(project, incarnation)

    async def run(self, message: JobMessage) -> None:
        """For the queue: run due steps, and send the message again if the studio needs time."""
        wait = await self._runner.advance(message.project, message.incarnation)
        if wait is not None:
            await self._jobs.queue(message, delay=wait)

    async def fail(self, job: Job, error: JobError) -> None:
        """Undo an operation that failed too often, if possible; its job says why."""
        await self._runner.give_up(job.project, job.incarnation, error.message)
        await self.run(JobMessage.of(job))

    async def sweep(self) -> None:
        """Send a message for every connection with a due step that no worker runs."""
        now = self._stores.clock()
        for stored in await self._connections.all():
            connection = stored.connection
            telemetry.count("labelbridge.connections", state=connection.state)
            if not connection.idle and connection.since is not None:
                age = (now - connection.since).total_seconds()
                telemetry.measure("labelbridge.connection.step.age", age, project=connection.project)
            stale = connection.since is None or now - connection.since > LEASE_DURATION
            if not connection.idle and not stored.leased(now) and stale:
                await self._jobs.send(await self._runner.ensure_job(connection))

    # Importing the latest labels

    async def sync_all(self) -> None:
        """For the timer (rule C11): import labels of every project that is labeled in AML and has new ones.

        Raises PartsFailed after all of them if any failed.
        """
        parts = Parts("synchronization of labels", self._stacks)
        for stored in await self._connections.all():
            connection = stored.connection
            ready = connection.state is State.CONNECTED and connection.idle
            if ready and connection.active is Studio.AZURE_ML:
                async with parts.alone(f"project {connection.project}", SYNC_SECONDS):
                    await self._sync_one(connection)
        parts.end()

    async def _sync_one(self, connection: Connection) -> None:
        new = await self._may_have_new(connection)
        since = connection.last_imported or connection.started or self._stores.clock()
        lag = (self._stores.clock() - since).total_seconds() if new else 0
        telemetry.measure("labelbridge.sync.lag", lag, project=connection.project)
        if new:
            await self._try_sync(connection)

    async def _may_have_new(self, connection: Connection) -> bool:
        try:
            project = await self._stores.directory.read(connection.project)
            marker = await self._steps.studio(connection).marker(self._steps.target(connection, project))
        except (LabelbridgeError, StudioFailed):
            return True  # the import reports the reason
        return not marker or marker != connection.marker

    async def _try_sync(self, connection: Connection) -> None:
        try:
            await self.sync(connection.project, "sync_labels", random_job_id())
        except LabelbridgeError:
            return  # deleted, or another operation began: left to the next run

    async def import_latest(self, name: str, actor: str = "training") -> Job:
        """Import before training, and wait for it (rule T3). Raises Conflict with the reason when it fails.

        A running operation is finished first: it may have begun before the latest labels were made.
        """
        project = await self._stores.directory.read(name)
        await self._run_to_idle(name, project.incarnation)
        job = await self.sync(name, actor, random_job_id())
        await self._run_to_idle(name, project.incarnation)
        job = await self.job(name, job.id)
        if job.status is JobStatus.FAILED or not job.status.ended:
            reason = job.errors[0].message if job.errors else "Another operation changed the connection."
            raise Conflict(f"The labels of Azure Machine Learning could not be imported: {reason}")
        return job

    async def _run_to_idle(self, name: str, incarnation: str) -> None:
        """Terminates, because the runner undoes an operation that waits too long."""
        while (wait := await self._runner.advance(name, incarnation)) is not None:
            await self._sleep(max(wait, 0.2))

    async def _unsynced(self, connection: Connection, project: Project) -> int | None:
        """Documents labeled in AML since the last import; None: currently unknown."""
        if not connection.bound or connection.binding is None or connection.state is State.CONNECTING:
            return 0
        closed = connection.active is Studio.LANGUAGE_STUDIO and connection.idle
        if closed and connection.binding.studio is StudioKind.AZURE_ML:
            return 0  # paused since the last import
        try:
            return await self._count_unsynced(connection, project)
        except (LabelbridgeError, StudioFailed):
            return None

    async def _count_unsynced(self, connection: Connection, project: Project) -> int | None:
        studio, target = self._steps.studio(connection), self._steps.target(connection, project)
        completed = await studio.completed(target)
        if completed is not None:
            return max(0, completed - connection.imported)
        if await studio.marker(target) == connection.marker:
            return 0
        exported = await studio.export(target, (await studio.begin_export(target)).note)
        if not isinstance(exported, Exported):
            return None
        return await self._exchange.count_changed(connection.snapshot, exported.files)
