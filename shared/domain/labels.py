"""Labels of a document, for the three project kinds: set by people, predicted by engines, and suggested.

Rules A3, A4 and A9 say which predictions become suggestions. Offsets and lengths are UTF-16 code units, except in what
goes into an engine and comes out of it (`Span`, `Prediction`): an engine has the text at hand, and Python counts code
points. Confidences of suggestions are kept in whole hundredths: that is what Azure answers, and it makes the order by
uncertainty exact from a byte a document.
"""

import hashlib
from base64 import urlsafe_b64encode
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isnan
from typing import Final, NamedTuple, NewType

from shared.domain.names import ProjectKind
from shared.domain.project import Project, former_names
from shared.domain.text import MAX_CHARACTERS, Offsets, whole_characters

#: The end of a region over a text of unknown length: no text has more UTF-16 code units.
END_OF_TEXT: Final = 2 * MAX_CHARACTERS
MAX_ENTITY_LENGTH = 500
#: Of a document: labels, and what an engine may predict for it.
MAX_ENTITIES: Final = 100_000

#: Width of a confidence band in the calibration chart, in hundredths; the last band ends at 100.
BAND = 10
BANDS = 10
#: Bands from here on are of raw confidences, which calibrate an engine's confidence. The chart does not show them.
RAW_BANDS = 100

#: A confidence from 0 to 100; JSON has the fraction, from 0 to 1.
Hundredths = NewType("Hundredths", int)


@dataclass(frozen=True, slots=True)
class EntityLabel:
    category: str
    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length

    def overlaps(self, offset: int, length: int) -> bool:
        return self.offset < offset + length and offset < self.end


@dataclass(frozen=True, slots=True)
class Region:
    """A labeled region of a document; training uses only text inside a region."""

    offset: int
    length: int
    labels: tuple[EntityLabel, ...] = ()


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a document. An unlabeled document has None instead (rule D6).

    Classification uses `categories` (exactly one for single-label; none means "labeled with nothing").
    Entity recognition uses `regions` (all of them without labels means "labeled with nothing").
    """

    categories: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()

    def entities(self) -> Iterator[EntityLabel]:
        for region in self.regions:
            yield from region.labels

    def used_categories(self) -> Iterator[str]:
        """Every category once for each class or span that has it."""
        yield from self.categories
        for entity in self.entities():
            yield entity.category

    def renamed(self, name: Callable[[str], str | None]) -> "Labels":
        """The labels under the names that `name` gives their categories, without those that it gives None."""
        if all(name(category) == category for category in set(self.used_categories())):
            return self
        classes = tuple(now for category in self.categories if (now := name(category)) is not None)
        return Labels(classes, tuple(_renamed(region, name) for region in self.regions))


def _renamed(region: Region, name: Callable[[str], str | None]) -> Region:
    labels = ((name(entity.category), entity) for entity in region.labels)
    return replace(
        region, labels=tuple(replace(entity, category=now) for now, entity in labels if now is not None)
    )


def fit_regions(labels: Labels | None, length: int) -> Labels | None:
    """The labels when the length of the text is known: regions up to END_OF_TEXT end with the text."""
    if labels is None or all(region.offset + region.length != END_OF_TEXT for region in labels.regions):
        return labels
    return replace(labels, regions=tuple(_fit_region(region, length) for region in labels.regions))


def without_open_end(labels: Labels, length: int | None) -> Labels:
    """The labels to show: a region up to the end of a text of unknown length ends with its last entity."""
    if length is not None or all(region.offset + region.length != END_OF_TEXT for region in labels.regions):
        return labels
    return replace(labels, regions=tuple(map(_without_open_end, labels.regions)))


def _without_open_end(region: Region) -> Region:
    if region.offset + region.length != END_OF_TEXT:
        return region
    end = max((entity.end for entity in region.labels), default=region.offset)
    return replace(region, length=end - region.offset)


def _fit_region(region: Region, length: int) -> Region:
    open_ended = region.offset + region.length == END_OF_TEXT
    return replace(region, length=max(0, length - region.offset)) if open_ended else region


class SpanError(NamedTuple):
    """A span that does not fit the text; `path` within the label field, as in `[0].labels[2]`."""

    path: str
    message: str


def span_errors(labels: Labels, offsets: Offsets) -> Iterator[SpanError]:
    """The labels that do not fit the text (an import checks only their form, so this check needs the text)."""
    for number, region in enumerate(labels.regions):
        reason = _misfit(region.offset, region.length, offsets)
        if reason:
            place = f"The region at {region.offset} (length {region.length})"
            yield SpanError(f"[{number}]", f"{place} {reason}.")
        for index, entity in enumerate(region.labels):
            reason = _misfit(entity.offset, entity.length, offsets)
            if reason:
                place = f"The entity '{entity.category}' at {entity.offset} (length {entity.length})"
                yield SpanError(f"[{number}].labels[{index}]", f"{place} {reason}.")


def _misfit(offset: int, length: int, offsets: Offsets) -> str | None:
    if offset + length > offsets.utf16_length:
        return f"ends beyond the text, which has {offsets.utf16_length}"
    span = offsets.span_to_code_points(offset, length)
    if span is None:
        return "splits a surrogate pair"
    start, size = span
    for place, what in ((start, "begins"), (start + size, "ends")):
        if offsets.splits_character(place):
            return f"{what} inside a character: before a combining mark or a part of an emoji"
    return None


def add_entities(labels: Labels | None, entities: Sequence[EntityLabel], document_length: int) -> Labels:
    """The labels with these entities, which overlap nothing: each in the first region that holds it, or all labels in
    one region for the whole document.
    """
    regions = [*(labels.regions if labels else ())]
    added = sorted(entities, key=_place)
    starts = [entity.offset for entity in added]
    waiting = dict(enumerate(added))
    for index, region in enumerate(regions):
        end = region.offset + region.length
        inside = range(bisect_left(starts, region.offset), bisect_left(starts, end))
        own = [waiting.pop(n) for n in inside if n in waiting and added[n].end <= end]
        if own:
            regions[index] = replace(region, labels=tuple(sorted((*region.labels, *own), key=_place)))
    if waiting:
        every = (*(labels.entities() if labels else ()), *added)
        regions = [Region(0, document_length, tuple(sorted(every, key=_place)))]
    return Labels(regions=tuple(regions))


def _place(entity: EntityLabel) -> tuple[int, int]:
    return entity.offset, entity.length


def add_category(kind: ProjectKind, labels: Labels | None, category: str) -> Labels:
    """The labels with one class more; a single-label document has just that one."""
    if kind is ProjectKind.SINGLE_LABEL or labels is None:
        return Labels(categories=(category,))
    return labels if category in labels.categories else Labels((*labels.categories, category))


@dataclass(frozen=True, slots=True)
class Span:
    """One labeled entity: the text from `offset` to `offset + length`."""

    category: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Example:
    """A labeled training document.

    Single-label: one category. Multi-label: none or more. Entities: `spans`, and no categories. A document
    labeled with nothing (multi-label, entities) is a full example: it says that nothing applies.
    """

    text: str
    language: str = ""
    categories: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """One category, or for entities one span of it, with a confidence in 0..1.

    `raw`: the confidence before it was calibrated by decisions, for engines whose confidence is.
    """

    category: str
    confidence: float
    offset: int | None = None
    length: int | None = None
    raw: float | None = None


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


NONE_REJECTED: Final[frozenset[Rejected]] = frozenset()
"""Shared by documents: Python makes a new object of 216 bytes for each empty set."""


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
    allowed = [s for s in made if Rejected.of(s, content) not in rejected and s.confidence >= rule.threshold]
    if rule.kind is ProjectKind.ENTITIES:
        return _without_overlaps(allowed, labels)
    allowed = fitting(rule.kind, labels, allowed)
    if rule.kind is ProjectKind.SINGLE_LABEL:
        return tuple(sorted(allowed, key=lambda s: -s.confidence)[:1])
    return tuple(sorted(allowed, key=lambda s: (-s.confidence, s.category)))


def fits(kind: ProjectKind, labels: Labels | None, suggestion: Suggestion) -> bool:
    """Rule A3: a suggestion never repeats, contradicts or overlaps a label."""
    if labels is None:
        return True
    if kind is ProjectKind.SINGLE_LABEL:
        return False  # "labeled with nothing" is a label too
    if kind is ProjectKind.MULTI_LABEL:
        return suggestion.category not in labels.categories
    return not any(entity.overlaps(suggestion.offset, suggestion.length) for entity in labels.entities())


def fitting(
    kind: ProjectKind, labels: Labels | None, suggestions: Sequence[Suggestion]
) -> tuple[Suggestion, ...]:
    """Those that fit the labels, without comparing each entity with each."""
    if labels is None or kind is not ProjectKind.ENTITIES:
        return tuple(s for s in suggestions if fits(kind, labels, s))
    taken = _taken(labels, suggestions)
    return tuple(s for s in suggestions if taken.find(b"x", s.offset, s.offset + s.length) < 0)


def first_overlap(labels: Labels | None, suggestions: Sequence[Suggestion]) -> Suggestion | None:
    """The first entity that overlaps a label or an earlier one of the suggestions."""
    taken = _taken(labels, suggestions)
    for suggestion in suggestions:
        end = suggestion.offset + suggestion.length
        if taken.find(b"x", suggestion.offset, end) >= 0:
            return suggestion
        taken[suggestion.offset : end] = b"x" * suggestion.length
    return None


def _taken(labels: Labels | None, suggestions: Sequence[Suggestion]) -> bytearray:
    """A byte for each place of the text up to the end of the last suggestion, "x" where a label is."""
    taken = bytearray(max((s.offset + s.length for s in suggestions), default=0))
    for entity in labels.entities() if labels else ():
        end = min(entity.end, len(taken))
        if entity.offset < end:
            taken[entity.offset : end] = b"x" * (end - entity.offset)
    return taken


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


def _without_overlaps(suggestions: list[Suggestion], labels: Labels | None) -> tuple[Suggestion, ...]:
    """The surest of overlapping spans, in the order of the text, without those that overlap a label (rule A3).

    There may be 100,000 of them, so they are not compared with each other: each marks its place in the text.
    """
    taken = _taken(labels, suggestions)
    kept: list[Suggestion] = []
    for suggestion in sorted(suggestions, key=lambda s: (-s.confidence, s.offset, s.length)):
        end = suggestion.offset + suggestion.length
        if taken.find(b"x", suggestion.offset, end) < 0:
            taken[suggestion.offset : end] = b"x" * suggestion.length
            kept.append(suggestion)
    return tuple(sorted(kept, key=lambda s: s.offset))


def by_current_names(predictions: Iterable[Prediction], project: Project, edits: int) -> list[Prediction]:
    """Predictions of a model under the current names, without those of removed categories.

    `edits`: how often categories had been renamed or removed when its labels were read.
    """
    named = ((project.current_name(p.category, edits), p) for p in predictions)
    return [p if now == p.category else replace(p, category=now) for now, p in named if now is not None]


def rejected_by_current_names(rejected: frozenset[Rejected], project: Project) -> frozenset[Rejected]:
    """Rejections of a document that is gone, under the current names."""
    if not rejected:
        return NONE_REJECTED
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
