"""Brings a connection to rest, step by step, whoever calls and whatever crashed before.

Each worker claims the connection's row for 20 s and renews the claim while a step runs; each step ends in a
transition of that row, so of two workers only one goes on.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from shared.domain.connection import Connection, done, fail, postpone, warn
from shared.domain.connection_courses import Step
from shared.domain.errors import LabelbridgeError, LabelingLocked, Unavailable
from shared.domain.ids import random_id
from shared.domain.jobs import Job, JobError, JobKind, JobStatus
from shared.services.connection_steps import ConnectionSteps, Outcome, Unmet
from shared.services.jobs import JobService
from shared.services.stores import Stores
from shared.storage.connections import CLAIM_FOR, ConnectionChanged, ConnectionStore, LogEntry, Stored
from shared.storage.jobs import ClaimLost
from shared.studios.base import StudioFailed

log = logging.getLogger("labelbridge.connection")

#: How long a step may wait for the other side before the operation is taken back. AML makes about 20 data
#: points a second, so a labeling project of 100,000 documents needs an hour and a half.
PATIENCE = {Step.CREATE: timedelta(hours=4)}
USUAL_PATIENCE = timedelta(minutes=30)


class ConnectionRunner:
    def __init__(
        self, stores: Stores, connections: ConnectionStore, steps: ConnectionSteps, jobs: JobService
    ) -> None:
        self._stores = stores
        self._connections = connections
        self._steps = steps
        self._jobs = jobs

    async def advance(
        self, project: str, incarnation: str, *, enough: Callable[[], bool] = lambda: False
    ) -> int | None:
        """Do what is due. None: at rest. Else the seconds after which to call again (0: at once)."""
        stored = await self._connections.get(project, incarnation)
        if stored.connection.step is None:
            return None
        held = await self._connections.claim(stored, random_id(), self._stores.clock())
        if held is None:
            return int(CLAIM_FOR.total_seconds())
        try:
            job = await self.ensure_job(held.connection)
            while (step := held.connection.step) is not None:
                held, wait = await self._step(held, step, job)
                if wait is not None:
                    return wait
                if enough():
                    break
            else:
                return None
            await self._connections.note(held, held.connection, release=True)
        except (ConnectionChanged, ClaimLost):
            return 0  # somebody else moved it on: look again
        return 0

    async def give_up(self, project: str, incarnation: str, reason: str) -> None:
        """The message that drove it was poisoned: take the operation back, if it can be, and say why."""
        stored = await self._connections.get(project, incarnation)
        step = stored.connection.step
        if step is None:
            return
        after = fail(stored.connection, step, JobError("InternalServerError", reason))
        await self._move(stored, after, keep=False)

    async def ensure_job(self, connection: Connection) -> Job:
        now = connection.started or self._stores.clock()
        job = Job(
            id=connection.job_id,
            kind=JobKind.CONNECTION,
            project=connection.project,
            incarnation=connection.incarnation,
            edition="",
            created=now,
            updated=now,
            status=JobStatus.RUNNING,
            parameters={"actor": connection.actor},
        )
        return (await self._stores.jobs.create(job))[0]

    async def _step(self, held: Stored, step: Step, job: Job) -> tuple[Stored, int | None]:
        """One step: (the connection after it, seconds to wait or None to go on)."""
        connection = held.connection
        try:
            outcome, held = await self._with_beat(held, job)
        except Unmet as refused:
            return await self._move(held, _refused(connection, step, refused)), None
        except StudioFailed as refused:
            return await self._failed(held, step, refused.fault)
        except (Unavailable, LabelingLocked) as later:
            return await self._later(held, step, later.message, later.retry_after or 5, {})
        except LabelbridgeError as refused:
            return await self._failed(held, step, JobError(refused.code, refused.message, refused.target))
        if outcome.waiting is not None:
            return await self._later(
                held, step, outcome.waiting.reason, outcome.waiting.seconds, outcome.facts
            )
        if step is Step.REPORT:
            await self._report(connection, job)
        after = warn(done(connection, step, outcome.facts), *outcome.warnings)
        return await self._move(held, _imported(after, step, self._stores.clock())), None

    async def _with_beat(self, held: Stored, job: Job) -> tuple[Outcome, Stored]:
        """Run the due step while the claim is renewed; a claim that is lost ends the step."""
        connection = held.connection

        async def watch() -> None:
            now = (await self._connections.get(connection.project, connection.incarnation)).connection
            if (now.turn, now.course, now.step) != (connection.turn, connection.course, connection.step):
                raise ConnectionChanged

        work = asyncio.ensure_future(self._steps.run(connection, job, watch))
        try:
            while True:
                finished, _ = await asyncio.wait({work}, timeout=CLAIM_FOR.total_seconds() / 3)
                if finished:
                    return work.result(), held
                renewed = await self._connections.claim(held, held.token, self._stores.clock())
                if renewed is None:
                    raise ConnectionChanged
                held = renewed
        finally:
            work.cancel()

    async def _failed(self, held: Stored, step: Step, fault: JobError) -> tuple[Stored, int | None]:
        after = fail(held.connection, step, fault)
        if after.step is held.connection.step and after.course is held.connection.course:
            return await self._later(replace(held, connection=after), step, fault.message, 30, {})
        return await self._move(held, after), None

    async def _later(
        self, held: Stored, step: Step, reason: str, seconds: int, facts: dict[str, str]
    ) -> tuple[Stored, int | None]:
        connection, now = held.connection, self._stores.clock()
        waited = now - (connection.since or now)
        if waited > PATIENCE.get(step, USUAL_PATIENCE):
            after = fail(connection, step, JobError("Timeout", f"It took too long. {reason}"))
            if after.course is not connection.course or after.step is not step:
                return await self._move(held, after), None
        after = postpone(connection, reason, facts)
        return await self._connections.note(held, after, release=True), max(1, seconds)

    async def _move(self, held: Stored, after: Connection, *, keep: bool = True) -> Stored:
        return await move(self._connections, self._stores.clock(), held, after, keep=keep)

    async def _report(self, connection: Connection, job: Job) -> None:
        bad = int(connection.facts.get("bad", "0"))
        result: dict[str, Any] = {"state": connection.state, "activeStudio": connection.active}
        if "imported" in connection.facts:
            result |= {"documentsImported": int(connection.facts["imported"]), "linesRejected": bad}
        told = tuple(JobError(*one) for one in json.loads(connection.facts.get("errors", "[]")))
        errors = (connection.error, *told) if connection.error else told
        status = JobStatus.PARTIALLY_COMPLETED if bad else JobStatus.SUCCEEDED
        if connection.error:
            status = JobStatus.FAILED
        await self._jobs.end(job, status, result=result, errors=errors, warnings=connection.warnings)
        for job_id in connection.superseded:
            old = await self._stores.jobs.find(job.incarnation, JobKind.CONNECTION, job_id)
            if old is not None:
                reason = JobError("Superseded", "The project was disconnected meanwhile.")
                await self._jobs.end(old, JobStatus.FAILED, errors=(reason,))


async def move(
    connections: ConnectionStore, now: datetime, before: Stored, after: Connection, *, keep: bool = False
) -> Stored:
    """Write a transition with what the log says of it."""
    facts = {
        "from": before.connection.state,
        "to": after.state,
        "activeStudio": after.active,
        "operation": after.course or before.connection.course,
        "nextStep": after.step,
        "amlProjectName": (after.bond or before.connection.bond or _NOBODY).name,
        "error": after.error.message if after.error else None,
    }
    entry = LogEntry(now, after.actor, {key: value for key, value in facts.items() if value is not None})
    return await connections.move(before, replace(after, since=now if after.step else None), entry, keep)


class _Nobody:
    name = None


_NOBODY = _Nobody()


def _refused(connection: Connection, step: Step, refused: Unmet) -> Connection:
    """Every unmet condition is told, not only the first."""
    summary = JobError("Conflict", f"The project cannot be connected: {refused}")
    told = json.dumps([[c.code, c.message, c.target] for c in refused.conditions])
    after = fail(connection, step, summary)
    return replace(after, facts={**after.facts, "errors": told})


def _imported(after: Connection, step: Step, now: datetime) -> Connection:
    """What an import leaves: the time, and the marker that lets the next one be skipped when all lines were
    good.
    """
    facts = after.facts
    if step is not Step.IMPORT or "pinned" not in facts:
        return after
    clean = facts.get("bad") == "0"
    return replace(
        after,
        last_imported=now,
        marker=facts["marker"] if clean else "",
        pinned=facts["pinned"],
        imported=int(facts["imported"]),
    )
