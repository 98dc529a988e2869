"""Pages: documents of one hash bucket that are stored, versioned and locked together (design section 5).

A document's page follows from its id alone, and pages in number order hold ids in string order: so a list by id reads
pages one after the other, and a contiguous range of pages is a contiguous range of ids.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from shared.domain.document import Document
from shared.domain.kinds import Dataset, DocumentStatus, Studio
from shared.domain.project import Project
from shared.domain.review import suggestion_order
from shared.domain.suggestions import Rejected

#: base64url in the order in which strings compare.
_ALPHABET: Final = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
_RANK: Final = {character: rank for rank, character in enumerate(_ALPHABET)}
_BUCKETS: Final = 64 * 64
SLOTS: Final = 16
#: Of so many deleted documents a page remembers what was rejected, the latest ones.
MAX_GONE: Final = 100

type Tallies = Mapping[int, tuple[int, int]]
"""Confidence band -> (accepted, rejected)."""


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
    """One page as it was read. `etag` None: the row does not exist. `slots`: the numbers of locks that shut it.

    `gone`: what was rejected in documents whose blobs were deleted, should they come back (rule A4).
    """

    number: int
    documents: Mapping[str, Document] = field(default_factory=dict[str, Document])
    tallies: Tallies = field(default_factory=dict[int, tuple[int, int]])
    seq: int = 0
    revision: str = ""
    slots: tuple[int, ...] = (0,) * SLOTS
    gone: Mapping[str, frozenset[Rejected]] = field(default_factory=dict[str, frozenset[Rejected]])
    etag: str | None = None

    def shut(self, opened: int) -> bool:
        """Whether a lock younger than `opened` lies on the page."""
        return max(self.slots) > opened


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change of one document. `facts` is JSON: labels before and after, decisions with their provenance."""

    document_id: str
    action: str
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Edit:
    """What a writer changes on a page: documents by id (None deletes), history, and counted decisions."""

    documents: Mapping[str, Document | None]
    history: tuple[HistoryEntry, ...] = ()
    tallies: tuple[tuple[int, bool], ...] = ()
    #: -1 takes decisions back (undo).
    tally_sign: int = 1


def edited(page: Page, edit: Edit) -> Page:
    """The page with the documents and tallies of an edit; who writes it gives it its version."""
    documents, gone = dict(page.documents), dict(page.gone)
    for key, document in edit.documents.items():
        if document is not None:
            documents[key] = document
            gone.pop(key, None)
        elif (before := documents.pop(key, None)) is not None and before.rejected:
            gone[key] = before.rejected
    return replace(
        page,
        documents=dict(sorted(documents.items())),
        gone=dict(list(gone.items())[-MAX_GONE:]),
        tallies=add_tallies(page.tallies, edit.tallies, edit.tally_sign),
    )


type Change = Callable[[Page, Project], Edit | None]
"""Computes an edit from the page and the project as they are now; None: nothing to change. May run several times."""


@dataclass(frozen=True, slots=True)
class Written:
    """The state after a write: the project it rested on, and the pages by number."""

    project: Project
    pages: Mapping[int, Page]


class Flag:
    """Bits of a head entry: what of a document does not depend on generation or studio."""

    LABELED = 1
    AML_LABELED = 2
    REJECTED = 4
    TEST = 8
    WAITING = 16
    MISSING = 32
    SUGGESTED = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One document in a head: enough to count it, select it and order it by uncertainty."""

    flags: int
    confidence: int
    generation: int

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
    """Summary of a page: entries in the order of ids, labels by category for each studio, decisions by band."""

    number: int
    seq: int
    entries: tuple[Entry, ...] = ()
    categories: Mapping[str, int] = field(default_factory=dict[str, int])
    aml_categories: Mapping[str, int] = field(default_factory=dict[str, int])
    tallies: Tallies = field(default_factory=dict[int, tuple[int, int]])
    #: Changes exactly when the labels or the content of a labeled document of the page change.
    labels_digest: str = ""


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
    )
    return Entry(flags, confidence or 0, suggestions.generation if suggestions else 0)


def uncertainty(project: Project) -> Callable[[Document], int | None]:
    """Key of `orderby=uncertainty` for the project's kind; None for a document without suggestions."""

    def order(document: Document) -> int | None:
        return suggestion_order(document.suggestions.items, project.kind) if document.suggestions else None

    return order


def add_tallies(
    tallies: Tallies, decisions: Iterable[tuple[int, bool]], sign: int
) -> dict[int, tuple[int, int]]:
    counted = dict(tallies)
    for band, accepted in decisions:
        yes, no = counted.get(band, (0, 0))
        counted[band] = (yes + sign, no) if accepted else (yes, no + sign)
    return counted
