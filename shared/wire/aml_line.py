"""One line of a label file of Azure Machine Learning: what it must hold, and why it cannot be taken.

Tolerant where AML's own files differ (two forms of path, more keys, offsets as text), strict about the rest.
"""

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from shared.domain.kinds import ProjectKind
from shared.domain.labels import EntityLabel
from shared.domain.names import category_fault
from shared.domain.suggestions import MAX_ENTITY_LENGTH

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_LOCATION: Final = 1_024
_PATHS: Final = (
    re.compile(r"AmlDatastore://(?P<datastore>[^/]+)/(?P<path>.+)", re.IGNORECASE),
    re.compile(
        r"azureml://(?:subscriptions/[^/]+/resourcegroups/[^/]+/(?:providers/[^/]+/)?workspaces/[^/]+/)?"
        r"datastores/(?P<datastore>[^/]+)/paths/(?P<path>.+)",
        re.IGNORECASE,
    ),
)


@dataclass(frozen=True, slots=True)
class AmlLine:
    """A line that could be read. `spans` has offsets in the file's unit."""

    number: int
    datastore: str
    location: str
    categories: tuple[str, ...] = ()
    spans: tuple[EntityLabel, ...] = ()


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that could not be taken, and why, in words a person understands."""

    number: int
    reason: str


class Unreadable(Exception):
    """Why a line cannot be read."""


def parse_line(number: int, raw: bytes, kind: ProjectKind) -> AmlLine:
    """The line; raises Unreadable."""
    line = _object(raw)
    datastore, location = _place(line.get("image_url"))
    if "label" not in line:
        raise Unreadable("The key 'label' is missing.")
    label: Any = line["label"]
    several = len(cast("list[Any]", label)) if isinstance(label, list) else None
    _check_confidence(line.get("label_confidence"), several)
    if kind is ProjectKind.ENTITIES:
        return AmlLine(number, datastore, location, spans=_spans(label))
    return AmlLine(number, datastore, location, categories=_categories(label, kind))


def _object(raw: bytes) -> dict[str, Any]:
    try:
        line = json.loads(raw.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise Unreadable(f"The line is not valid UTF-8: byte {error.start} does not fit.") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"The line is not JSON: {error.msg} at character {error.pos}.") from None
    except RecursionError:
        raise Unreadable("The line is nested too deeply.") from None
    except ValueError:
        raise Unreadable("The line holds a number that is too long.") from None
    if not isinstance(line, dict):
        raise Unreadable("The line is not a JSON object.")
    return cast("dict[str, Any]", line)


def _no_constant(name: str) -> None:
    raise Unreadable(f"The line holds {name}, which is not JSON.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("The line holds a key twice.")
    return found


def _place(url: Any) -> tuple[str, str]:
    if not isinstance(url, str):
        raise Unreadable("The key 'image_url' is missing or not a text.")
    match = next((m for m in (path.fullmatch(url) for path in _PATHS) if m), None)
    if match is None:
        raise Unreadable(
            "The 'image_url' has neither the form 'AmlDatastore://...' nor 'azureml://.../paths/...'."
        )
    location = match["path"]
    if len(location) > MAX_LOCATION or location.startswith("/") or not _encodable(location):
        raise Unreadable("The path in 'image_url' is not the name of a blob.")
    return match["datastore"], location


def _encodable(text: str) -> bool:
    return not any(0xD800 <= ord(c) < 0xE000 or c == "\x00" for c in text)


def _check_confidence(value: Any, labels: int | None) -> None:
    """Optional; a number from 0 to 1, or a list of them, one for each label."""
    if value is None:
        return
    several = isinstance(value, list)
    numbers: Sequence[Any] = cast("list[Any]", value) if several else [value]
    if any(isinstance(n, bool) or not isinstance(n, int | float) or not 0 <= n <= 1 for n in numbers):
        raise Unreadable("The 'label_confidence' is not a number from 0 to 1, or a list of them.")
    if several and len(numbers) != (1 if labels is None else labels):
        raise Unreadable("The 'label_confidence' has not one number for each label.")


def _categories(label: Any, kind: ProjectKind) -> tuple[str, ...]:
    if kind is ProjectKind.SINGLE_LABEL:
        if not isinstance(label, str):
            raise Unreadable("The 'label' is not a text; each document of this project has one class.")
        return (_category(label),)
    if not isinstance(label, list):
        raise Unreadable("The 'label' is not a list; documents of this project have any number of classes.")
    names = tuple(_category(name) for name in cast("list[Any]", label))
    if len(set(names)) != len(names):
        raise Unreadable("The 'label' names a class twice.")
    return names


def _category(name: Any) -> str:
    if not isinstance(name, str):
        raise Unreadable("A label is not a text.")
    if fault := category_fault(name):
        raise Unreadable(f"The label {name[:60]!r} cannot be a category: {fault}")
    return name


def _spans(label: Any) -> tuple[EntityLabel, ...]:
    if not isinstance(label, list):
        raise Unreadable("The 'label' is not a list of entities.")
    spans = tuple(_entity(item) for item in cast("list[Any]", label))
    if len(set(spans)) != len(spans):
        raise Unreadable("The 'label' holds the same entity twice.")
    return spans


def _entity(item: Any) -> EntityLabel:
    if not isinstance(item, dict):
        raise Unreadable("An entity is not an object with 'label', 'offsetStart' and 'offsetEnd'.")
    entity = cast("dict[str, Any]", item)
    name = _category(entity.get("label"))
    start, end = _offset(entity.get("offsetStart")), _offset(entity.get("offsetEnd"))
    if start is None or end is None:
        raise Unreadable(f"The entity '{name}' has no whole numbers from 0 as 'offsetStart' and 'offsetEnd'.")
    if not 1 <= end - start <= MAX_ENTITY_LENGTH:
        raise Unreadable(
            f"The entity '{name}' from {start} to {end} has not 1 to {MAX_ENTITY_LENGTH} characters."
        )
    return EntityLabel(name, start, end - start)


def _offset(value: Any) -> int | None:
    """A number, or its digits as a text, as AML's own reader takes it."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 9:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < 10**9 else None
