"""The life cycle of jobs: started, queued, settled when all batches are done, read, canceled."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import batched
from typing import Any

from shared import telemetry
from shared.domain.errors import Conflict, LabelbridgeError, ProjectNotFound, Unavailable
from shared.domain.jobs import (
    CANCELED_BY_CALLER,
    CONTENT_FILTERED,
    AutolabelParameters,
    AutolabelResult,
    Batch,
    BulkParameters,
    BulkResult,
    Job,
    JobError,
    JobKind,
    JobSource,
    JobStatus,
    Outcome,
    Result,
    UndoParameters,
    UndoResult,
    ended_status,
)
from shared.domain.names import random_id
from shared.domain.text import NO_TOKENS, Tokens
from shared.engines.base import EngineError, EngineUnavailable
from shared.services.jobs.messages import BatchMessage, JobMessage, queue_of
from shared.services.jobs.stores import BudgetService, Stores, left_out
from shared.storage.gateways.ports import Operation, RowChanged, RowExists, StorageUnavailable
from shared.storage.jobs import LEASE_FOR, BatchState, Lease, LeaseLost

BATCH_KINDS = frozenset({JobKind.AUTOLABEL, JobKind.REGISTER, JobKind.REVIEW, JobKind.UNDO})
#: Operations of Azure whose official pollers would wait indefinitely: they do not know `cancelled`.
NEVER_CANCELLED = frozenset({JobKind.EXPORT, JobKind.EVALUATE})
#: After how long a job's message comes, in case the process that began the job dies: by then its lease has run out.
SAFETY_SECONDS = int(LEASE_FOR.total_seconds()) + 5
MAX_ERRORS = 20
SENDS_AT_ONCE = 16
IN_FLIGHT = 16
"""Batches of one job that are queued or run at a time, so that a large job does not fill the queue before others."""
STOPS_AT_ONCE = 8


def in_flight(job: Job) -> int:
    """How many batches of the job may be queued or run; with a cost limit one, which then knows what is left of it."""
    asked = job.parameters
    return 1 if isinstance(asked, AutolabelParameters) and asked.cost_limit is not None else IN_FLIGHT


@dataclass(frozen=True, slots=True)
class Progress:
    """What the batches of a job add up to so far."""

    counts: dict[str, int]
    text_records: int
    errors: tuple[JobError, ...]
    batches_done: int
    total: int
    tokens: Tokens = NO_TOKENS
    left_out: int = 0

    @property
    def done(self) -> int:
        return sum(self.counts.values())


class JobService:
    def __init__(self, stores: Stores, budgets: BudgetService) -> None:
        self._stores = stores
        self._budgets = budgets

    async def begin(self, job: Job, own: int = 0) -> None:
        """Ask for the first batches but `own`, which the caller runs itself; each that is done asks for a later one."""
        await self.enqueue(job, range(own, min(in_flight(job), len(job.batches))))

    async def go_on(self, job: Job, done: int) -> None:
        """Ask for the batch that waited for this one. If nobody does, the sweep does."""
        if done + in_flight(job) < len(job.batches):
            await self.enqueue(job, [done + in_flight(job)])

    async def is_due(self, job: Job, number: int) -> bool:
        """Whether the batch may run: with a cost limit, when all before it are done. Each then asks for the next."""
        if number == 0 or in_flight(job) > 1:
            return True
        done = {state.number for state in await self._stores.jobs.states(job) if state.done}
        return done.issuperset(range(number))

    async def enqueue(self, job: Job, numbers: Iterable[int], *, delay: int = 0, attempt: int = 1) -> None:
        """Ask for batches to be run."""
        for group in batched(numbers, SENDS_AT_ONCE, strict=False):
            messages = [BatchMessage.of(job, number, attempt) for number in group]
            await asyncio.gather(
                *(
                    self._stores.queues.send(queue_of(message), message.model_dump_json(), delay=delay)
                    for message in messages
                )
            )

    async def send(self, job: Job, *, delay: int = 0) -> None:
        """Ask for a job to be run, or to go on."""
        message = JobMessage.of(job)
        await self._stores.queues.send(queue_of(message), message.model_dump_json(), delay=delay)

    async def start(self, job: Job, *more: Operation, own: int = 0) -> Job:
        """Write the plan of a job and queue its first batches but `own`, which the caller runs itself.

        A job without batches has ended. `more` land with the plan. Raises RowChanged.
        """
        saved = await self._stores.jobs.save(job, *more)
        await self.begin(saved, own)
        return saved if saved.batches else await self.settle(saved)

    async def end(
        self,
        job: Job,
        status: JobStatus,
        *,
        result: Result | None = None,
        errors: Sequence[JobError] = (),
        warnings: Sequence[JobError] = (),
    ) -> Job:
        """Write the end of a job; one that has ended stays as it is."""
        if job.status.ended:
            return job
        ended = replace(
            job,
            status=status,
            updated=self._stores.clock(),
            result=job.result if result is None else result,
            errors=(*job.errors, *errors),
            warnings=(*job.warnings, *warnings),
        )
        try:
            settled = await self._budgets.settle(ended)
            saved = await self._stores.jobs.save(ended, *settled)
        except (RowChanged, RowExists):
            found = await self._stores.jobs.find(job.incarnation, job.kind, job.id)
            if found is None or found.status.ended:
                return found or ended
            return await self.end(found, status, result=result, errors=errors, warnings=warnings)
        seconds = (saved.updated - saved.created).total_seconds()
        telemetry.measure("labelbridge.job.duration", seconds, kind=saved.kind, status=saved.status)
        return saved

    async def settle(self, job: Job) -> Job:
        """End a batch job when all its batches are done. An upload job that planned nothing removes itself (A1)."""
        if job.status.ended or job.status is JobStatus.NOT_STARTED:
            return job
        progress = await self.progress(job)
        if progress.batches_done < len(job.batches):
            return job
        nothing = not progress.counts and not progress.errors
        if job.kind is JobKind.REGISTER or (nothing and job.source in {JobSource.UPLOAD, JobSource.WAITING}):
            await self._stores.jobs.remove(job)
            return replace(job, status=JobStatus.SUCCEEDED)
        cancelling = job.status is JobStatus.CANCELLING
        reasons = await self._reasons(job, progress)
        filtered = any(reason.code == CONTENT_FILTERED for reason in reasons)
        status = ended_status(progress.counts, canceled=cancelling, filtered=filtered)
        if progress.errors and not progress.counts:
            status = JobStatus.FAILED
        errors = progress.errors or reasons[:MAX_ERRORS]
        return await self.end(job, status, result=result_of(job, progress), errors=errors)

    async def _reasons(self, job: Job, progress: Progress) -> tuple[JobError, ...]:
        """Why documents failed, each reason once: no job fails without one (rule A5)."""
        if not progress.counts.get(Outcome.FAILED):
            return ()
        outcomes = await self._stores.jobs.outcomes(job)
        return tuple(dict.fromkeys(o.error for o in outcomes if o.error and o.outcome is Outcome.FAILED))

    async def progress(self, job: Job) -> Progress:
        return progress_of(job, await self._stores.jobs.states(job))

    async def view(self, job: Job) -> Job:
        """The job as a caller sees it: with the result so far, also before it is planned and when it could not be."""
        if job.kind is JobKind.AUTOLABEL and job.result is None and not job.batches:
            return replace(job, result=result_of(job, progress_of(job, ())))
        if job.status.ended or not job.batches:
            return job
        job = await self.settle(job)
        return job if job.status.ended else replace(job, result=result_of(job, await self.progress(job)))

    async def cancel(self, job: Job) -> Job:
        """End a job now: what has not landed will not. Canceling twice is canceling once."""
        if job.status.ended:
            if job.status is JobStatus.CANCELLED:
                return job
            raise Conflict(f"The job has ended ({job.status}); it cannot be canceled.", target="jobId")
        return await self.stop(job, CANCELED_BY_CALLER)

    async def stop(self, job: Job, reason: JobError) -> Job:
        """Settle every batch that is not done as canceled, whoever runs it, and end the job."""
        done = {state.number for state in await self._stores.jobs.states(job) if state.done}

        async def give_up(number: int) -> None:
            result = await left_out(self._stores, job, job.batches[number], reason)
            await self._stores.jobs.finish(job, number, result)

        open_batches = (number for number in range(len(job.batches)) if number not in done)
        for group in batched(open_batches, STOPS_AT_ONCE, strict=False):
            await asyncio.gather(*map(give_up, group))
        result = result_of(job, await self.progress(job)) if job.batches else job.result
        status = JobStatus.FAILED if job.kind in NEVER_CANCELLED else JobStatus.CANCELLED
        return await self.end(job, status, result=result, errors=(reason,))


def progress_of(job: Job, states: Sequence[BatchState]) -> Progress:
    counts: dict[str, int] = {}
    total = sum(batch.planned for batch in job.batches)
    errors: list[JobError] = []
    done = [state for state in states if state.done]
    for state in done:
        total += sum(state.counts.values()) - job.batches[state.number].planned
        for outcome, count in state.counts.items():
            counts[outcome] = counts.get(outcome, 0) + count
        if state.error is not None and len(errors) < MAX_ERRORS:
            errors.append(state.error)
    return Progress(
        counts,
        sum(state.text_records for state in done),
        tuple(errors),
        len(done),
        total,
        sum((state.tokens for state in done), NO_TOKENS),
        sum(state.left_out for state in done),
    )


def result_of(job: Job, progress: Progress) -> Result | None:
    """What the batches of a job add up to; None for a job that has no result."""
    counts = progress.counts
    batches_done = 100 * progress.batches_done // len(job.batches) if job.batches else 100
    match job.parameters:
        case AutolabelParameters(engine=engine, model_label=model_label, prices=prices, service_model=model):
            total = max(progress.total, progress.done)
            documents_done = 100 * progress.done // max(total, 1)
            return AutolabelResult(
                engine=engine,
                model_label=model_label,
                documents_total=total,
                documents_done=progress.done,
                percent_complete=100 if batches_done == 100 else min(documents_done, 100),
                outcomes={outcome.value: counts.get(outcome, 0) for outcome in Outcome},
                text_records=progress.text_records,
                tokens=progress.tokens or None,
                cost=prices.cost(progress.tokens) if prices else None,
                left_out=progress.left_out or None,
                model=model,
            )
        case BulkParameters():
            names = ("matched", "changed", "conflicts", "documents")
            return BulkResult(*(counts.get(name, 0) for name in names), percent_complete=batches_done)
        case UndoParameters():
            return UndoResult(counts.get("undone", 0), batches_done)
        case _:
            return job.result


log = logging.getLogger("labelbridge.jobs")
SECONDS = 2.0
#: What goes on after its request has been answered ends then, and the job's message or the next sweep goes on with it.
BACKGROUND_SECONDS = 600.0

_running: set[asyncio.Task[Any]] = set()  # the loop itself keeps tasks only weakly


def in_background[T](work: Coroutine[Any, Any, T]) -> asyncio.Task[T | None]:
    """Begin work that nobody waits for; its result, None when it fails.

    What fails later than the job's message came, the next sweep goes on with.
    """
    task = asyncio.create_task(_logged(work))
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


async def for_a_moment[T](work: Coroutine[Any, Any, T]) -> T | None:
    """The result if it comes within a moment; else, and when it fails, None."""
    task = in_background(work)
    await asyncio.wait({task}, timeout=SECONDS)
    return task.result() if task.done() else None


async def _logged[T](work: Coroutine[Any, Any, T]) -> T | None:
    try:
        async with asyncio.timeout(BACKGROUND_SECONDS):
            return await work
    except Exception as error:  # noqa: BLE001 - the last try has the stack
        log.warning("Work within the request failed; it will be retried: %s", telemetry.in_line(error))
        return None


RENEW_SECONDS = 7.0
#: After a renewal that failed.
RETRY_SECONDS = 1.0
#: Errors that may be gone when the work is tried again.
PASSING = (EngineUnavailable, Unavailable, StorageUnavailable)

type BatchWork = Callable[[Job, Batch, Lease], Awaitable[None]]
"""Does the batch and closes the lease. Raises LeaseLost; any other error lets the batch be tried again."""


class Later(Exception):
    """The work goes on after so many seconds, with another message."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"The work goes on in {seconds} s.")
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
    over: Callable[[Job, int], Awaitable[None]] | None = None,
) -> None:
    """Do the batch, unless it is done or not due, somebody does it, or its job is over. Raises to be delivered again.

    What made a try fail is noted in the lease; work that `gives_up` tells it and leaves it as it is. `settles`: end the
    job if this was its last batch; who runs all batches does that once, after them. `over` is called for a message that
    comes after the end of its job.
    """
    job = await stores.jobs.find(message.incarnation, JobKind(message.kind), message.job)
    if job is not None and job.status.ended and over is not None:
        await over(job, message.number)
    if job is None or job.status.ended or message.number >= len(job.batches):
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
        return
    except asyncio.CancelledError:
        await lease.release_soon(stores.clock())
        raise
    except Later as later:
        await lease.release(leased_until(stores.clock(), later.seconds), lease.failure)
        # To wait is no try, but tries that failed before still count: else a batch could fail without end.
        await jobs.enqueue(job, [message.number], delay=later.seconds, attempt=message.attempt)
        return
    except Exception as error:
        await lease.release(stores.clock(), lease.failure if gives_up else reason_of(error))
        raise
    await jobs.go_on(job, message.number)
    if settles:
        await jobs.settle(job)


type JobWork = Callable[[Job], Awaitable[Job | None]]
type FailJob = Callable[[Job, JobError], Awaitable[object]]


async def run_undivided(
    stores: Stores, jobs: JobService, job: Job | None, work: JobWork, fail: FailJob | None = None
) -> Job | None:
    """Do a job that has no batches, unless it has ended or somebody does it. Raises to be delivered again.

    A worker that lost the job, or whose project is gone, just stops. `fail` ends the job after an error that stays;
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
    except Later as later:  # until then, no other message of the job goes on with it
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
    """Why a job fails for good; None: it can be tried again."""
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

    A renewal that fails is tried again until the lease has run out.
    """
    worker = asyncio.current_task()
    lost = False
    until = clock() + LEASE_FOR

    async def renew() -> None:
        nonlocal lost, until
        pause = RENEW_SECONDS
        while not lost:
            await asyncio.sleep(pause)
            now = clock()
            try:
                async with asyncio.timeout(max(0, (until - now).total_seconds())):
                    await lease.renew(now)
                until, pause = now + LEASE_FOR, RENEW_SECONDS
            except LeaseLost:
                lost = True
            except Exception as error:
                lost, pause = clock() >= until, RETRY_SECONDS
                reason = telemetry.in_line(error)
                if lost:
                    stack = telemetry.without_message(error)
                    log.error("A lease was lost: no renewal succeeded (%s)", reason, exc_info=stack)  # noqa: TRY400
                else:
                    log.warning("A lease could not be renewed; it is tried again: %s", reason)
        if worker is not None:
            worker.cancel()

    renewer = asyncio.create_task(renew())
    try:
        yield
    except asyncio.CancelledError:
        if lost and worker is not None:
            worker.uncancel()
            raise LeaseLost from None
        raise
    finally:
        renewer.cancel()


def reason_of(error: Exception) -> str:
    """For people: what an engine says, and of other errors only the kind, for they may quote a document."""
    return str(error) if isinstance(error, EngineError) else f"The last error was {type(error).__name__}."
