"""One table of the account."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, cast, override

from shared.storage.gateways.errors import RowChanged, RowExists, RowMissing, StorageError, TooLarge
from shared.storage.gateways.limits import check_bounds, check_commit, check_key
from shared.storage.gateways.ports import CallCounter, Operation, Row, Table
from shared.storage.gateways.rest import Answer, Service
from shared.storage.gateways.table_wire import (
    READ_HEADERS,
    WRITE_HEADERS,
    Part,
    Request,
    decode_row,
    decode_transaction,
    encode_operation,
    encode_transaction,
    row_path,
)

_PAGE = 1000
_NO_TABLE = "TableNotFound"
_NEXT = ("NextPartitionKey", "NextRowKey")
_TOO_LARGE = 413
_ERRORS: dict[int, type[StorageError]] = {
    404: RowMissing,
    409: RowExists,
    412: RowChanged,
    _TOO_LARGE: TooLarge,
}


class AzureTable(Table):
    """The table `name` of the account that `service` reaches."""

    def __init__(self, service: Callable[[], Service], name: str, counter: CallCounter) -> None:
        self._service = service
        self._name = name
        self._counter = counter

    @override
    async def get(self, partition: str, key: str, *, select: Sequence[str] | None = None) -> Row | None:
        check_key(partition)
        check_key(key)
        self._counter.add("table", "get")
        path = row_path(self._name, partition, key)
        answer = await self._service().send("GET", path, query=_columns(select), headers=READ_HEADERS)
        if answer.status == 404:
            return None
        if not answer.ok:
            raise answer.unexpected()
        return decode_row(json.loads(answer.body))

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
        requests = [encode_operation(self._name, partition, operation) for operation in operations]
        send = self._send_one if len(requests) == 1 else self._send_all
        etags = await send(operations, requests)
        if etags is None:
            await self.create()
            etags = await send(operations, requests)
        if etags is None:
            raise RowMissing(f"The table {self._name} was deleted at once.")
        return etags

    @override
    async def create(self) -> None:
        self._counter.add("table", "create")
        body = json.dumps({"TableName": self._name}).encode()
        answer = await self._service().send("POST", "Tables", headers=WRITE_HEADERS, body=body)
        if not answer.ok and answer.code != "TableAlreadyExists":
            raise answer.unexpected()

    @override
    async def drop(self) -> None:
        self._counter.add("table", "drop")
        answer = await self._service().send("DELETE", f"Tables('{self._name}')", headers=READ_HEADERS)
        if not answer.ok and answer.status != 404:
            raise answer.unexpected()

    async def _pages(
        self, partition: str, low: str, high: str | None, select: Sequence[str] | None, limit: int | None
    ) -> AsyncIterator[list[Row]]:
        check_key(partition)
        check_bounds(low, high)
        size = _PAGE if limit is None else min(limit, _PAGE)
        query = {"$filter": _condition(partition, low, high), "$top": str(size), **_columns(select)}
        while True:
            self._counter.add("table", "query")
            answer = await self._service().send("GET", f"{self._name}()", query=query, headers=READ_HEADERS)
            if answer.status == 404:
                return
            if not answer.ok:
                raise answer.unexpected()
            entities = cast("list[Mapping[str, Any]]", json.loads(answer.body)["value"])
            yield [decode_row(entity) for entity in entities]
            token = {name: answer.headers.get(f"x-ms-continuation-{name}") for name in _NEXT}
            if not any(token.values()):
                return
            query |= {name: value for name, value in token.items() if value}

    async def _send_one(
        self, operations: Sequence[Operation], requests: Sequence[Request]
    ) -> list[str] | None:
        """Send one operation by itself; None if there is no such table."""
        self._counter.add("table", "commit")
        request = requests[0]
        answer = await self._service().send(
            request.method, request.path, headers=request.headers, body=request.body
        )
        if answer.code == _NO_TABLE:
            return None
        if not answer.ok:
            raise _refusal(answer, Part(answer.status, "", answer.code), operations)
        return [answer.headers.get("ETag") or ""]

    async def _send_all(
        self, operations: Sequence[Operation], requests: Sequence[Request]
    ) -> list[str] | None:
        """Send a transaction; None if there is no such table."""
        self._counter.add("table", "commit")
        service = self._service()
        kind, body = encode_transaction(service.endpoint, requests)
        answer = await service.send(
            "POST", "$batch", headers=READ_HEADERS | {"Content-Type": kind}, body=body
        )
        parts = decode_transaction(answer.body)
        for part in parts:
            if part.code == _NO_TABLE:
                return None
            if part.status >= 300:
                raise _refusal(answer, part, operations)
        if answer.status == _TOO_LARGE:
            raise TooLarge("The service takes no transaction of that size.")
        if not answer.ok or len(parts) != len(operations):
            raise answer.unexpected()
        return [part.etag for part in parts]


def _refusal(answer: Answer, part: Part, operations: Sequence[Operation]) -> StorageError:
    """The port's error for an operation that the service refused."""
    kind = _ERRORS.get(part.status)
    if kind is None or (kind is RowExists and part.code != "EntityAlreadyExists"):
        return answer.unexpected()
    return kind(key=operations[part.index].key, index=part.index)


def _condition(partition: str, low: str, high: str | None) -> str:
    """The only filter there is: always one partition, and every value through `_literal`."""
    condition = f"PartitionKey eq {_literal(partition)} and RowKey ge {_literal(low)}"
    return condition if high is None else f"{condition} and RowKey lt {_literal(high)}"


def _literal(text: str) -> str:
    """A string of OData: a quote in it is doubled, and nothing else has a meaning."""
    return "'" + text.replace("'", "''") + "'"


def _columns(select: Sequence[str] | None) -> dict[str, str]:
    """The keys come along always, and Timestamp, which is the etag where the service sends none."""
    return {} if select is None else {"$select": ",".join(("PartitionKey", "RowKey", "Timestamp", *select))}
