"""The short form of `make bench`: its steps in process, with storage calls and entities for each document, never times.

`tests/integration/test_costs.py` says what uploads, single saves and lists cost.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import override

import pytest

from bench.instant_engine import InstantEngine
from bench.texts import documents, name_of, project_file
from shared.domain.names import DocumentStatus
from shared.services.autolabel.service import AutolabelRequest
from shared.services.review.bulk import BulkRequest
from shared.services.review.listing import DocumentQuery
from shared.storage.gateways.ports import Operation, Row
from tests.support.repeating import Repeating
from tests.support.services import App, Clock, in_process
from tests.support.storage.counting import Service, Snapshot
from tests.support.storage.memory import FULL_PAGES, MemoryStorage

COUNT = 1_000
PAGES = 1_024
ENGINE = "instant"
LABELED = 10
MESSAGES = {"queue_send": 0.04 * COUNT, "queue_create": 2}


class Entities(Repeating):
    """Counts the entities that calls read and write, and the commits that are under way at a time."""

    def __init__(self, storage: MemoryStorage) -> None:
        super().__init__(storage.table("projects"), lambda operations: False)
        self.counts: Counter[str] = Counter()
        self.under_way = self.most_under_way = 0

    @override
    async def commit(self, partition: str, operations: Sequence[Operation]) -> list[str]:
        self.counts["written"] += len(operations)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(0)
            return await super().commit(partition, operations)
        finally:
            self.under_way -= 1

    @override
    async def get(self, partition: str, key: str, *, select: Sequence[str] | None = None) -> Row | None:
        row = await super().get(partition, key, select=select)
        self.counts["read"] += row is not None
        return row

    @override
    async def query(
        self,
        partition: str,
        low: str = "",
        high: str | None = None,
        *,
        select: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[Row]:
        rows = await super().query(partition, low, high, select=select, limit=limit)
        self.counts["read"] += len(rows)
        return rows

    @override
    async def pages(
        self, partition: str, low: str = "", high: str | None = None, *, select: Sequence[str] | None = None
    ) -> AsyncIterator[list[Row]]:
        async for rows in super().pages(partition, low, high, select=select):
            self.counts["read"] += len(rows)
            yield rows


@dataclass
class Bench:
    """An app over storage in memory, and what its steps cost."""

    storage: MemoryStorage
    table: Entities
    app: App
    _calls: Snapshot = field(default_factory=dict[tuple[Service, str], int])
    _entities: Counter[str] = field(default_factory=Counter[str])

    def begin(self) -> None:
        self._calls, self._entities = {**self.storage.counter.snapshot()}, Counter(self.table.counts)

    def cost(self) -> dict[str, int]:
        """Since `begin`: calls of tables, blob reads, blob writes, messages; entities read and written."""
        calls = Counter(self.storage.counter.since({**self._calls}))
        found = dict(self.table.counts - self._entities)
        for (service, operation), count in calls.items():
            name = "tables" if service == "table" else f"{service} {operation}"
            found[name] = found.get(name, 0) + count
        return found

    def expect(self, **most: float) -> None:
        """No kind of call or entity is used more often than so many times, for all documents together."""
        cost = self.cost()
        limits = {name.replace("_", " ", 1): limit for name, limit in most.items()}
        assert all(count <= limits.get(name, 0) for name, count in cost.items()), cost


@pytest.fixture
async def bench() -> Bench:
    clock = Clock()
    storage = MemoryStorage(clock=clock, page_sizes=FULL_PAGES)
    table = Entities(storage)
    app = in_process(storage, clock, table=table, engines={ENGINE: InstantEngine}, default_engine=ENGINE)
    await app.blobs.create_container("docs")
    return Bench(storage, table, app)


async def test_what_the_steps_cost(bench: Bench) -> None:
    app, made = bench.app, documents(COUNT)
    for number, (_, text) in enumerate(made):
        await app.blobs.write("docs", name_of(number), text.encode())
    labels: list[str | None] = [label if number < LABELED else None for number, (label, _) in enumerate(made)]
    file = json.dumps(project_file("p", "docs", labels, autolabel={"onUpload": False})).encode()

    bench.begin()
    await app.container.imports.start("p", file, "tester", "import")
    await app.drain()
    # A page, its head and its history for the import; again for the inspection of the blobs, with a pending upload
    # for each document, which is inserted and deleted.
    # The scan that an import begins does not read the pages that the import wrote.
    most = {"blob_create_container": 1, "blob_write": 2, "blob_list": 1, "blob_delete": 3}
    bench.expect(
        tables=0.25 * COUNT, read=6.2 * COUNT, written=4.2 * COUNT, blob_read=COUNT, **MESSAGES, **most
    )

    bench.begin()
    await app.container.autolabel.start("p", AutolabelRequest(), "job")
    await app.drain()
    # The texts of a twentieth of the documents for the fit, of the labeled ones, of all for the predictions; the model.
    texts = 1.05 * COUNT + LABELED + 1
    bench.expect(
        tables=0.18 * COUNT, read=5 * COUNT, written=1.5 * COUNT, blob_read=texts, blob_write=1, **MESSAGES
    )

    query = DocumentQuery(DocumentStatus.AUTO_LABELED, orderby="uncertainty")
    await app.container.documents.list("p", query, 100, None)
    bench.begin()
    _, shown = await app.container.documents.list("p", query, 100, None)
    assert len(shown.documents) == 100
    bench.expect(tables=2, read=PAGES + 1)

    bench.begin()
    bench.table.most_under_way = 0
    await app.container.bulk.start("p", BulkRequest(accept=True), "tester", "bulk")
    await app.drain()
    # A page, its head and its history. Who runs all batches looks once at what became of them.
    bench.expect(tables=0.095 * COUNT, read=1.4 * COUNT, written=2.1 * COUNT, **MESSAGES)

    assert bench.table.most_under_way > 1  # a batch is computed while another is committed

    bench.begin()
    await app.container.exports.start("p", "export")
    data, _ = await app.container.exports.result("p", "export")
    assert data.count(b'"location"') == COUNT
    bench.expect(
        tables=10,
        read=PAGES + 5,
        written=5,
        blob_read=1,
        blob_write=1,
        **MESSAGES,
    )
