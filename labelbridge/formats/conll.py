"""CoNLL-2003: one token per line with its tag (B-, I- or O), an empty line between sentences. For entities only.

    -DOCSTART- (inbox/1.txt)

    Paris -X- -X- B-City
    calling -X- -X- O

The name of a document follows `-DOCSTART-` in parentheses. Tokens are words and single signs, split also where an
entity begins or ends, so that spans come back as they were; only spaces at the ends of an entity are lost. When read,
the first column is the token, the last the tag, and the text of the document says where each token stands.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TextIO
from urllib.parse import quote, unquote

from labelbridge.formats.records import BadFile, Field, Record, Span

_TOKEN = re.compile(r"\w+|[^\w\s]")
_START = re.compile(r"-DOCSTART- \((.+)\)")
_TAG = re.compile(r"O|([BIES])-(\S.*)")
#: Characters of a name that do not fit into one line are escaped as in a URL.
_ENCODED = re.compile(r"[%\x00-\x1f\x7f-\x9f\u2028\u2029]")


def write(records: Iterable[Record], out: TextIO, field: Field) -> list[str]:
    warnings: list[str] = []
    for record in records:
        text = record.text or ""
        spans = [_trimmed(span, text) for span in record.spans]
        if any(b.start < a.end for a, b in pairwise(spans)):
            warnings.append(
                f"{record.location}: its entities overlap, which CoNLL cannot represent; it is left out."
            )
            continue
        odd = [span.category for span in spans if re.search(r"\s", span.category)]
        if odd:
            warnings.append(
                f"{record.location}: the category '{odd[0]}' has a space, which tags cannot have; it is left out."
            )
            continue
        if any(
            span.end - span.start != was.end - was.start
            for span, was in zip(spans, record.spans, strict=True)
        ):
            warnings.append(f"{record.location}: spaces at the ends of an entity are not written.")
        name = _ENCODED.sub(lambda found: quote(found[0]), record.location or "")
        out.write(f"-DOCSTART- ({name})\n")
        out.writelines(_lines(text, [span for span in spans if span.start < span.end]))
        out.write("\n")
    return warnings


def _trimmed(span: Span, text: str) -> Span:
    quoted = text[span.start : span.end]
    start = span.start + len(quoted) - len(quoted.lstrip())
    return Span(start, max(start, span.end - (len(quoted) - len(quoted.rstrip()))), span.category)


def _lines(text: str, spans: list[Span]) -> Iterator[str]:
    """The lines of one document. A line break in the text ends a sentence, unless an entity goes on."""
    position, inside = 0, None
    borders = sorted({0, len(text), *(s.start for s in spans), *(s.end for s in spans)})
    starts = {span.start: span for span in spans}
    for low, high in pairwise(borders):
        if low in starts:
            inside = starts[low]
        elif inside is not None and low >= inside.end:
            inside = None
        for match in _TOKEN.finditer(text, low, high):
            first = position == 0
            if first or (
                "\n" in text[position : match.start()] and not (inside and inside.start < match.start())
            ):
                yield "\n"
            tag = (
                "O"
                if inside is None
                else f"{'B' if match.start() == inside.start else 'I'}-{inside.category}"
            )
            yield f"{match[0]} -X- -X- {tag}\n"
            position = match.end()


def read(file: TextIO, field: Field) -> Iterator[Record]:
    if field != "entities":
        raise BadFile("CoNLL files hold entities; this project has classes.")
    location, place, tokens = "", "", list[tuple[str, str | None, bool]]()
    for number, raw in enumerate(file, 1):
        line = raw.strip("\n\r")
        if line.startswith("-DOCSTART-"):
            if location:
                yield Record(place, location, tokens=tuple(tokens))
            location, place, tokens = _name(line, number), f"Line {number}", []
        elif line.strip():
            if not location:
                raise BadFile(f"Line {number}: the file must begin with '-DOCSTART- (name of the document)'.")
            tokens.append(_token(line, number))
    if not location:
        raise BadFile("The file has no document.")
    yield Record(place, location, tokens=tuple(tokens))


def _name(line: str, number: int) -> str:
    match = _START.fullmatch(line.strip())
    if match is None:
        raise BadFile(f"Line {number}: the name of the document is missing: '-DOCSTART- (inbox/1.txt)'.")
    return unquote(match[1])


def _token(line: str, number: int) -> tuple[str, str | None, bool]:
    columns = line.split()
    tag = _TAG.fullmatch(columns[-1]) if len(columns) > 1 else None
    if tag is None:
        raise BadFile(f"Line {number}: must end with a tag such as O, B-City or I-City.")
    return columns[0], tag[2], tag[1] in ("B", "S")
