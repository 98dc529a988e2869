"""A second, blind review of a sample of labeled documents: the sample, the labels of the second person, the resolution
of disagreements. What the second person reads has no labels of the first, no suggestions and no history.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from shared.domain.document import Document, Version, set_labels, undo_of_labels
from shared.domain.errors import (
    Conflict,
    DocumentNotFound,
    Forbidden,
    InvalidArgument,
    NotFound,
    StaleDocument,
)
from shared.domain.labels import Labels
from shared.domain.names import ProjectKind
from shared.domain.page import Action, Change, Edit, Flag, Head, HistoryEntry, LabelChange, Page, page_of
from shared.domain.project import Project, require_current_names
from shared.domain.review import undo
from shared.domain.team import Agreement, agreement, same
from shared.domain.text import content_hash
from shared.services.jobs.stores import Stores
from shared.services.review.documents import require_fit
from shared.services.review.service import undone_entry
from shared.storage.gateways.ports import Operation
from shared.storage.page_access import gather
from shared.storage.pages import Author
from shared.storage.team import Resolution, SecondItem, SecondReview
from shared.wire.json_codec import ValidationErrors
from shared.wire.team import MAX_SAMPLE

ATTEMPTS = 5
#: What makes or changes the labels of a document.
LABELING = frozenset({Action.DECIDED, Action.LABELS_SET, Action.DECISION_UNDONE, Action.LABELS_UNDONE})


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """`size` documents, or `percent` of the labeled ones, chosen by `seed`."""

    reviewer: str
    size: int | None = None
    percent: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Blind:
    """A document as the second person reads it. `own`: the labels of that person, for no one else."""

    item: SecondItem
    language: str
    text: str
    own: Labels | None


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of a review: documents labeled by both, disagreements among them, and resolved disagreements."""

    review: SecondReview
    reviewed: int
    disagreements: int
    resolved: int
    agreement: Agreement


class _Closing:
    """The row of a document of the review, committed with the page of the document in one transaction."""

    def __init__(self, stores: Stores, incarnation: str, review_id: str, item: SecondItem) -> None:
        self._stores, self._incarnation, self._review_id, self._item = stores, incarnation, review_id, item

    def operation(self) -> Operation:
        return self._stores.second_reviews.replacement(self._review_id, self._item)

    async def landed(self) -> bool:
        """Whether the row is as we meant to write it; raises Conflict if it was changed meanwhile."""
        found = await self._stores.second_reviews.item(
            self._incarnation, self._review_id, self._item.document_id
        )
        if found is not None and replace(found, etag="") == replace(self._item, etag=""):
            return True
        raise Conflict("Someone else resolved the document at the same time; read it again.")


class SecondReviewService:
    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def create(self, name: str, request: SampleRequest, by: str, review_id: str) -> SecondReview:
        """Take a sample of labeled documents that the reviewer never labeled. The same id again is the same sample."""
        project = await self._stores.directory.read(name)
        store, incarnation = self._stores.second_reviews, project.incarnation
        review = await store.find(incarnation, review_id)
        if review is not None and review.ready:
            return review
        found = await self._sample(project, request) if review is None else None
        if review is None and found is not None:
            if not found:
                text = f"All labeled documents were labeled by '{request.reviewer}'. Choose another reviewer."
                raise InvalidArgument(text, target="reviewer")
            ids = tuple(item.document_id for item in found)
            review = await store.create(
                incarnation,
                SecondReview(review_id, by, self._stores.clock(), request.reviewer, request.seed, ids),
            )
        if review is None:
            raise Conflict("The second review was removed while it was being created; try again.")
        wanted = set(review.documents)
        if found is None or {item.document_id for item in found} != wanted:  # chosen by an earlier attempt
            found = await self._items(project, [(key, "") for key in review.documents])
        await store.fill(incarnation, review, found)
        return replace(review, ready=True)

    async def _sample(self, project: Project, request: SampleRequest) -> list[SecondItem]:
        heads = {head.number: head for head in await self._stores.pages.heads(project.scope)}
        places = [
            (head.number, place)
            for head in heads.values()
            for place, entry in enumerate(head.entries)
            if entry.flags & Flag.LABELED and not entry.flags & (Flag.REJECTED | Flag.MISSING)
        ]
        size = request.size if request.size is not None else -(-len(places) * (request.percent or 0) // 100)
        if size > MAX_SAMPLE:
            text = (
                f"A second review can have at most {MAX_SAMPLE} documents; this one would have {int(size):,}."
            )
            raise InvalidArgument(text, target="percent" if request.size is None else "size")
        Random(request.seed).shuffle(places)
        found: list[SecondItem] = []
        while places and len(found) < size:
            some, places = places[: int(size) - len(found)], places[int(size) - len(found) :]
            found += await self._chosen(project, heads, some, request.reviewer)
        return found

    async def _chosen(
        self, project: Project, heads: dict[int, Head], places: Sequence[tuple[int, int]], reviewer: str
    ) -> list[SecondItem]:
        numbers = sorted({number for number, _ in places})
        pages = await self._stores.pages.show(project.scope, [heads[n] for n in numbers])
        ids: list[tuple[str, str]] = []
        for number, place in places:
            documents = list(pages[number].documents)
            if place < len(documents):  # otherwise pages were written since the heads were read
                ids.append((documents[place], reviewer))
        return await self._items(project, ids)

    async def _items(self, project: Project, ids: Sequence[tuple[str, str]]) -> list[SecondItem]:
        """The documents as they are labeled now; without those that the person named beside the id ever labeled."""
        numbers = sorted({page_of(key, project.pages) for key, _ in ids})
        pages = await self._stores.pages.load_many(project.scope, numbers)
        histories = dict(
            zip(
                numbers,
                await gather(
                    (lambda n=number: self._stores.pages.history(project.scope, n)) for number in numbers
                ),
                strict=True,
            )
        )
        found: list[SecondItem] = []
        for key, excluded in ids:
            number = page_of(key, project.pages)
            document = pages[number].documents.get(key)
            labelers = [
                by for _, _, by, _, e in histories[number] if e.document_id == key and e.action in LABELING
            ]
            if document is None or not _can_be_compared(document) or excluded in labelers:
                continue
            first = document.labels or Labels()
            by = labelers[-1] if labelers else ""
            found.append(SecondItem(key, document.location, document.content, first, by, project.edits))
        return found

    async def reviews(self, name: str) -> tuple[Project, list[SecondReview]]:
        project = await self._stores.directory.read(name)
        return project, await self._stores.second_reviews.all(project.incarnation)

    async def get(self, name: str, review_id: str) -> tuple[Project, SecondReview]:
        project = await self._stores.directory.read(name)
        review = await self._stores.second_reviews.find(project.incarnation, review_id)
        if review is None or not review.ready:
            raise NotFound(f"The second review '{review_id}' does not exist.", target="reviewId")
        return project, review

    # For the second person

    async def queue(self, name: str, review_id: str) -> tuple[Project, list[SecondItem]]:
        """The documents in the order of the sample. Only their names and whether they were reviewed may be shown."""
        project, review = await self.get(name, review_id)
        items = {
            i.document_id: i for i in await self._stores.second_reviews.items(project.incarnation, review_id)
        }
        return project, [items[key] for key in review.documents if key in items]

    async def read(self, name: str, review_id: str, document_id: str, caller: str) -> tuple[Project, Blind]:
        """The text, and the labels of the second person, if that person asks."""
        project, review = await self.get(name, review_id)
        item = await self._item(project, review_id, document_id)
        document = await self._load(project, document_id)
        text = await self._text_of(project, document)
        mine = caller == review.reviewer and item.second is not None
        own = _named(project, item.second, item.second_edits) if mine else None
        return project, Blind(item, document.language, text, own)

    async def save(
        self, name: str, review_id: str, document_id: str, labels: Labels | None, caller: str
    ) -> None:
        """Keep the labels of the second person; those of the document stay. The same again changes nothing.

        None undoes what was said: the document is to be labeled again.

        Raises Forbidden for anyone else, Conflict for a document that changed or was resolved.
        """
        project, review = await self.get(name, review_id)
        if caller != review.reviewer:
            raise Forbidden(f"Only '{review.reviewer}' can label the documents of this second review.")
        if labels is not None:
            _require_categories(project, labels)
        for _ in range(ATTEMPTS):
            item = await self._item(project, review_id, document_id)
            if item.resolution is not None:
                raise Conflict("The document was resolved; its second labels can no longer be changed.")
            if item.second == labels and item.second_edits == project.edits:
                return
            if labels is not None:
                await self._check_text(project, item, labels)
            after = replace(item, second=labels, second_edits=project.edits)
            if await self._stores.second_reviews.save(project.incarnation, review_id, after):
                return
        raise Conflict("The document is being changed; try again.")

    async def _check_text(self, project: Project, item: SecondItem, labels: Labels) -> None:
        """Raises Conflict when the text is another than that of the sample, InvalidArgument for misplaced spans."""
        text = await self._text_of(project, await self._load(project, item.document_id))
        if await asyncio.to_thread(content_hash, text) != item.content:
            raise Conflict("The text has changed since the sample was taken, so the document is left out.")
        if project.kind is ProjectKind.ENTITIES:
            await asyncio.to_thread(require_fit, labels, text)

    # For the lead

    async def summary(self, name: str, review_id: str, caller: str) -> tuple[Project, Summary]:
        """Agreement of what both labeled. Raises Forbidden for the second person, who must not see the other's."""
        project, review = await self._seen(name, review_id, caller)
        items = await self._both(project, review_id)
        pairs = [(first, second) for _, first, second in items]
        apart = [i for i, first, second in items if not same(project.kind, first, second)]
        resolved = sum(item.resolution is not None for item in apart)
        return project, Summary(review, len(items), len(apart), resolved, agreement(project.kind, pairs))

    async def disagreements(
        self, name: str, review_id: str, caller: str
    ) -> tuple[Project, list[tuple[SecondItem, Labels, Labels]]]:
        """Documents that two people labeled differently: (document, first labels, second labels)."""
        project, _ = await self._seen(name, review_id, caller)
        items = await self._both(project, review_id)
        return project, [found for found in items if not same(project.kind, found[1], found[2])]

    async def resolve(
        self,
        name: str,
        review_id: str,
        document_id: str,
        version: Version,
        chosen: Labels | str,
        by: str,
        revision: str,
    ) -> tuple[Document, Project]:
        """Set the labels of the document to `first`, `second`, or others. The same `revision` again changes nothing.

        The write is that of labels set by hand, so it can be undone. Raises StaleDocument, LabelingLocked.
        """
        author = Author(by, self._stores.clock(), revision)
        project, _ = await self._seen(name, review_id, by)
        item = await self._item(project, review_id, document_id)
        if item.second is None:
            raise Conflict("The second person has not labeled the document yet.", target="documentId")
        if item.resolution is not None and item.resolution.revision == author.revision:
            return await self._load(project, document_id), project
        first, second = (
            _named(project, item.first, item.edits),
            _named(project, item.second, item.second_edits),
        )
        labels = (first if chosen == "first" else second) if isinstance(chosen, str) else chosen
        document = await self._load(project, document_id)
        if document.content != item.content:
            raise Conflict("The text has changed since the sample was taken; label the document again.")
        _require_categories(project, labels)
        if not isinstance(chosen, str) and project.kind is ProjectKind.ENTITIES:
            await asyncio.to_thread(require_fit, labels, await self._text_of(project, document))
        after = replace(item, resolution=Resolution(author.name, author.at, labels, author.revision))

        def change(page: Page, now: Project) -> Edit | None:
            current = _document(page, document_id)
            if current.revision == author.revision:
                return None
            if not version.matches_labels(current):
                raise StaleDocument(current, now)
            _require_categories(now, labels)
            kept = undo_of_labels(current, now.generation)
            labeled = set_labels(current, now.kind, labels, author.revision, kept)
            entry = HistoryEntry(document_id, Action.LABELS_SET, LabelChange(current.labels, labels))
            return Edit({document_id: labeled}, (entry,))

        return await self._write(name, review_id, after, change, author)

    async def reopen(
        self, name: str, review_id: str, document_id: str, caller: str, revision: str
    ) -> tuple[Document, Project]:
        """Undo a resolution: the document has its labels from before again, unless they were changed since."""
        project, _ = await self._seen(name, review_id, caller)
        item = await self._item(project, review_id, document_id)
        end = item.resolution
        if end is None:
            return await self._load(project, document_id), project  # a repeat
        author = Author(caller, self._stores.clock(), revision)

        def change(page: Page, now: Project) -> Edit | None:
            current = _document(page, document_id)
            if current.revision == revision:
                return None
            if current.revision != end.revision:
                raise Conflict(
                    "The labels have changed since the document was resolved; undo that change first."
                )
            undone = undo(current, now.kind, now.generation, revision)
            return Edit({document_id: undone}, (undone_entry(current, undone),))

        return await self._write(name, review_id, replace(item, resolution=None), change, author)

    async def _write(
        self, name: str, review_id: str, item: SecondItem, change: Change, author: Author
    ) -> tuple[Document, Project]:
        """The page of the document and the row of the review, in one transaction."""
        handle = await self._stores.directory.open(name)
        project = handle.current
        closing = _Closing(self._stores, project.incarnation, review_id, item)
        number = page_of(item.document_id, project.pages)
        written = await self._stores.pages.write(handle, [number], change, author, closing=closing)
        return _document(written.pages[number], item.document_id), written.project

    async def _seen(self, name: str, review_id: str, caller: str) -> tuple[Project, SecondReview]:
        """For everyone except the second person, who must not see the labels of the first."""
        project, review = await self.get(name, review_id)
        if caller == review.reviewer:
            raise Forbidden(
                "The second person must not see the first person's labels; someone else must resolve them."
            )
        return project, review

    async def _both(self, project: Project, review_id: str) -> list[tuple[SecondItem, Labels, Labels]]:
        """The documents that both labeled, by name, with the labels under the current names of categories."""
        items = await self._stores.second_reviews.items(project.incarnation, review_id)
        return [
            (item, _named(project, item.first, item.edits), _named(project, item.second, item.second_edits))
            for item in sorted(items, key=lambda item: item.location)
            if item.second is not None
        ]

    async def _item(self, project: Project, review_id: str, document_id: str) -> SecondItem:
        item = await self._stores.second_reviews.item(project.incarnation, review_id, document_id)
        if item is None:
            raise DocumentNotFound(document_id)
        return item

    async def _load(self, project: Project, document_id: str) -> Document:
        page = await self._stores.pages.load(project.scope, page_of(document_id, project.pages))
        return _document(page, document_id)

    async def _text_of(self, project: Project, document: Document) -> str:
        reading = await self._stores.uploads.inspect(project.container, document.location)
        if reading is None or reading.text is None:
            raise Conflict(
                f"The text of '{document.location}' cannot be read right now.", target="documentId"
            )
        return reading.text


def _can_be_compared(document: Document) -> bool:
    """Whether its labels are of the text as it is."""
    return not (document.labels is None or document.rejection or document.missing or document.content_changed)


def _document(page: Page, document_id: str) -> Document:
    document = page.documents.get(document_id)
    if document is None:
        raise DocumentNotFound(document_id)
    return document


def _named(project: Project, labels: Labels | None, edits: int) -> Labels:
    """Labels under the current names of their categories; those that were removed since are gone."""
    return (labels or Labels()).renamed(lambda name: project.current_name(name, edits))


def _require_categories(project: Project, labels: Labels) -> None:
    """Raises Conflict for a former name, InvalidArgument for categories that the project does not have."""
    field = project.kind.label_field
    require_current_names(project, labels.used_categories(), field)
    errors = ValidationErrors("label field")
    for unknown in sorted(set(labels.used_categories()) - set(project.category_names)):
        errors.add(field, f"The project has no category '{unknown}'.")
    errors.raise_any()
