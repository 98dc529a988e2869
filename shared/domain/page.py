"""Pages: documents of one hash bucket that are stored, versioned and locked together.

A document's page follows from its id alone, and pages in number order hold ids in string order: so a list by id reads
pages one after the other, and a contiguous range of pages is a contiguous range of ids.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from shared.domain.document import Document, Undo, with_changes
from shared.domain.labels import (
    BANDS,
    Calibration,
    Hundredths,
    Labels,
    Rejected,
    Suggestion,
    SuggestionSet,
    band,
    suggestion_order,
)
from shared.domain.names import Dataset, DocumentStatus, Studio
from shared.domain.project import Project

#: base64url in the order in which strings compare.
_ALPHABET: Final = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
_RANK: Final = {character: rank for rank, character in enumerate(_ALPHABET)}
_BUCKETS: Final = 64 * 64
FENCES: Final = 16
#: Deleted documents whose rejected suggestions a page remembers; the oldest are dropped.
MAX_GONE: Final = 100

type Tallies = Mapping[int, tuple[int, int]]
"""Confidence band -> (accepted, rejected)."""


MAX_MODELS = 8
"""Models of an engine that a page counts apart, so that heads stay small; those of further ones have no name."""


class EngineTally(NamedTuple):
    """How many suggestions of an engine in a confidence band were made, accepted and rejected; in an edit, a
    difference.

    `model`: the model or deployment that made them; "" where that is not known, as in rows of earlier versions.
    """

    engine: str
    band: int
    suggested: int = 0
    accepted: int = 0
    rejected: int = 0
    model: str = ""

    def plus(self, more: "EngineTally") -> "EngineTally":
        """The sum of both; engine, band and model are those of this one."""
        return EngineTally(
            self.engine,
            self.band,
            self.suggested + more.suggested,
            self.accepted + more.accepted,
            self.rejected + more.rejected,
            self.model,
        )


type EngineTallies = Mapping[tuple[str, str, int], EngineTally]
"""(engine, model, confidence band) -> the tally."""


def page_of(document_id: str, pages: int) -> int:
    """Number of the page that holds the document, 0 to `pages` - 1."""
    return (_RANK[document_id[0]] * 64 + _RANK[document_id[1]]) * pages // _BUCKETS


def first_id(page: int, pages: int) -> str:
    """The least id of a page, as a lower bound of a key range; beyond the last page, one above all ids."""
    bucket = -(-page * _BUCKETS // pages)
    return "~" if bucket >= _BUCKETS else _ALPHABET[bucket // 64] + _ALPHABET[bucket % 64]


def is_document_id(text: str) -> bool:
    return len(text) == 22 and all(character in _RANK for character in text)


@dataclass(frozen=True, slots=True)
class Page:
    """One page as it was read. `etag` None: the row does not exist. `fences`: the fence numbers that were raised on it.

    `gone`: rejections in documents whose blobs were deleted, in case they come back (rule A4).
    """

    number: int
    documents: Mapping[str, Document] = field(default_factory=dict[str, Document])
    tallies: Tallies = field(default_factory=dict[int, tuple[int, int]])
    engines: EngineTallies = field(default_factory=dict[tuple[str, str, int], EngineTally])
    seq: int = 0
    revision: str = ""
    fences: tuple[int, ...] = (0,) * FENCES
    gone: Mapping[str, frozenset[Rejected]] = field(default_factory=dict[str, frozenset[Rejected]])
    etag: str | None = None

    def fenced(self, released: int) -> bool:
        """Whether a fence number above `released` is on the page."""
        return max(self.fences) > released


# History


class Action(StrEnum):
    """What changed a document."""

    DECIDED = "decided"
    DECISION_UNDONE = "decisionUndone"
    LABELS_SET = "labelsSet"
    LABELS_UNDONE = "labelsUndone"
    #: From the other studio; adopted labels become those of the project.
    LABELS_IMPORTED = "labelsImported"
    LABELS_ADOPTED = "labelsAdopted"
    DOCUMENT_CHANGED = "documentChanged"
    CATEGORY_RENAMED = "categoryRenamed"
    CATEGORY_REMOVED = "categoryRemoved"
    #: With its labels, from a project file.
    IMPORTED = "imported"
    CONTENT_CHANGED = "contentChanged"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class LabelChange:
    """`source`: the studio that the labels come from; `review_job_id`: the bulk decision that was undone."""

    before: Labels | None
    after: Labels | None
    source: str | None = None
    review_job_id: str | None = None


@dataclass(frozen=True, slots=True)
class DecidedSuggestion:
    """A suggestion with its provenance; `offset` and `length` (UTF-16) only for entities."""

    id: str
    category: str
    confidence: Hundredths
    job_id: str
    engine: str
    model: str | None
    offset: int | None = None
    length: int | None = None

    @classmethod
    def of(cls, suggestion: Suggestion, source: SuggestionSet) -> "DecidedSuggestion":
        place = (suggestion.offset, suggestion.length) if suggestion.length else ()
        return cls(
            suggestion.id,
            suggestion.category,
            suggestion.confidence,
            source.job_id,
            source.engine,
            source.model,
            *place,
        )


@dataclass(frozen=True, slots=True)
class DecisionChange:
    """`review_job_id`: the bulk decision, if it was one."""

    before: Labels | None
    after: Labels | None
    accepted: tuple[DecidedSuggestion, ...]
    rejected: tuple[DecidedSuggestion, ...]
    review_job_id: str | None = None


@dataclass(frozen=True, slots=True)
class DocumentSettings:
    """What people set on a document besides its labels. `flagged` and `note` are None if they were never set."""

    dataset: Dataset
    language: str
    content_changed: bool
    flagged: bool | None = None
    note: str | None = None

    @classmethod
    def of(cls, document: Document) -> "DocumentSettings":
        return cls(
            document.dataset,
            document.language,
            document.content_changed,
            document.flagged or None,
            document.note or None,
        )


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """`before` None: the row is of a version that did not keep it."""

    before: DocumentSettings | None
    after: DocumentSettings


@dataclass(frozen=True, slots=True)
class CategoryRenaming:
    """New names by old ones."""

    renamed: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CategoryRemoval:
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImportedLabels:
    after: Labels | None


@dataclass(frozen=True, slots=True)
class ContentChange:
    """The hash of the new content."""

    content: str


@dataclass(frozen=True, slots=True)
class Deletion:
    """The name of the blob, which no longer exists."""

    location: str


type Details = (
    LabelChange
    | DecisionChange
    | SettingsChange
    | CategoryRenaming
    | CategoryRemoval
    | ImportedLabels
    | ContentChange
    | Deletion
)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change of one document."""

    document_id: str
    action: Action
    details: Details


# Edits


@dataclass(frozen=True, slots=True)
class Edit:
    """What a writer changes on a page: documents by id (None deletes), history, and counted decisions."""

    documents: Mapping[str, Document | None]
    history: tuple[HistoryEntry, ...] = ()
    tallies: tuple[tuple[int, bool], ...] = ()
    #: -1 for an undo, which subtracts decisions.
    tally_sign: int = 1
    #: The same decisions by engine, and suggestions that were made.
    engines: tuple[EngineTally, ...] = ()


def edited(page: Page, edit: Edit, *, seq: int, revision: str) -> Page:
    """The page with the documents and tallies of an edit, and the version that its writer gives it."""
    documents, gone = dict(page.documents), dict(page.gone)
    added = not edit.documents.keys() <= documents.keys()
    for key, document in edit.documents.items():
        if document is not None:
            documents[key] = document
            gone.pop(key, None)
        elif (before := documents.pop(key, None)) is not None and before.rejected:
            gone[key] = before.rejected
    return with_changes(
        page,
        documents=dict(sorted(documents.items())) if added else documents,
        gone=dict(list(gone.items())[-MAX_GONE:]),
        tallies=add_tallies(page.tallies, edit.tallies, edit.tally_sign),
        engines=add_engine_tallies(page.engines, edit.engines),
        seq=seq,
        revision=revision,
    )


type Change = Callable[[Page, Project], Edit | None]
"""Computes an edit from the page and the project as they are now; None: nothing to change. May run several times."""


@dataclass(frozen=True, slots=True)
class Written:
    """The state after a write: the project it was based on, and the pages by number."""

    project: Project
    pages: Mapping[int, Page]


class Flag:
    """Bits of a head entry: the properties of a document that depend on neither generation nor studio."""

    LABELED = 1
    AML_LABELED = 2
    REJECTED = 4
    TEST = 8
    WAITING = 16
    MISSING = 32
    SUGGESTED = 64
    FLAGGED = 128


@dataclass(frozen=True, slots=True)
class Entry:
    """One document in a head: enough to count it, select it and order it by uncertainty."""

    flags: int
    confidence: int
    generation: int
    assignee: str = ""

    def suggested(self, generation: int) -> bool:
        return bool(self.flags & Flag.SUGGESTED) and self.generation == generation

    def status(self, generation: int, studio: Studio) -> DocumentStatus:
        if self.flags & Flag.REJECTED:
            return DocumentStatus.REJECTED
        if self.suggested(generation):
            return DocumentStatus.AUTO_LABELED
        labeled = Flag.LABELED if studio is Studio.LANGUAGE_STUDIO else Flag.AML_LABELED
        return DocumentStatus.LABELED if self.flags & labeled else DocumentStatus.UNLABELED

    @property
    def dataset(self) -> Dataset:
        return Dataset.TEST if self.flags & Flag.TEST else Dataset.TRAIN


@dataclass(frozen=True, slots=True)
class Head:
    """Summary of a page: entries in the order of ids, labels by category for each studio, decisions by band
    and engine.
    """

    number: int
    seq: int
    entries: tuple[Entry, ...] = ()
    categories: Mapping[str, int] = field(default_factory=dict[str, int])
    aml_categories: Mapping[str, int] = field(default_factory=dict[str, int])
    tallies: Tallies = field(default_factory=dict[int, tuple[int, int]])
    engines: EngineTallies = field(default_factory=dict[tuple[str, str, int], EngineTally])
    #: Changes exactly when the labels or the content of a labeled document of the page change.
    labels_digest: str = ""
    #: What lists derived from the entries, by what they asked for.
    derived: dict[object, array[int]] = field(
        default_factory=dict[object, "array[int]"], compare=False, repr=False
    )


@dataclass(frozen=True, slots=True)
class ProjectStatistics:
    """Counts of documents by status and dataset, and of labels by category: those of the project come first."""

    statuses: Mapping[DocumentStatus, int]
    datasets: Mapping[Dataset, int]
    categories: Mapping[str, int]
    missing: int
    waiting: int
    flagged: int
    calibration: Calibration

    @property
    def documents(self) -> int:
        return sum(self.statuses.values())


def statistics(project: Project, heads: Iterable[Head]) -> ProjectStatistics:
    """The labels and statuses are those of the active studio."""
    statuses, datasets, categories = Counter[DocumentStatus](), Counter[Dataset](), Counter[str]()
    missing = waiting = flagged = 0
    calibration = Calibration()
    for head in heads:
        in_language_studio = project.active_studio is Studio.LANGUAGE_STUDIO
        categories.update(head.categories if in_language_studio else head.aml_categories)
        for entry in head.entries:
            statuses[entry.status(project.generation, project.active_studio)] += 1
            datasets[entry.dataset] += 1
            missing += bool(entry.flags & Flag.MISSING)
            waiting += bool(entry.flags & Flag.WAITING)
            flagged += bool(entry.flags & Flag.FLAGGED)
        accepted, rejected = zip(*(head.tallies.get(band, (0, 0)) for band in range(BANDS)), strict=True)
        calibration += Calibration(accepted, rejected)
    names = dict.fromkeys((*project.category_names, *sorted(categories)))
    counted = {name: categories[name] for name in names}
    return ProjectStatistics(statuses, datasets, counted, missing, waiting, flagged, calibration)


def entry_of(document: Document, order: Callable[[Document], int | None]) -> Entry:
    suggestions = document.suggestions
    confidence = order(document)
    flags = (
        (Flag.LABELED if document.labels is not None else 0)
        | (Flag.AML_LABELED if document.aml_labels is not None else 0)
        | (Flag.REJECTED if document.rejection is not None else 0)
        | (Flag.TEST if document.dataset is Dataset.TEST else 0)
        | (Flag.WAITING if document.waiting else 0)
        | (Flag.MISSING if document.missing else 0)
        | (Flag.SUGGESTED if confidence is not None else 0)
        | (Flag.FLAGGED if document.flagged else 0)
    )
    return Entry(flags, confidence or 0, suggestions.generation if suggestions else 0, document.assignee)


def uncertainty(project: Project) -> Callable[[Document], int | None]:
    """Key of `orderby=uncertainty` for the project's kind; None for a document without suggestions."""

    def order(document: Document) -> int | None:
        return suggestion_order(document.suggestions.items, project.kind) if document.suggestions else None

    return order


def add_tallies(
    tallies: Tallies, decisions: Iterable[tuple[int, bool]], sign: int
) -> dict[int, tuple[int, int]]:
    counted = dict(tallies)
    for place, accepted in decisions:
        yes, no = counted.get(place, (0, 0))
        counted[place] = (yes + sign, no) if accepted else (yes, no + sign)
    return counted


def add_engine_tallies(
    tallies: EngineTallies, more: Iterable[EngineTally]
) -> dict[tuple[str, str, int], EngineTally]:
    """The sums. Models beyond MAX_MODELS of an engine are counted without their names."""
    counted = dict(tallies)
    named: dict[str, set[str]] = {}
    for engine, model, _ in counted:
        named.setdefault(engine, set()).add(model)
    for tally in more:
        models = named.setdefault(tally.engine, set())
        apart = tally.model in models or len(models - {""}) < MAX_MODELS
        key = tally.engine, tally.model if apart else "", tally.band
        models.add(key[1])
        before = counted.get(key)
        counted[key] = tally._replace(model=key[1]) if before is None else before.plus(tally)
    return counted


def decisions_of(
    source: SuggestionSet, decisions: Iterable[tuple[int, bool]], sign: int = 1
) -> tuple[EngineTally, ...]:
    """Decisions on suggestions of a source, as differences; -1 subtracts them."""
    engine, model = source.engine, source.model or ""
    return tuple(
        EngineTally(engine, place, 0, sign if accepted else 0, 0 if accepted else sign, model)
        for place, accepted in decisions
    )


def undone_decisions(undo: Undo) -> tuple[EngineTally, ...]:
    """The decisions that an undo subtracts, as differences."""
    return decisions_of(undo.suggestions, undo.tallies, -1) if undo.suggestions else ()


def suggestions_made(suggestions: SuggestionSet) -> tuple[EngineTally, ...]:
    """Suggestions of an engine, as differences."""
    return tuple(
        EngineTally(suggestions.engine, band(item.confidence), suggested=1, model=suggestions.model or "")
        for item in suggestions.items
    )
