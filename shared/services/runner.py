"""Work that comes from the queues: who runs which kind of job, and how one ends that failed too often."""

from collections.abc import Awaitable, Callable, Mapping

from shared.domain.jobs import Job, JobError, JobKind, JobStatus
from shared.services.jobs import JobService
from shared.services.messages import BatchMessage, JobMessage
from shared.services.stores import Stores

type Run = Callable[[JobMessage], Awaitable[object]]
type RunBatch = Callable[[BatchMessage], Awaitable[object]]
type Fail = Callable[[Job, JobError], Awaitable[object]]


class JobRunner:
    """`failures`: who ends a job of the kind that failed too often, where ending its row is not all."""

    def __init__(
        self,
        stores: Stores,
        jobs: JobService,
        runs: Mapping[str, Run],
        batches: Mapping[str, RunBatch],
        failures: Mapping[str, Fail],
    ) -> None:
        self._stores = stores
        self._jobs = jobs
        self._runs = dict(runs)
        self._batches = dict(batches)
        self._failures = dict(failures)

    async def run(self, message: JobMessage) -> None:
        """Begin, or go on with, a job. A kind that nobody runs is left over from another version: dropped."""
        run = self._runs.get(message.kind)
        if run is not None:
            await run(message)

    async def run_batch(self, message: BatchMessage) -> None:
        """Run one batch of a job."""
        run = self._batches.get(message.kind)
        if run is not None:
            await run(message)

    async def give_up(self, message: JobMessage, reason: str) -> None:
        if message.kind not in JobKind:
            return
        job = await self._stores.jobs.find(message.incarnation, JobKind(message.kind), message.job)
        if job is None:
            return
        error, fail = JobError("JobFailed", reason), self._failures.get(message.kind)
        if fail is not None:
            await fail(job, error)
        else:
            await self._jobs.end(job, JobStatus.FAILED, errors=(error,))
