"""Storage before whose n-th call another caller acts, to test every interleaving of two callers.

storage = Meanwhile(7, lambda: other.container.projects.delete("p", "job"))
app = living(MemoryStorage(), clock, faults=storage)
"""

from collections.abc import Awaitable, Callable
from typing import override

from tests.support.storage.counting import Service
from tests.support.storage.faults import Faults


class Meanwhile(Faults):
    """`done` tells whether call `number` (from 0; None: not yet) came at all."""

    def __init__(self, number: int | None, action: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self.done = False
        self.number = number
        self._action = action

    @override
    async def around[T](
        self, service: Service, operation: str, target: str, action: Callable[[], Awaitable[T]]
    ) -> T:
        if not self.done and self.number is not None and len(self.calls) >= self.number:
            self.done = True
            await self._action()
        return await super().around(service, operation, target, action)
