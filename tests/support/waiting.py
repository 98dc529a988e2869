"""Waiting for a condition, with a deadline that names it."""

import asyncio
import time
from collections.abc import Awaitable, Callable

PAUSE = 0.05


async def eventually[T](what: str, look: Callable[[], Awaitable[T | None]], seconds: float = 60.0) -> T:
    """The first answer of `look` that is neither None nor False. Fails when none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = await look()
        if found is not None and found is not False:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {seconds:g} s: {what}")
        await asyncio.sleep(PAUSE)
