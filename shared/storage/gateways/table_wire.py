"""Rows and transactions as the table service speaks them: OData JSON, and multipart for a transaction.

https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions
"""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite, isnan
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from shared.storage.gateways.ports import (
    Delete,
    Insert,
    Merge,
    Operation,
    Replace,
    Row,
    UpsertMerge,
    UpsertReplace,
    Value,
)
from shared.storage.gateways.rest import error_code

READ_HEADERS = {"Accept": "application/json;odata=minimalmetadata", "DataServiceVersion": "3.0"}
WRITE_HEADERS = READ_HEADERS | {"Content-Type": "application/json", "Prefer": "return-no-content"}
_INT32 = range(-(2**31), 2**31)
_BINARY = b',"%b":"%b","%b@odata.type":"Edm.Binary"'
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True)
class Request:
    """One operation as HTTP; `path` is quoted and relative to the endpoint."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Part:
    """The answer to one operation of a transaction; `message` of a failure begins with `{index}:`."""

    status: int
    etag: str
    code: str = ""
    message: str = ""

    @property
    def index(self) -> int:
        """Which operation failed."""
        found = re.match(r"(\d+):", self.message)
        return int(found[1]) if found else 0


def row_path(table: str, partition: str, key: str) -> str:
    """The path of a row, quoted."""
    return f"{table}(PartitionKey='{_quoted(partition)}',RowKey='{_quoted(key)}')"


def encode_operation(table: str, partition: str, operation: Operation) -> Request:
    """An operation as a request of its own or a part of a transaction."""
    path = row_path(table, partition, operation.key)
    match operation:
        case Insert(key, values):
            return Request("POST", table, WRITE_HEADERS, encode_row(partition, key, values))
        case Replace(key, values, etag):
            return Request(
                "PUT", path, WRITE_HEADERS | {"If-Match": etag}, encode_row(partition, key, values)
            )
        case Merge(key, values, etag):
            return Request(
                "PATCH", path, WRITE_HEADERS | {"If-Match": etag}, encode_row(partition, key, values)
            )
        case UpsertReplace(key, values):
            return Request("PUT", path, WRITE_HEADERS, encode_row(partition, key, values))
        case UpsertMerge(key, values):
            return Request("PATCH", path, WRITE_HEADERS, encode_row(partition, key, values))
        case Delete(_, etag):
            return Request("DELETE", path, READ_HEADERS | {"If-Match": "*" if etag is None else etag}, None)


def encode_row(partition: str, key: str, values: Mapping[str, Value]) -> bytes:
    """The JSON of a row on one line; binary is joined as bytes, so that base64 is not copied again."""
    plain: dict[str, Any] = {"PartitionKey": partition, "RowKey": key}
    binary: list[bytes] = []
    for name, value in values.items():
        match value:
            case bytes():
                label = name.encode()
                binary.append(_BINARY % (label, b64encode(value), label))
            case float():
                plain[name] = value if isfinite(value) else _not_finite(value)
                plain[f"{name}@odata.type"] = "Edm.Double"
            case datetime():
                plain[name] = value.astimezone(UTC).strftime(_TIME_FORMAT)
                plain[f"{name}@odata.type"] = "Edm.DateTime"
            case int() if value not in _INT32:
                plain[name] = str(value)
                plain[f"{name}@odata.type"] = "Edm.Int64"
            case _:
                plain[name] = value
    return json.dumps(plain, separators=(",", ":")).encode()[:-1] + b"".join(binary) + b"}"


def decode_row(entity: Mapping[str, Any]) -> Row:
    """A row from the service's JSON; what it names with null (`select` of what a row has not) is left out."""
    values: dict[str, Value] = {}
    for name, value in entity.items():
        if value is None or name in _NOT_VALUES or "@" in name:
            continue
        convert = _DECODERS.get(entity.get(f"{name}@odata.type", ""))
        values[name] = convert(value) if convert else value
    return Row(entity["PartitionKey"], entity["RowKey"], _etag(entity), values)


def encode_transaction(endpoint: str, requests: Sequence[Request]) -> tuple[str, bytes]:
    """The content type and body of a POST to `$batch`."""
    batch, changes = f"batch_{uuid4()}", f"changeset_{uuid4()}"
    part = f"--{changes}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    chunks = [f"--{batch}\r\nContent-Type: multipart/mixed; boundary={changes}\r\n\r\n".encode()]
    for request in requests:
        headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        chunks.append(f"{part}{request.method} {endpoint}/{request.path} HTTP/1.1\r\n{headers}\r\n".encode())
        chunks.append((request.body or b"") + b"\r\n")
    chunks.append(f"--{changes}--\r\n\r\n--{batch}--\r\n".encode())
    return f"multipart/mixed; boundary={batch}", b"".join(chunks)


def decode_transaction(body: bytes) -> list[Part]:
    """The parts of the answer: one for each operation, or a single failure."""
    boundary = re.search(rb"boundary=([^\s;]+)", body)
    if boundary is None:
        return []
    return [_part(piece) for piece in body.split(b"--" + boundary[1])[1:] if b"HTTP/1.1" in piece]


def _part(piece: bytes) -> Part:
    head, _, body = piece[piece.index(b"HTTP/1.1") :].partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    etag = next((value for name, value in headers.items() if name.lower() == "etag"), "")
    return Part(int(lines[0].split(" ", 2)[1]), etag, *error_code(body))


def _quoted(key: str) -> str:
    return quote(key.replace("'", "''"), safe="")


def _not_finite(value: float) -> str:
    return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _etag(entity: Mapping[str, Any]) -> str:
    """Sent with the row, or made of its Timestamp, as the service makes it."""
    return entity.get("odata.etag") or f"W/\"datetime'{quote(entity['Timestamp'])}'\""


_NOT_VALUES = frozenset({"PartitionKey", "RowKey", "Timestamp", "odata.etag", "odata.metadata"})
_DECODERS: dict[str, Callable[[Any], Value]] = {
    "Edm.Binary": b64decode,
    "Edm.Int64": int,
    "Edm.Double": float,
    "Edm.DateTime": lambda text: datetime.fromisoformat(text).astimezone(UTC),
}
