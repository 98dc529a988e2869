"""User-defined labels of a document, for the three project kinds. Offsets are UTF-16 code units."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from shared.domain.names import ProjectKind
from shared.domain.text import MAX_CHARACTERS, Offsets

#: The end of a region that covers a text of unknown length: no text has more UTF-16 code units.
END_OF_TEXT: Final = 2 * MAX_CHARACTERS


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
    """A labeled stretch of a document; training uses only text inside a region."""

    offset: int
    length: int
    labels: tuple[EntityLabel, ...] = ()


@dataclass(frozen=True, slots=True)
class Labels:
    """What a person said of a document. A document without labels has None instead (rule D6).

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


class SpanFault(NamedTuple):
    """A span that does not fit the text; `path` within the label field, as in `[0].labels[2]`."""

    path: str
    message: str


def span_faults(labels: Labels, offsets: Offsets) -> Iterator[SpanFault]:
    """What of the labels does not fit the text (import checks shapes only, so this waits for the text)."""
    for number, region in enumerate(labels.regions):
        reason = _misfit(region.offset, region.length, offsets)
        if reason:
            place = f"The region at {region.offset} (length {region.length})"
            yield SpanFault(f"[{number}]", f"{place} {reason}.")
        for index, entity in enumerate(region.labels):
            reason = _misfit(entity.offset, entity.length, offsets)
            if reason:
                place = f"The entity '{entity.category}' at {entity.offset} (length {entity.length})"
                yield SpanFault(f"[{number}].labels[{index}]", f"{place} {reason}.")


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


def add_entity(labels: Labels | None, entity: EntityLabel, document_length: int) -> Labels:
    """The labels with one entity more, in the region that holds it or in one for the whole document."""
    regions = labels.regions if labels else ()
    for index, region in enumerate(regions):
        if region.offset <= entity.offset and entity.end <= region.offset + region.length:
            return Labels(regions=(*regions[:index], _with(region, entity), *regions[index + 1 :]))
    every = tuple(
        sorted((*(labels.entities() if labels else ()), entity), key=lambda e: (e.offset, e.length))
    )
    return Labels(regions=(Region(0, document_length, every),))


def _with(region: Region, entity: EntityLabel) -> Region:
    ordered = sorted((*region.labels, entity), key=lambda e: (e.offset, e.length))
    return Region(region.offset, region.length, tuple(ordered))


def add_category(kind: ProjectKind, labels: Labels | None, category: str) -> Labels:
    """The labels with one class more; a single-label document has just that one."""
    if kind is ProjectKind.SINGLE_LABEL or labels is None:
        return Labels(categories=(category,))
    return labels if category in labels.categories else Labels((*labels.categories, category))
