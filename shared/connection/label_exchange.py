"""Moves labels between a project and its other studio: hand over, take a snapshot, import, adopt.

An import reads a snapshot, so that every worker that resumes it sees the same lines. Its batches hold leases
like those of any job, so that a late worker commits nothing.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from shared.domain.document import Document, document_id, set_labels
from shared.domain.errors import Unavailable
from shared.domain.jobs import BatchResult, ConnectionParameters, Job, JobError
from shared.domain.labels import Labels, span_errors
from shared.domain.names import ProjectKind, derived_id, random_id
from shared.domain.page import Action, Change, Edit, HistoryEntry, LabelChange, Page, page_of
from shared.domain.project import MAX_CATEGORIES, Project, define, former_names
from shared.domain.text import Offsets
from shared.services.jobs.stores import Stores
from shared.storage.pages import Author
from shared.wire.aml_jsonl import (
    AmlLine,
    BadLine,
    OffsetUnit,
    can_be_written,
    read_stream,
    to_labels,
    to_line,
)

AML = "azureMachineLearning"


@dataclass(slots=True)
class LabelLines:
    """A label file: its good lines by page and document, the reasons of its bad lines by number."""

    pages: dict[int, dict[str, AmlLine]] = field(default_factory=dict[int, dict[str, AmlLine]])
    bad: dict[int, str] = field(default_factory=dict[int, str])
    categories: list[str] = field(default_factory=list[str])

    @property
    def good(self) -> int:
        return sum(len(lines) for lines in self.pages.values())

    def between(self, low: int, high: int) -> dict[str, AmlLine]:
        """The lines of a range of pages by document id."""
        return {key: line for n in range(low, high) for key, line in self.pages.get(n, {}).items()}

    def refuse(self, line: AmlLine, reason: str) -> None:
        self.bad[line.number] = reason


async def collect(found: AsyncIterator[AmlLine | BadLine], project: Project) -> LabelLines:
    """Read all lines; a line with more new categories than a project can have is bad, and one with a removed category.

    The former name of a renamed category means that category: the studio may not know its current name.
    """
    lines, known, former = LabelLines(), set(project.category_names), former_names(project)
    async for found_line in found:
        if isinstance(found_line, BadLine):
            lines.bad[found_line.number] = found_line.reason
            continue
        line = found_line
        if not former.keys().isdisjoint(line.used_categories()):
            removed = sorted(name for name in line.used_categories() if former.get(name, name) is None)
            if removed:
                lines.refuse(line, f"The category '{removed[0]}' was removed; define it again to import it.")
                continue
            line = line.renamed({old: now for old, now in former.items() if now is not None})
        new = sorted(line.used_categories() - known)
        if len(known) + len(new) > MAX_CATEGORIES:
            lines.refuse(
                line, f"A project can have {MAX_CATEGORIES} categories; '{new[0]}' exceeds the limit."
            )
            continue
        known.update(new)
        lines.categories += new
        key = document_id(line.location)
        lines.pages.setdefault(page_of(key, project.pages), {})[key] = line
    return lines


def needs_text(line: AmlLine, document: Document) -> bool:
    """Whether offsets must be checked with the text: not for imported ones, if both units are equal."""
    if not line.spans:
        return False
    if not _counts_alike(document):
        return True
    labels = to_labels(line, ProjectKind.ENTITIES, document.length)
    return not isinstance(labels, str) and not same_labels(labels, document.aml_labels)


def _counts_alike(document: Document) -> bool:
    """Whether UTF-16 code units and code points are the same in the text: no character takes two units."""
    return document.length is not None and document.length == document.characters


class LabelImport:
    """Computes what an import changes on a page.

    `texts`: the offsets of documents that `needs_text`, by id; None: its text is not there. `complete`: no line was
    bad, so a document without a line is unlabeled in AML.
    """

    def __init__(
        self,
        lines: LabelLines,
        texts: Mapping[str, Offsets | None],
        unit: OffsetUnit,
        *,
        complete: bool,
        revision: str,
    ) -> None:
        self._lines = lines
        self._texts = texts
        self._unit = unit
        self._complete = complete
        self._revision = revision

    def __call__(self, page: Page, project: Project) -> Edit | None:
        lines = self._lines.pages.get(page.number, {})
        changed: dict[str, Document | None] = {}
        history: list[HistoryEntry] = []
        for document in page.documents.values():
            labels = self._wanted(document, lines.get(document.id), project.kind)
            if not same_labels(labels, document.aml_labels):
                changed[document.id] = replace(document, aml_labels=labels, revision=self._revision)
                history.append(_entry(Action.LABELS_IMPORTED, document, document.aml_labels, labels))
        return Edit(changed, tuple(history)) if changed else None

    def _wanted(self, document: Document, line: AmlLine | None, kind: ProjectKind) -> Labels | None:
        if line is None:
            return None if self._complete else document.aml_labels
        text = self._texts.get(document.id)
        if line.number in self._lines.bad:
            return _kept(document, text)
        unreadable = document.id in self._texts and _counts_alike(document)
        if text is None and document.length is not None and not unreadable and needs_text(line, document):
            raise Unavailable(f"The document '{document.location}' is being registered.", retry_after=1)
        found = to_labels(line, kind, document.length, text, self._unit)
        if isinstance(found, str):
            self._lines.refuse(line, found)
            return _kept(document, text)
        return found


def _kept(document: Document, text: Offsets | None) -> Labels | None:
    """What a document whose line is refused had before, unless that does not fit its text either."""
    labels = document.aml_labels
    return None if labels and text and any(span_errors(labels, text)) else labels


def adopt_labels(revision: str) -> Callable[[Page, Project], Edit | None]:
    """Labels made in AML replace ours (rule C14); the history keeps ours."""

    def change(page: Page, project: Project) -> Edit | None:
        changed: dict[str, Document | None] = {}
        history: list[HistoryEntry] = []
        for document in page.documents.values():
            labels = document.aml_labels
            if labels is None or same_labels(labels, document.labels):
                continue
            after = set_labels(document, project.kind, labels, revision)
            changed[document.id] = replace(after, content_changed=document.content_changed)
            history.append(_entry(Action.LABELS_ADOPTED, document, document.labels, labels))
        return Edit(changed, tuple(history)) if changed else None

    return change


def same_labels(left: Labels | None, right: Labels | None) -> bool:
    """Regions are ignored: a label file has none."""
    if left is None or right is None:
        return left is right
    if set(left.categories) != set(right.categories):
        return False
    return sorted(map(repr, left.entities())) == sorted(map(repr, right.entities()))


def _entry(action: Action, document: Document, before: Labels | None, after: Labels | None) -> HistoryEntry:
    return HistoryEntry(document.id, action, LabelChange(before, after, source=AML))


def unknown_documents(lines: Mapping[str, AmlLine], pages: Iterable[Page]) -> list[AmlLine]:
    """Lines of documents that the project does not have."""
    known = {key for page in pages for key in page.documents}
    return [line for key, line in lines.items() if key not in known]


PAGES_A_BATCH = 32
ADOPT_BATCHES = 1_000
MAX_BAD_LINES = 20

type EnsureCurrent = Callable[[], Awaitable[None]]
"""Raises when another operation has started meanwhile."""


@dataclass(frozen=True, slots=True)
class Imported:
    """How many documents and bad lines there were; `errors`: the first 20 bad lines."""

    documents: int
    bad_lines: int
    errors: tuple[JobError, ...]


class LabelExchange:
    def __init__(self, stores: Stores, unit: OffsetUnit) -> None:
        self._stores = stores
        self._unit = unit

    # From the project to the studio

    async def lines(self, project: Project, datastore: str, left_out: list[str]) -> AsyncIterator[bytes]:
        """A line for every document with labels that the file can express (rule D6).

        `left_out` receives the locations of documents whose entities do not fit the text or cannot be converted.
        """
        async for page in self._stores.pages.scan(project.scope):
            for document in page.documents.values():
                labels = document.labels
                if labels is None or not can_be_written(labels, project.kind):
                    continue
                plain = document.length == document.characters
                offsets, fits = None, not document.problems
                if self._unit is OffsetUnit.CODE_POINT and any(labels.entities()) and not plain:
                    offsets = await self._offsets(project.container, document.location)
                    fits = offsets is not None and not any(span_errors(labels, offsets))
                if fits:
                    yield to_line(document.location, labels, project.kind, datastore, offsets)
                else:
                    left_out.append(document.location)

    async def _offsets(self, container: str, location: str) -> Offsets | None:
        reading = await self._stores.uploads.inspect(container, location)
        return Offsets(reading.text) if reading and reading.text is not None else None

    # From the studio to the project

    async def take_snapshot(self, name: str, files: tuple[tuple[str, str], ...]) -> str:
        """Copy the files into one blob of ours; return its digest."""
        data = bytearray()
        for container, blob in files:
            async for chunk in self._stores.blobs.stream_read(container, blob):
                data += chunk
            if data and not data.endswith(b"\n"):
                data += b"\n"
        await self._stores.artifacts.write(name, bytes(data), content_type="application/x-ndjson")
        return hashlib.sha256(data).hexdigest()

    async def import_labels(
        self, project: Project, job: Job, snapshot: str, datastore: str, ensure_current: EnsureCurrent
    ) -> Imported:
        """Import the lines of a snapshot into `aml_labels` (never into our own labels); define new categories."""
        lines = await collect(read_stream(self._snapshot(snapshot), project.kind, datastore), project)
        if lines.categories:
            await ensure_current()
            await self._stores.directory.update(
                project.name, lambda current: define(current, lines.categories)
            )
        complete = not lines.bad
        for number, low, high in _batches(project.pages):
            await self._import_batch(
                project, _Batch(job, number, low, high, ensure_current), lines, complete=complete
            )
        reported = sorted(lines.bad)[:MAX_BAD_LINES]
        errors = tuple(JobError("InvalidLine", f"Line {n}: {lines.bad[n]}", f"line {n}") for n in reported)
        return Imported(lines.good - _refused(lines), len(lines.bad), errors)

    async def adopt(self, project: Project, job: Job, ensure_current: EnsureCurrent) -> None:
        """Replace our labels by those made in AML (rule C14)."""
        for number, low, high in _batches(project.pages):
            batch = _Batch(job, ADOPT_BATCHES + number, low, high, ensure_current)
            await self._write(project, batch, adopt_labels(derived_id(job.id, str(batch.number))))

    async def count_changed(self, snapshot: str, files: tuple[tuple[str, str], ...]) -> int:
        """How many lines of the files differ from those of the last import."""
        known: set[bytes] = set()
        if snapshot:
            known = {hashlib.sha256(line).digest() async for line in _split(self._snapshot(snapshot))}
        changed = 0
        for container, blob in files:
            async for line in _split(self._stores.blobs.stream_read(container, blob)):
                changed += hashlib.sha256(line).digest() not in known
        return changed

    async def _import_batch(
        self, project: Project, batch: "_Batch", lines: LabelLines, *, complete: bool
    ) -> None:
        wanted = lines.between(batch.low, batch.high)
        pages = await self._stores.pages.load_range(project.scope, batch.low, batch.high)
        for line in unknown_documents(wanted, pages.values()):
            lines.refuse(line, f"The project has no document '{line.location}'.")
        documents = [d for page in pages.values() for d in page.documents.values() if d.id in wanted]
        texts = await self._texts(project, [d for d in documents if needs_text(wanted[d.id], d)])
        for document in documents:
            if texts.get(document.id, ...) is not None:
                continue
            if document.length is None and self._unit is OffsetUnit.UTF16:
                del texts[document.id]  # never read: checked when it is read
            elif not _counts_alike(document):
                lines.refuse(
                    wanted[document.id], "The document cannot be read, so its offsets cannot be checked."
                )
        revision = derived_id(batch.job.id, str(batch.number))
        change = LabelImport(lines, texts, self._unit, complete=complete, revision=revision)
        await self._write(project, batch, change)

    async def _texts(self, project: Project, documents: Sequence[Document]) -> dict[str, Offsets | None]:
        found = await asyncio.gather(*(self._offsets(project.container, d.location) for d in documents))
        return {document.id: offsets for document, offsets in zip(documents, found, strict=True)}

    async def _write(self, project: Project, batch: "_Batch", change: Change) -> None:
        """Lease the batch and commit it with its pages, if anything changes."""
        loaded = await self._stores.pages.load_range(project.scope, batch.low, batch.high)
        numbers = [n for n, page in loaded.items() if change(page, project) is not None]
        if not numbers:
            return
        await batch.ensure_current()
        now = self._stores.clock()
        lease = await self._stores.jobs.acquire(batch.job, batch.number, random_id(), now)
        if lease is None:
            states = await self._stores.jobs.states(batch.job)
            if any(state.number == batch.number and state.done for state in states):
                return  # already done; later changes of the pages are for the next import
            raise Unavailable("Another worker is processing this batch.", retry_after=5)
        lease.close_with(BatchResult)
        handle = await self._stores.directory.fresh(project.name)
        actor = batch.job.parameters_as(ConnectionParameters).actor
        author = Author(actor, now, derived_id(batch.job.id, str(batch.number)))
        await self._stores.pages.write(
            handle, numbers, change, author, ignores_fence=True, loaded=loaded, closing=lease
        )

    async def _snapshot(self, name: str) -> AsyncIterator[bytes]:
        data = await self._stores.artifacts.read(name)
        if data is None:
            raise Unavailable("The snapshot of the label file does not exist.", retry_after=5)
        yield data


@dataclass(frozen=True, slots=True)
class _Batch:
    job: Job
    number: int
    low: int
    high: int
    ensure_current: EnsureCurrent


def _batches(pages: int) -> Iterator[tuple[int, int, int]]:
    for number, low in enumerate(range(0, pages, PAGES_A_BATCH)):
        yield number, low, min(low + PAGES_A_BATCH, pages)


def _refused(lines: LabelLines) -> int:
    """Well-formed lines that do not fit their document."""
    return sum(line.number in lines.bad for page in lines.pages.values() for line in page.values())


async def _split(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield line.rstrip(b"\r")
    if rest.strip():
        yield rest.rstrip(b"\r")
