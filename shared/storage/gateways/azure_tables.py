"""One table of the account, through azure-data-tables."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, override

from shared.storage.gateways.azure_errors import code_of, status_of, translated, unavailable
from shared.storage.gateways.azure_rows import columns, condition, decode_row, encode_operation
from shared.storage.gateways.errors import (
    RowChanged,
    RowExists,
    RowMissing,
    StorageError,
    StorageUnavailable,
    TooLarge,
)
from shared.storage.gateways.limits import check_bounds, check_commit, check_key
from shared.storage.gateways.ports import CallCounter, Operation, Row, Table

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError

_PAGE = 1000


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


class AzureTable(Table):
    """The table that `client` reaches: a `TableClient`, whose own types are incomplete."""

    def __init__(self, client: Callable[[], Any], counter: CallCounter) -> None:
        self._client = client
        self._counter = counter

    @override
    async def get(self, partition: str, key: str, *, select: Sequence[str] | None = None) -> Row | None:
        check_key(partition)
        check_key(key)
        call = self._client().get_entity(partition, key, select=columns(select))
        try:
            return decode_row(await self._call("get", call))
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
    async def commit(self, partition: str, operations: Sequence[Operation]) -> list[str]:
        check_commit(partition, operations)
        if not operations:
            return []
        try:
            return await self._send(partition, operations)
        except _TableMissing:
            await self.create()
        return await self._send(partition, operations)

    @override
    async def create(self) -> None:
        with suppress(_TableExists):
            await self._call("create", self._client().create_table())

    @override
    async def drop(self) -> None:
        await self._call("drop", self._client().delete_table())  # which takes a missing table for deleted

    async def _pages(
        self, partition: str, low: str, high: str | None, select: Sequence[str] | None, limit: int | None
    ) -> AsyncIterator[list[Row]]:
        check_key(partition)
        check_bounds(low, high)
        text, parameters = condition(partition, low, high)
        size = _PAGE if limit is None else min(limit, _PAGE)
        pages: Any = (
            self._client()
            .query_entities(text, parameters=parameters, select=columns(select), results_per_page=size)
            .by_page()
        )
        while True:
            try:
                page = await self._call("query", anext(pages))
            except RowMissing:
                return
            yield [decode_row(entity) async for entity in page]
            if not pages.continuation_token:
                return

    async def _send(self, partition: str, operations: Sequence[Operation]) -> list[str]:
        """Send a transaction, also of one operation: alone, the SDK would not tell that a row was missing."""
        requests = [encode_operation(partition, operation) for operation in operations]
        try:
            answers = await self._call("commit", self._client().submit_transaction(requests), operations)
        except ValueError as error:
            raise StorageUnavailable(f"Not the answer to a transaction: {error}") from error
        if len(answers) != len(operations):
            raise StorageUnavailable(f"{len(answers)} answers to {len(operations)} operations.")
        return [str(answer.get("etag") or "") for answer in answers]

    async def _call[T](self, operation: str, call: Awaitable[T], operations: Sequence[Operation] = ()) -> T:
        """Count a request and do it."""
        self._counter.add("table", operation)
        return await translated(call, lambda error: _translated(error, operations))


def _translated(error: AzureError, operations: Sequence[Operation]) -> StorageError:
    """The port's error; of a transaction's failure the SDK tells the index of the operation."""
    kind = _BY_CODE.get(code_of(error)) or _BY_STATUS.get(status_of(error))
    if kind is None:
        return unavailable(error)
    index = getattr(error, "index", 0)
    if kind is TooLarge or index >= len(operations):
        return kind(str(error)[:300])
    return kind(key=operations[index].key, index=index)
