"""Labels of one document as the formats hold them, and their way from and to the API."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TextIO, cast

from labelbridge.client.models import Document, Labels

type Field = Literal["class", "classes", "entities"]
"""The label field of a kind of project."""

FIELDS: dict[str, Field] = {
    "CustomSingleLabelClassification": "class",
    "CustomMultiLabelClassification": "classes",
    "CustomEntityRecognition": "entities",
}


#: Of surrogate pairs, which JSON can hold alone and no text can.
_HALVES = re.compile("[\ud800-\udfff]")


class BadFile(Exception):
    """A file cannot be read or written; the message names the place."""


class Misfit(Exception):
    """The labels of one record do not fit their document."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """An entity: characters `start` to before `end`. `quote` is its text where the file has it."""

    start: int
    end: int
    category: str
    quote: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """The labels of one document. No category and no span: it is labeled with nothing.

    `location` is None in formats without names: the document is then found by its `text`. `tokens` stand for the
    spans in formats without offsets: each token with its category, and whether it begins an entity.
    """

    place: str
    location: str | None = None
    text: str | None = None
    categories: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    dataset: str | None = None
    language: str | None = None
    tokens: tuple[tuple[str, str | None, bool], ...] | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """`read` and `write` take the label field of the project; `write` returns warnings."""

    read: Callable[[TextIO, Field], Iterator[Record]]
    write: Callable[[Iterable[Record], TextIO, Field], list[str]]
    needs_text: bool
    suffix: str
    entities_only: bool = False


class Offsets:
    """Converts offsets of one text between characters and UTF-16 code units."""

    def __init__(self, text: str) -> None:
        self._astral = [] if text.isascii() else [i for i, c in enumerate(text) if ord(c) > 0xFFFF]
        #: UTF-16 offsets of the same characters.
        self._units = [i + n for n, i in enumerate(self._astral)]
        self.length = len(text) + len(self._astral)

    def to_units(self, character: int) -> int:
        return character + bisect_left(self._astral, character)

    def to_characters(self, unit: int) -> int:
        """Raises Misfit for a place inside a character or beyond the text."""
        before = bisect_left(self._units, unit)
        if unit > self.length or (before and self._units[before - 1] == unit - 1):
            raise Misfit(f"The offset {unit} is not between two characters of the text.")
        return unit - before


def from_document(document: Document, text: str | None) -> Record:
    """The labels of a labeled document. Raises Misfit when they do not fit the text."""
    single = document.get("class")
    found = [single] if single else document.get("classes") or []
    spans = () if not document.get("entities") else _spans(document, text)
    return Record(
        document["location"], document["location"], text,
        tuple(label["category"] for label in found if label["category"]),
        spans, document["dataset"], document["language"],
    )  # fmt: skip


def _spans(document: Document, text: str | None) -> tuple[Span, ...]:
    if text is None:
        raise Misfit("Its text cannot be read.")
    offsets, found = Offsets(text), set[Span]()
    for region in document.get("entities") or []:
        for entity in region["labels"]:
            start = offsets.to_characters(entity["offset"])
            end = offsets.to_characters(entity["offset"] + entity["length"])
            found.add(Span(start, end, entity["category"], text[start:end]))
    return tuple(sorted(found))


def to_labels(record: Record, field: Field, text: str | None) -> Labels:
    """The label field for the API; `text` of the document, for entities. Raises Misfit."""
    if field == "class":
        return {"class": {"category": record.categories[0] if record.categories else None}}
    if field == "classes":
        return {"classes": [{"category": name} for name in record.categories]}
    if text is None:
        raise Misfit("The text of the document cannot be read, so its entities cannot be placed.")
    if record.text is not None and _lines(record.text) != _lines(text):
        raise Misfit("The text in the file differs from that of the document.")
    offsets = Offsets(text)
    labels = [
        {
            "category": span.category,
            "offset": offsets.to_units(span.start),
            "length": offsets.to_units(span.end) - offsets.to_units(span.start),
        }
        for span in placed(record, text)
    ]
    regions = [{"regionOffset": 0, "regionLength": offsets.length, "labels": labels}]
    return cast(Labels, {"entities": regions})


def placed(record: Record, text: str) -> list[Span]:
    """The spans of a record in the text of its document, in order. Raises Misfit."""
    if record.tokens is not None:
        return sorted(align(record.tokens, text))
    return sorted({_placed(span, text) for span in record.spans})


def _placed(span: Span, text: str) -> Span:
    """The span at the position of its quote: some tools used to count UTF-16 code units."""
    if span.quote is None:
        if not 0 <= span.start < span.end <= len(text):
            raise Misfit(
                f"The entity {span.start} to {span.end} is not inside the text ({len(text)} characters)."
            )
        return span
    quote = span.quote
    if 0 <= span.start < span.end and text[span.start : span.end] == quote:
        return Span(span.start, span.end, span.category)
    try:
        offsets = Offsets(text)
        start, end = offsets.to_characters(span.start), offsets.to_characters(span.end)
    except Misfit:
        start = end = 0
    if 0 <= start < end and text[start:end] == quote:
        return Span(start, end, span.category)
    raise Misfit(f"At {span.start} to {span.end} the text is not '{quote[:40]}'.")


def align(tokens: Iterable[tuple[str, str | None, bool]], text: str) -> Iterator[Span]:
    """The spans of tokens: each token stands in the text after the one before. Raises Misfit."""
    position, start, end, current = 0, 0, 0, None
    for token, category, begins in tokens:
        found = text.find(token, position)
        if found < 0 or text[position:found].strip():
            raise Misfit(f"The token '{token[:40]}' does not match the text at character {position}.")
        if current is not None and (category != current or begins):
            yield Span(start, end, current)
            current = None
        if category is not None and current is None:
            start, current = found, category
        position = end_of_token = found + len(token)
        end = end_of_token if category is not None else end
    if current is not None:
        yield Span(start, end, current)
    if text[position:].strip():
        raise Misfit(f"The file has no token for the text from character {position} on.")


def _lines(text: str) -> str:
    return text.removeprefix("\ufeff")


def same(a: Labels, b: Labels, field: Field) -> bool:
    """Whether two label fields are equal, ignoring regions, which the formats do not have."""
    return _plain(a.get(field), field) == _plain(b.get(field), field)


def _plain(value: Any, field: Field) -> Any:
    if value is None or field == "class":
        return value
    if field == "classes":
        return {label["category"] for label in value}
    return {
        (entity["category"], entity["offset"], entity["length"])
        for region in value
        for entity in region["labels"]
    }


def text_of(value: Any, what: str, place: str) -> str:
    """A value of a file that must be text. Raises BadFile."""
    if not isinstance(value, str) or not value:
        raise BadFile(f"{place}: {what} must be a non-empty string.")
    if _HALVES.search(value):
        raise BadFile(f"{place}: {what} contains an unpaired surrogate.")
    return value


def dataset_of(value: Any, place: str) -> str | None:
    if value in (None, ""):
        return None
    if value not in ("Train", "Test"):
        raise BadFile(f"{place}: the dataset must be 'Train' or 'Test', not '{value}'.")
    return str(value)


def number_of(value: Any, what: str, place: str) -> int:
    """A whole number of 0 or more, also as digits. Raises BadFile."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadFile(f"{place}: {what} must be a whole number of 0 or more.")
    return value


def one_class(categories: tuple[str, ...], field: Field, place: str) -> None:
    """Raises BadFile when a document has two classes and may have one."""
    if field == "class" and len(categories) > 1:
        raise BadFile(
            f"{place}: the document has {len(categories)} classes; in this project it may have one."
        )
