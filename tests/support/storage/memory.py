"""An in-memory storage account; the contract tests hold it to the behavior of the adapters."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import override

from shared.storage.gateways.limits import check_message
from shared.storage.gateways.ports import Queues, Received
from tests.support.storage.counting import CallCounter
from tests.support.storage.memory_blobs import MemoryBlobs
from tests.support.storage.memory_tables import FULL_PAGES, HOSTILE_PAGES, MemoryTable


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
        self._inserted: dict[tuple[str, str], datetime] = {}
        self._clock = clock

    @override
    async def send(self, queue: str, body: str, *, delay: int = 0) -> None:
        check_message(body, delay)
        self.counter.add("queue", "send")
        if queue not in self.existing:
            await self.create(queue)
            self.counter.add("queue", "send")
        now = self._clock()
        self._inserted.setdefault((queue, body), now)
        self.messages[queue].append((body, now + timedelta(seconds=delay)))

    @override
    async def create(self, queue: str) -> None:
        self.counter.add("queue", "create")
        self.existing.add(queue)

    @override
    async def receive(self, queue: str, seconds: int) -> list[Received]:
        self.counter.add("queue", "receive")
        now = self._clock()
        waiting, found = self.messages[queue], list[Received]()
        for position, (body, due) in enumerate(waiting):
            if due <= now and len(found) < 32:
                hidden = now + timedelta(seconds=seconds)
                waiting[position] = body, hidden
                found.append(Received(body, body, hidden.isoformat(), self._inserted[queue, body]))
        return found

    @override
    async def delete(self, queue: str, message: Received) -> None:
        self.counter.add("queue", "delete")
        entry = message.body, datetime.fromisoformat(message.receipt)
        if entry in self.messages[queue]:
            self.messages[queue].remove(entry)

    def take(self, queue: str) -> str | None:
        """Remove and return the first message that is due, or None; for tests that play the host."""
        now = self._clock()
        waiting = self.messages[queue]
        for position, (body, due) in enumerate(waiting):
            if due <= now:
                del waiting[position]
                return body
        return None


__all__ = ["FULL_PAGES", "HOSTILE_PAGES", "MemoryBlobs", "MemoryQueues", "MemoryStorage", "MemoryTable"]


class MemoryStorage:
    """Tables, blobs and queues with one counter and one clock; stands in for `clients.StorageClients`."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        page_sizes: Sequence[int] = HOSTILE_PAGES,
    ) -> None:
        self.counter = CallCounter()
        self.blobs = MemoryBlobs(counter=self.counter, clock=clock)
        self.queues = MemoryQueues(counter=self.counter, clock=clock)
        self._page_sizes = page_sizes
        self._tables: dict[str, MemoryTable] = {}

    def table(self, name: str) -> MemoryTable:
        """The table of that name, the same each time."""
        if name not in self._tables:
            self._tables[name] = MemoryTable(counter=self.counter, page_sizes=self._page_sizes)
        return self._tables[name]

    async def close(self) -> None:
        """Nothing to close."""
