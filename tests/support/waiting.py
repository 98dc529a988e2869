"""Waiting for a condition, with a deadline that names it."""

import asyncio
import time
from collections.abc import Awaitable, Callable

#: Seconds between the first looks.
PAUSE = 0.05
#: Later ones are this part of the time waited so far apart, up to LONGEST seconds: what takes long is asked seldom.
SHARE = 0.25
LONGEST = 1.0


async def eventually[T](what: str, look: Callable[[], Awaitable[T | None]], seconds: float = 120.0) -> T:
    """The first answer of `look` that is neither None nor False. Fails when none comes in time."""
    began = time.monotonic()
    while True:
        found = await look()
        if found is not None and found is not False:
            return found
        waited = time.monotonic() - began
        if waited > seconds:
            raise AssertionError(f"Not within {seconds:g} s: {what}")
        await asyncio.sleep(min(max(PAUSE, SHARE * waited), LONGEST))
