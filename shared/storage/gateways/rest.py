"""The calls that are made most, by plain REST: get a row, query rows, commit a transaction, read a blob.

The SDKs take three to eight times the CPU for the same requests
(docs/adr/0021-frequent-calls-by-rest.md); they keep all other calls.
https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite
from secrets import token_hex
from typing import TYPE_CHECKING, Any, cast, override
from urllib.parse import quote

from shared.storage.gateways.azure_blobs import AzureBlobs, bare_etag, blob_error
from shared.storage.gateways.azure_tables import INT32, KEYS, PAGE, AzureTable, columns, condition, row_error
from shared.storage.gateways.limits import check_blob_name, check_bounds, check_container, check_key
from shared.storage.gateways.ports import (
    BadKey,
    BlobContent,
    Delete,
    Insert,
    Merge,
    Operation,
    Replace,
    Row,
    StorageError,
    StorageUnavailable,
    UpsertMerge,
    UpsertReplace,
    Value,
)

if TYPE_CHECKING:
    from azure.storage.blob.aio import BlobServiceClient, ContainerClient

    from shared.storage.gateways.rest_pipeline import Answer, Service

type Request = tuple[str, str, dict[str, str], bytes]
"""One operation: method, path, headers, body."""

_WRITE = {"Content-Type": "application/json", "Prefer": "return-no-content"}
_METHODS = {Replace: "PUT", UpsertReplace: "PUT", Merge: "PATCH", UpsertMerge: "PATCH"}
_BINARY = b',"%b":"%b","%b@odata.type":"Edm.Binary"'
_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False)
_NOT_VALUES = KEYS | {"Timestamp"}
_DECODERS: dict[str, Callable[[Any], Value]] = {
    "Edm.Binary": b64decode,
    "Edm.Int64": int,
    "Edm.Double": float,
    "Edm.DateTime": lambda text: datetime.fromisoformat(text).astimezone(UTC),
}


def row_path(table: str, partition: str, key: str) -> str:
    """The path of a row; a quote in a key is doubled."""
    return f"{table}(PartitionKey='{_quoted(partition)}',RowKey='{_quoted(key)}')"


@lru_cache(4_096)
def _quoted(key: str) -> str:
    return quote(key.replace("'", "''"), safe="")


def encode_operation(table: str, partition: str, operation: Operation) -> Request:
    """An operation as a request of its own, or as a part of a transaction."""
    if isinstance(operation, Insert):
        return "POST", table, _WRITE, encode_row(partition, operation.key, operation.values)
    path = row_path(table, partition, operation.key)
    if isinstance(operation, Delete):
        return "DELETE", path, {"If-Match": operation.etag or "*"}, b""
    headers = {**_WRITE, "If-Match": operation.etag} if isinstance(operation, Replace | Merge) else _WRITE
    return _METHODS[type(operation)], path, headers, encode_row(partition, operation.key, operation.values)


def encode_row(partition: str, key: str, values: Mapping[str, Value]) -> bytes:
    """The JSON of a row; binary is joined as bytes, so that base64 is not copied once more."""
    plain: dict[str, Any] = {"PartitionKey": partition, "RowKey": key}
    binary: list[bytes] = []
    for name, value in values.items():
        match value:
            case bytes():
                label = name.encode()
                binary.append(_BINARY % (label, b64encode(value), label))
            case float():
                plain[name] = value if isfinite(value) else json.dumps(value)  # "NaN", "-Infinity"
                plain[f"{name}@odata.type"] = "Edm.Double"
            case datetime():
                plain[name] = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
                plain[f"{name}@odata.type"] = "Edm.DateTime"
            case int() if value not in INT32:
                plain[name] = str(int(value))
                plain[f"{name}@odata.type"] = "Edm.Int64"
            case _:
                plain[name] = value
    return _ENCODER.encode(plain).encode()[:-1] + b"".join(binary) + b"}"


def decode_row(entity: Mapping[str, Any]) -> Row:
    """A row; what it names with null (`select` of what a row has not) is left out."""
    values: dict[str, Value] = {}
    for name, value in entity.items():
        if value is None or name in _NOT_VALUES or "." in name:  # odata.etag, seq@odata.type
            continue
        decode = _DECODERS.get(entity.get(f"{name}@odata.type", ""))
        values[name] = decode(value) if decode else value
    etag = entity.get("odata.etag") or f"W/\"datetime'{entity['Timestamp'].replace(':', '%3A')}'\""
    return Row(entity["PartitionKey"], entity["RowKey"], etag, values)


def encode_transaction(endpoint: str, requests: Sequence[Request]) -> tuple[str, bytes]:
    """The content type and body of a POST to `$batch`."""
    mark = token_hex(16)
    batch, changes = f"batch_{mark}", f"changeset_{mark}"
    part = f"--{changes}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    chunks = [f"--{batch}\r\nContent-Type: multipart/mixed; boundary={changes}\r\n\r\n".encode()]
    for method, path, headers, body in requests:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        chunks.append(
            f"{part}{method} {endpoint}/{path} HTTP/1.1\r\nDataServiceVersion: 3.0\r\n{lines}\r\n".encode()
        )
        chunks += (body, b"\r\n")
    chunks.append(f"--{changes}--\r\n\r\n--{batch}--\r\n".encode())
    return f"multipart/mixed; boundary={batch}", b"".join(chunks)


type Part = tuple[int, str, bytes]
"""The answer to an operation: status, etag, body."""


def decode_transaction(body: bytes) -> list[Part]:
    """The parts of the answer: one for each operation, or a single failure."""
    boundary = re.search(rb"boundary=([^\s;]+)", body)
    pieces = body.split(b"--" + boundary[1])[1:] if boundary else []
    return [_part(piece) for piece in pieces if b"HTTP/1.1 " in piece]


def _part(piece: bytes) -> Part:
    head, _, body = piece.partition(b"HTTP/1.1 ")[2].partition(b"\r\n\r\n")
    etag = re.search(rb"\r\netag: *([^\r]*)", head, re.IGNORECASE)
    return int(head[:3]), etag[1].decode("latin-1") if etag else "", body


def _refusal(status: int, code: str, body: bytes, operations: Sequence[Operation]) -> StorageError:
    """The port's error; in a transaction the service's message begins with the number of the operation."""
    text = body.decode(errors="replace")
    try:
        error = cast("dict[str, Any]", json.loads(body))["odata.error"]
        code, text = str(error["code"]), str(error["message"]["value"])
    except (ValueError, KeyError, TypeError):
        pass
    index = re.match(r"(\d+):", text)
    return row_error(status, code, text, operations, int(index[1]) if index else 0)


class RestTable(AzureTable):
    """The table `name`; what is not done here is done by `client`."""

    def __init__(self, client: Callable[[], Any], service: Callable[[], Service], name: str) -> None:
        super().__init__(client)
        self._service = service
        self._name = name

    @override
    async def get(self, partition: str, key: str, *, select: Sequence[str] | None = None) -> Row | None:
        check_key(partition)
        check_key(key)
        path = row_path(self._name, partition, key)
        answer = await self._service().send("GET", path, query=_select(select))
        return None if answer.status_code == 404 else decode_row(_json(answer))

    @override
    async def _pages(
        self, partition: str, low: str, high: str | None, select: Sequence[str] | None, limit: int | None
    ) -> AsyncIterator[list[Row]]:
        check_key(partition)
        check_bounds(low, high)
        size = PAGE if limit is None else min(limit, PAGE)
        where = _filter(*condition(partition, low, high))
        query = {"$filter": where, "$top": str(size), **_select(select)}
        while True:
            answer = await self._service().send("GET", f"{self._name}()", query=query)
            if answer.status_code == 404:
                return
            yield [decode_row(entity) for entity in _json(answer)["value"]]
            found = {name: answer.headers.get(f"x-ms-continuation-{name}") for name in _NEXT}
            if not any(found.values()):
                return
            query |= {name: value for name, value in found.items() if value}

    @override
    async def _send(self, partition: str, operations: Sequence[Operation]) -> list[str]:
        requests = [encode_operation(self._name, partition, operation) for operation in operations]
        service = self._service()
        if len(requests) == 1:
            method, path, headers, body = requests[0]
            answer = await service.send(method, path, headers=headers, body=body or None)
            part = answer.status_code, answer.headers.get("ETag") or "", answer.body
            parts = [part] if answer.status_code in {201, 204} else []
        else:
            kind, body = encode_transaction(service.endpoint, requests)
            answer = await service.send("POST", "$batch", headers={"Content-Type": kind}, body=body)
            parts = decode_transaction(answer.body) if answer.status_code == 202 else []
        code = answer.headers.get("x-ms-error-code") or ""
        for status, _, text in parts:
            if status >= 300:
                raise _refusal(status, code, text, operations)
        if answer.status_code >= 300:
            raise _refusal(answer.status_code, code, answer.body, operations)
        if len(parts) != len(operations):
            raise StorageUnavailable(
                f"The response has {len(parts)} results for {len(operations)} operations."
            )
        return ["" if isinstance(o, Delete) else part[1] for o, part in zip(operations, parts, strict=True)]


_NEXT = ("NextPartitionKey", "NextRowKey")


def _filter(text: str, parameters: Mapping[str, str]) -> str:
    """The filter with its parameters as strings of OData: a quote is doubled, nothing else has a meaning."""
    return re.sub("@([a-z]+)", lambda found: "'" + parameters[found[1]].replace("'", "''") + "'", text)


def _select(select: Sequence[str] | None) -> dict[str, str]:
    wanted = columns(select)
    return {"$select": ",".join(wanted)} if wanted else {}


def _json(answer: Answer) -> Any:
    """What was asked for. Raises the port's error for a refusal, StorageUnavailable for what is no JSON."""
    if answer.status_code != 200:
        raise _refusal(answer.status_code, answer.headers.get("x-ms-error-code") or "", answer.body, ())
    try:
        return json.loads(answer.body)
    except ValueError as error:
        raise StorageUnavailable(f"Unexpected response to a query: {error}") from error


class RestBlobs(AzureBlobs):
    """Reads blobs by `rest`; all else is done by the SDK's clients."""

    def __init__(
        self,
        service: Callable[[], BlobServiceClient],
        client: Callable[[str], ContainerClient],
        rest: Callable[[], Service],
    ) -> None:
        super().__init__(service, client)
        self._rest = rest

    @override
    async def read(self, container: str, name: str, *, max_bytes: int | None = None) -> BlobContent | None:
        try:
            check_container(container)
            check_blob_name(name)
        except BadKey:
            return None
        part = {} if max_bytes is None else {"x-ms-range": f"bytes=0-{max_bytes - 1}"}
        answer = await self._rest().send("GET", f"{container}/{quote(name)}", headers=part)
        if answer.status_code == 404:
            return None
        if answer.status_code == 416:  # of an empty blob no range can be had
            content = await self.read(container, name)
            return content and BlobContent(
                content.data[:max_bytes], content.etag, content.size, content.content_type
            )
        if answer.status_code not in {200, 206}:
            found = re.search(rb"<Code>([^<]*)</Code>", answer.body)
            code = answer.headers.get("x-ms-error-code") or (found[1].decode() if found else "")
            raise blob_error(answer.status_code, code, answer.body.decode(errors="replace"), name)
        size = answer.headers.get("Content-Range", "").rpartition("/")[2]
        etag, kind = bare_etag(answer.headers.get("ETag")), answer.headers.get("Content-Type")
        return BlobContent(answer.body, etag, int(size or len(answer.body)), kind)
