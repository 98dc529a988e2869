"""One table of the account, through azure-data-tables."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, override
from weakref import WeakValueDictionary

from shared.storage.gateways.azure_errors import code_of, refused, status_of, translated
from shared.storage.gateways.limits import MAX_OPERATIONS, check_bounds, check_commit, check_key
from shared.storage.gateways.ports import (
    Commit,
    Operation,
    Row,
    RowChanged,
    RowExists,
    RowMissing,
    StorageError,
    StorageUnavailable,
    Table,
    TooLarge,
)

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError
from collections.abc import Mapping
from datetime import datetime
from typing import cast

from shared.storage.gateways.ports import (
    Delete,
    Insert,
    Merge,
    Replace,
    UpsertMerge,
    UpsertReplace,
    Value,
)

type Request = tuple[str, dict[str, Any], dict[str, Any]]
"""One operation of `submit_transaction`: its kind, the entity, options."""

INT32 = range(-(2**31), 2**31)
KEYS = frozenset({"PartitionKey", "RowKey"})


def columns(select: Sequence[str] | None) -> list[str] | None:
    """The keys come along always, and Timestamp, of which the SDK makes the etag if the service sends none."""
    return None if select is None else ["PartitionKey", "RowKey", "Timestamp", *select]


def condition(partition: str, low: str, high: str | None) -> tuple[str, dict[str, str]]:
    """The only filter there is: always one partition. Values are parameters, for a key may hold a quote.

    The SDK splits the text at single spaces to find the parameters.
    """
    if high is None:
        return "PartitionKey eq @pk and RowKey ge @lo", {"pk": partition, "lo": low}
    return "PartitionKey eq @pk and RowKey ge @lo and RowKey lt @hi", {"pk": partition, "lo": low, "hi": high}


def encode_operation(partition: str, operation: Operation) -> Request:
    """An operation as a part of a transaction."""
    from azure.data.tables import UpdateMode

    keys = {"PartitionKey": partition, "RowKey": operation.key}
    match operation:
        case Insert(_, values):  # without the option the service sends each row back
            return "create", keys | _encode(values), {"response_preference": "return-no-content"}
        case Replace(_, values, etag):
            return "update", keys | _encode(values), {"mode": UpdateMode.REPLACE, **_if_match(etag)}
        case Merge(_, values, etag):
            return "update", keys | _encode(values), {"mode": UpdateMode.MERGE, **_if_match(etag)}
        case UpsertReplace(_, values):
            return "upsert", keys | _encode(values), {"mode": UpdateMode.REPLACE}
        case UpsertMerge(_, values):
            return "upsert", keys | _encode(values), {"mode": UpdateMode.MERGE}
        case Delete(_, etag):
            return "delete", keys, {} if etag is None else _if_match(etag)


def decode_row(entity: Any) -> Row:
    """A row from an entity; what has no value (`select` of what a row has not) is left out."""
    values = {
        name: _decode(value) for name, value in entity.items() if value is not None and name not in KEYS
    }
    return Row(entity["PartitionKey"], entity["RowKey"], entity.metadata["etag"], values)


def _if_match(etag: str) -> dict[str, Any]:
    from azure.core import MatchConditions

    return {"etag": etag, "match_condition": MatchConditions.IfNotModified}


def _encode(values: Mapping[str, Value]) -> dict[str, Any]:
    return {name: _encode_value(value) for name, value in values.items()}


def _encode_value(value: Value) -> Any:
    """The SDK goes by the exact type: no subclass of int, float or str gets through."""
    from azure.data.tables import EdmType, EntityProperty

    match value:
        case bool() | datetime() | bytes():
            return value
        case int():
            return int(value) if value in INT32 else EntityProperty(int(value), EdmType.INT64)
        case float():
            return float(value)
        case str():
            return str(value)


def _decode(value: Any) -> Value:
    if isinstance(value, tuple):  # an EntityProperty: Edm.Int64
        return cast("tuple[int, object]", value)[0]
    if isinstance(value, datetime):  # a subclass, of the SDK's own
        return datetime.combine(value.date(), value.timetz())
    return value


PAGE = 1000


class _TableExists(StorageUnavailable):
    """The table to create is there already."""


class _TableMissing(RowMissing):
    """There is no such table."""


_BY_CODE: dict[str, type[StorageError]] = {
    "EntityAlreadyExists": RowExists,
    "TableAlreadyExists": _TableExists,
    "TableNotFound": _TableMissing,
}
_BY_STATUS: dict[int | None, type[StorageError]] = {404: RowMissing, 412: RowChanged, 413: TooLarge}


LARGE = MAX_OPERATIONS // 4
LARGE_AT_ONCE = 12
LARGE_SECONDS = 6.0
"""Large transactions of a process that are under way: at most so many, and so many as are done in that time. A service
that is busy answers in the order of arrival, so that those of many batches would delay saves, and renewals of leases
until the leases have run out. A lease is renewed 13 s before it ends."""
LARGE_OF_PROJECT = 4
"""How many of them are of one project. A partition takes 2,000 rows/s, which four transactions of 100 rows exceed if
each takes less than 0.2 s; other projects need not wait while it is throttled."""
KNOWN_PROJECTS, KNOWN_SECONDS = 256, 60
"""How many projects are remembered with the time that their transactions took, and for how long."""


class Turns:
    """The turns of large transactions, in the order of arrival; fewer at a time while each takes the service long.

    A project whose partition is throttled must not hold back others. One whose transactions take less than half of the
    average goes by its own. One of which nothing is known begins with a transaction if less than half are under way.
    """

    def __init__(self) -> None:
        self._under_way = Counter[str]()
        self._seconds = LARGE_SECONDS / LARGE_AT_ONCE
        self._seconds_of: dict[str, tuple[float, float]] = {}  # and when that was
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    @property
    def under_way(self) -> int:
        """Of all projects."""
        return self._under_way.total()

    async def begin(self, project: str) -> None:
        """Wait for a turn."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((project, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(project)
            raise

    def end(self, project: str, seconds: float) -> None:
        """The transaction took the service so long: the time from sending it by the number of those under way then."""
        self._seconds = (self._seconds + seconds) / 2
        known, _ = self._seconds_of.pop(project, (seconds, 0))
        self._seconds_of[project] = (known + seconds) / 2, monotonic()
        if len(self._seconds_of) > KNOWN_PROJECTS:
            self._seconds_of.pop(next(iter(self._seconds_of)))
        self._leave(project)

    def _leave(self, project: str) -> None:
        self._under_way -= Counter({project: 1})
        self._admit()

    def _admit(self) -> None:
        waiting, self._waiting = self._waiting, []
        for project, turn in waiting:
            if turn.done():
                continue
            if self.under_way < self._most(project):
                turn.set_result(None)
                self._under_way[project] += 1
            else:
                self._waiting.append((project, turn))

    def _most(self, project: str) -> int:
        """With how many of all projects under way the next of this one has to wait."""
        most = _in_time(self._seconds)
        known, when = self._seconds_of.get(project, (0, -KNOWN_SECONDS))
        if monotonic() - when >= KNOWN_SECONDS:
            return max(most, LARGE_AT_ONCE // 2) if not self._under_way[project] else most
        return _in_time(known) if known < self._seconds / 2 else most


def _in_time(seconds: float) -> int:
    return max(1, int(min(LARGE_AT_ONCE, LARGE_SECONDS / seconds))) if seconds > 0 else LARGE_AT_ONCE


class AzureTable(Table):
    """The table that `client` reaches: a `TableClient`, whose own types are incomplete."""

    def __init__(self, client: Callable[[], Any]) -> None:
        self._client = client
        self._large = Turns()
        self._large_of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @override
    async def get(self, partition: str, key: str, *, select: Sequence[str] | None = None) -> Row | None:
        check_key(partition)
        check_key(key)
        call = self._client().get_entity(partition, key, select=columns(select))
        try:
            return decode_row(await self._call(call))
        except RowMissing:
            return None

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
        async with self.turn(partition, 0 if at_once else len(operations)) as commit:
            return await commit(partition, operations)

    @override
    @asynccontextmanager
    async def turn(self, partition: str, operations: int) -> AsyncGenerator[Commit]:
        if operations < LARGE:
            yield self._commit
            return
        # A project has two partitions. Its own turn comes first: what waits for that takes no turn of other projects.
        project = partition.partition("|")[0]
        async with self._large_of.setdefault(project, asyncio.Semaphore(LARGE_OF_PROJECT)):
            await self._large.begin(project)
            beside, started = self._large.under_way, monotonic()
            try:
                yield self._commit
            finally:
                self._large.end(project, (monotonic() - started) / beside)

    @override
    async def create(self) -> None:
        with suppress(_TableExists):
            await self._call(self._client().create_table())

    @override
    async def drop(self) -> None:
        await self._call(self._client().delete_table())  # which takes a missing table for deleted

    async def _pages(
        self, partition: str, low: str, high: str | None, select: Sequence[str] | None, limit: int | None
    ) -> AsyncIterator[list[Row]]:
        check_key(partition)
        check_bounds(low, high)
        text, parameters = condition(partition, low, high)
        size = PAGE if limit is None else min(limit, PAGE)
        pages: Any = (
            self._client()
            .query_entities(text, parameters=parameters, select=columns(select), results_per_page=size)
            .by_page()
        )
        while True:
            try:
                page = await self._call(anext(pages))
            except RowMissing:
                return
            yield [decode_row(entity) async for entity in page]
            if not pages.continuation_token:
                return

    async def _commit(self, partition: str, operations: Sequence[Operation]) -> list[str]:
        """Send a transaction; a missing table is created."""
        check_commit(partition, operations)
        if not operations:
            return []
        try:
            return await self._send(partition, operations)
        except _TableMissing:
            await self.create()
        return await self._send(partition, operations)

    async def _send(self, partition: str, operations: Sequence[Operation]) -> list[str]:
        """Send a transaction, also of one operation: alone, the SDK would not tell that a row was missing."""
        requests = [encode_operation(partition, operation) for operation in operations]
        try:
            answers = await self._call(self._client().submit_transaction(requests), operations)
        except ValueError as error:
            raise StorageUnavailable(f"Unexpected response to a transaction: {error}") from error
        if len(answers) != len(operations):
            raise StorageUnavailable(
                f"The response has {len(answers)} results for {len(operations)} operations."
            )
        return [str(answer.get("etag") or "") for answer in answers]

    async def _call[T](self, call: Awaitable[T], operations: Sequence[Operation] = ()) -> T:
        return await translated(call, lambda error: _translated(error, operations))


def _translated(error: AzureError, operations: Sequence[Operation]) -> StorageError:
    """The port's error; of a transaction's failure the SDK tells the index of the operation."""
    status, code, index = status_of(error), code_of(error), getattr(error, "index", 0)
    return row_error(status, code, str(error), operations, index)


def row_error(
    status: int | None, code: str, text: str, operations: Sequence[Operation], index: int
) -> StorageError:
    """The port's error for what the service refused, of which `index` is the operation at fault."""
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if kind is None:
        return refused(status, code, text)
    if kind is TooLarge or index >= len(operations):
        return kind(text[:300])
    return kind(key=operations[index].key, index=index)
