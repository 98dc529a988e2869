"""One table of the account, through azure-data-tables."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shared.storage.gateways.azure_errors import error_code, status_of, unavailable
from shared.storage.gateways.errors import (
    RowChanged,
    RowExists,
    RowMissing,
    StorageError,
    TooLarge,
)
from shared.storage.gateways.limits import check_bounds, check_commit, check_key, check_partition
from shared.storage.gateways.ports import (
    CallCounter,
    Delete,
    Insert,
    Merge,
    Operation,
    Replace,
    Row,
    Table,
    UpsertMerge,
    UpsertReplace,
    Value,
)

if TYPE_CHECKING:
    from azure.data.tables.aio import TableClient, TableServiceClient

_PAGE = 1000
_INT32 = range(-(2**31), 2**31)


class AzureTable(Table):
    def __init__(self, service: Callable[[], TableServiceClient], name: str, counter: CallCounter) -> None:
        self._service = service
        self._name = name
        self._counter = counter
        self._cached: TableClient | None = None

    async def get(self, partition: str, key: str, *, select: Sequence[str] | None = None) -> Row | None:
        from azure.core.exceptions import AzureError

        check_partition(partition)
        check_key(key)
        self._counter.add("table", "get")
        try:
            entity = await self._client().get_entity(partition, key, select=_columns(select))
        except AzureError as error:
            if status_of(error) == 404:
                return None
            raise _translated(error, []) from error
        return _row(entity)

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

    def pages(
        self, partition: str, low: str = "", high: str | None = None, *, select: Sequence[str] | None = None
    ) -> AsyncIterator[list[Row]]:
        return self._pages(partition, low, high, select, None)

    async def commit(self, partition: str, operations: Sequence[Operation]) -> list[str]:
        from azure.core.exceptions import AzureError

        check_commit(partition, operations)
        if not operations:
            return []
        try:
            return await self._send(partition, operations)
        except AzureError as error:
            if error_code(error) != "TableNotFound":
                raise _translated(error, operations) from error
        await self.create()
        try:
            return await self._send(partition, operations)
        except AzureError as error:
            raise _translated(error, operations) from error

    async def create(self) -> None:
        from azure.core.exceptions import AzureError, ResourceExistsError

        self._counter.add("table", "create")
        try:
            await self._client().create_table()
        except ResourceExistsError as error:
            if error_code(error) != "TableAlreadyExists":  # being deleted
                raise unavailable(error) from error
        except AzureError as error:
            raise _translated(error, []) from error

    async def drop(self) -> None:
        from azure.core.exceptions import AzureError

        self._counter.add("table", "drop")
        try:
            await self._client().delete_table()
        except AzureError as error:
            raise _translated(error, []) from error

    async def _pages(
        self, partition: str, low: str, high: str | None, select: Sequence[str] | None, limit: int | None
    ) -> AsyncIterator[list[Row]]:
        from azure.core.exceptions import AzureError

        check_partition(partition)
        check_bounds(low, high)
        condition, parameters = _condition(partition, low, high)
        pages = (
            self._client()
            .query_entities(
                condition,
                parameters=parameters,
                select=_columns(select),
                results_per_page=_PAGE if limit is None else min(limit, _PAGE),
            )
            .by_page()
        )
        while True:
            self._counter.add("table", "query")
            try:
                page = [_row(entity) async for entity in await anext(pages)]
            except StopAsyncIteration:
                return
            except AzureError as error:
                if status_of(error) == 404:
                    return
                raise _translated(error, []) from error
            yield page

    async def _send(self, partition: str, operations: Sequence[Operation]) -> list[str]:
        self._counter.add("table", "commit")
        request = [_request(partition, operation) for operation in operations]
        answers = await self._client().submit_transaction(request)
        return [
            "" if isinstance(operation, Delete) else str(answer["etag"])
            for operation, answer in zip(operations, answers, strict=True)
        ]

    def _client(self) -> TableClient:
        if self._cached is None:
            self._cached = self._service().get_table_client(self._name)
        return self._cached


def _condition(partition: str, low: str, high: str | None) -> tuple[str, dict[str, str]]:
    """The only filter there is; values travel as parameters, for a key may hold a quote."""
    if high is None:
        return "PartitionKey eq @pk and RowKey ge @lo", {"pk": partition, "lo": low}
    return "PartitionKey eq @pk and RowKey ge @lo and RowKey lt @hi", {"pk": partition, "lo": low, "hi": high}


def _columns(select: Sequence[str] | None) -> list[str] | None:
    """The keys come along always, and Timestamp, from which the SDK makes the etag where the service sends none."""
    return None if select is None else ["PartitionKey", "RowKey", "Timestamp", *select]


def _request(partition: str, operation: Operation) -> tuple[str, dict[str, Any], dict[str, Any]]:
    from azure.core import MatchConditions
    from azure.data.tables import UpdateMode

    keys = {"PartitionKey": partition, "RowKey": operation.key}
    guard = {"etag": getattr(operation, "etag", None), "match_condition": MatchConditions.IfNotModified}
    match operation:
        case Insert(_, values):
            return "create", keys | _entity(values), {}
        case Replace(_, values):
            return "update", keys | _entity(values), {"mode": UpdateMode.REPLACE, **guard}
        case Merge(_, values):
            return "update", keys | _entity(values), {"mode": UpdateMode.MERGE, **guard}
        case UpsertReplace(_, values):
            return "upsert", keys | _entity(values), {"mode": UpdateMode.REPLACE}
        case UpsertMerge(_, values):
            return "upsert", keys | _entity(values), {"mode": UpdateMode.MERGE}
        case Delete(_, etag):
            return "delete", keys, {} if etag is None else guard


def _entity(values: Mapping[str, Value]) -> dict[str, Any]:
    from azure.data.tables import EdmType, EntityProperty

    return {
        name: EntityProperty(value, EdmType.INT64) if type(value) is int and value not in _INT32 else value
        for name, value in values.items()
    }


def _row(entity: Any) -> Row:
    values: dict[str, Value] = {}
    for name, value in entity.items():
        if isinstance(value, tuple):
            value = value[0]  # an EntityProperty: Edm.Int64
        if value is not None and name not in ("PartitionKey", "RowKey", "Timestamp"):
            values[name] = value
    return Row(entity["PartitionKey"], entity["RowKey"], entity.metadata["etag"], values)


def _translated(error: Exception, operations: Sequence[Operation]) -> StorageError:
    kinds: dict[int | None, type[StorageError]] = {
        404: RowMissing,
        409: RowExists,
        412: RowChanged,
        413: TooLarge,
    }
    kind = kinds.get(status_of(error))
    if kind is None:
        return unavailable(error)
    index = getattr(error, "index", 0)
    return kind(key=operations[index].key if index < len(operations) else None, index=index)
