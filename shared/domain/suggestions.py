"""Suggestions of an autolabel job, and which of an engine's predictions become one (rules A3, A4, A9).

Confidences are kept in whole hundredths: that is what Azure answers, and it makes the order by uncertainty exact
from a byte a document.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from math import isnan
from typing import NamedTuple, NewType

from shared.domain.labels import Labels
from shared.domain.names import ProjectKind
from shared.domain.prediction import Prediction
from shared.domain.project import Project, former_names
from shared.domain.text import Offsets, whole_characters

MAX_ENTITY_LENGTH = 500

#: Width of a confidence band of the calibration picture, in hundredths; the last band ends at 100.
BAND = 10
BANDS = 10
#: Bands from here on are of raw confidences, by which an engine's confidence is calibrated. No picture shows them.
RAW_BANDS = 100

#: A confidence from 0 to 100; JSON has the fraction, from 0 to 1.
Hundredths = NewType("Hundredths", int)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One automatic label awaiting a decision. `offset` and `length` (UTF-16) only for entities.

    `raw`: the confidence before it was calibrated by decisions.
    """

    id: str
    category: str
    confidence: Hundredths
    offset: int = 0
    length: int = 0
    raw: int | None = None


class Rejected(NamedTuple):
    """A suggestion that a person rejected, for a content version: not made again (rule A4)."""

    content: str
    category: str
    offset: int
    length: int

    @classmethod
    def of(cls, suggestion: Suggestion, content: str) -> "Rejected":
        return cls(content, suggestion.category, suggestion.offset, suggestion.length)


@dataclass(frozen=True, slots=True)
class SuggestionSet:
    """All suggestions of a document; they come from one job and live as long as their generation is current."""

    job_id: str
    engine: str
    model: str | None
    generation: int
    revision: str
    items: tuple[Suggestion, ...]


@dataclass(frozen=True, slots=True)
class Filter:
    """What a job lets through: confidence in hundredths, and the categories that exist or were asked for."""

    kind: ProjectKind
    threshold: int
    categories: frozenset[str]


def suggestion_id(content: str, category: str, offset: int, length: int) -> str:
    """The same suggestion for the same content has the same id in every job."""
    key = f"{content}|{category}|{offset}|{length}".encode()
    return urlsafe_b64encode(hashlib.sha256(key).digest()[:9]).decode()


def hundredths(confidence: float) -> Hundredths:
    """A confidence in 0..1 as whole hundredths; what an engine gives beyond the range is clamped."""
    return Hundredths(0 if isnan(confidence) else round(min(1.0, max(0.0, confidence)) * 100))


def select(
    predictions: Sequence[Prediction],
    text: str,
    content: str,
    labels: Labels | None,
    rejected: Collection[Rejected],
    rule: Filter,
) -> tuple[Suggestion, ...]:
    """The predictions that become suggestions of a document with these labels, best first per place."""
    made = _unique(_convert(predictions, text, content, rule))
    allowed = [
        s
        for s in made
        if Rejected.of(s, content) not in rejected
        and s.confidence >= rule.threshold
        and fits(rule.kind, labels, s)
    ]
    if rule.kind is ProjectKind.SINGLE_LABEL:
        return tuple(sorted(allowed, key=lambda s: -s.confidence)[:1])
    if rule.kind is ProjectKind.ENTITIES:
        return _without_overlaps(allowed)
    return tuple(sorted(allowed, key=lambda s: (-s.confidence, s.category)))


def fits(kind: ProjectKind, labels: Labels | None, suggestion: Suggestion) -> bool:
    """Rule A3: a suggestion never repeats, contradicts or overlaps what a person said."""
    if labels is None:
        return True
    if kind is ProjectKind.SINGLE_LABEL:
        return False  # also "labeled with nothing" is what a person said
    if kind is ProjectKind.MULTI_LABEL:
        return suggestion.category not in labels.categories
    return not any(entity.overlaps(suggestion.offset, suggestion.length) for entity in labels.entities())


def _convert(
    predictions: Sequence[Prediction], text: str, content: str, rule: Filter
) -> Iterable[Suggestion]:
    offsets = Offsets(text) if rule.kind is ProjectKind.ENTITIES else None
    for prediction in predictions:
        if prediction.category not in rule.categories:
            continue
        offset, length = 0, 0
        if offsets is not None:
            start, size = prediction.offset, prediction.length
            if start is None or not size or start < 0 or start + size > offsets.length:
                continue
            offset, length = offsets.span_to_utf16(*whole_characters(text, start, size))
            if not 1 <= length <= MAX_ENTITY_LENGTH:
                continue
        key = suggestion_id(content, prediction.category, offset, length)
        raw = hundredths(prediction.raw) if prediction.raw is not None else None
        yield Suggestion(key, prediction.category, hundredths(prediction.confidence), offset, length, raw)


def _unique(suggestions: Iterable[Suggestion]) -> list[Suggestion]:
    best: dict[str, Suggestion] = {}
    for suggestion in suggestions:
        other = best.get(suggestion.id)
        if other is None or suggestion.confidence > other.confidence:
            best[suggestion.id] = suggestion
    return list(best.values())


def _without_overlaps(suggestions: list[Suggestion]) -> tuple[Suggestion, ...]:
    """The surest of overlapping spans, in the order of the text."""
    kept: list[Suggestion] = []
    for suggestion in sorted(suggestions, key=lambda s: (-s.confidence, s.offset, s.length)):
        if not any(
            suggestion.offset < k.offset + k.length and k.offset < suggestion.offset + suggestion.length
            for k in kept
        ):
            kept.append(suggestion)
    return tuple(sorted(kept, key=lambda s: s.offset))


def by_current_names(predictions: Iterable[Prediction], project: Project, edits: int) -> list[Prediction]:
    """Predictions of a model under the current names; what it knows of removed categories is left out.

    `edits`: how often categories had been renamed or removed when its labels were read.
    """
    named = ((project.current_name(p.category, edits), p) for p in predictions)
    return [p if now == p.category else replace(p, category=now) for now, p in named if now is not None]


def rejected_by_current_names(rejected: frozenset[Rejected], project: Project) -> frozenset[Rejected]:
    """Rejections of a document that is gone, under the current names."""
    former = former_names(project)
    return frozenset(
        rejection._replace(category=former.get(rejection.category) or rejection.category)
        for rejection in rejected
    )


def band(confidence: int) -> int:
    """The band of a confidence in hundredths."""
    return min(confidence // BAND, BANDS - 1)


def suggestion_order(items: Sequence[Suggestion], kind: ProjectKind) -> int | None:
    """Uncertainty of a document in hundredths: the highest confidence of a classification, the lowest of entities."""
    if not items:
        return None
    choose = min if kind is ProjectKind.ENTITIES else max
    return choose(s.confidence for s in items)


NONE_DECIDED = (0,) * BANDS


@dataclass(frozen=True, slots=True)
class Calibration:
    """How many suggestions of each confidence band were accepted and rejected: ten bands of 10 hundredths."""

    accepted: tuple[int, ...] = NONE_DECIDED
    rejected: tuple[int, ...] = NONE_DECIDED

    def __add__(self, other: "Calibration") -> "Calibration":
        return Calibration(_sum(self.accepted, other.accepted), _sum(self.rejected, other.rejected))


def _sum(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(first, second, strict=True))
