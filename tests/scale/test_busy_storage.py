"""Batches of several projects over a service that answers one request after the other, in virtual time.

As Azurite does: what is sent behind large transactions waits for all of them.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import override

import pytest

from bench.instant_engine import InstantEngine
from shared.domain.jobs import JobKind
from shared.domain.names import Names
from shared.runtime.container import Container
from shared.services.autolabel import planning, registering
from shared.services.jobs import stores as stores_module
from shared.services.jobs.lifecycle import parse
from shared.services.jobs.stores import build
from shared.storage.gateways import azure_tables
from shared.storage.gateways.azure_tables import LARGE, LARGE_AT_ONCE, AzureTable
from shared.storage.gateways.ports import BlobContent, Operation, Replace, Row, Table
from shared.storage.leases import LEASE_FOR
from tests.support.services import App, Sent, settings
from tests.support.storage.memory import FULL_PAGES, MemoryStorage
from tests.support.virtual_time import VirtualLoop, virtual_now

DOCUMENTS = 500
#: That the service takes for a row of a transaction: 12 large ones take 12 s, a lease 20 s.
ROW_SECONDS = 0.01


class BusyTable(AzureTable):
    """The turns of the gateway before a table in memory."""

    def __init__(self, inner: Table) -> None:
        super().__init__(lambda: None)
        self._inner = inner
        self._service = asyncio.Lock()
        self.large = self.most_large = 0
        self.renewed: dict[str, float] = {}
        self.committed: set[str] = set()
        self.longest = 0.0
        """Seconds between two renewals of a lease, or the last of them and the commit."""

    @override
    async def get(self, partition: str, key: str, *, select: Sequence[str] | None = None) -> Row | None:
        return await self._inner.get(partition, key, select=select)

    @override
    async def _pages(
        self, partition: str, low: str, high: str | None, select: Sequence[str] | None, limit: int | None
    ) -> AsyncIterator[list[Row]]:
        yield await self._inner.query(partition, low, high, select=select, limit=limit)

    @override
    async def _send(self, partition: str, operations: Sequence[Operation]) -> list[str]:
        large = len(operations) >= LARGE
        self.large += large
        self.most_large = max(self.most_large, self.large)
        try:
            async with self._service:
                await asyncio.sleep(ROW_SECONDS * len(operations))
                etags = await self._inner.commit(partition, operations)
        finally:
            self.large -= large
        self._note(operations)
        return etags

    def _note(self, operations: Sequence[Operation]) -> None:
        now = asyncio.get_running_loop().time()
        for operation in operations:
            if operation.key.startswith("batch|") and operation.key not in self.committed:
                if isinstance(operation, Replace):  # what comes later holds nothing
                    self.committed.add(operation.key)
                before = self.renewed.setdefault(operation.key, now)
                self.longest = max(self.longest, now - before)
                self.renewed[operation.key] = now


def _container(storage: MemoryStorage, table: Table, sent: Sent) -> Container:
    stores = build(Names("labelbridge"), table, storage.blobs, sent, virtual_now)
    given = settings(default_engine="instant", collect_window_seconds=2)
    return Container(given, stores, {"instant": InstantEngine})


async def _uploads(projects: Sequence[str], reads: Counter[str]) -> BusyTable:
    storage = MemoryStorage(clock=virtual_now, page_sizes=FULL_PAGES)
    sent = Sent(storage.queues)
    app = App(_container(storage, storage.table("projects"), sent), sent, storage.blobs)
    for name in projects:
        app.name, app.documents = name, f"docs-{name}"
        await app.create()
        await app.define("Refund")
        await asyncio.sleep(10)  # the collection window has passed
        await app.upload({f"{name}-first.txt": "A text."})
        await app.drain()  # with its suggestion: there is a model
    await asyncio.sleep(10)  # the collection window has passed
    for name in projects:
        app.documents = f"docs-{name}"
        await app.upload({f"{name}-{number}.txt": "A text." for number in range(DOCUMENTS)})
    read = storage.blobs.read

    async def counted(container: str, name: str, *, max_bytes: int | None = None) -> BlobContent | None:
        reads[name] += container.startswith("docs-")
        return await read(container, name, max_bytes=max_bytes)

    storage.blobs.read = counted  # pyright: ignore[reportAttributeAccessIssue] - counts
    busy = BusyTable(storage.table("projects"))
    instance = _container(storage, busy, sent)

    async def drained() -> None:
        while sent.waiting:
            bodies = [body for _, body in sent.waiting]
            sent.waiting.clear()
            await asyncio.gather(*(instance.dispatcher.run_or_retry(parse(body)) for body in bodies))

    await drained()
    for name in projects:
        app.name = name
        jobs = await app.jobs(JobKind.AUTOLABEL)
        assert all(job.status.ended for job in jobs)
    return busy


@pytest.mark.parametrize("projects", ["abc", "abcdef"], ids=["3 projects", "6 projects"])
def test_leases_are_renewed_in_time_behind_12_large_transactions(
    projects: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """So no batch is begun again: each document is read once."""
    caplog.set_level(logging.WARNING)
    reads: Counter[str] = Counter()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        for module in (registering, planning, stores_module, azure_tables):
            monkeypatch.setattr(module, "monotonic", loop.time)
        busy = runner.run(_uploads(projects, reads))

    assert busy.most_large == LARGE_AT_ONCE
    assert busy.longest < LEASE_FOR.total_seconds()
    assert not [record for record in caplog.records if "lease" in record.getMessage()]
    assert reads == Counter({f"{name}-{number}.txt": 1 for name in projects for number in range(DOCUMENTS)})
