"""The life cycle of jobs: started, queued, settled when all batches are done, read, canceled.

Queue messages are references to work, never text: small, of one version, and understood from whatever queue.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import batched
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared import telemetry
from shared.domain.errors import BadMessage, Conflict
from shared.domain.jobs import (
    CANCELED_BY_CALLER,
    CONTENT_FILTERED,
    AutolabelParameters,
    AutolabelResult,
    BatchResult,
    BulkParameters,
    BulkResult,
    FitResult,
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
from shared.domain.names import WORK_QUEUE
from shared.domain.project import OfProject
from shared.domain.text import NO_TOKENS, Tokens
from shared.services.jobs.stores import BudgetService, Stores, is_paid, paid, skipped
from shared.storage.gateways.ports import Operation, RowChanged, RowExists, StorageError
from shared.storage.jobs import BatchState
from shared.storage.leases import LEASE_FOR

log = logging.getLogger("labelbridge.jobs")

#: Queues of the previous version, whose messages are still understood.
FORMER_QUEUES = ("autolabel-plan", "autolabel-batch", "jobs", "training", "review-bulk", "connection")

#: Names and ids in the forms that we create, so that they fit into storage keys.
type Id = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.-]+$")]


class Message(OfProject, BaseModel):
    """Names a project and its incarnation: messages of a deleted project change nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    v: Literal[1] = 1
    project: Id
    incarnation: Id
    #: 1 for the first delivery; a message that failed is sent again with the next number.
    attempt: Annotated[int, Field(ge=1)] = 1
    #: The `traceparent` of the sender; "" if nothing is recorded.
    trace: str = Field(default_factory=telemetry.trace, max_length=100)


class PlanMessage(Message):
    """Plan what waits in a project: pending uploads, content not planned.

    `tries`: how many plans in a row were given up before this one.
    """

    id: Id
    tries: Annotated[int, Field(ge=0)] = 0


class BatchMessage(Message):
    """Run one batch of a job."""

    kind: JobKind
    job: Id
    number: Annotated[int, Field(ge=0, le=100_000)]

    @classmethod
    def of(cls, job: Job, number: int, attempt: int = 1) -> "BatchMessage":
        return cls(
            project=job.project,
            incarnation=job.incarnation,
            kind=job.kind,
            job=job.id,
            number=number,
            attempt=attempt,
        )


class JobMessage(Message):
    """Start or continue a job."""

    kind: Id
    job: Id

    @classmethod
    def of(cls, job: Job) -> "JobMessage":
        return cls(project=job.project, incarnation=job.incarnation, kind=job.kind, job=job.id)


#: A message by its fields: a batch has a number, a job has a kind, and a plan has neither.
type Work = BatchMessage | JobMessage | PlanMessage


@cache
def _any_message() -> TypeAdapter[Work]:
    return TypeAdapter(Annotated[Work, Field(union_mode="left_to_right")])


def parse(body: str) -> Work:
    """Raises BadMessage."""
    try:
        return _any_message().validate_json(body)
    except ValidationError as error:
        raise BadMessage(
            f"The message was not created by Labelbridge ({error.error_count()} validation errors)."
        ) from error


#: Seconds that the work of one message may take: far below `functionTimeout` (host.json), at which the host ends the
#: worker process with everything that it is doing. What is left then, another try does; a fit ends its own process.
STEP_SECONDS: Final = 300
BATCH_SECONDS: Final = 600
#: The limit of a job that reads or writes a whole project in one message; a push starts by writing an export file.
PROJECT_SECONDS: Final = 600
FIT_SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class KindOfJob:
    """All that the work of one kind of job depends on: who does it, where it waits, and how long it may take.

    `run` and `run_batch` do the work of a message; a kind with `run_batch` has batches. `fail` ends a job where ending
    its row is not all, and `give_up_batch` settles a batch that failed too often. Each is asked for when it is needed,
    so that a service is made with its first work. `queue` has the messages of jobs, `batch_queue` those of batches;
    `seconds` is the limit of `run`.
    """

    run: Callable[[], Callable[[JobMessage], Awaitable[object]]] | None = None
    run_batch: Callable[[], Callable[[BatchMessage], Awaitable[object]]] | None = None
    give_up_batch: Callable[[], Callable[[BatchMessage, str], Awaitable[object]]] | None = None
    fail: Callable[[], Callable[[Job, JobError], Awaitable[object]]] | None = None
    queue: str = WORK_QUEUE
    batch_queue: str = WORK_QUEUE
    seconds: int = STEP_SECONDS


class KindsOfJobs:
    """The table of the kinds of jobs, by name. A missing kind is from another version: its work is not done."""

    def __init__(self, rows: Mapping[str, KindOfJob]) -> None:
        self.rows = rows

    def of(self, kind: str) -> KindOfJob:
        return self.rows.get(kind, _NOBODYS)

    def queue_of(self, message: Work) -> str:
        """The queue for this work."""
        match message:
            case PlanMessage():
                return WORK_QUEUE
            case BatchMessage():
                return self.of(message.kind).batch_queue
            case JobMessage():
                return self.of(message.kind).queue

    def limit_of(self, message: Work) -> int:
        """Seconds that this work may take."""
        match message:
            case PlanMessage():
                return STEP_SECONDS
            case BatchMessage():
                return BATCH_SECONDS
            case JobMessage():
                return self.of(message.kind).seconds


_NOBODYS: Final = KindOfJob()
#: The kind of the message that compares a container with its documents; it has no job.
RECONCILE: Final = "reconcile"
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
    """The total of a job's batches so far."""

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
    def __init__(self, stores: Stores, budgets: BudgetService, kinds: KindsOfJobs) -> None:
        self._stores = stores
        self._budgets = budgets
        self.kinds = kinds

    async def begin(self, job: Job, own: int = 0) -> None:
        """Enqueue the first batches except `own`, which the caller runs; each finished batch enqueues a later one."""
        await self.enqueue(job, range(own, min(in_flight(job), len(job.batches))))

    async def go_on(self, job: Job, done: int) -> None:
        """Enqueue the batch that waited for this one. The sweep does it after a crash."""
        if done + in_flight(job) < len(job.batches):
            await self.enqueue(job, [done + in_flight(job)])

    async def is_due(self, job: Job, number: int) -> bool:
        """Whether the batch may run: with a cost limit, when all before it are done. Each then asks for the next."""
        if number == 0 or in_flight(job) > 1:
            return True
        done = {state.number for state in await self._stores.jobs.states(job) if state.done}
        return done.issuperset(range(number))

    async def enqueue(self, job: Job, numbers: Iterable[int], *, delay: int = 0, attempt: int = 1) -> None:
        """Enqueue batches."""
        for group in batched(numbers, SENDS_AT_ONCE, strict=False):
            messages = [BatchMessage.of(job, number, attempt) for number in group]
            await asyncio.gather(*(self.queue(message, delay=delay) for message in messages))

    async def send(self, job: Job, *, delay: int = 0) -> None:
        """Enqueue a job, to be started or continued."""
        await self.queue(JobMessage.of(job), delay=delay)

    async def queue(self, message: Work, *, delay: int = 0) -> None:
        """Send the message to the queue of its kind, with a delay in seconds."""
        await self._stores.queues.send(self.kinds.queue_of(message), message.model_dump_json(), delay=delay)

    async def start(self, job: Job, *more: Operation, own: int = 0) -> Job:
        """Write the plan of a job and queue its first batches but `own`, which the caller runs itself.

        A job without batches has ended. `more` are committed with the plan. Raises RowChanged.
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
        """Write the end of a job, with that of a fit; one that has ended stays as it is."""
        if job.status.ended:
            return job
        now, last = self._stores.clock(), job.result if result is None else result
        ended = replace(
            job,
            status=status,
            updated=now,
            result=last.stopped(status, now) if isinstance(last, FitResult) else last,
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
        ended = await self.end(job, status, result=result_of(job, progress), errors=errors)
        await self._delete_answers(job)  # those of a process that died while it stopped the job
        return ended

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
        """Cancel a job now: nothing more is committed. Canceling twice has the effect of canceling once."""
        if job.status.ended:
            if job.status is JobStatus.CANCELLED:
                return job
            raise Conflict(f"The job has ended ({job.status}); it cannot be canceled.", target="jobId")
        return await self.stop(job, CANCELED_BY_CALLER)

    async def stop(self, job: Job, reason: JobError) -> Job:
        """Settle every unfinished batch as canceled, even one that is running, and end the job."""
        done = {state.number for state in await self._stores.jobs.states(job) if state.done}

        results: dict[int, BatchResult] = {}

        async def give_up(number: int) -> None:
            results[number] = await skipped(self._stores, job, number, reason)
            await self._stores.jobs.finish(job, number, results[number])

        async def count_again(number: int) -> None:
            """Of a worker that stored more answers before it lost the batch."""
            tokens, records = await paid(self._stores, job, number)
            known = results[number]
            result = replace(known, tokens=tokens or known.tokens, text_records=records or known.text_records)
            if result != known:
                await self._stores.jobs.finish(job, number, result, again=True)

        open_batches = [number for number in range(len(job.batches)) if number not in done]
        for step in (give_up, count_again):
            for group in batched(open_batches, STOPS_AT_ONCE, strict=False):
                await asyncio.gather(*map(step, group))
        result = result_of(job, await self.progress(job)) if job.batches else job.result
        status = JobStatus.FAILED if job.kind in NEVER_CANCELLED else JobStatus.CANCELLED
        ended = await self.end(job, status, result=result, errors=(reason,))
        await self._delete_answers(job)
        return ended

    async def _delete_answers(self, job: Job) -> None:
        """Delete what batches of a job that has ended kept; a worker that stores an answer later deletes it."""
        if not is_paid(job):
            return
        try:
            await self._stores.artifacts.delete_exchanges(job.incarnation, job.id)
        except (
            StorageError
        ) as error:  # the job has ended, and what is left is deleted with the job or the project
            text = "The stored answers of the job %s could not be deleted: %s"
            log.warning(text, job.id, telemetry.in_line(error))


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
    """The total of a job's batches; None for a job that has no result."""
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


SECONDS = 2.0
#: Time limit of background work after its response; then the job's message or the next sweep continues it.
BACKGROUND_SECONDS = 600.0

_running: set[asyncio.Task[Any]] = set()  # the loop keeps only weak references to tasks


def in_background[T](work: Coroutine[Any, Any, T]) -> asyncio.Task[T | None]:
    """Start background work; its result, None when it fails.

    After a later failure, the next sweep continues the work.
    """
    task = asyncio.create_task(_logged(work))
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


async def for_a_moment[T](work: Coroutine[Any, Any, T]) -> T | None:
    """The result if it is ready within a moment; otherwise, and when it fails, None."""
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
