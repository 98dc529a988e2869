"""Cuts a text into tokens that keep their place in it, and turns spans into token labels.

Offsets are code points of the original text: nothing is normalised before cutting.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shared.domain.prediction import Span

OUTSIDE: Final = 0
"""The label of a token of no entity. Category number c has label 2c + 1 where a mention begins, 2c + 2
inside."""

MARKS: Final = (  # within a character class of a pattern
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u0900-\u0963\u0966-\u0dff\u200c\u200d\u20d0-\u20f0\ufe00-\ufe0f\ufe20-\ufe2f"
)
# Scripts that put no blanks between words: each character is a token.
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

    def head(self, most: int) -> "Tokens":
        """The first ones, at most so many."""
        if len(self.words) <= most:
            return self
        segments = [(begin, min(end, most)) for begin, end in self.segments if begin < most]
        return Tokens(self.words[:most], self.starts[:most], self.ends[:most], segments)


def cut(text: str) -> Tokens:
    """Letters, digits and every other visible character apart."""
    words: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for match in _TOKEN.finditer(text):
        words.append(match.group())
        starts.append(match.start())
        ends.append(match.end())
    return Tokens(words, starts, ends, _segments(text, words, starts, ends))


def labels(tokens: Tokens, spans: Sequence[Span], categories: Sequence[str]) -> list[int]:
    """A label for each token that a span touches; of spans that overlap, the first and longest wins."""
    result = [OUTSIDE] * len(tokens.words)
    number = {category: index for index, category in enumerate(categories)}
    for span in sorted(spans, key=lambda span: (span.offset, -span.length)):
        end = span.offset + span.length
        inside = [i for i in _touched(tokens, span.offset, end) if tokens.ends[i] > span.offset]
        if inside and all(result[i] == OUTSIDE for i in inside):
            first = 2 * number[span.category] + 1
            for i in inside:
                result[i] = first + (i > inside[0])
    return result


def _touched(tokens: Tokens, start: int, end: int) -> range:
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
