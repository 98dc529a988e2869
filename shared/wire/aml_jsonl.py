"""Label files of Azure Machine Learning (AML): one JSON object a line, for the three kinds of project.

    {"image_url": "AmlDatastore://<datastore>/<path>", "label": "sports", "label_confidence": 1.0}
    {"image_url": "AmlDatastore://<datastore>/<path>", "label": ["a", "b"], "label_confidence": [1.0, 1.0]}
    {"image_url": "azureml://subscriptions/.../datastores/<datastore>/paths/<path>",
     "label": [{"label": "PER", "offsetStart": 0, "offsetEnd": 8}], "label_confidence": [1.0]}

`offsetEnd` is exclusive. Nobody documents the unit of offsets, so a file is read and written in the unit that
a setting names. A line that cannot be read is told by number and reason and never stops the others.
"""

import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from enum import StrEnum
from typing import Any, Final

from shared.domain.kinds import ProjectKind
from shared.domain.labels import EntityLabel, Labels, Region
from shared.domain.text import Offsets
from shared.wire.aml_line import AmlLine, BadLine, Unreadable, parse_line

MAX_LINE_BYTES: Final = 4 * 1024 * 1024


class OffsetUnit(StrEnum):
    """What an offset in a file counts."""

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
            yield self._read(raw)

    def _read(self, raw: bytes) -> AmlLine | BadLine:
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
                f"The document lies in the datastore '{line.datastore}', not in '{self._datastore}'."
            )
        if line.location in self._first:
            raise Unreadable(
                f"The document '{line.location}' was labeled on line {self._first[line.location]} already."
            )
        self._first[line.location] = line.number


def read(
    chunks: Iterable[bytes], kind: ProjectKind, datastore: str | None = None
) -> Iterator[AmlLine | BadLine]:
    """The lines of a file whose bytes are at hand."""
    reader = LineReader(kind, datastore)
    for chunk in chunks:
        yield from reader.feed(chunk)
    yield from reader.end()


async def read_stream(
    chunks: AsyncIterable[bytes], kind: ProjectKind, datastore: str | None = None
) -> AsyncIterator[AmlLine | BadLine]:
    """The lines of a file whose bytes are still coming."""
    reader = LineReader(kind, datastore)
    async for chunk in chunks:
        for line in reader.feed(chunk):
            yield line
    for line in reader.end():
        yield line


def to_labels(line: AmlLine, kind: ProjectKind, length: int, offsets: Offsets | None = None) -> Labels | str:
    """The labels in UTF-16 for a document of `length` units, or why they do not fit it.

    `offsets` of the text converts from code points; None: the file counts UTF-16, or no character of the text
    takes two units, so that both units are the same.
    """
    if kind is not ProjectKind.ENTITIES:
        return Labels(categories=line.categories)
    limit = offsets.length if offsets else length
    for span in line.spans:
        if span.end > limit:
            return f"The entity '{span.category}' ends at {span.end}, behind the end of the text ({limit})."
    spans = [_in_utf16(span, offsets) for span in line.spans] if offsets else line.spans
    return Labels(regions=(Region(0, length, tuple(sorted(spans, key=_order))),))


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
    """AML has no word for "labeled with nothing" where every document has one class (rule D6)."""
    return kind is not ProjectKind.SINGLE_LABEL or bool(labels.categories)


def _order(entity: EntityLabel) -> tuple[int, int, str]:
    return entity.offset, entity.length, entity.category


def _in_utf16(span: EntityLabel, offsets: Offsets) -> EntityLabel:
    return EntityLabel(span.category, *offsets.span_to_utf16(span.offset, span.length))


def _span(entity: EntityLabel, offsets: Offsets | None) -> dict[str, Any]:
    place = offsets.span_to_code_points(entity.offset, entity.length) if offsets else None
    offset, length = place or (entity.offset, entity.length)
    return {"label": entity.category, "offsetStart": offset, "offsetEnd": offset + length}
