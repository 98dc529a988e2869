"""Dataclasses as JSON objects with camelCase keys, and back: parameters and results of jobs, details of changes.

A field is left out when it is None and its default is None, too. A key that a JSON object lacks gets the default of
its field, and a key that no field has is ignored, so that rows written by other versions can be read.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, NamedTuple, cast, get_args, get_origin, get_type_hints

from pydantic.alias_generators import to_camel

from shared.domain.labels import Labels
from shared.domain.suggestions import Hundredths


class _Field(NamedTuple):
    name: str
    key: str
    hint: Any
    #: None when the key is missing, though there is no default.
    nullable: bool
    optional: bool


def moment(at: datetime) -> str:
    """ISO 8601 in UTC with `Z`, as Azure writes it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@cache
def _fields(kind: Any) -> tuple[_Field, ...]:
    hints = get_type_hints(kind)
    return tuple(
        _Field(
            f.name,
            str(cast("Any", f.metadata).get("key", to_camel(f.name))),
            hints[f.name],
            nullable=f.default is MISSING and isinstance(hints[f.name], UnionType),
            optional=f.default is None,
        )
        for f in fields(kind)
    )


type WriteLabels = Callable[[Labels], Any]
type ReadLabels = Callable[[Any], Labels | None]


def to_json(record: Any, labels: WriteLabels | None = None) -> dict[str, Any]:
    """The JSON object of a dataclass. `labels` writes labels, whose form is another in a table than in an answer."""
    values = ((f, getattr(record, f.name)) for f in _fields(record.__class__))
    return {
        f.key: _plain(f.hint, value, labels) for f, value in values if value is not None or not f.optional
    }


def from_json[T](kind: type[T], data: Mapping[str, Any], labels: ReadLabels | None = None) -> T:
    """The dataclass of a JSON object. Raises TypeError when a key is missing that has no default and cannot be None."""
    given = (f for f in _fields(kind) if f.key in data or f.nullable)
    return kind(**{f.name: _typed(f.hint, data.get(f.key), labels) for f in given})


def _plain(hint: Any, value: Any, labels: WriteLabels | None) -> Any:
    if hint is Hundredths:
        return value / 100
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Labels) and labels is not None:
        return labels(value)
    if isinstance(value, tuple):
        items = cast("tuple[Any, ...]", value)
        return [_plain(None, item, labels) for item in items]
    return to_json(value, labels) if is_dataclass(value) else value


def _typed(hint: Any, value: Any, labels: ReadLabels | None) -> Any:
    if value is None:
        return None
    if isinstance(hint, UnionType):  # `X | None`
        return _typed(get_args(hint)[0], value, labels)
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        return tuple(_typed(item, each, labels) for each in value)
    if hint is datetime:
        return datetime.fromisoformat(value)
    if hint is Labels and labels is not None:
        return labels(value)
    if hint is Hundredths:
        return round(value * 100)
    if is_dataclass(hint):
        return from_json(cast("Any", hint), value, labels)
    return hint(value) if isinstance(hint, type) and issubclass(hint, Enum) else value
