"""What follows from each document when its page is written: remembered for the pages that were written last.

A save changes one document, and the row and the head of its page are made of all of them. A part is used for the very
object that it was computed from, which never changes: whoever wrote the page, and whatever has become of the project,
rows are the same as those that `page_codec` computes from scratch.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from sys import getsizeof

from shared.domain.document import Document
from shared.domain.labels import Labels, SuggestionSet
from shared.domain.names import ProjectKind
from shared.domain.page import Entry, Head, Page, entry_of, uncertainty
from shared.domain.project import Project, Scope
from shared.storage import page_codec
from shared.storage.rows import to_json

MAX_BYTES = 24 * 1024 * 1024
#: Of a part and its document, beside the texts and the items.
OVERHEAD = 1_000
#: Of an item of the document.
ITEM_BYTES = 200


def items_of(document: Document) -> int:
    """How many suggestions, rejections, regions and entities it holds, also those that are kept for an undo: on them
    depends how much memory a document takes.
    """
    count = len(document.rejected) + len(document.problems) + _items(document.labels, document.suggestions)
    count += _items(document.aml_labels, None)
    undo = document.undo
    while undo is not None:
        count += 1 + len(undo.rejected) + len(undo.problems) + _items(undo.labels, undo.suggestions)
        undo = undo.earlier
    return count


def _items(labels: Labels | None, suggestions: SuggestionSet | None) -> int:
    count = len(suggestions.items) if suggestions is not None else 0
    if labels is not None:
        count += len(labels.regions) + sum([len(region.labels) for region in labels.regions])
        count += len(labels.categories) // 20  # a reference of 8 bytes each: names are shared
    return count


@dataclass(frozen=True, slots=True)
class Part:
    """One document: its JSON in the row, its entry in the head, its JSON in the digest ("": not learned from).

    `size`: about the bytes that the part and its document take, which has most of the JSON as strings, too.
    """

    document: Document
    text: str
    entry: Entry
    learned: str
    categories: tuple[str, ...]
    aml_categories: tuple[str, ...]
    size: int

    @classmethod
    def of(cls, document: Document, order: Callable[[Document], int | None]) -> "Part":
        text = to_json(page_codec.encode_document(document))
        learned = json.dumps(page_codec.learned(document)) if page_codec.is_learned(document) else ""
        categories, aml_categories = _categories(document.labels), _categories(document.aml_labels)
        size = OVERHEAD + 2 * getsizeof(text) + getsizeof(learned) + ITEM_BYTES * items_of(document)
        return cls(document, text, entry_of(document, order), learned, categories, aml_categories, size)


class PageParts:
    """The parts of pages by their documents: at most `most` bytes, those of the pages that were used last."""

    def __init__(self, most: int = MAX_BYTES) -> None:
        self._most = most
        self._size = 0
        self._pages: dict[tuple[str, str, int, ProjectKind], dict[str, Part]] = {}

    def of(self, scope: Scope, page: Page, project: Project) -> Sequence[Part]:
        """In the order of the documents."""
        # Entries depend on the kind of the project, and on nothing else of it.
        key = scope.incarnation, scope.edition, page.number, project.kind
        known, order = self._pages.pop(key, {}), uncertainty(project)
        self._size -= _size(known)
        parts: dict[str, Part] = {}
        for document in page.documents.values():
            part = known.get(document.id)
            same = part is not None and part.document is document
            parts[document.id] = part if part is not None and same else Part.of(document, order)
        self._pages[key] = parts  # the last one used is the last one dropped
        self._size += _size(parts)
        while self._size > self._most:
            self._size -= _size(self._pages.pop(next(iter(self._pages))))
        return tuple(parts.values())


def head_of(page: Page, parts: Sequence[Part]) -> Head:
    """As `page_codec.summarize` has it."""
    categories = [category for part in parts for category in part.categories]
    aml_categories = [category for part in parts for category in part.aml_categories]
    learned = [part.learned for part in parts if part.learned]
    return Head(
        number=page.number,
        seq=page.seq,
        entries=tuple([part.entry for part in parts]),
        categories=dict(Counter(categories)) if categories else {},
        aml_categories=dict(Counter(aml_categories)) if aml_categories else {},
        tallies=page.tallies,
        engines=page.engines,
        labels_digest=page_codec.digest_of(f"[{', '.join(learned)}]") if learned else "",
    )


def _categories(labels: Labels | None) -> tuple[str, ...]:
    return tuple(labels.used_categories()) if labels is not None else ()


def _size(parts: dict[str, Part]) -> int:
    return sum([part.size for part in parts.values()])
