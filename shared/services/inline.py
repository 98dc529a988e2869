"""Work begun within a request: a short job has ended when its caller is answered (design section 5)."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("labelbridge.jobs")
SECONDS = 2.0

_running: set[asyncio.Task[Any]] = set()  # the loop itself keeps tasks only weakly


async def for_a_moment[T](work: Coroutine[Any, Any, T]) -> T | None:
    """The result if it comes within a moment; else, and when it fails, None: the job's message goes on with it."""
    task = asyncio.create_task(_logged(work))
    _running.add(task)
    task.add_done_callback(_running.discard)
    await asyncio.wait({task}, timeout=SECONDS)
    return task.result() if task.done() else None


async def _logged[T](work: Coroutine[Any, Any, T]) -> T | None:
    try:
        return await work
    except Exception:
        log.warning("Work within the request failed; the job's message tries it again.", exc_info=True)
        return None
