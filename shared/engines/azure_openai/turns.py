"""How many requests of the process are under way together at one server."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

AT_ONCE: Final = 8
"""Requests that are under way together at most. Others wait here; waiting at the server, they would time out."""
GROWS_AFTER: Final = 50
"""Answers in a row, until one more request may be under way."""


class Turn:
    """One request that is under way. `shared`: others were under way at some time of it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.shared = False


class Turns:
    """A server that answers one request at a time lets the others wait, and those time out there. So each timeout of
    requests that shared the server halves how many go together; answers raise it again, slowly.
    """

    def __init__(self, most: int = AT_ONCE) -> None:
        self._most = most
        self.limit = most
        self._under_way = set[Turn]()
        self._answers = 0
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[Turn]:
        """Wait for a turn, and take it for the block."""
        while len(self._under_way) >= self.limit:
            self._freed.clear()
            await self._freed.wait()
        turn = Turn(self.limit)
        self._under_way.add(turn)
        if len(self._under_way) > 1:
            for each in self._under_way:
                each.shared = True
        try:
            yield turn
        finally:
            self._under_way.discard(turn)
            self._freed.set()

    def answered(self) -> None:
        """The server answered in time."""
        self._answers += 1
        if self._answers >= GROWS_AFTER and self.limit < self._most:
            self.limit += 1
            self._answers = 0

    def timed_out(self, turn: Turn) -> bool:
        """The server did not answer in time. Whether fewer requests together may be enough for it to do so."""
        self._answers = 0
        if turn.shared and turn.limit <= self.limit:  # else it was halved since, for another one of these
            self.limit = max(1, self.limit // 2)
        return turn.shared
