"""The limits of the storage services, checked before anything is sent, by every implementation of the ports."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from shared.storage.gateways.ports import BadKey, Delete, Operation, TooLarge, Value

KIB = 1024
MIB = 1024 * KIB

MAX_OPERATIONS = 100
MAX_TRANSACTION_BYTES = int(2.8 * MIB * 4 / 3)
"""Of one transaction as it travels: 2.8 MiB of binary, 3.7 as base64; the service takes 4 with headers."""
MAX_PROPERTY_BYTES = 64 * KIB
MAX_ROW_BYTES = MIB
MAX_PROPERTIES = 252
MAX_KEY_UNITS = 512
MAX_BLOB_NAME = 1024
MAX_MESSAGE_BYTES = 48 * KIB
"""Of a message as plain text; base64 makes 64 KiB of it, which is what the service takes."""
MAX_DELAY_SECONDS = 7 * 24 * 3600
MAX_RECEIVED = 32
"""Messages of a queue that one call receives."""

_FORBIDDEN_IN_KEY = re.compile("[/\\\\#?\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}|\$root|\$web|\$logs")
_NOT_IN_BLOB_NAMES = re.compile("[\x00\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PROPERTY_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]{0,254}")
_RESERVED = frozenset({"PartitionKey", "RowKey", "Timestamp"})
_FIRST_YEAR = 1601
_INT64 = range(-(2**63), 2**63)
_OPERATION_OVERHEAD = 640  # request line, headers, and the names of the keys, as the SDK writes them
_PROPERTY_OVERHEAD = (
    37  # quotes, colons and the type, which the SDK names for all but small ints and booleans
)


def check_key(key: str) -> None:
    """Refuse with BadKey what cannot be a PartitionKey or RowKey; empty ones we have no use for."""
    if not key or _FORBIDDEN_IN_KEY.search(key) or _utf16_bytes(key) > 2 * MAX_KEY_UNITS:
        raise BadKey(f"Invalid table key: {key[:80]!r}.", key=key)


def check_bounds(low: str, high: str | None) -> None:
    """Refuse with BadKey a bound that cannot be sent; one that no row could have is fine."""
    if _SURROGATE.search(low) or (high is not None and _SURROGATE.search(high)):
        raise BadKey("A bound contains an unpaired surrogate.", key=low)


def check_commit(partition: str, operations: Sequence[Operation]) -> None:
    """Refuse a transaction that the service would refuse.

    Raises BadKey, TooLarge (key and index tell the operation where one is at fault), or ValueError for what
    is a mistake of the caller: a row twice, a property name or value that no row can hold.
    """
    if len(operations) > MAX_OPERATIONS:
        raise TooLarge(
            f"A transaction of {len(operations)} operations; at most {MAX_OPERATIONS} are allowed."
        )
    check_key(partition)
    if len({operation.key for operation in operations}) < len(operations):
        raise ValueError("A row occurs twice in one transaction.")
    total = 0
    for index, operation in enumerate(operations):
        total += _check_operation(partition, operation, index)
    if total > MAX_TRANSACTION_BYTES:
        raise TooLarge(
            f"A transaction of about {total:,} bytes; at most {MAX_TRANSACTION_BYTES:,} are allowed."
        )


def weight(operation: Operation) -> int:
    """About the bytes of `MAX_TRANSACTION_BYTES` that an operation takes; for those who fill transactions."""
    values: Mapping[str, Value] = {} if isinstance(operation, Delete) else operation.values
    payload = 0
    for name, value in values.items():
        payload += 2 * len(name) + _PROPERTY_OVERHEAD + _wire_bytes(value)
    return _OPERATION_OVERHEAD + len(operation.key.encode()) + payload


def check_container(container: str) -> None:
    """Refuse with BadKey what no container can be called."""
    if not _CONTAINER.fullmatch(container):
        raise BadKey(f"Invalid container name: {container[:80]!r}.", key=container)


def check_blob_name(name: str) -> None:
    """Refuse with BadKey what no blob can be called.

    Above all a name with the segments `.` or `..`, which a URL would resolve, out of the container even.
    """
    dots = {".", ".."} & set(re.split(r"[/\\]", name))
    if dots or not 0 < len(name) <= MAX_BLOB_NAME or _NOT_IN_BLOB_NAMES.search(name):
        raise BadKey(f"Invalid blob name: {name[:80]!r}.", key=name)


def check_message(body: str, delay: int) -> None:
    """Refuse a queue message that is too large with TooLarge, a delay out of range with ValueError."""
    size = len(body.encode())
    if size > MAX_MESSAGE_BYTES:
        raise TooLarge(f"A message of {size:,} bytes; at most {MAX_MESSAGE_BYTES:,} are allowed.")
    if not 0 <= delay < MAX_DELAY_SECONDS:
        raise ValueError(f"A delay of {delay} s; it must be under 7 days.")


def _check_operation(partition: str, operation: Operation, index: int) -> int:
    """The weight of one operation that is within the limits of a row."""
    try:
        check_key(operation.key)
    except BadKey as error:
        error.index = index
        raise
    if getattr(operation, "etag", None) in ("", "*"):
        raise ValueError(f"Invalid row ETag: {operation}.")
    if not isinstance(operation, Delete):
        size = 4 + _utf16_bytes(partition) + _utf16_bytes(operation.key)
        for name, value in operation.values.items():
            size += _check_property(operation, index, name, value)
        if size > MAX_ROW_BYTES or len(operation.values) > MAX_PROPERTIES:
            raise TooLarge(
                f"A row of {size:,} bytes and {len(operation.values)} properties.",
                key=operation.key,
                index=index,
            )
    return len(partition.encode()) + weight(operation)


def _check_property(operation: Operation, index: int, name: str, value: Value) -> int:
    """The bytes that a property takes of its row's limit."""
    if not _is_property_name(name):
        raise ValueError(f"Invalid property name: {name!r}.")
    size = len(value) if type(value) is bytes else _stored_bytes(name, value)
    if size > MAX_PROPERTY_BYTES:
        raise TooLarge(f"{name} takes {size:,} bytes.", key=operation.key, index=index)
    return 12 + 2 * len(name) + size


@lru_cache(1_000)
def _is_property_name(name: str) -> bool:
    return name not in _RESERVED and _PROPERTY_NAME.fullmatch(name) is not None


def _stored_bytes(name: str, value: Value) -> int:
    """The bytes of a value as the service counts them; raises ValueError for what is no value of a row."""
    match value:
        case int():  # and bool
            if value not in _INT64:
                raise ValueError(f"{name}: {value} does not fit 64 bits.")
        case str():
            if _SURROGATE.search(value):
                raise ValueError(f"{name}: contains an unpaired surrogate.")
            return _utf16_bytes(value)
        case bytes():
            return len(value)
        case datetime():
            if value.utcoffset() is None or value.year < _FIRST_YEAR:
                raise ValueError(f"{name}: a time needs a zone and a year from {_FIRST_YEAR}.")
        case float():
            pass
        case _:  # pyright: ignore[reportUnnecessaryComparison]  # the caller may be untyped
            raise ValueError(f"{name}: {type(value).__name__} is not a type of the table service.")
    return 8


def _wire_bytes(value: Value) -> int:
    """The bytes of a value in JSON, its quotes apart."""
    if isinstance(value, bytes):
        return (len(value) + 2) // 3 * 4
    if isinstance(value, str):
        return len(json.dumps(value))
    return 28


def _utf16_bytes(text: str) -> int:
    return 2 * len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass"))
