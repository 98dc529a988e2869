"""`todo` rows: an upload that was seen and not yet folded into its page. A row says "look", never "what".

Events arrive one by one, but a partition takes a hundred rows in one transaction. So while one transaction is under
way the next events wait, and go together in the one after it: every caller returns when its own row is durable.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from shared.domain.document import document_id
from shared.domain.ids import random_id
from shared.domain.page import first_id
from shared.domain.project import Scope
from shared.storage import keys, packing
from shared.storage.gateways.ports import (
    Delete,
    Row,
    RowChanged,
    RowMissing,
    Table,
    UpsertMerge,
    Value,
)

GROUP = 100


@dataclass(frozen=True, slots=True)
class Todo:
    """A document to look at; `etag` tells this look from a later one."""

    document_id: str
    location: str
    etag: str


class TodoStore:
    def __init__(self, table: Table, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._clock = clock
        self._waiting: dict[str, dict[str, tuple[str, list[asyncio.Future[None]]]]] = {}
        self._writers: dict[str, asyncio.Task[None]] = {}

    async def add(self, incarnation: str, location: str) -> None:
        """Remember to look at a blob. Returns when the row is durable."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(incarnation, {})
        _, futures = waiting.setdefault(document_id(location), (location, []))
        futures.append(done)
        if incarnation not in self._writers:
            self._writers[incarnation] = asyncio.create_task(self._write(incarnation))
        await done

    async def add_many(self, incarnation: str, locations: Iterable[str]) -> None:
        """Remember to look at what a listing found; an event that comes later does not hide that it was asked for."""
        rows = {document_id(one): one for one in locations}
        items = list(rows.items())
        for start in range(0, len(items), GROUP):
            await self._put(incarnation, items[start : start + GROUP], asked=self._clock())

    async def of_pages(self, scope: Scope, low: int, high: int) -> list[Todo]:
        """The rows of documents of the pages `low` to before `high`."""
        partition = keys.todo_partition(scope.incarnation)
        rows = await self._table.query(partition, first_id(low, scope.pages), first_id(high, scope.pages))
        return [_decode(row) for row in rows]

    async def all(self, scope: Scope, limit: int) -> list[Todo]:
        rows = await self._table.query(keys.todo_partition(scope.incarnation), limit=limit)
        return [_decode(row) for row in rows]

    async def any(self, incarnation: str, until: datetime) -> bool:
        """Whether a look is outstanding whose last event or listing is not younger than a moment."""
        return await self._any(incarnation, "seen", until)

    async def any_asked(self, incarnation: str) -> bool:
        """Whether a look is outstanding that a listing asked for, any listing: a later one renews the row."""
        return await self._any(incarnation, "asked", None)

    async def _any(self, incarnation: str, name: str, until: datetime | None) -> bool:
        async for rows in self._table.pages(keys.todo_partition(incarnation), select=[name]):
            times = (at for row in rows if isinstance(at := row.values.get(name), datetime))
            if any(until is None or at <= until for at in times):
                return True
        return False

    async def remove(self, scope: Scope, looked_at: Iterable[Todo]) -> None:
        """Delete the rows at the version that was read; a row that a later event renewed stays."""
        left = list(looked_at)
        while left:
            group, rest = left[:GROUP], left[GROUP:]
            left = rest
            while group:
                try:
                    deletes = [Delete(one.document_id, one.etag) for one in group]
                    await self._table.commit(keys.todo_partition(scope.incarnation), deletes)
                    break
                except (RowChanged, RowMissing) as refusal:
                    group = [one for one in group if one.document_id != refusal.key] if refusal.key else []

    async def _write(self, incarnation: str) -> None:
        waiting = self._waiting[incarnation]
        try:
            while waiting:
                group = [(key, waiting.pop(key)) for key in list(waiting)[:GROUP]]
                futures = [future for _, (_, ones) in group for future in ones]
                try:
                    await self._put(incarnation, [(key, location) for key, (location, _) in group])
                except Exception as error:  # noqa: BLE001 - the callers raise it, and their events come again
                    for future in futures:
                        if not future.done():
                            future.set_exception(error)
                else:
                    for future in futures:
                        if not future.done():
                            future.set_result(None)
        finally:
            del self._writers[incarnation]
            del self._waiting[incarnation]

    async def _put(
        self, incarnation: str, items: list[tuple[str, str]], asked: datetime | None = None
    ) -> None:
        common: dict[str, Value] = {"v": 1, "seen": self._clock()}
        if asked is not None:
            common["asked"] = asked
        rows = [
            UpsertMerge(key, {**common, "location": location, "nonce": random_id()})
            for key, location in items
        ]
        await self._table.commit(keys.todo_partition(incarnation), rows)


def _decode(row: Row) -> Todo:
    return Todo(row.key, packing.string(row.values, "location"), row.etag)
