"""Running one batch of a job under a claim, which is kept alive while its work is done."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from shared.domain.ids import random_id
from shared.domain.jobs import Batch, Job, JobKind
from shared.services.jobs import JobService
from shared.services.messages import BatchMessage
from shared.services.predicting import reason_of
from shared.services.stores import Stores
from shared.storage.jobs import Claim, ClaimLost

RENEW_SECONDS = 7.0

type BatchWork = Callable[[Job, Batch, Claim], Awaitable[None]]
"""Does the batch and closes the claim. Raises ClaimLost; any other error lets the batch be tried again."""


async def run_claimed(
    stores: Stores, jobs: JobService, message: BatchMessage, work: BatchWork, *, gives_up: bool = False
) -> None:
    """Do the batch, unless it is done, somebody does it, or its job is over. Raises to be delivered again.

    What made a try fail is noted in the claim; work that `gives_up` tells it and leaves it as it is.
    """
    job = await stores.jobs.find(message.incarnation, JobKind(message.kind), message.job)
    if job is None or job.status.ended or message.number >= len(job.batches):
        return
    claim = await stores.jobs.claim(job, message.number, random_id(), stores.clock())
    if claim is None:
        return
    try:
        async with renewing(claim, stores.clock):
            await work(job, job.batches[message.number], claim)
    except ClaimLost:
        return
    except Exception as error:
        await claim.release(stores.clock(), claim.failure if gives_up else reason_of(error))
        raise
    await jobs.settle(job)


@asynccontextmanager
async def renewing(claim: Claim, clock: Callable[[], datetime]) -> AsyncGenerator[None]:
    """Renew the claim while the block runs; the block is cancelled, and ClaimLost raised, when it is lost."""
    worker = asyncio.current_task()
    lost = False

    async def renew() -> None:
        nonlocal lost
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await claim.renew(clock())
            except ClaimLost:
                lost = True
                if worker is not None:
                    worker.cancel()
                return

    renewer = asyncio.create_task(renew())
    try:
        yield
    except asyncio.CancelledError:
        if lost and worker is not None:
            worker.uncancel()
            raise ClaimLost from None
        raise
    finally:
        renewer.cancel()
