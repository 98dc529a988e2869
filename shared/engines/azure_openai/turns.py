"""Limits the concurrent requests of the process to one server."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

AT_ONCE: Final = 8
"""The maximum number of concurrent requests. Others wait here, because at the server they would time out."""
GROWS_AFTER: Final = 8
"""After this many answers without a timeout, the number of concurrent requests is doubled."""


class Turns:
    """At a server that answers one request at a time, the others wait and time out: so fewer are sent together.

    Timeouts halve the number if the server answers others, but few between one timeout and the next. A single slow
    document among quick ones halves nothing, and neither does a server that answers nobody.
    """

    def __init__(self, most: int = AT_ONCE) -> None:
        self._most = most
        self.limit = most
        self._under_way = 0
        self._waiting = deque[asyncio.Future[None]]()
        self._answers = 0
        self._since_timeout = most + 1  # so that the first one halves nothing

    @asynccontextmanager
    async def turn(self, *, first: bool = False) -> AsyncGenerator[int]:
        """Wait for a turn, first come, first served, and hold it for the block; yields the number of answers so far.

        `first`: ahead of all that wait, for a request that had a turn and could not use it.
        """
        if self._under_way >= self.limit:  # below the limit nobody waits
            await self._wait(first)
        else:
            self._under_way += 1
        try:
            yield self._answers
        finally:
            self._under_way -= 1
            self._go_on()

    async def _wait(self, first: bool) -> None:
        mine = asyncio.get_running_loop().create_future()
        (self._waiting.appendleft if first else self._waiting.append)(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # it already had its turn
                self._under_way -= 1
                self._go_on()
            raise

    def _go_on(self) -> None:
        while self._waiting and self._under_way < self.limit:
            following = self._waiting.popleft()
            if not following.done():  # otherwise it was canceled
                self._under_way += 1
                following.set_result(None)

    def answered(self) -> None:
        """The server answered in time."""
        self._answers += 1
        self._since_timeout += 1
        if self._since_timeout % GROWS_AFTER == 0:
            self.limit = min(self._most, 2 * self.limit)
            self._go_on()

    def timed_out(self, before: int) -> bool:
        """The server did not answer in time. Returns whether it answered others since the turn began (`before`)."""
        others = self._answers > before
        # Once the number is reduced, the reason is assumed to be the same: two requests may block each other.
        if self.limit < self._most or (others and self._since_timeout <= self.limit):
            self.limit = max(1, self.limit // 2)
        self._since_timeout = 0
        return others
