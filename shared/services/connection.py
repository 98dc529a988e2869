"""The connection with a labeling studio as callers use it: check, connect, switch, sync, disconnect."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from azure.core.credentials_async import AsyncTokenCredential

from shared.domain import connection as machine
from shared.domain.bond import Bond, StudioKind, bond_faults
from shared.domain.conditions import Condition
from shared.domain.connection import Connection, Farewell, Holds, Order
from shared.domain.connection_courses import State
from shared.domain.errors import Conflict, InvalidArgument, LabelbridgeError, Unavailable
from shared.domain.ids import random_job_id
from shared.domain.jobs import Job, JobKind, JobStatus
from shared.domain.kinds import Studio
from shared.domain.project import Project
from shared.services.connection_runner import ConnectionRunner, move
from shared.services.connection_steps import ConnectionSteps, Studios
from shared.services.jobs import JobService
from shared.services.label_exchange import LabelExchange
from shared.services.messages import CONNECTION_QUEUE, JobMessage
from shared.services.stores import Stores
from shared.storage.connections import CLAIM_FOR, ConnectionChanged, ConnectionStore, LogEntry
from shared.studios.base import Exported, StudioFailed
from shared.wire.aml_jsonl import OffsetUnit

ATTEMPTS = 20
#: A POST may work for so long before it answers; a small project is connected by then.
INLINE_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """A connection as it is shown. `unsynced`: documents labeled in AML and not imported; None: not known
    now.
    """

    connection: Connection
    unsynced: int | None


class ConnectionService:
    def __init__(
        self,
        stores: Stores,
        connections: ConnectionStore,
        studios: Studios,
        jobs: JobService,
        unit: OffsetUnit = OffsetUnit.UTF16,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._stores = stores
        self._connections = connections
        self._studios = studios
        self._jobs = jobs
        self._sleep = sleep
        self._exchange = LabelExchange(stores, unit)
        self._steps = ConnectionSteps(stores, studios, self._exchange)
        self._runner = ConnectionRunner(stores, connections, self._steps, jobs)

    # Looking

    async def get(self, name: str) -> ConnectionView:
        project = await self._stores.directory.read(name)
        connection = (await self._connections.get(name, project.incarnation)).connection
        return ConnectionView(connection, await self._unsynced(connection, project))

    async def history(self, name: str) -> Sequence[LogEntry]:
        """Every transition, newest first."""
        project = await self._stores.directory.read(name)
        return (await self._connections.log(project.incarnation))[::-1]

    async def check(self, name: str, bond: Bond) -> list[Condition]:
        """All conditions of connecting, met and unmet; nothing is changed."""
        project = await self._stores.directory.read(name)
        self._check_spelling(bond)
        state = (await self._connections.get(name, project.incarnation)).connection
        free = not state.bound
        message = "The project is not connected." if free else "The project is connected already."
        holds = await self._connections.holds(bond)
        never = {
            Holds.FREE: "The labeling project was never connected.",
            Holds.BOUND: "The labeling project is connected with a project already.",
            Holds.TOMBSTONED: "The labeling project was disconnected once and can never be connected again.",
        }
        probe = replace(Connection(name, project.incarnation), bond=bond)
        try:
            conditions = await self._steps.conditions(probe, project)
        except StudioFailed as refused:
            conditions = [Condition(refused.fault.code, False, refused.fault.message, "workspaceId")]
        return [
            Condition("ProjectNotConnected", free, message),
            Condition("NeverConnected", holds is Holds.FREE, never[holds], "amlProjectName"),
            *conditions,
        ]

    async def job(self, name: str, job_id: str) -> Job:
        project = await self._stores.directory.read(name)
        return await self._stores.jobs.get(project.incarnation, JobKind.CONNECTION, job_id)

    # Orders

    async def connect(self, name: str, bond: Bond, actor: str, job_id: str) -> Job:
        """Raises InvalidArgument for what is badly spelled, Conflict for what is bound or tombstoned."""
        self._check_spelling(bond)
        return await self._order(name, actor, job_id, lambda now, order: machine.connect(now, bond, order))

    async def switch(
        self, name: str, to: Studio, actor: str, job_id: str, caller: AsyncTokenCredential | None = None
    ) -> Job:
        """`caller`: the caller's own right on the workspace, asked for when labeling in AML is to end."""
        project = await self._stores.directory.read(name)
        connection = (await self._connections.get(name, project.incarnation)).connection
        at_rest = connection.state is State.CONNECTED and connection.step is None
        if at_rest and to is Studio.LANGUAGE_STUDIO and connection.active is Studio.AZURE_ML:
            site = self._steps.site(connection, project)
            try:
                await self._steps.studio(connection).require_may_switch(site, caller)
            except StudioFailed as refused:
                raise Conflict(refused.fault.message, inner_code=refused.fault.code) from refused
        return await self._order(name, actor, job_id, lambda now, order: machine.switch(now, to, order))

    async def sync(self, name: str, actor: str, job_id: str) -> Job:
        """Import the latest labels."""
        return await self._order(name, actor, job_id, machine.sync)

    async def disconnect(self, name: str, confirm: str, discard: bool, actor: str, job_id: str) -> Job:
        """For ever. Raises InvalidArgument or Conflict, saying what would be lost, until it is confirmed."""
        project = await self._stores.directory.read(name)
        connection = (await self._connections.get(name, project.incarnation)).connection
        farewell = Farewell(confirm, discard, await self._unsynced(connection, project))
        return await self._order(
            name, actor, job_id, lambda now, order: machine.disconnect(now, farewell, order)
        )

    async def _order(
        self, name: str, actor: str, job_id: str, decide: Callable[[Connection, Order], Connection]
    ) -> Job:
        """Begin an operation and work on it for a moment; asked again with the same job id, it is the same
        one.
        """
        project = await self._stores.directory.read(name)
        known = await self._stores.jobs.find(project.incarnation, JobKind.CONNECTION, job_id)
        if known is not None:
            return known
        connection = await self._begin(project, Order(job_id, actor, self._stores.clock()), decide)
        job = await self._runner.ensure_job(connection)
        await self._jobs.send(job, CONNECTION_QUEUE, delay=int(CLAIM_FOR.total_seconds()) + 5)
        end = time.monotonic() + INLINE_SECONDS
        wait = await self._runner.advance(name, project.incarnation, enough=lambda: time.monotonic() > end)
        if wait is not None:
            await self._jobs.send(job, CONNECTION_QUEUE, delay=wait)
        return await self._stores.jobs.get(project.incarnation, JobKind.CONNECTION, job_id)

    async def _begin(
        self, project: Project, order: Order, decide: Callable[[Connection, Order], Connection]
    ) -> Connection:
        for _ in range(ATTEMPTS):
            stored = await self._connections.get(project.name, project.incarnation)
            if stored.connection.job_id == order.job_id:
                return stored.connection  # begun before, and cut short before its job was written
            after = decide(stored.connection, order)
            try:
                return (await move(self._connections, order.at, stored, after)).connection
            except ConnectionChanged:
                continue
        raise Unavailable("Too many callers change the connection; try again.", retry_after=1)

    def _check_spelling(self, bond: Bond) -> None:
        faults = bond_faults(bond)
        if bond.studio not in self._studios:
            text = f"The studio '{bond.studio}' is not configured: the setting STORAGE_ACCOUNT_ID is missing."
            faults.append(("studio", text))
        if bond.studio is StudioKind.WORKSPACE and self._stores.names.is_ours(bond.workspace_id):
            faults.append(("workspaceId", "The container belongs to Labelbridge itself; choose another one."))
        if not faults:
            return
        details = tuple(InvalidArgument(text, target=field) for field, text in faults)
        text = " ".join(text for _, text in faults)
        raise InvalidArgument(text, target=faults[0][0], details=details if len(details) > 1 else ())

    # Going on

    async def advance(self, project: str, incarnation: str) -> int | None:
        """For the queue: do what is due. None: at rest, else the seconds after which to ask again."""
        return await self._runner.advance(project, incarnation)

    async def run(self, message: JobMessage) -> None:
        """For the queue: do what is due, and ask again where the other side needs time."""
        wait = await self._runner.advance(message.project, message.incarnation)
        if wait is not None:
            await self._stores.queues.send(CONNECTION_QUEUE, message.model_dump_json(), delay=wait)

    async def give_up(self, message: JobMessage, reason: str) -> None:
        """For the poison queue: take the operation back where that is possible; its job says why."""
        await self._runner.give_up(message.project, message.incarnation, reason)
        await self.run(message)

    async def sweep(self) -> None:
        """Ask again for every connection whose step is due and that nobody works on."""
        now = self._stores.clock()
        for stored in await self._connections.all():
            connection = stored.connection
            stale = connection.since is None or now - connection.since > CLAIM_FOR
            if connection.step is not None and not stored.taken(now) and stale:
                await self._jobs.send(await self._runner.ensure_job(connection), CONNECTION_QUEUE)

    # Importing the latest labels

    async def sync_all(self) -> None:
        """For the timer (rule C11): import where AML is active and has something new."""
        for stored in await self._connections.all():
            connection = stored.connection
            idle = connection.state is State.CONNECTED and connection.step is None
            if idle and connection.active is Studio.AZURE_ML and await self._has_news(connection):
                await self._sync_quietly(connection)

    async def _has_news(self, connection: Connection) -> bool:
        try:
            project = await self._stores.directory.read(connection.project)
            marker = await self._steps.studio(connection).marker(self._steps.site(connection, project))
        except (LabelbridgeError, StudioFailed):
            return True  # the import itself tells why not
        return not marker or marker != connection.marker

    async def _sync_quietly(self, connection: Connection) -> None:
        try:
            await self.sync(connection.project, "sync_labels", random_job_id())
        except LabelbridgeError:
            return  # gone, or somebody began something else: the next run sees

    async def import_latest(self, name: str, actor: str = "training") -> Job:
        """Rule T3: import before training, and wait for it. Raises Conflict with the reason when it fails.

        What is under way is brought to its end first: it may have begun before the latest labels were there.
        """
        project = await self._stores.directory.read(name)
        await self._rest(name, project.incarnation)
        job = await self.sync(name, actor, random_job_id())
        await self._rest(name, project.incarnation)
        job = await self.job(name, job.id)
        if job.status is JobStatus.FAILED or not job.status.ended:
            reason = job.errors[0].message if job.errors else "the connection was changed meanwhile."
            raise Conflict(f"The labels of Azure Machine Learning could not be imported: {reason}")
        return job

    async def _rest(self, name: str, incarnation: str) -> None:
        """Ends by itself: what waits too long is taken back by the runner."""
        while (wait := await self._runner.advance(name, incarnation)) is not None:
            await self._sleep(max(wait, 0.2))

    async def _unsynced(self, connection: Connection, project: Project) -> int | None:
        """Documents that were labeled in AML since the last import."""
        if not connection.bound or connection.bond is None or connection.state is State.CONNECTING:
            return 0
        closed = connection.active is Studio.LANGUAGE_STUDIO and connection.step is None
        if closed and connection.bond.studio is StudioKind.AZURE_ML:
            return 0  # paused since the last import
        try:
            return await self._count_unsynced(connection, project)
        except (LabelbridgeError, StudioFailed):
            return None

    async def _count_unsynced(self, connection: Connection, project: Project) -> int | None:
        studio, site = self._steps.studio(connection), self._steps.site(connection, project)
        completed = await studio.completed(site)
        if completed is not None:
            return max(0, completed - connection.imported)
        if await studio.marker(site) == connection.marker:
            return 0
        exported = await studio.export(site, await studio.begin_export(site))
        if not isinstance(exported, Exported):
            return None
        return await self._exchange.count_changed(connection.pinned, exported.files)
