"""Label files of Azure Machine Learning (AML): one JSON object a line, for the three kinds of project.

    {"image_url": "AmlDatastore://<datastore>/<path>", "label": "sports", "label_confidence": 1.0}
    {"image_url": "AmlDatastore://<datastore>/<path>", "label": ["a", "b"], "label_confidence": [1.0, 1.0]}
    {"image_url": "azureml://subscriptions/.../datastores/<datastore>/paths/<path>",
     "label": [{"label": "PER", "offsetStart": 0, "offsetEnd": 8}], "label_confidence": [1.0]}

`offsetEnd` is exclusive. Nobody documents the unit of offsets, so a file is read and written in the unit that
a setting names. A line that cannot be read is reported by number and reason and never stops the others.
"""

import json
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, cast

from shared.domain.labels import END_OF_TEXT, MAX_ENTITY_LENGTH, EntityLabel, Labels, Region, span_errors
from shared.domain.names import MAX_LOCATION, ProjectKind, category_error
from shared.domain.text import Offsets

if TYPE_CHECKING:
    from collections.abc import Sequence


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

    def used_categories(self) -> set[str]:
        return {*self.categories, *(span.category for span in self.spans)}

    def renamed(self, names: Mapping[str, str]) -> "AmlLine":
        """The line with the categories of these names under their new ones, each once."""
        spans = (replace(span, category=names.get(span.category, span.category)) for span in self.spans)
        classes = (names.get(category, category) for category in self.categories)
        return replace(self, categories=tuple(dict.fromkeys(classes)), spans=tuple(dict.fromkeys(spans)))


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that could not be imported, and why, in words for people."""

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
        raise Unreadable(f"The line is not valid UTF-8: invalid byte at position {error.start}.") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"The line is not JSON: {error.msg} at character {error.pos}.") from None
    except RecursionError:
        raise Unreadable("The line is nested too deeply.") from None
    except ValueError:
        raise Unreadable("A number in the line is too long.") from None
    if not isinstance(line, dict):
        raise Unreadable("The line is not a JSON object.")
    return cast("dict[str, Any]", line)


def _no_constant(name: str) -> None:
    raise Unreadable(f"The line contains {name}, which is not JSON.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("A key occurs more than once in the line.")
    return found


def _place(url: Any) -> tuple[str, str]:
    if not isinstance(url, str):
        raise Unreadable("The key 'image_url' is missing or not a string.")
    match = next((m for m in (path.fullmatch(url) for path in _PATHS) if m), None)
    if match is None:
        raise Unreadable("'image_url' must have the form 'AmlDatastore://...' or 'azureml://.../paths/...'.")
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
        raise Unreadable("'label_confidence' must be a number from 0 to 1, or a list of them.")
    if several and len(numbers) != (1 if labels is None else labels):
        raise Unreadable("'label_confidence' must have one number for each label.")


def _categories(label: Any, kind: ProjectKind) -> tuple[str, ...]:
    if kind is ProjectKind.SINGLE_LABEL:
        if not isinstance(label, str):
            raise Unreadable("'label' must be a string: each document of this project has one class.")
        return (_category(label),)
    if not isinstance(label, list):
        raise Unreadable("'label' must be a list: documents of this project have any number of classes.")
    names = tuple(_category(name) for name in cast("list[Any]", label))
    if len(set(names)) != len(names):
        raise Unreadable("'label' lists a class twice.")
    return names


def _category(name: Any) -> str:
    if not isinstance(name, str):
        raise Unreadable("A label must be a string.")
    if wrong := category_error(name):
        raise Unreadable(f"The label {name[:60]!r} cannot be a category: {wrong}")
    return name


def _spans(label: Any) -> tuple[EntityLabel, ...]:
    if not isinstance(label, list):
        raise Unreadable("'label' must be a list of entities.")
    spans = tuple(_entity(item) for item in cast("list[Any]", label))
    if len(set(spans)) != len(spans):
        raise Unreadable("'label' lists an entity twice.")
    return spans


def _entity(item: Any) -> EntityLabel:
    if not isinstance(item, dict):
        raise Unreadable("An entity must be an object with 'label', 'offsetStart' and 'offsetEnd'.")
    entity = cast("dict[str, Any]", item)
    name = _category(entity.get("label"))
    start, end = _offset(entity.get("offsetStart")), _offset(entity.get("offsetEnd"))
    if start is None or end is None:
        raise Unreadable(
            f"The entity '{name}' must have integers of 0 or more as 'offsetStart' and 'offsetEnd'."
        )
    if not 1 <= end - start <= MAX_ENTITY_LENGTH:
        raise Unreadable(
            f"The entity '{name}' from {start} to {end} must have 1 to {MAX_ENTITY_LENGTH} characters."
        )
    return EntityLabel(name, start, end - start)


def _offset(value: Any) -> int | None:
    """A number, or its digits as a string, as AML's own reader accepts it."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 9:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < 10**9 else None


MAX_LINE_BYTES: Final = 4 * 1024 * 1024


class OffsetUnit(StrEnum):
    """What the offsets in a file count."""

    UTF16 = "utf16"
    CODE_POINT = "codePoint"


class LineReader:
    """Reads the lines of one file as its bytes come in, in order.

    `datastore`: lines of another one are bad; None takes that of the first line that can be read.
    """

    def __init__(self, kind: ProjectKind, datastore: str | None = None) -> None:
        self._kind = kind
        self._datastore = datastore
        self._first: dict[str, int] = {}
        self._rest = bytearray()
        self._number = 0
        self._overlong = False

    def feed(self, chunk: bytes) -> Iterator[AmlLine | BadLine]:
        """The lines that end in this chunk."""
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            self._keep(chunk[start:end])
            yield from self._take()
            start = end + 1
        self._keep(chunk[start:])

    def end(self) -> Iterator[AmlLine | BadLine]:
        """The last line, when no line feed ends it."""
        if self._rest or self._overlong:
            yield from self._take()

    def _keep(self, piece: bytes) -> None:
        if self._overlong or len(self._rest) + len(piece) > MAX_LINE_BYTES:
            self._overlong = True
            self._rest.clear()
        else:
            self._rest += piece

    def _take(self) -> Iterator[AmlLine | BadLine]:
        self._number += 1
        raw, overlong = bytes(self._rest), self._overlong
        self._rest.clear()
        self._overlong = False
        if overlong:
            yield BadLine(self._number, f"The line is longer than {MAX_LINE_BYTES:,} bytes.")
            return
        if self._number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if raw.strip():
            yield self._read_line(raw)

    def _read_line(self, raw: bytes) -> AmlLine | BadLine:
        try:
            line = parse_line(self._number, raw, self._kind)
            self._admit(line)
        except Unreadable as bad:
            return BadLine(self._number, str(bad))
        return line

    def _admit(self, line: AmlLine) -> None:
        if self._datastore is None:
            self._datastore = line.datastore
        if line.datastore.casefold() != self._datastore.casefold():
            raise Unreadable(
                f"The document is in the datastore '{line.datastore}', not in '{self._datastore}'."
            )
        if line.location in self._first:
            raise Unreadable(
                f"The document '{line.location}' was already labeled on line {self._first[line.location]}."
            )
        self._first[line.location] = line.number


def read(
    chunks: Iterable[bytes], kind: ProjectKind, datastore: str | None = None
) -> Iterator[AmlLine | BadLine]:
    """The lines of a file that is in memory."""
    reader = LineReader(kind, datastore)
    for chunk in chunks:
        yield from reader.feed(chunk)
    yield from reader.end()


async def read_stream(
    chunks: AsyncIterable[bytes], kind: ProjectKind, datastore: str | None = None
) -> AsyncIterator[AmlLine | BadLine]:
    """The lines of a file that is being streamed."""
    reader = LineReader(kind, datastore)
    async for chunk in chunks:
        for line in reader.feed(chunk):
            yield line
    for line in reader.end():
        yield line


def to_labels(
    line: AmlLine,
    kind: ProjectKind,
    length: int | None,
    text: Offsets | None = None,
    unit: OffsetUnit = OffsetUnit.UTF16,
) -> Labels | str:
    """The labels in UTF-16, or why they do not fit the document, by the rules of labels set by hand.

    `length` of the text in UTF-16 code units; None: it was never read, so the one region covers all of it. Without
    `text` offsets are not converted, which is right where no character takes two code units.
    """
    if kind is not ProjectKind.ENTITIES:
        return Labels(categories=line.categories)
    if text is not None:
        length = text.utf16_length
    convert = unit is OffsetUnit.CODE_POINT and text is not None
    limit = text.length if convert and text else END_OF_TEXT if length is None else length
    for span in line.spans:
        if span.end > limit:
            return f"The entity '{span.category}' ends at {span.end}, beyond the end of the text ({limit})."
    spans = [_in_utf16(span, text) for span in line.spans] if convert and text else line.spans
    for span in spans:
        if span.length > MAX_ENTITY_LENGTH:
            return (
                f"The entity '{span.category}' at {span.offset} has {span.length} UTF-16 code units; "
                f"at most {MAX_ENTITY_LENGTH} are allowed."
            )
    ordered = tuple(sorted(spans, key=_order))
    labels = Labels(regions=(Region(0, END_OF_TEXT if length is None else length, ordered),))
    wrong = next(span_errors(labels, text), None) if text else None
    return wrong.message if wrong else labels


def to_line(
    location: str, labels: Labels, kind: ProjectKind, datastore: str, offsets: Offsets | None = None
) -> bytes:
    """One line, with its line feed. `offsets` of the text: write code points; else UTF-16 code units."""
    if kind is ProjectKind.ENTITIES:
        label: Any = [_span(entity, offsets) for entity in sorted(labels.entities(), key=_order)]
    elif kind is ProjectKind.MULTI_LABEL:
        label = list(labels.categories)
    else:
        label = labels.categories[0]
    confidence = 1.0 if kind is ProjectKind.SINGLE_LABEL else [1.0] * len(label)
    line = {
        "image_url": f"AmlDatastore://{datastore}/{location}",
        "label": label,
        "label_confidence": confidence,
    }
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def can_be_written(labels: Labels, kind: ProjectKind) -> bool:
    """AML cannot express "labeled with nothing" in a project with one class per document (rule D6)."""
    return kind is not ProjectKind.SINGLE_LABEL or bool(labels.categories)


def _order(entity: EntityLabel) -> tuple[int, int, str]:
    return entity.offset, entity.length, entity.category


def _in_utf16(span: EntityLabel, offsets: Offsets) -> EntityLabel:
    return EntityLabel(span.category, *offsets.span_to_utf16(span.offset, span.length))


def _span(entity: EntityLabel, offsets: Offsets | None) -> dict[str, Any]:
    place = offsets.span_to_code_points(entity.offset, entity.length) if offsets else None
    offset, length = place or (entity.offset, entity.length)
    return {"label": entity.category, "offsetStart": offset, "offsetEnd": offset + length}
