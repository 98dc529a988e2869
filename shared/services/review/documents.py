"""Documents as people read and label them by hand."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from shared.domain.document import Document, Version, set_labels, undo_of_labels
from shared.domain.errors import Conflict, DocumentNotFound, StaleDocument
from shared.domain.labels import Labels, span_errors
from shared.domain.names import Dataset, ProjectKind, random_id
from shared.domain.page import (
    Action,
    DocumentSettings,
    Edit,
    HistoryEntry,
    LabelChange,
    Page,
    SettingsChange,
    is_document_id,
    page_of,
    undone_decisions,
)
from shared.domain.project import Project, define, require_current_names
from shared.domain.review import undo
from shared.domain.text import Offsets
from shared.services.jobs.stores import Handle, Stores
from shared.services.review.listing import DocumentPage, DocumentQuery, list_documents
from shared.services.review.service import undone_entry
from shared.storage.pages import Author, locked
from shared.wire.json_codec import ValidationErrors


@dataclass(frozen=True, slots=True)
class DocumentView:
    """A document with the project that it was read with, which its status and ETag depend on."""

    document: Document
    project: Project


@dataclass(frozen=True, slots=True)
class DocumentPatch:
    """What PATCH may change; None: leave it. `confirm`: a person has seen the changed content. An empty `note`
    removes it.
    """

    dataset: Dataset | None = None
    language: str | None = None
    confirm: bool = False
    flagged: bool | None = None
    note: str | None = None

    def applied_to(self, document: Document) -> Document:
        """The document with these settings, at the version that it has."""
        return replace(
            document,
            dataset=self.dataset or document.dataset,
            language=self.language or document.language,
            content_changed=document.content_changed and not self.confirm,
            flagged=document.flagged if self.flagged is None else self.flagged,
            note=document.note if self.note is None else self.note,
        )


@dataclass(frozen=True, slots=True)
class PastChange:
    """A change of a document: who, when and what. `key` orders changes, newest first."""

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
        self, name: str, query: DocumentQuery, top: int, token: str | None, *, count: bool = False
    ) -> tuple[Project, DocumentPage]:
        """One page of a list, with the number of documents on all its pages where `count` asks for it."""
        project = await self._stores.directory.read(name)
        query.require_range()
        return project, await list_documents(self._stores.pages, project, query, top, token, count=count)

    async def get(self, name: str, document_id: str) -> DocumentView:
        project = await self._stores.directory.read(name)
        return DocumentView(await self._load(project, document_id), project)

    async def text(self, name: str, document_id: str) -> tuple[Document, str]:
        """The text as it lies in the container now, without its byte-order mark."""
        shown = await self.get(name, document_id)
        return shown.document, await self._text_of(shown.project, shown.document)

    async def history(self, name: str, document_id: str) -> "list[PastChange]":
        """Every change, newest first; also of a removed document, because its labels stay in the history (D3)."""
        project = await self._stores.directory.read(name)
        if not is_document_id(document_id):
            raise DocumentNotFound(document_id)
        number = page_of(document_id, project.pages)
        found = [
            PastChange(by, at, entry, (-seq, -place))
            for seq, place, by, at, entry in await self._stores.pages.history(project.scope, number)
            if entry.document_id == document_id
        ]
        if not found:
            await self._load(project, document_id)
        return sorted(found, key=lambda change: change.key)

    async def set_labels(
        self,
        name: str,
        document_id: str,
        version: Version,
        labels: Labels | None,
        author: str,
        revision: str | None = None,
    ) -> DocumentView:
        """Replace the labels. Unknown categories are defined (D7). Raises StaleDocument, LabelingLocked."""
        handle = await self._stores.directory.open(name)
        if labels is not None:
            await self._check_fit(handle, document_id, labels)
            await self._define(handle, document_id, version, labels)

        def change(document: Document, project: Project, revision: str) -> tuple[Document, HistoryEntry]:
            if document.rejection is not None:
                text = "The file cannot be labeled: " + document.rejection.message
                raise Conflict(text, target="documentId")
            if labels is not None:
                require_current_names(project, labels.used_categories(), project.kind.label_field)
            before = undo_of_labels(document, project.generation)
            after = set_labels(document, project.kind, labels, revision, before)
            return after, HistoryEntry(document.id, Action.LABELS_SET, LabelChange(document.labels, labels))

        return await self._change(handle, document_id, version, author, change, revision)

    async def patch(
        self, name: str, document_id: str, version: Version, patch: DocumentPatch, author: str
    ) -> DocumentView:
        """Change settings. A repeat changes nothing and is not a conflict, at any version."""
        handle = await self._stores.directory.open(name)

        def change(document: Document, project: Project, revision: str) -> tuple[Document, HistoryEntry]:
            after = replace(patch.applied_to(document), revision=revision)
            details = SettingsChange(DocumentSettings.of(document), DocumentSettings.of(after))
            return after, HistoryEntry(document.id, Action.DOCUMENT_CHANGED, details)

        def done(document: Document) -> bool:
            return patch.applied_to(document) == document

        return await self._change(handle, document_id, version, author, change, done=done)

    async def undo(
        self, name: str, document_id: str, version: Version, author: str, revision: str | None = None
    ) -> DocumentView:
        """Undo the last change of the document's labels (rule V4)."""
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
        done: Callable[[Document], bool] = lambda _: False,
    ) -> DocumentView:
        if not is_document_id(document_id):
            raise DocumentNotFound(document_id)
        author = Author(by, self._stores.clock(), revision or random_id())
        number = page_of(document_id, handle.current.pages)

        def edit(page: Page, project: Project) -> Edit | None:
            document = page.documents.get(document_id)
            if document is None:
                raise DocumentNotFound(document_id)
            if document.revision == author.revision or done(document):
                return None  # our own change, repeated
            if not version.matches_labels(document):
                raise StaleDocument(document, project)
            after, entry = change(document, project, author.revision)
            undone = document.undo if tallies else None
            if undone is None:
                return Edit({document_id: after}, (entry,))
            return Edit({document_id: after}, (entry,), undone.tallies, -1, undone_decisions(undone))

        written = await self._stores.pages.write(handle, [number], edit, author)
        document = written.pages[number].documents[document_id]
        if document.missing and not document.stays_without_blob:
            # The document is removed (rule D3).
            await self._stores.pending.add(written.project.incarnation, document.location)
        return DocumentView(document, written.project)

    async def _load(self, project: Project, document_id: str) -> Document:
        if not is_document_id(document_id):
            raise DocumentNotFound(document_id)
        page = await self._stores.pages.load(project.scope, page_of(document_id, project.pages))
        document = page.documents.get(document_id)
        if document is None:
            raise DocumentNotFound(document_id)
        return document

    async def _text_of(self, project: Project, document: Document) -> str:
        reading = await self._stores.uploads.inspect(project.container, document.location)
        if reading is None:
            text = f"The blob '{document.location}' no longer exists in the container '{project.container}'."
            raise Conflict(text, target="documentId")
        if reading.text is None:
            if document.rejection is None:  # no event says that a blob was archived
                await self._stores.pending.add(project.incarnation, document.location)
            what = "cannot be read" if reading.unreadable else "is not a document"
            reason = reading.rejection.message if reading.rejection else ""
            raise Conflict(f"The blob '{document.location}' {what}: {reason}", target="documentId")
        return reading.text

    async def _check_fit(self, handle: Handle, document_id: str, labels: Labels) -> None:
        """Spans must fit the text that is there now; classes need no text."""
        if handle.current.kind is not ProjectKind.ENTITIES or not labels.regions:
            return
        document = await self._load(handle.current, document_id)
        if document.rejection is not None:
            return  # refused by the change itself, with the reason
        text = await self._text_of(handle.current, document)
        await asyncio.to_thread(require_fit, labels, text)

    async def _define(self, handle: Handle, document_id: str, version: Version, labels: Labels) -> None:
        """Define unknown categories (D7), after a check of everything else that would refuse the labels."""
        names = list(labels.used_categories())
        if not set(names) - set(handle.current.category_names):
            return
        project = await handle.refresh()
        if project.lock is not None:
            raise locked(project)
        document = await self._load(project, document_id)
        if not version.matches_labels(document):
            raise StaleDocument(document, project)
        target = project.kind.label_field

        def defined(current: Project) -> Project:
            require_current_names(current, names, target)
            return define(current, names)

        await self._stores.directory.update(project.name, defined)
        await handle.refresh()


def require_fit(labels: Labels, text: str) -> None:
    """Raises InvalidArgument for spans that do not fit the text."""
    errors = ValidationErrors("label field")
    for error in span_errors(labels, Offsets(text)):
        errors.add(f"{ProjectKind.ENTITIES.label_field}{error.path}", error.message)
    errors.raise_any()
