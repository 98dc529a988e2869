"""Reads answers: predictions from the JSON, checked against the text and the categories.

Confidence: the probability of the tokens that name the category, and for an entity also the mean probability of the
tokens that quote it. It is DEFAULT_CONFIDENCE if the server gives no probabilities, or only those from before it
applied the schema (then even the braces are improbable).
"""

import json
import math
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from shared.domain.labels import Prediction
from shared.domain.names import ProjectKind
from shared.engines.base import Task

DEFAULT_CONFIDENCE: Final = 0.5
_PROBABLE: Final = 0.5
"""The mean probability of braces, quotes and field names above which probabilities are trusted."""
_STRING: Final = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?')


class WrongSchema(Exception):
    """The answer does not follow the JSON schema; the message says why, without quoting it."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the answer, as bytes, with the logarithm of its probability."""

    content: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class Found:
    """Predictions, and how many parts of the answer were dropped."""

    predictions: tuple[Prediction, ...]
    left_out: int


def read(
    task: Task, text: str, content: str, tokens: Sequence[Token], calibrate: Callable[[float], float]
) -> Found:
    """The predictions of an answer for a text; `calibrate` corrects a raw confidence. Raises WrongSchema."""
    answer = _parse(content)
    confidence = _Confidences(content, tokens)
    known = {category.name for category in task.categories}
    if task.kind is ProjectKind.ENTITIES:
        return _entities(_items(answer, "entities"), text, known, confidence, calibrate)
    if task.kind is ProjectKind.MULTI_LABEL:
        names = [_string(item, "categories") for item in _items(answer, "categories")]
    else:
        names = [_string(answer.get("category"), "category")]
    found: dict[str, Prediction] = {}
    left_out = 0
    for place, name in enumerate(names):
        if name not in known:
            left_out += 1
        elif name not in found:
            raw = confidence.of_category(place, len(names))
            found[name] = Prediction(name, calibrate(raw), raw=raw)
    surest = sorted(found.values(), key=lambda prediction: -prediction.confidence)
    return Found(tuple(surest), left_out)


def _parse(content: str) -> dict[str, Any]:
    try:
        answer: object = json.loads(content)
    except (ValueError, RecursionError):
        raise WrongSchema("it is not JSON") from None
    if not isinstance(answer, dict):
        raise WrongSchema("it is not a JSON object")
    return cast("dict[str, Any]", answer)


def _items(answer: dict[str, Any], name: str) -> list[Any]:
    items = answer.get(name)
    if not isinstance(items, list):
        raise WrongSchema(f"'{name}' is not a list")
    return cast("list[Any]", items)


def _string(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise WrongSchema(f"'{name}' does not hold the name of a category")
    return value


def _entities(
    items: list[Any],
    text: str,
    known: set[str],
    confidence: "_Confidences",
    calibrate: Callable[[float], float],
) -> Found:
    places = _Places(text)
    predictions: list[Prediction] = []
    for place, item in enumerate(items):
        if not isinstance(item, dict):
            raise WrongSchema("an entity is not a JSON object")
        entity = cast("dict[str, Any]", item)
        quote, name = entity.get("text"), _string(entity.get("category"), "category")
        if not isinstance(quote, str):
            raise WrongSchema("the 'text' of an entity is not a string")
        if name not in known:
            continue
        span = places.take(quote)
        if span is not None:
            raw = confidence.of_entity(place, len(items))
            predictions.append(Prediction(name, calibrate(raw), *span, raw=raw))
    predictions.sort(key=lambda prediction: prediction.offset or 0)
    return Found(tuple(predictions), len(items) - len(predictions))


class _Places:
    """Finds quotes in a text: a repeated quote stands for the next occurrence."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._taken = bytearray(len(text))
        self._next: dict[tuple[str, bool], int] = {}

    def take(self, quote: str) -> tuple[int, int] | None:
        """Offset and length of the first free occurrence, whole words first; None if there is no free one."""
        for candidate in dict.fromkeys((quote, quote.strip())):
            if not candidate.strip():
                continue
            for whole in (True, False):
                start = self._find(candidate, whole=whole)
                if start >= 0:
                    self._taken[start : start + len(candidate)] = b"\1" * len(candidate)
                    return start, len(candidate)
        return None

    def _find(self, quote: str, *, whole: bool) -> int:
        """Places that were passed over never become free again, so each search continues where the last one ended."""
        start = self._text.find(quote, self._next.get((quote, whole), 0))
        while start >= 0:
            end = start + len(quote)
            if not any(self._taken[start:end]) and (not whole or self._is_whole(start, end)):
                break
            start = self._text.find(quote, start + 1)
        self._next[quote, whole] = start if start >= 0 else len(self._text)
        return start

    def _is_whole(self, start: int, end: int) -> bool:
        text = self._text
        joins_before = start > 0 and text[start - 1].isalnum() and text[start].isalnum()
        joins_after = end < len(text) and text[end].isalnum() and text[end - 1].isalnum()
        return not (joins_before or joins_after)


@dataclass(slots=True)
class _Confidences:
    """The tokens of an answer, matched with its strings."""

    content: str
    tokens: Sequence[Token]
    _names: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    _quotes: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    _placed: list[tuple[int, int, float]] = field(default_factory=list[tuple[int, int, float]])

    def __post_init__(self) -> None:
        if not self.tokens:
            return
        key = ""
        read = begin = 0  # in characters, and the same in bytes
        for found in _STRING.finditer(self.content):
            if found[2]:
                key = found[1]
                continue
            begin += _bytes_of(self.content[read : found.start(1)])
            place = begin, begin + _bytes_of(found[1])
            (self._quotes if key == "text" else self._names).append(place)
            read, begin = found.end(1), place[1]
        self._placed = self._place()
        if not self._is_believable():
            self._placed = []

    def of_category(self, place: int, count: int) -> float:
        """The confidence in the category at this place of the answer; `count`: categories in all."""
        logprobs = self._logprobs(self._names, place, count)
        return _bounded(math.exp(sum(logprobs))) if logprobs else DEFAULT_CONFIDENCE

    def of_entity(self, place: int, count: int) -> float:
        quoted = self._logprobs(self._quotes, place, count)
        named = self._logprobs(self._names, place, count)
        if not quoted or not named:
            return DEFAULT_CONFIDENCE
        return _bounded(math.exp(sum(named) + sum(quoted) / len(quoted)))

    def _logprobs(self, strings: list[tuple[int, int]], place: int, count: int) -> list[float]:
        """Of the tokens of a string; empty if the number of strings differs from that of the answer's values."""
        if len(strings) != count:
            return []
        start, end = strings[place]
        found: list[float] = []
        for at in range(bisect_right(self._placed, start, key=lambda token: token[1]), len(self._placed)):
            begin, _, logprob = self._placed[at]
            if begin >= end:
                break
            found.append(logprob)
        return found

    def _place(self) -> list[tuple[int, int, float]]:
        """(begin, end, logprob) of the tokens, in bytes of the content; tokens that are not in it are left out."""
        content = self.content.encode("utf-8", "surrogatepass")
        placed: list[tuple[int, int, float]] = []
        position = 0
        for token in self.tokens:
            start = content.find(token.content, position) if token.content else -1
            if start >= 0 and math.isfinite(token.logprob):
                position = start + len(token.content)
                placed.append((start, position, min(token.logprob, 0.0)))
        return placed

    def _is_believable(self) -> bool:
        strings = sorted([*self._names, *self._quotes])
        between: list[float] = []
        at = 0
        for begin, stop, logprob in self._placed:
            while at < len(strings) and strings[at][1] <= begin:
                at += 1
            if at == len(strings) or strings[at][0] >= stop:
                between.append(logprob)
        return not between or math.exp(sum(between) / len(between)) >= _PROBABLE


def _bytes_of(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _bounded(value: float) -> float:
    return min(1.0, max(0.0, value))
