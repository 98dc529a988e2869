"""Return freed memory to the system: glibc keeps it, in gaps between blocks that are used, and a process that ran large
jobs would hold a third more than it needs. Without glibc, nothing here does anything.
"""

import asyncio
import ctypes
import platform
import time
from collections.abc import Callable
from typing import Any, Final

TRIM_SECONDS: Final = 5.0
"""The least time between two calls. A call takes about 0.3 ms for each MiB that it returns, and allocations wait."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Options of `mallopt`."""
_KEPT_BYTES: Final = 4 << 20


def return_large_blocks() -> None:
    """From now on, return blocks of some MiB as soon as they are freed, for 2 % more CPU. For a process that fits."""
    if (libc := _glibc()) is not None:
        for option in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            libc.mallopt(option, _KEPT_BYTES)


def return_freed() -> None:
    """Return all that is free now. Allocations of other threads wait."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


class Trimmer:
    """Returns all that is free, for a process that runs jobs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = float("-inf")

    async def trim(self) -> None:
        """In a thread; nothing within TRIM_SECONDS of the last call."""
        now = self._clock()
        if now >= self._next:
            self._next = now + TRIM_SECONDS
            await asyncio.to_thread(return_freed)


TRIMMER: Final = Trimmer()
"""For this process."""


def _glibc() -> Any:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
