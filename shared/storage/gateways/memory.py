"""The in-memory twin of a storage account, held to the adapters' behaviour by the contract tests."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from shared.storage.gateways.memory_blobs import MemoryBlobs
from shared.storage.gateways.memory_queues import MemoryQueues
from shared.storage.gateways.memory_tables import FULL_PAGES, HOSTILE_PAGES, MemoryTable
from shared.storage.gateways.ports import CallCounter

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
