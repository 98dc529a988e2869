"""Splits a text into tokens with their places in it, and turns spans into token labels.

Offsets are code points of the original text: nothing is normalized first.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shared.domain.labels import Span

OUTSIDE: Final = 0
"""The label of a token outside entities. Category number c has label 2c + 1 at the start of a mention, and 2c + 2
inside.
"""

MARKS: Final = (  # within a character class of a pattern
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u0900-\u0963\u0966-\u0dff\u200c\u200d\u20d0-\u20f0\ufe00-\ufe0f\ufe20-\ufe2f"
)
# Scripts without spaces between words: each character is a token.
UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Japanese, Chinese
)
_TOKEN: Final = re.compile(
    rf"[{UNSPACED}][{MARKS}]*|(?:(?![{UNSPACED}])[^\W\d_][{MARKS}]*)+|\d+|[^\s][{MARKS}]*"
)

_SEGMENT: Final = 100
_LONGEST_SEGMENT: Final = 200
_SENTENCE_ENDS: Final = frozenset(".!?\u3002\uff01\uff1f\u061f\u0964")


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one text: their words and where they begin and end."""

    words: list[str]
    starts: list[int]
    ends: list[int]
    segments: list[tuple[int, int]]
    """Runs of tokens (from, to) that are labeled together: a line, or the sentences of a long one."""
    cut: bool = False
    """Whether these are only the first tokens of the text."""

    def head(self, most: int) -> "Tokens":
        """The first ones, up to a maximum."""
        if len(self.words) <= most:
            return self
        segments = [(begin, min(end, most)) for begin, end in self.segments if begin < most]
        return Tokens(self.words[:most], self.starts[:most], self.ends[:most], segments, cut=True)


def cut(text: str, most: int | None = None) -> Tokens:
    """Tokens of letters, of digits, and of every other visible character, of the first `most` characters only."""
    whole, text = text, text[:most]
    words: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for match in _TOKEN.finditer(text):
        words.append(match.group())
        starts.append(match.start())
        ends.append(match.end())
    return Tokens(words, starts, ends, _segments(text, words, starts, ends), cut=len(text) < len(whole))


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """An entity as tokens: `start` to `end` (exclusive)."""

    category: str
    start: int
    end: int


def align(tokens: Tokens, length: int, spans: Sequence[Span]) -> tuple[list[TokenSpan], Counter[str]]:
    """The spans as whole tokens, in the order of the text, and how many were adjusted or left out, by reason.

    `length` is that of the whole text; `tokens` may be only its first part. The reasons are those of
    `FitReport`. If spans overlap, the first and longest is kept.
    """
    found: list[TokenSpan] = []
    reasons: Counter[str] = Counter()
    read = tokens.ends[-1] if tokens.ends else 0
    for span in sorted(set(spans), key=lambda span: (span.offset, -span.length, span.category)):
        end = span.offset + span.length
        touched = _touched(tokens, span.offset, end)
        if span.length < 1 or span.offset < 0 or end > length:
            reasons["outsideText"] += 1
        elif not touched:
            reasons["unread" if tokens.cut and span.offset >= read else "blank"] += 1
        elif tokens.cut and end > read:
            reasons["unread"] += 1
        elif found and touched.start < found[-1].end:
            reasons["overlap"] += 1
        else:
            reasons.update(_adjusted(tokens, touched, span.offset, end))
            found.append(TokenSpan(span.category, touched.start, touched.stop))
    return found, reasons


def _adjusted(tokens: Tokens, touched: range, start: int, end: int) -> list[str]:
    first, last = tokens.starts[touched.start], tokens.ends[touched.stop - 1]
    blank_edges, part_of_word = start < first or end > last, start > first or end < last
    return ["blankEdges"] * blank_edges + ["partOfWord"] * part_of_word


def labels(count: int, spans: Sequence[TokenSpan], categories: Sequence[str]) -> list[int]:
    """A label for each of `count` tokens."""
    result = [OUTSIDE] * count
    number = {category: index for index, category in enumerate(categories)}
    for span in spans:
        begin = 2 * number[span.category] + 1
        result[span.start : span.end] = [begin] + [begin + 1] * (span.end - span.start - 1)
    return result


def _touched(tokens: Tokens, start: int, end: int) -> range:
    """The tokens with at least one character in start..end."""
    first = bisect_left(tokens.starts, start)
    if first and tokens.ends[first - 1] > start:
        first -= 1
    return range(first, bisect_left(tokens.starts, end))


def _segments(text: str, words: list[str], starts: list[int], ends: list[int]) -> list[tuple[int, int]]:
    segments: list[tuple[int, int]] = []
    begin = 0
    for i in range(1, len(words)):
        between = text[ends[i - 1] : starts[i]]
        length = i - begin
        sentence_ends = length >= _SEGMENT and words[i - 1] in _SENTENCE_ENDS and bool(between)
        if "\n" in between or "\r" in between or sentence_ends or length >= _LONGEST_SEGMENT:
            segments.append((begin, i))
            begin = i
    if begin < len(words):
        segments.append((begin, len(words)))
    return segments
