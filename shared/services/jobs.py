"""The life of jobs: begun, queued, settled when all batches are done, looked at, cancelled."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import batched
from typing import Any

from shared.domain.errors import Conflict
from shared.domain.jobs import (
    Job,
    JobError,
    JobKind,
    JobStatus,
    Outcome,
    ended_status,
)
from shared.services.budgets import BudgetService
from shared.services.messages import BATCH_QUEUE, JOB_QUEUE, REVIEW_QUEUE, BatchMessage, JobMessage
from shared.services.stores import Stores
from shared.services.unfinished import left_out
from shared.storage.gateways.ports import Operation, RowChanged, RowExists
from shared.storage.jobs import BatchState

BATCH_KINDS = frozenset({JobKind.AUTOLABEL, JobKind.REGISTER, JobKind.REVIEW, JobKind.UNDO})
#: Operations of Azure whose official pollers would wait for ever: they know no `cancelled`.
NEVER_CANCELLED = frozenset({JobKind.EXPORT, JobKind.EVALUATE})
#: When a job's message comes, should the process die that began it.
SAFETY_SECONDS = 20
MAX_ERRORS = 20
SENDS_AT_ONCE = 16
STOPS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Progress:
    """What the batches of a job add up to so far."""

    counts: dict[str, int]
    text_records: int
    errors: tuple[JobError, ...]
    batches_done: int
    total: int

    @property
    def done(self) -> int:
        return sum(self.counts.values())


class JobService:
    def __init__(self, stores: Stores, budgets: BudgetService) -> None:
        self._stores = stores
        self._budgets = budgets

    async def enqueue(self, job: Job, numbers: Iterable[int]) -> None:
        """Ask for batches to be run."""
        queue = REVIEW_QUEUE if job.kind in {JobKind.REVIEW, JobKind.UNDO} else BATCH_QUEUE

        async def ask(number: int) -> None:
            message = BatchMessage(
                project=job.project, incarnation=job.incarnation, kind=job.kind, job=job.id, number=number
            )
            await self._stores.queues.send(queue, message.model_dump_json())

        for group in batched(numbers, SENDS_AT_ONCE, strict=False):
            await asyncio.gather(*map(ask, group))

    async def send(self, job: Job, queue: str = JOB_QUEUE, delay: int = 0) -> None:
        """Ask for a job to be run, or to go on."""
        message = JobMessage(project=job.project, incarnation=job.incarnation, kind=job.kind, job=job.id)
        await self._stores.queues.send(queue, message.model_dump_json(), delay=delay)

    async def start(self, job: Job, *more: Operation, own: int = 0) -> Job:
        """Write the plan of a job and queue its batches but the first `own`, which the caller runs itself.

        A job without batches has ended. `more` land with the plan. Raises RowChanged.
        """
        saved = await self._stores.jobs.save(job, *more)
        await self.enqueue(saved, range(own, len(saved.batches)))
        return saved if saved.batches else await self.settle(saved)

    async def end(
        self,
        job: Job,
        status: JobStatus,
        *,
        result: dict[str, Any] | None = None,
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
            settled = await self._budgets.settle(job, ended.result.get("textRecords", 0))
            return await self._stores.jobs.save(ended, *settled)
        except (RowChanged, RowExists):
            found = await self._stores.jobs.find(job.incarnation, job.kind, job.id)
            if found is None or found.status.ended:
                return found or ended
            return await self.end(found, status, result=result, errors=errors, warnings=warnings)

    async def settle(self, job: Job) -> Job:
        """End a batch job when all its batches are done. An upload job that planned nothing removes itself (A1)."""
        if job.status.ended or job.status is JobStatus.NOT_STARTED:
            return job
        progress = await self.progress(job)
        if progress.batches_done < len(job.batches):
            return job
        nothing = not progress.counts and not progress.errors
        if job.kind is JobKind.REGISTER or (
            nothing and job.parameters.get("source") in {"upload", "waiting"}
        ):
            await self._stores.jobs.remove(job)
            return replace(job, status=JobStatus.SUCCEEDED)
        cancelling = job.status is JobStatus.CANCELLING
        status = ended_status(progress.counts, cancelled=cancelling)
        if progress.errors and not progress.counts:
            status = JobStatus.FAILED
        errors = progress.errors or await self._reasons(job, progress)
        return await self.end(job, status, result=result_of(job, progress), errors=errors)

    async def _reasons(self, job: Job, progress: Progress) -> tuple[JobError, ...]:
        """Why documents failed, each reason once: no job fails without one (rule A5)."""
        if not progress.counts.get(Outcome.FAILED):
            return ()
        outcomes = await self._stores.jobs.outcomes(job)
        return tuple(
            dict.fromkeys(one.error for one in outcomes if one.error and one.outcome is Outcome.FAILED)
        )[:MAX_ERRORS]

    async def progress(self, job: Job) -> Progress:
        return progress_of(job, await self._stores.jobs.states(job))

    async def view(self, job: Job) -> Job:
        """The job as a caller sees it: with the result so far, also before it is planned and when it could not be."""
        if job.kind is JobKind.AUTOLABEL and not job.result and not job.batches:
            return replace(job, result=result_of(job, progress_of(job, ())))
        if job.status.ended or not job.batches:
            return job
        job = await self.settle(job)
        return job if job.status.ended else replace(job, result=result_of(job, await self.progress(job)))

    async def cancel(self, job: Job) -> Job:
        """End a job now: what has not landed will not. Cancelling twice is cancelling once."""
        if job.status.ended:
            if job.status is JobStatus.CANCELLED:
                return job
            raise Conflict(f"The job has ended ({job.status}); it cannot be cancelled.", target="jobId")
        return await self.stop(job, JobError("Cancelled", "The job was cancelled by a caller."))

    async def stop(self, job: Job, reason: JobError) -> Job:
        """Settle every batch that is not done as cancelled, whoever runs it, and end the job."""
        done = {state.number for state in await self._stores.jobs.states(job) if state.done}

        async def give_up(number: int) -> None:
            result = await left_out(self._stores, job, job.batches[number], reason)
            await self._stores.jobs.finish(job, number, result)

        open_batches = (number for number in range(len(job.batches)) if number not in done)
        for group in batched(open_batches, STOPS_AT_ONCE, strict=False):
            await asyncio.gather(*map(give_up, group))
        result = result_of(job, await self.progress(job)) if job.batches else dict(job.result)
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
    return Progress(counts, sum(s.text_records for s in done), tuple(errors), len(done), total)


def result_of(job: Job, progress: Progress) -> dict[str, Any]:
    """The `result` of a batch job on the wire."""
    if job.kind in {JobKind.REVIEW, JobKind.UNDO}:
        names = (
            ("matched", "changed", "conflicts", "documents") if job.kind is JobKind.REVIEW else ("undone",)
        )
        done = 100 * progress.batches_done // len(job.batches) if job.batches else 100
        return {**{name: progress.counts.get(name, 0) for name in names}, "percentComplete": done}
    total = max(progress.total, progress.done)
    percent = 100 if progress.batches_done == len(job.batches) else 100 * progress.done // max(total, 1)
    return {
        "engine": job.parameters.get("engine"),
        "modelLabel": job.parameters.get("modelLabel"),
        "documentsTotal": total,
        "documentsDone": progress.done,
        "percentComplete": min(percent, 100),
        "outcomes": {outcome.value: progress.counts.get(outcome, 0) for outcome in Outcome},
        "textRecords": progress.text_records,
    }
