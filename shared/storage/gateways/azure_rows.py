"""Rows and operations as azure-data-tables takes and gives them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

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

type Request = tuple[str, dict[str, Any], dict[str, Any]]
"""One operation of `submit_transaction`: its kind, the entity, options."""

_INT32 = range(-(2**31), 2**31)
_KEYS = frozenset({"PartitionKey", "RowKey"})


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
        name: _decode(value) for name, value in entity.items() if value is not None and name not in _KEYS
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
            return int(value) if value in _INT32 else EntityProperty(int(value), EdmType.INT64)
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
