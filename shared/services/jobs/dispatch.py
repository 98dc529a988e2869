"""Work that comes from queues, done by whom the table of the kinds of jobs names.

A worker holds the lease of its job or batch.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from shared import memory, telemetry
from shared.domain.errors import LabelbridgeError, ProjectNotFound, Unavailable
from shared.domain.jobs import Batch, Job, JobError, JobKind, JobStatus
from shared.domain.names import random_id
from shared.engines.base import EngineError, EngineUnavailable
from shared.services.jobs.lifecycle import BatchMessage, JobMessage, JobService, PlanMessage, Work
from shared.services.jobs.stores import Stores
from shared.storage.gateways.ports import RowChanged, StorageUnavailable
from shared.storage.leases import LEASE_FOR, Lease, LeaseExpired, LeaseLost

log = logging.getLogger("labelbridge.jobs")

#: Seconds before a failed message is retried; after the last attempt its work is given up.
PAUSES = (1, 2, 5, 10)
#: The code of the error of a job that was given up.
GIVEN_UP = "JobFailed"
#: The same if the reason was an outage of storage.
OUTAGE = Unavailable.code
FIVE_TIMES = "The work failed five times. "
TOO_OFTEN = f"{FIVE_TIMES}The log has the reasons."


class TookTooLong(Exception):
    loggable = True

    def __init__(self, seconds: int) -> None:
        super().__init__(f"The work took longer than its limit of {seconds // 60} minutes.")


class Dispatcher:
    """Messages of unknown kinds are from another version: they are dropped."""

    def __init__(
        self,
        stores: Stores,
        jobs: JobService,
        plan: Callable[[PlanMessage], Awaitable[object]],
        timeout: Callable[[float], asyncio.Timeout] = asyncio.timeout,
    ) -> None:
        self._timeout = timeout
        self._stores = stores
        self._jobs = jobs
        self._plan = plan

    async def run(self, message: Work) -> None:
        """Do the work of a message, in the trace of its sender. Raises whatever fails; TookTooLong at its limit."""
        limit = self._jobs.kinds.limit_of(message)
        scope = self._timeout(limit)
        name, attributes = _named(message)
        try:
            with telemetry.span(name, kind="consumer", parent=message.trace, **attributes):
                async with scope:
                    await self._work(message)
        except TimeoutError:
            if not scope.expired():
                raise
            raise TookTooLong(limit) from None

    async def _work(self, message: Work) -> None:
        if isinstance(message, PlanMessage):
            await self._plan(message)
            return
        kind = self._jobs.kinds.of(message.kind)
        if isinstance(message, BatchMessage):
            if kind.run_batch is not None:
                await kind.run_batch()(message)
        elif kind.run is not None:
            await kind.run()(message)

    async def run_or_retry(self, message: Work) -> None:
        """Do the work; when it fails, send the message again after a pause, and after five tries give it up.

        The host would log the stack of an exception twice for each attempt, so only failures of this method are left to
        it.
        """
        try:
            await self.run(message)
        except Exception as error:
            attempt = min(message.attempt, len(PAUSES) + 1)
            text = "Attempt %d of %d failed: %s (%s)"
            facts = (attempt, len(PAUSES) + 1, _described(message), telemetry.in_line(error))
            _, ids = _named(message)
            if attempt > len(PAUSES):
                log.error(text, *facts, exc_info=telemetry.without_message(error), extra=ids)  # noqa: TRY400 - no text
                outage = isinstance(error, Unavailable | StorageUnavailable)
                await self.give_up(message, _why(message, error), OUTAGE if outage else GIVEN_UP)
                return
            log.warning(text, *facts, extra=ids)  # the stack comes with the last attempt
            again = message.model_copy(update={"attempt": attempt + 1})
            await self._jobs.queue(again, delay=PAUSES[attempt - 1])
        finally:
            await memory.TRIMMER.trim()

    async def give_up(self, message: Work, reason: str, code: str = GIVEN_UP) -> None:
        """Fail the work with the reason. `code`: of the error of its job.

        After a plan, uploads stay pending, and the sweep plans again after a pause, or when something is uploaded or
        requested. The hourly comparison plans during the pause, too.
        """
        name, attributes = _named(message)
        with telemetry.span(f"give up {name}", kind="consumer", parent=message.trace, **attributes):
            await self._give_up(message, reason, code)

    async def _give_up(self, message: Work, reason: str, code: str) -> None:
        name = "plan" if isinstance(message, PlanMessage) else message.kind
        telemetry.count("labelbridge.work.given_up", kind=name)
        if isinstance(message, PlanMessage) or message.kind not in JobKind:
            log.error("Giving up after repeated failures: %s", _described(message))
            if isinstance(message, PlanMessage):
                pause = await self._stores.active.plan_again(message.incarnation, message.tries + 1)
                text = "The project '%s' is planned again in %d minutes, or after an upload or a request."
                log.warning(text, message.project, pause.total_seconds() // 60)
            return
        kind = self._jobs.kinds.of(message.kind)
        if isinstance(message, BatchMessage):
            if kind.give_up_batch is not None:
                await kind.give_up_batch()(message, reason)
            return
        job = await self._stores.jobs.find(message.incarnation, JobKind(message.kind), message.job)
        if job is None:
            return
        error = JobError(code, reason)
        if kind.fail is not None:
            await kind.fail()(job, error)
        else:
            await self._jobs.end(job, JobStatus.FAILED, errors=(error,))


def _named(message: Work) -> tuple[str, dict[str, telemetry.Attribute]]:
    """Name and attributes of the span around the work."""
    attributes: dict[str, telemetry.Attribute] = {"project": message.project, "attempt": message.attempt}
    match message:
        case BatchMessage():
            return f"batch {message.kind}", attributes | {"job": message.job, "batch": message.number}
        case JobMessage():
            return f"job {message.kind}", attributes | {"job": message.job}
        case PlanMessage():
            return "plan", attributes | {"plan": message.id}


def _why(message: Work, error: Exception) -> str:
    """For people: why work was given up after this error. Of a batch, its documents say what the engine said."""
    if isinstance(error, EngineError) and isinstance(message, JobMessage):
        return f"{FIVE_TIMES}The last reason: {error}"
    return str(error) if isinstance(error, TookTooLong) else TOO_OFTEN


def _described(message: Work) -> str:
    match message:
        case BatchMessage():
            return (
                f"batch {message.number} of the {message.kind} job {message.job}, project '{message.project}'"
            )
        case JobMessage():
            return f"{message.kind} job {message.job}, project '{message.project}'"
        case PlanMessage():
            return f"plan of the project '{message.project}'"


RENEW_SECONDS = 7.0
#: After a renewal that failed.
RETRY_SECONDS = 1.0
#: Errors that may not occur again on a retry.
PASSING = (EngineUnavailable, Unavailable, StorageUnavailable)

type BatchWork = Callable[[Job, Batch, Lease], Awaitable[None]]
"""Does the batch and closes the lease. Raises LeaseLost; after any other error the batch is retried."""
type Over = Callable[[Job, int], Awaitable[None]]


class Later(Exception):
    """The work continues after this many seconds, with another message."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"The work continues in {seconds} s.")
        self.seconds = seconds


def leased_until(now: datetime, pause: int) -> datetime:
    """The end of a lease that is left to a message after a pause: clocks differ, and it must not come too early."""
    return now + timedelta(seconds=max(0, pause - 1))


async def run_leased(
    stores: Stores,
    jobs: JobService,
    message: BatchMessage,
    work: BatchWork,
    *,
    gives_up: bool = False,
    settles: bool = True,
    over: Over | None = None,
) -> None:
    """Do the batch, unless it is done, not due or leased, or its job has ended. An exception makes the message be
    delivered again.

    What made a try fail is noted in the lease; work that `gives_up` tells it and leaves it as it is. `settles`: ask for
    the batch that waited for this one, and end the job if this was the last; who runs all batches asks for none, and
    ends the job after them. `over` is called for a message whose job has ended before it, or during its work, and for
    one that lost the batch to a worker that has committed it.
    """
    job = await _open_job(stores, message, over)
    if job is None or message.number >= len(job.batches):
        return
    if not gives_up and not await jobs.is_due(job, message.number):
        return
    lease = await stores.jobs.acquire(job, message.number, random_id(), stores.clock())
    if lease is None:
        return
    try:
        async with heartbeat(lease, stores.clock):
            await work(job, job.batches[message.number], lease)
    except LeaseLost:
        ended = await _open_job(stores, message, over) is None
        # While a job is being stopped, its exchanges are still counted; whoever ends it deletes them.
        if over is not None and not ended and await stores.jobs.is_committed(job, message.number):
            await over(job, message.number)
        return
    except asyncio.CancelledError:
        await lease.release_soon(stores.clock())
        raise
    except Later as later:
        await lease.release(leased_until(stores.clock(), later.seconds), lease.failure)
        # Waiting is not an attempt, but earlier failed attempts still count: otherwise a batch could fail without end.
        await jobs.enqueue(job, [message.number], delay=later.seconds, attempt=message.attempt)
        return
    except Exception as error:
        await lease.release(stores.clock(), lease.failure if gives_up else reason_of(error))
        raise
    if settles:
        await jobs.go_on(job, message.number)
        await jobs.settle(job)


async def _open_job(stores: Stores, message: BatchMessage, over: Over | None) -> Job | None:
    """The job of the batch; None if there is none, or it has ended."""
    job = await stores.jobs.find(message.incarnation, JobKind(message.kind), message.job)
    if job is not None and job.status.ended:
        if over is not None:
            await over(job, message.number)
        return None
    return job


type JobWork = Callable[[Job], Awaitable[Job | None]]
type FailJob = Callable[[Job, JobError], Awaitable[object]]


async def run_undivided(
    stores: Stores, jobs: JobService, job: Job | None, work: JobWork, fail: FailJob | None = None
) -> Job | None:
    """Do a job that has no batches, unless it has ended or someone does it. Raises to be delivered again.

    A worker that lost the job, or whose project was deleted, just stops. `fail` ends the job after an error that stays;
    without it the job's message is tried again after any error.
    """
    if job is None or job.status.ended:
        return None
    lease = await stores.jobs.acquire(job, 0, random_id(), stores.clock())
    if lease is None:
        return None
    try:
        async with heartbeat(lease, stores.clock):
            return await work(job)
    except (LeaseLost, RowChanged, ProjectNotFound):
        return None  # another worker has it, or it was canceled, or the project is gone
    except asyncio.CancelledError:
        await lease.release_soon(stores.clock())
        raise
    except Later as later:  # until then, no other message continues the job
        await lease.release(leased_until(stores.clock(), later.seconds), "")
        await jobs.send(job, delay=later.seconds)
    except Exception as error:
        reason = None if fail is None else _lasting(error)
        if fail is None or reason is None:
            await lease.release(stores.clock(), "")
            raise
        if not isinstance(error, LabelbridgeError | EngineError) or error.__cause__ is not None:
            text = "The %s job %s of the project '%s' failed."
            stack = telemetry.without_message(error)
            log.error(text, job.kind, job.id, job.project, exc_info=stack)  # noqa: TRY400 - no text
        try:
            await fail(job, reason)
        except Exception:
            await lease.release(stores.clock(), "")
            raise
    return None


def _lasting(error: Exception) -> JobError | None:
    """Why a job fails permanently; None: it can be retried."""
    match error:
        case EngineUnavailable() | Unavailable() | StorageUnavailable():
            return None
        case LabelbridgeError():
            return JobError(error.code, error.message)
        case EngineError():
            return JobError(type(error).__name__, str(error))
        case _:
            return JobError("JobFailed", reason_of(error))


@asynccontextmanager
async def heartbeat(lease: Lease, clock: Callable[[], datetime]) -> AsyncGenerator[None]:
    """Renew the lease while the block runs; the block is canceled, and LeaseLost raised, when it is lost.

    A renewal that fails is retried until the lease expires; then LeaseExpired is raised.
    """
    worker = asyncio.current_task()
    lost: LeaseLost | LeaseExpired | None = None
    until = clock() + LEASE_FOR

    async def renew() -> None:
        nonlocal lost, until
        pause = RENEW_SECONDS
        while lost is None:
            await asyncio.sleep(pause)
            now = clock()
            try:
                async with asyncio.timeout(max(0, (until - now).total_seconds())):
                    await lease.renew(now)
                until, pause = now + LEASE_FOR, RENEW_SECONDS
            except LeaseLost as error:
                lost = error
            except Exception as error:
                pause, reason = RETRY_SECONDS, telemetry.in_line(error)
                if clock() >= until:
                    lost = LeaseExpired("No renewal of the lease succeeded.")
                    stack = telemetry.without_message(error)
                    log.error("A lease was lost: no renewal succeeded (%s)", reason, exc_info=stack)  # noqa: TRY400
                else:
                    log.warning("A lease could not be renewed; retrying: %s", reason)
        if worker is not None:
            worker.cancel()

    renewer = asyncio.create_task(renew())
    try:
        yield
    except asyncio.CancelledError:
        if lost is not None and worker is not None:
            worker.uncancel()
            raise lost from None
        raise
    finally:
        renewer.cancel()


def reason_of(error: Exception) -> str:
    """For people: the message of an engine error, and only the type of others, which may quote a document."""
    if isinstance(error, MemoryError):
        return "There was not enough memory."
    return str(error) if isinstance(error, EngineError) else f"The last error was {type(error).__name__}."
