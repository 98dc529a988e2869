"""Counts the storage calls and entities of the steps of `make bench`, in this process and on in-memory storage."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import override

from bench.instant_engine import InstantEngine
from bench.texts import CLASSES, documents, name_of, project_file
from shared.domain.document import parse_version
from shared.domain.names import DocumentStatus
from shared.domain.review import Decision
from shared.services.autolabel.service import AutolabelRequest
from shared.services.review.bulk import BulkRequest
from shared.services.review.listing import DocumentQuery
from shared.services.review.service import Submitted
from shared.storage.gateways.ports import Operation, Row
from shared.wire.documents import etag
from tests.support.repeating import Repeating
from tests.support.services import App, Clock, in_process
from tests.support.storage.counting import Service, Snapshot
from tests.support.storage.memory import FULL_PAGES, MemoryStorage

ENGINE = "instant"
#: A size that takes less than a minute; above it, the counts per document change little.
MOST = 10_000
#: Turns of the event loop during a commit: by then, many pages are read and decoded.
COMMIT_TURNS = 100


class Entities(Repeating):
    """Counts the entities that calls read and write, and the concurrent commits."""

    def __init__(self, storage: MemoryStorage) -> None:
        super().__init__(storage.table("projects"), lambda operations: False)
        self.counts: Counter[str] = Counter()
        self.under_way = self.most_under_way = 0

    @override
    async def commit(
        self, partition: str, operations: Sequence[Operation], *, at_once: bool = False
    ) -> list[str]:
        self.counts["written"] += len(operations)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            for _ in range(COMMIT_TURNS):
                await asyncio.sleep(0)
            return await super().commit(partition, operations, at_once=at_once)
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
class Counted:
    """An app on in-memory storage, and the cost of its steps."""

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


async def counted_app() -> Counted:
    """An app with an empty container `docs`."""
    clock = Clock()
    storage = MemoryStorage(clock=clock, page_sizes=FULL_PAGES)
    table = Entities(storage)
    # Messages are delivered without their delay: without a window, plans would follow each other without a pause.
    app = in_process(
        storage,
        clock,
        table=table,
        engines={ENGINE: InstantEngine},
        default_engine=ENGINE,
        collect_window_seconds=300,
    )
    await app.blobs.create_container("docs")
    return Counted(storage, table, app)


type Cost = tuple[float, float]
"""Storage calls, and entities read and written."""


async def costs(count: int) -> dict[str, Cost]:
    """Costs by the beginning of the figure's name, per unit of the figure; for at most MOST documents."""
    counted = await counted_app()
    steps = Steps(counted.app, min(count, MOST))
    found: dict[str, Cost] = {}
    for name, times, step in (
        ("import", steps.count, steps.imports),
        ("export", steps.count, steps.exports),
        ("", 1, steps.registers),
        ("autolabel by HTTP", steps.count, steps.autolabels),
        ("first 100", 1, steps.lists),
        ("", 1, steps.chooses),
        ("save of one", 1, steps.saves),
        ("saves of 16", 16, steps.saves_of_16),
        ("bulk accept", steps.count, steps.accepts_all),
        ("", 1, steps.waits_for_events),
        ("autolabel by events", steps.count, steps.takes_events),
    ):
        counted.begin()
        await step()
        cost = Counter(counted.cost())
        entities = cost.pop("read", 0) + cost.pop("written", 0)
        if name:
            found[name] = cost.total() / times, entities / times
    return found


class Steps:
    """The steps of the bench, in this order."""

    def __init__(self, app: App, count: int) -> None:
        self.count = count
        self._app = app
        self._made = documents(count)
        self._chosen: list[Submitted] = []

    async def _bring_in(
        self, name: str, container: str, labels: list[str | None], *, on_upload: bool = False
    ) -> None:
        file = project_file(name, container, labels, autolabel={"onUpload": on_upload})
        await self._app.container.imports.start(name, json.dumps(file).encode(), "bench", f"import-{name}")
        await self._app.drain()

    async def _write(self, container: str, first: int = 0) -> None:
        for number, (_, text) in enumerate(self._made[first:], first):
            await self._app.blobs.write(container, name_of(number), text.encode())

    async def imports(self) -> None:
        await self._bring_in("labels", "missing", [label for label, _ in self._made])

    async def exports(self) -> None:
        job = await self._app.container.exports.start("labels", "export")
        if not job.status.ended:  # on a busy machine, its message continues it
            await self._app.drain()
        await self._app.container.exports.result("labels", "export")

    async def registers(self) -> None:
        await self._write("docs")
        await self._bring_in("http", "docs", [CLASSES[0]])

    async def autolabels(self) -> None:
        await self._app.container.autolabel.start("http", AutolabelRequest(), "job")
        await self._app.drain()

    async def lists(self) -> None:
        query = DocumentQuery(DocumentStatus.AUTO_LABELED, orderby="uncertainty")
        await self._app.container.documents.list("http", query, 100, None)

    async def chooses(self) -> None:
        query = DocumentQuery(DocumentStatus.AUTO_LABELED)
        project, shown = await self._app.container.documents.list("http", query, 17, None)
        for document in shown.documents:
            version = parse_version(etag(document, project.generation))
            self._chosen.append(Submitted(Decision(document.id, accept_all=True), version))

    async def saves(self) -> None:
        await self._app.container.review.save("http", self._chosen[:1], "bench")

    async def saves_of_16(self) -> None:
        save = self._app.container.review.save
        await asyncio.gather(*(save("http", [decision], "bench") for decision in self._chosen[1:]))

    async def accepts_all(self) -> None:
        await self._app.container.bulk.start("http", BulkRequest(accept=True), "bench", "bulk")
        await self._app.drain()

    async def waits_for_events(self) -> None:
        """As in normal use, there is a model: a first upload has a suggestion."""
        await self._app.blobs.create_container("events")
        await self._app.blobs.write("events", name_of(0), self._made[0][1].encode())
        await self._bring_in("events", "events", [CLASSES[0]], on_upload=True)
        await self._app.blobs.write("events", "first.txt", b"A first text.")
        await self._app.container.uploads.seen("events", "first.txt")
        await self._app.drain()
        await self._write("events", first=1)

    async def takes_events(self) -> None:
        names = [name_of(number) for number in range(1, self.count)]
        await asyncio.gather(*(self._app.container.uploads.seen("events", name) for name in names))
        project = await self._app.container.projects.get("events")
        await self._app.container.planner.plan_later("events", project.incarnation, "plan")
        await self._app.drain()
