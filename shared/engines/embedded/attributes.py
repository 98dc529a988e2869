"""The attributes of a token: its word, its form, its neighbors, and mentions known from other documents."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

from shared.engines.embedded.tokens import OUTSIDE

_LONGEST_WORD: Final = 40
_LONGEST_MENTION: Final = 8
_EDGE: Final = ""

POSITIONS: Final = (-2, -1, 0, 1, 2)
"""Positions of the words that a token sees, relative to its own."""
EDGES: Final = (_EDGE, _EDGE)
"""Stands for the words before the first and after the last token."""

type Mention = tuple[str, ...]

type Clusters = Mapping[str, tuple[str, ...]]
"""The names of the clusters of a word."""


class Gazetteer:
    """The mentions that people labeled, with the number of documents for each category."""

    def __init__(self, mentions: Mapping[Mention, Counter[int]] | None = None) -> None:
        self.mentions = mentions or {}
        self._longest_from: dict[str, int] = {}
        """For each word, the length of the longest mention that begins with it."""
        for mention in self.mentions:
            self._longest_from[mention[0]] = max(len(mention), self._longest_from.get(mention[0], 0))

    @classmethod
    def of(cls, documents: Iterable[set[tuple[Mention, int]]]) -> "Gazetteer":
        """From the mentions of each document, with the numbers of their categories."""
        mentions: dict[Mention, Counter[int]] = {}
        for document in documents:
            for mention, category in sorted(document):  # the order of a set differs between processes
                mentions.setdefault(mention, Counter())[category] += 1
        return cls(mentions)

    def marks(self, lower: Sequence[str], own: set[tuple[Mention, int]]) -> list[str]:
        """One attribute per token: its place in the longest known mention, or nothing.

        `own` are the mentions of the document itself. They do not count: otherwise training would learn to trust a
        list that has every answer.
        """
        marks = [""] * len(lower)
        start = 0
        while start < len(lower):
            length, categories = self._longest(lower, start, own)
            for i in range(start, start + length):
                marks[i] = (
                    f"known={categories}{'B' if i == start else 'I'}{'' if i < start + length - 1 else 'E'}"
                )
            start += max(1, length)
        return marks

    def _longest(self, lower: Sequence[str], start: int, own: set[tuple[Mention, int]]) -> tuple[int, str]:
        for length in range(min(self._longest_from.get(lower[start], 0), len(lower) - start), 0, -1):
            mention = tuple(lower[start : start + length])
            known = self.mentions.get(mention)
            if known:
                categories = [c for c, count in known.items() if count > ((mention, c) in own)]
                if categories:
                    return length, ",".join(map(str, sorted(categories)))
        return 0, ""


def mentions(words: Sequence[str], labels: Sequence[int]) -> set[tuple[Mention, int]]:
    """The labeled mentions of a document, in lower case, with the numbers of their categories."""
    found: set[tuple[Mention, int]] = set()
    start = 0
    while start < len(labels):
        end = start + 1
        if labels[start] != OUTSIDE:
            while end < len(labels) and labels[end] == labels[start] + 1 and labels[start] % 2:
                end += 1
            found.add((tuple(word.lower() for word in words[start:end]), (labels[start] - 1) // 2))
        start = end
    return {mention for mention in found if len(mention[0]) <= _LONGEST_MENTION}


def seen_at(word: str, position: int, clusters: Clusters) -> tuple[str, ...]:
    """The attributes from a single word: the token's own (position 0), a neighbor, or the one after that."""
    return (*of_word(word, position), *of_clusters(clusters.get(word, ()), position))


def of_word(word: str, position: int) -> tuple[str, ...]:
    """As `seen_at`, without its clusters."""
    if position == 0:
        return _own(word)
    return _near(word, position) if abs(position) == 1 else _far(word, position)


def of_clusters(names: tuple[str, ...], position: int) -> tuple[str, ...]:
    """As `seen_at`, for its clusters only."""
    if position == 0:
        return names
    return tuple(f"{position:+}{name}" for name in names) if abs(position) == 1 else ()


def in_context(words: Sequence[str], gazetteer: Gazetteer, own: set[tuple[Mention, int]]) -> list[list[str]]:
    """The other attributes of each token: pairs of words, and known mentions."""
    return [[*pair, *marks] for pair, marks in zip(pairs(words), known(words, gazetteer, own), strict=True)]


def pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    """Each word with the one before and the one after."""
    found = [pair(a, b) for a, b in pairwise([_EDGE, *_lower(words), _EDGE])]
    return [(before, after) for (before, _), (_, after) in pairwise(found)]


def pair(first: str, second: str) -> tuple[str, str]:
    """The attributes of a pair of words: of the second word, and of the first."""
    return f"w-1,0={first}|{second}", f"w0,1={first}|{second}"


def known(words: Sequence[str], gazetteer: Gazetteer, own: set[tuple[Mention, int]]) -> list[list[str]]:
    """Whether each word is in a known mention or next to one."""
    described: list[list[str]] = [[] for _ in words]
    for i, mark in enumerate(gazetteer.marks(_lower(words), own)):
        if mark:
            described[i].append(mark)
            if i:
                described[i - 1].append(f"+1{mark}")
            if i + 1 < len(words):
                described[i + 1].append(f"-1{mark}")
    return described


def _lower(words: Sequence[str]) -> list[str]:
    return list(map(shortened, words))


def shortened(word: str) -> str:
    """The form of a word in pairs and mentions."""
    return word.lower()[:_LONGEST_WORD]


@lru_cache(maxsize=50_000)
def _own(word: str) -> tuple[str, ...]:
    word = word[:_LONGEST_WORD]
    lower = word.lower()
    affixes = [f"p{n}={lower[:n]}" for n in range(1, 5) if len(lower) >= n]
    affixes += [f"s{n}={lower[-n:]}" for n in range(1, 5) if len(lower) >= n]
    grams = (
        {f"c={gram}" for gram in (f"^{lower}$"[i : i + 3] for i in range(len(lower)))}
        if len(lower) > 3
        else ()
    )
    return ("bias", f"w={lower}", f"shape={_shape(word)}", f"form={_form(word)}", *affixes, *sorted(grams))


@lru_cache(maxsize=50_000)
def _near(word: str, position: int) -> tuple[str, ...]:
    if word == _EDGE:
        return (f"{position}edge",)
    word = word[:_LONGEST_WORD]
    lower = word.lower()
    return (f"{position}w={lower}", f"{position}form={_form(word)}", f"{position}s={lower[-3:]}")


@lru_cache(maxsize=50_000)
def _far(word: str, position: int) -> tuple[str, ...]:
    if word == _EDGE:
        return (f"{position}edge",)
    return (f"{position}w={word[:_LONGEST_WORD].lower()}", f"{position}form={_form(word)}")


def forget() -> None:
    """Free the attributes of words, which are cached."""
    for cached in (_own, _near, _far):
        cached.cache_clear()


def _shape(word: str) -> str:
    """`Xxxx` for "Anna", `XX` for "EU", `d` for a digit: runs are cut at four."""
    classes = "".join("X" if c.isupper() else "x" if c.isalpha() else "d" if c.isdigit() else c for c in word)
    return re.sub(r"(.)\1{3,}", r"\1\1\1\1", classes)


def _form(word: str) -> str:
    if word.isdigit():
        return f"digits{min(len(word), 5)}"
    if not word[:1].isalpha():
        return word[:1]
    if word.isupper():
        return "capital" if len(word) == 1 else "capitals"
    if word.islower():
        return "small"
    return (
        "title"
        if word[:1].isupper() and word[1:].islower()
        else "mixed"
        if word.lower() != word
        else "letters"
    )
