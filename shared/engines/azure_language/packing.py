"""Documents in requests: long ones are split at sentence or line ends, and pieces are packed into requests.

The service counts characters as text elements. A text has at most as many of them as UTF-16 code units, which are
counted here. If a text has no sentence or line end near the best place, the pieces overlap by the length of the
longest entity, so that every entity is whole in one of them.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from shared.domain.labels import MAX_ENTITY_LENGTH, Prediction
from shared.domain.text import Offsets, splits_character, utf16_length

MAX_REQUEST_DOCUMENTS: Final = 25
MAX_CHARACTERS: Final = 125_000

_SPACE = re.compile(r"\s+")
#: Quotation marks and brackets that may follow a full stop, before the white space.
_CLOSERS = "\"'\u201d\u2019\u00bb)]"
_ENDS = ".!?\u2026\u3002\uff01\uff1f"
#: Full stops of Chinese and Japanese, which are not followed by white space.
_IDEOGRAPHIC_END = re.compile("[\u3002\uff01\uff1f][\u300d\u300f\u201d\u2019\uff09]*")
_LINE_BREAKS = frozenset("\n\r\u2028\u2029")


@dataclass(frozen=True, slots=True)
class Piece:
    """The characters `start` to before `end` of a document, in code points, and their size in UTF-16 code units.

    `cut_before`, `cut_after`: the text continues there, without a sentence or line end.
    """

    start: int
    end: int
    size: int
    cut_before: bool = False
    cut_after: bool = False


def split(text: str, limit: int = MAX_CHARACTERS) -> list[Piece]:
    """Pieces of at most `limit` UTF-16 code units, of about the same size, that cover the text."""
    size = utf16_length(text)
    if size <= limit:
        return [Piece(0, len(text), size)]
    offsets = Offsets(text)
    pieces: list[Piece] = []
    start, cut_before = 0, False
    while offsets.utf16_length - offsets.to_utf16(start) > limit:
        end, whole = _end_of_piece(text, offsets, start, limit)
        begin = end if whole else _overlapping(text, offsets, start, end, limit)
        pieces.append(_piece(offsets, start, end, cut_before, cut_after=begin < end))
        start, cut_before = begin, begin < end
    pieces.append(_piece(offsets, start, len(text), cut_before, cut_after=False))
    return pieces


def pack[T](items: Iterable[tuple[T, int]], *, documents: int = MAX_REQUEST_DOCUMENTS) -> list[list[T]]:
    """Items with their sizes, in groups that each fit into one request, in their order."""
    groups: list[list[T]] = []
    used = 0
    for item, size in items:
        if not groups or len(groups[-1]) >= documents or used + size > MAX_CHARACTERS:
            groups.append([])
            used = 0
        groups[-1].append(item)
        used += size
    return groups


def _piece(offsets: Offsets, start: int, end: int, cut_before: bool, *, cut_after: bool) -> Piece:
    return Piece(start, end, offsets.to_utf16(end) - offsets.to_utf16(start), cut_before, cut_after)


def _end_of_piece(text: str, offsets: Offsets, start: int, limit: int) -> tuple[int, bool]:
    """Where the piece that begins at `start` ends, and whether that is the end of a sentence or a line."""
    begin = offsets.to_utf16(start)
    rest = offsets.utf16_length - begin
    best = _floor(offsets, begin + -(-rest // -(-rest // limit)))
    low, high = _floor(offsets, begin + limit // 4), _floor(offsets, begin + limit)
    places: list[list[int]] = [[], [], []]
    for match in _SPACE.finditer(text, low, high):
        places[_rank(text, match)].append(match.end())
    places[0] += [match.end() for match in _IDEOGRAPHIC_END.finditer(text, low, high)]
    for rank, ends in enumerate(places):
        fit = [end for end in ends if low < end <= high and not _is_inside(text, end)]
        if fit:
            return min(fit, key=lambda end: abs(end - best)), rank < 2
    return _safe_cut(text, best, low), False


def _rank(text: str, space: re.Match[str]) -> int:
    """What the white space ends: 0 a sentence or paragraph, 1 a line, 2 a word."""
    breaks = space[0].replace("\r\n", "\n")
    if sum(character in _LINE_BREAKS for character in breaks) > 1:
        return 0
    before = text[max(0, space.start() - 5) : space.start()].rstrip(_CLOSERS)
    if before and before[-1] in _ENDS:
        return 0
    return 1 if _LINE_BREAKS.intersection(breaks) else 2


def _floor(offsets: Offsets, utf16: int) -> int:
    """The last code point offset at or before a UTF-16 offset."""
    found = offsets.to_code_point(utf16)
    return found if found is not None else offsets.to_code_point(utf16 - 1) or 0


def _safe_cut(text: str, end: int, low: int) -> int:
    """The last place at or before `end` that does not split a displayed character."""
    place = end
    while place > low and _is_inside(text, place):
        place -= 1
    return place if place > low else end


def _is_inside(text: str, place: int) -> bool:
    return splits_character(text, place) or text[place - 1 : place + 1] == "\r\n"


def _overlapping(text: str, offsets: Offsets, start: int, end: int, limit: int) -> int:
    """Where the piece begins that follows one cut at `end`: before `end`, but well after `start`.

    At `end` where the text has one displayed character between.
    """
    back = min(MAX_ENTITY_LENGTH, limit // 8)
    low = max(start + 1, _floor(offsets, offsets.to_utf16(end) - 2 * back))
    high = max(low, _floor(offsets, offsets.to_utf16(end) - back))
    spaces = [m.end() for m in _SPACE.finditer(text, low, high) if low < m.end() <= high]
    if spaces:
        return spaces[-1]
    safe = (place for place in (*range(high, low, -1), *range(high + 1, end)) if not _is_inside(text, place))
    return next(safe, end)


def merge_entities(found: Sequence[tuple[Piece, Sequence[Prediction]]]) -> list[Prediction]:
    """Entities of a document from those of its pieces, whose offsets count from the piece's start.

    An entity that touches a cut end of its piece may be only a part. It is left to the neighboring piece, which has
    the same place with its context.
    """
    pieces = [piece for piece, _ in found]
    spans: list[Prediction] = []
    for number, (piece, predictions) in enumerate(found):
        before = pieces[number - 1] if number and piece.cut_before else None
        after = pieces[number + 1] if piece.cut_after and number + 1 < len(pieces) else None
        for prediction in predictions:
            start = piece.start + (prediction.offset or 0)
            end = start + (prediction.length or 0)
            if after is not None and end == piece.end and start >= after.start:
                continue
            if before is not None and start == piece.start and end < before.end:
                continue
            spans.append(Prediction(prediction.category, prediction.confidence, start, end - start))
    return _without_overlaps(spans)


def _without_overlaps(spans: Iterable[Prediction]) -> list[Prediction]:
    """The surest of overlapping spans, in the order of the text."""
    kept: list[Prediction] = []
    for prediction in sorted(spans, key=lambda p: (-p.confidence, p.offset or 0, p.length or 0)):
        place = bisect_left(kept, prediction.offset or 0, key=lambda p: p.offset or 0)
        if not any(_overlap(prediction, other) for other in kept[max(0, place - 1) : place + 1]):
            kept.insert(place, prediction)
    return kept


def _overlap(prediction: Prediction, other: Prediction) -> bool:
    start, begin = prediction.offset or 0, other.offset or 0
    return start < begin + (other.length or 0) and begin < start + (prediction.length or 0)


def merge_classes(found: Sequence[tuple[Piece, Sequence[Prediction]]], *, single: bool) -> list[Prediction]:
    """Classes of a document from those of its pieces, surest first.

    Single-label: pieces are weighted by size. Multi-label: the document has the classes of all pieces.
    """
    if len(found) == 1:
        return sorted(found[0][1], key=lambda p: -p.confidence)
    whole = sum(piece.size for piece, _ in found) or 1
    scores: dict[str, float] = {}
    for piece, predictions in found:
        for prediction in predictions:
            before = scores.get(prediction.category, 0.0)
            share = prediction.confidence * piece.size / whole
            scores[prediction.category] = before + share if single else max(before, prediction.confidence)
    merged = [Prediction(name, min(1.0, score)) for name, score in scores.items()]
    return sorted(merged, key=lambda p: (-p.confidence, p.category))
