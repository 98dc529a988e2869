"""Documents as people read and label them by hand."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared.domain.document import Document, set_labels
from shared.domain.errors import Conflict, DocumentNotFound, StaleDocument
from shared.domain.ids import random_id
from shared.domain.kinds import Dataset, ProjectKind
from shared.domain.labels import Labels, span_faults
from shared.domain.page import Edit, HistoryEntry, Page, is_document_id, page_of
from shared.domain.project import Project, define
from shared.domain.review import undo
from shared.domain.text import Offsets
from shared.services.directory import Handle
from shared.services.etags import Version
from shared.services.listing import DocumentPage, DocumentQuery, list_documents
from shared.services.review import undone_entry
from shared.services.stores import Stores
from shared.storage.document_codec import decode_labels, encode_labels
from shared.storage.page_rows import Author
from shared.storage.pages import locked
from shared.wire.documents import document_json
from shared.wire.faults import Faults
from shared.wire.labels import write_labels

SETTINGS_CHANGED = "documentChanged"


@dataclass(frozen=True, slots=True)
class Shown:
    """A document with the project it was read under, which its status and ETag depend on."""

    document: Document
    project: Project


@dataclass(frozen=True, slots=True)
class DocumentPatch:
    """What PATCH may change; None: leave it. `confirm`: a person has seen the changed content."""

    dataset: Dataset | None = None
    language: str | None = None
    confirm: bool = False


@dataclass(frozen=True, slots=True)
class Past:
    """A change of a document: who, when, what, with labels as on the wire. `key` orders changes, newest first."""

    by: str
    at: datetime
    entry: HistoryEntry
    key: tuple[int, int]


type ChangeDocument = Callable[[Document, Project, str], tuple[Document, HistoryEntry]]
"""(document, project, revision) -> the document after, and what the history says."""


class DocumentService:
    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def list(
        self, name: str, query: DocumentQuery, top: int, token: str | None
    ) -> tuple[Project, DocumentPage]:
        project = await self._stores.directory.read(name)
        return project, await list_documents(self._stores.pages, project, query, top, token)

    async def get(self, name: str, document_id: str) -> Shown:
        project = await self._stores.directory.read(name)
        return Shown(await self._load(project, document_id), project)

    async def text(self, name: str, document_id: str) -> tuple[Document, str]:
        """The text as it lies in the container now, without its byte-order mark."""
        shown = await self.get(name, document_id)
        return shown.document, await self._read(shown.project, shown.document)

    async def history(self, name: str, document_id: str) -> "list[Past]":
        """Every change, newest first; also of a document that is gone, for its labels stay in the history (D3)."""
        project = await self._stores.directory.read(name)
        if not is_document_id(document_id):
            raise DocumentNotFound(document_id)
        number = page_of(document_id, project.pages)
        found = [
            Past(by, at, _on_wire(entry, project.kind), (-seq, -place))
            for seq, place, by, at, entry in await self._stores.pages.history(project.scope, number)
            if entry.document_id == document_id
        ]
        if not found:
            await self._load(project, document_id)
        return sorted(found, key=lambda one: one.key)

    async def set_labels(
        self,
        name: str,
        document_id: str,
        version: Version,
        labels: Labels | None,
        author: str,
        revision: str | None = None,
    ) -> Shown:
        """Replace the labels. Unknown categories are defined (D7). Raises StaleDocument, LabelingLocked."""
        handle = await self._stores.directory.open(name)
        if labels is not None:
            await self._check_fit(handle, document_id, labels)
            await self._define(handle, document_id, version, labels)

        def change(document: Document, project: Project, revision: str) -> tuple[Document, HistoryEntry]:
            if document.rejection is not None:
                text = "The file is not a document and cannot be labeled: " + document.rejection.message
                raise Conflict(text, target="documentId")
            facts = {"before": encode_labels(document.labels), "after": encode_labels(labels)}
            after = set_labels(document, project.kind, labels, revision)
            return after, HistoryEntry(document.id, "labelsSet", facts)

        return await self._change(handle, document_id, version, author, change, revision)

    async def patch(
        self, name: str, document_id: str, version: Version, patch: DocumentPatch, author: str
    ) -> Shown:
        handle = await self._stores.directory.open(name)

        def change(document: Document, project: Project, revision: str) -> tuple[Document, HistoryEntry]:
            after = replace(
                document,
                revision=revision,
                dataset=patch.dataset or document.dataset,
                language=patch.language or document.language,
                content_changed=document.content_changed and not patch.confirm,
            )
            facts = {"before": _settings(document), "after": _settings(after)}
            return after, HistoryEntry(document.id, SETTINGS_CHANGED, facts)

        return await self._change(handle, document_id, version, author, change)

    async def undo(
        self, name: str, document_id: str, version: Version, author: str, revision: str | None = None
    ) -> Shown:
        """Take back the last decision on the document (rule V4)."""
        handle = await self._stores.directory.open(name)

        def change(document: Document, project: Project, revision: str) -> tuple[Document, HistoryEntry]:
            after = undo(document, project.kind, project.generation, revision)
            return after, undone_entry(document, after)

        return await self._change(handle, document_id, version, author, change, revision, tallies=True)

    async def _change(
        self,
        handle: Handle,
        document_id: str,
        version: Version,
        by: str,
        change: ChangeDocument,
        revision: str | None = None,
        *,
        tallies: bool = False,
    ) -> Shown:
        if not is_document_id(document_id):
            raise DocumentNotFound(document_id)
        author = Author(by, self._stores.clock(), revision or random_id())
        number = page_of(document_id, handle.current.pages)

        def edit(page: Page, project: Project) -> Edit | None:
            document = page.documents.get(document_id)
            if document is None:
                raise DocumentNotFound(document_id)
            if document.revision == author.revision:
                return None  # our own change, asked for again
            if not version.matches_labels(document):
                raise StaleDocument(document_json(document, project))
            after, entry = change(document, project, author.revision)
            counted = document.undo.tallies if tallies and document.undo else ()
            return Edit({document_id: after}, (entry,), counted, -1)

        written = await self._stores.pages.write(handle, [number], edit, author)
        return Shown(written.pages[number].documents[document_id], written.project)

    async def _load(self, project: Project, document_id: str) -> Document:
        if not is_document_id(document_id):
            raise DocumentNotFound(document_id)
        page = await self._stores.pages.load(project.scope, page_of(document_id, project.pages))
        document = page.documents.get(document_id)
        if document is None:
            raise DocumentNotFound(document_id)
        return document

    async def _read(self, project: Project, document: Document) -> str:
        reading = await self._stores.uploads.look(project.container, document.location)
        if reading is None:
            text = f"The blob '{document.location}' is gone from the container '{project.container}'."
            raise Conflict(text, target="documentId")
        if reading.text is None:
            reason = reading.rejection.message if reading.rejection else ""
            raise Conflict(f"The blob '{document.location}' is not a document: {reason}", target="documentId")
        return reading.text

    async def _check_fit(self, handle: Handle, document_id: str, labels: Labels) -> None:
        """Spans must fit the text that is there now; classes need no text."""
        if handle.current.kind is not ProjectKind.ENTITIES or not labels.regions:
            return
        document = await self._load(handle.current, document_id)
        if document.rejection is not None:
            return  # refused by the change itself, with the reason
        faults = Faults("label field")
        for fault in span_faults(labels, Offsets(await self._read(handle.current, document))):
            faults.add(f"{ProjectKind.ENTITIES.label_field}{fault.path}", fault.message)
        faults.raise_any()

    async def _define(self, handle: Handle, document_id: str, version: Version, labels: Labels) -> None:
        """Define unknown categories (D7), after a look at what would refuse the labels all the same."""
        names = list(labels.used_categories())
        if not set(names) - set(handle.current.category_names):
            return
        project = await handle.refresh()
        if project.lock is not None:
            raise locked(project)
        document = await self._load(project, document_id)
        if not version.matches_labels(document):
            raise StaleDocument(document_json(document, project))
        await self._stores.directory.update(project.name, lambda current: define(current, names))
        await handle.refresh()


def _settings(document: Document) -> dict[str, Any]:
    """What PATCH changes, for the history."""
    return {
        "dataset": document.dataset.value,
        "language": document.language,
        "contentChanged": document.content_changed,
    }


def _on_wire(entry: HistoryEntry, kind: ProjectKind) -> HistoryEntry:
    """Labels before and after are stored as in the pages, and told as the label field of the project's kind."""
    if entry.action == SETTINGS_CHANGED:
        return entry
    told: dict[str, Any] = {}
    for name in ("before", "after"):
        if name in entry.facts:
            labels = decode_labels(entry.facts[name])
            told[name] = _label_field(labels, kind) if labels is not None else None
    return replace(entry, facts={**entry.facts, **told})


def _label_field(labels: Labels, kind: ProjectKind) -> dict[str, Any]:
    """Labels from before an import changed the kind are told as what they were."""
    if labels.regions:
        kind = ProjectKind.ENTITIES
    elif len(labels.categories) > (0 if kind is ProjectKind.ENTITIES else 1):
        kind = ProjectKind.MULTI_LABEL
    return {kind.label_field: write_labels(kind, labels)}
