"""A table of the in-memory storage account."""

import itertools
from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import override

from shared.storage.gateways.limits import check_bounds, check_commit, check_key
from shared.storage.gateways.ports import (
    Delete,
    Insert,
    Merge,
    Operation,
    Replace,
    Row,
    RowChanged,
    RowExists,
    RowMissing,
    Table,
    UpsertMerge,
    Value,
)
from tests.support.storage.counting import CallCounter

HOSTILE_PAGES = (3, 0, 1000, 1, 0, 0, 1000)
"""Rows of one service page after another, then over again: short and empty ones may come at any time."""
FULL_PAGES = (1000,)
"""Pages as Azurite sends them; for tests that count calls."""

type _Partition = dict[str, Row]


class MemoryTable(Table):
    """One table; it comes to be with its first commit or `create`, as with the adapter."""

    def __init__(
        self,
        *,
        counter: CallCounter | None = None,
        page_sizes: Sequence[int] = HOSTILE_PAGES,
        exists: bool = False,
    ) -> None:
        if not any(page_sizes):
            raise ValueError("Some page must hold rows, or a query never ends.")
        self.counter = counter or CallCounter()
        self.exists = exists
        self._page_sizes = page_sizes
        self._partitions: dict[str, _Partition] = {}
        self._order: dict[str, list[bytes]] = {}  # the keys of each partition as big-endian UTF-16, sorted
        self._revision = 0

    @override
    async def get(self, partition: str, key: str, *, select: Sequence[str] | None = None) -> Row | None:
        check_key(partition)
        check_key(key)
        self.counter.add("table", "get")
        row = self._partitions.get(partition, {}).get(key)
        return row and _selected(row, select)

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
        found: list[Row] = []
        async for page in self._pages(partition, low, high, select, limit):
            found += page
            if limit is not None and len(found) >= limit:
                return found[:limit]
        return found

    @override
    def pages(
        self, partition: str, low: str = "", high: str | None = None, *, select: Sequence[str] | None = None
    ) -> AsyncIterator[list[Row]]:
        return self._pages(partition, low, high, select, None)

    @override
    async def commit(
        self, partition: str, operations: Sequence[Operation], *, at_once: bool = False
    ) -> list[str]:
        check_commit(partition, operations)
        if not operations:
            return []
        self.counter.add("table", "commit")
        if not self.exists:
            await self.create()
            self.counter.add("table", "commit")
        changed = self._applied(partition, operations)
        for key, row in changed.items():
            self._store(partition, key, row)
        return [row.etag if row else "" for row in changed.values()]

    @override
    async def create(self) -> None:
        self.counter.add("table", "create")
        self.exists = True

    @override
    async def drop(self) -> None:
        self.counter.add("table", "drop")
        self.exists = False
        self._partitions.clear()
        self._order.clear()

    def rows(self) -> Iterator[Row]:
        """Every row of every partition, for tests to look at; counts no call."""
        for partition in sorted(self._partitions):
            yield from (self._partitions[partition][_text(key)] for key in self._order[partition])

    async def _pages(
        self, partition: str, low: str, high: str | None, select: Sequence[str] | None, limit: int | None
    ) -> AsyncIterator[list[Row]]:
        check_key(partition)
        check_bounds(low, high)
        position = _units(low)
        for most in itertools.cycle(self._page_sizes):
            self.counter.add("table", "query")
            size = most if limit is None else min(most, limit)
            keys = self._order.get(partition, [])
            start = bisect_left(keys, position)
            end = len(keys) if high is None else bisect_left(keys, _units(high))
            page = keys[start : min(end, start + size)]
            rows = self._partitions.get(partition, {})
            # The continuation token names the next row, as the service's does: taken now, for rows may go meanwhile.
            position = keys[start + size] if start + size < end else None
            yield [_selected(rows[_text(key)], select) for key in page]
            if position is None:
                return

    def _applied(self, partition: str, operations: Sequence[Operation]) -> dict[str, Row | None]:
        """The rows as they will be, by key; None for a deleted one. Raises before anything is changed."""
        rows = self._partitions.get(partition, {})
        changed: dict[str, Row | None] = {}
        for index, operation in enumerate(operations):
            key = operation.key
            row = rows.get(key)
            _check_condition(operation, row, index)
            if isinstance(operation, Delete):
                changed[key] = None
                continue
            values: Mapping[str, Value] = _stored(operation.values)
            if row and isinstance(operation, Merge | UpsertMerge):
                values = {**row.values, **values}
            self._revision += 1
            changed[key] = Row(partition, key, f"W/\"datetime'{self._revision:08d}'\"", values)
        return changed

    def _store(self, partition: str, key: str, row: Row | None) -> None:
        rows = self._partitions.setdefault(partition, {})
        order = self._order.setdefault(partition, [])
        units = _units(key)
        if row is None:
            del rows[key]
            del order[bisect_left(order, units)]
            return
        if key not in rows:
            insort(order, units)
        rows[key] = row


def _check_condition(operation: Operation, row: Row | None, index: int) -> None:
    match operation:
        case Insert():
            if row:
                raise RowExists(key=operation.key, index=index)
        case Replace() | Merge() | Delete():
            if row is None:
                raise RowMissing(key=operation.key, index=index)
            if operation.etag is not None and operation.etag != row.etag:
                raise RowChanged(key=operation.key, index=index)
        case _:
            pass


def _stored(values: Mapping[str, Value]) -> dict[str, Value]:
    """A copy as the service gives it back: times in UTC."""
    return {n: v.astimezone(UTC) if isinstance(v, datetime) else v for n, v in values.items()}


def _selected(row: Row, select: Sequence[str] | None) -> Row:
    if select is None:
        return row
    return Row(row.partition, row.key, row.etag, {n: row.values[n] for n in select if n in row.values})


def _units(key: str) -> bytes:
    """The service orders keys by UTF-16 code unit, which is not Python's order of code points."""
    return key.encode("utf-16-be")


def _text(units: bytes) -> str:
    return units.decode("utf-16-be")
