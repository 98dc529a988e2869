"""Keeping a claim alive while its work is done."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from shared.storage.jobs import Claim, ClaimLost

RENEW_SECONDS = 7.0


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
