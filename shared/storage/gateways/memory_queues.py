"""The in-memory twin of the queues' sending side."""

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import override

from shared.storage.gateways.limits import check_message
from shared.storage.gateways.ports import CallCounter, Queues


class MemoryQueues(Queues):
    """Keeps what was sent.

    `messages[queue]` lists (body, due) in the order of sending; `due` is when the message becomes visible.
    """

    def __init__(
        self, *, counter: CallCounter | None = None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.counter = counter or CallCounter()
        self.messages: defaultdict[str, list[tuple[str, datetime]]] = defaultdict(list)
        self.existing: set[str] = set()
        self._clock = clock

    @override
    async def send(self, queue: str, body: str, *, delay: int = 0) -> None:
        check_message(body, delay)
        self.counter.add("queue", "send")
        if queue not in self.existing:
            await self.create(queue)
            self.counter.add("queue", "send")
        self.messages[queue].append((body, self._clock() + timedelta(seconds=delay)))

    @override
    async def create(self, queue: str) -> None:
        self.counter.add("queue", "create")
        self.existing.add(queue)

    def take(self, queue: str) -> str | None:
        """Remove and return the first message that is due, or None; for tests that play the host."""
        now = self._clock()
        waiting = self.messages[queue]
        for position, (body, due) in enumerate(waiting):
            if due <= now:
                del waiting[position]
                return body
        return None
