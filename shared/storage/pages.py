"""The page store: reads of pages and heads, and the one way in which a page is written.

A write reads its pages, computes the change, and replaces each row at the etag it read, with its head and a history
row in the same transaction:

    read page ── slot > opened? ── read project again ── still shut? ── LabelingLocked
        │                                                     (writers that may pass go on)
        ▼
    change(page, project) ── commit ── ok
        ▲                       │ 412 or 409
        └── read again ◀────────┤ the page bears our revision, or the history row we meant to insert does:
                                └ our own write, whose answer was lost: done
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from shared.domain.errors import LabelingLocked, Unavailable
from shared.domain.page import SLOTS, Change, Edit, Head, HistoryEntry, Page, Written, add_tallies
from shared.domain.project import Project, Scope
from shared.storage import head_codec, keys, packing, page_codec
from shared.storage.artefacts import Artefacts
from shared.storage.gateways.ports import (
    Delete,
    Insert,
    Operation,
    Replace,
    RowChanged,
    RowExists,
    RowMissing,
    Table,
    UpsertMerge,
    UpsertReplace,
    Value,
)

type Put = Insert | Replace | UpsertReplace

MAX_OPERATIONS = 100
MAX_TRANSACTION = 2_600 * 1024
ATTEMPTS = 50
READERS = 16


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes, when, and the revision that lets the write be recognised as one's own."""

    name: str
    at: datetime
    revision: str


class ProjectHandle(Protocol):
    """A project as last read, that can be read again."""

    @property
    def current(self) -> Project: ...

    async def refresh(self) -> Project: ...


class Closing(Protocol):
    """A row that is committed with the last pages of a write, so that both land or neither: the row of a batch."""

    def operation(self) -> Operation: ...

    async def landed(self) -> bool:
        """Asked when the row was in the way: True: it is ours, all is done; raises when somebody else took over."""
        ...


class PageStore:
    def __init__(self, table: Table, artefacts: Artefacts, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._artefacts = artefacts
        self._clock = clock
        self._cache: dict[tuple[str, str, int], Page] = {}

    # Reading

    async def load(self, scope: Scope, number: int) -> Page:
        """One page, fresh; an empty one without etag where there is no row."""
        row = await self._table.get(scope.incarnation, keys.page(scope.edition, number))
        return await page_codec.decode(row, self._read_spill) if row else Page(number)

    async def load_many(self, scope: Scope, numbers: Iterable[int]) -> dict[int, Page]:
        """Some pages, fresh: one range query where they lie close together, else one read each."""
        wanted = sorted(set(numbers))
        if not wanted:
            return {}
        if len(wanted) > 1 and wanted[-1] - wanted[0] < 2 * len(wanted):
            found = await self.load_range(scope, wanted[0], wanted[-1] + 1)
            return {n: found.get(n) or Page(n) for n in wanted}
        loaded = await _gather((lambda n=n: self.load(scope, n)) for n in wanted)
        return {page.number: page for page in loaded}

    async def load_range(self, scope: Scope, low: int, high: int) -> dict[int, Page]:
        """The pages `low` to before `high` whose rows exist."""
        rows = await self._table.query(
            scope.incarnation, keys.page(scope.edition, low), keys.page(scope.edition, high)
        )
        pages = [await page_codec.decode(row, self._read_spill) for row in rows]
        return {page.number: page for page in pages}

    async def scan(self, scope: Scope, low: int = 0) -> AsyncIterator[Page]:
        """All pages from `low` on in number order, as the table gives them."""
        start, end = keys.page(scope.edition, low), keys.page(scope.edition, scope.pages)
        async for rows in self._table.pages(scope.incarnation, start, end):
            for row in rows:
                yield await page_codec.decode(row, self._read_spill)

    async def heads(self, scope: Scope) -> list[Head]:
        start, end = keys.head(scope.edition, 0), keys.head(scope.edition, scope.pages)
        return [head_codec.decode(row) for row in await self._table.query(scope.incarnation, start, end)]

    async def show(self, scope: Scope, heads: Sequence[Head]) -> dict[int, Page]:
        """Pages to show, not to write on: from the cache where the head says that it is still right."""
        pages: dict[int, Page] = {}
        stale: list[int] = []
        for head in heads:
            cached = self._cache.get((scope.incarnation, scope.edition, head.number))
            if cached is not None and cached.seq == head.seq:
                pages[head.number] = cached
            else:
                stale.append(head.number)
        for number, page in (await self.load_many(scope, stale)).items():
            self._remember(scope, page)
            pages[number] = page
        return pages

    async def history(self, scope: Scope, number: int) -> list[tuple[str, datetime, HistoryEntry]]:
        """All changes on a page, oldest first: (who, when, what)."""
        low, high = keys.prefix(keys.history(number))
        found: list[tuple[str, datetime, HistoryEntry]] = []
        for row in await self._table.query(scope.incarnation, low, high):
            who, at, entries = packing.unpacked_values(row.values)
            found.extend((who, datetime.fromisoformat(at), HistoryEntry(*entry)) for entry in entries)
        return found

    # Writing

    async def write(
        self,
        handle: ProjectHandle,
        numbers: Iterable[int],
        change: Change,
        author: Author,
        *,
        passes_gate: bool = False,
        loaded: Mapping[int, Page] | None = None,
        closing: Closing | None = None,
    ) -> Written:
        """Change pages, in as few transactions as fit; all pages of one transaction land together.

        Raises LabelingLocked (unless `passes_gate`), whatever `change` raises, Unavailable when others write faster
        than we can. With `closing` its row lands with the last transaction, also when no page changes.
        """
        wanted = sorted(set(numbers))
        scope = handle.current.scope
        pages = {n: p for n, p in (loaded or {}).items() if n in wanted}
        pages |= await self.load_many(scope, [n for n in wanted if n not in pages])
        todo, done = wanted, dict[int, Page]()
        for _ in range(ATTEMPTS):
            project = await self._pass_gate(handle, pages.values(), passes_gate=passes_gate)
            if project.scope != scope:  # an import turned the edition while we read
                scope = project.scope
                pages, todo, done = await self.load_many(scope, wanted), wanted, {}
                continue
            planned = await self._plan(scope, project, [pages[n] for n in todo], change, author)
            done |= {n: pages[n] for n in todo if n not in planned}
            landed = await self._commit(scope, planned, author, closing)
            done |= landed
            todo = [n for n in todo if n not in done]
            if not todo and landed is not _REFUSED:
                return Written(project, done)
            pages |= await self.load_many(scope, todo)
        raise Unavailable("Too many writers change the same documents; try again.", retry_after=1)

    async def _pass_gate(self, handle: ProjectHandle, pages: Iterable[Page], *, passes_gate: bool) -> Project:
        project = handle.current
        if any(page.shut(project.opened) or page.etag is None for page in pages):
            project = await handle.refresh()
        if not passes_gate and any(page.shut(project.opened) for page in pages):
            raise locked(project)
        return project

    async def _plan(
        self, scope: Scope, project: Project, pages: Sequence[Page], change: Change, author: Author
    ) -> dict[int, "_Planned"]:
        planned: dict[int, _Planned] = {}
        for page in pages:
            edit = change(page, project)
            if edit is None or not (edit.documents or edit.history):
                continue
            after = self._apply(page, edit, author)
            values = await page_codec.encode(after, f"{scope.incarnation}/spill", self._write_spill)
            operations: list[Put] = [_put(keys.page(scope.edition, page.number), values, page.etag)]
            head = head_codec.encode(head_codec.summarise(after, project))
            operations.append(UpsertReplace(keys.head(scope.edition, page.number), head))
            if edit.history:
                operations.append(_history_row(after, edit, author))
            planned[page.number] = _Planned(after, tuple(operations))
        return planned

    def _apply(self, page: Page, edit: Edit, author: Author) -> Page:
        documents = dict(page.documents)
        for key, document in edit.documents.items():
            if document is None:
                documents.pop(key, None)
            else:
                documents[key] = document
        return replace(
            page,
            documents=dict(sorted(documents.items())),
            tallies=add_tallies(page.tallies, edit.tallies, edit.tally_sign),
            seq=max(page.seq + 1, int(self._clock().timestamp() * 1_000_000)),
            revision=author.revision,
        )

    async def _commit(
        self, scope: Scope, planned: Mapping[int, "_Planned"], author: Author, closing: Closing | None
    ) -> dict[int, Page]:
        """The pages that landed. When a row was in the way, those before it; then the caller reads again."""
        landed: dict[int, Page] = {}
        chunks = _chunks(planned, spare=1 if closing else 0) or ([[]] if closing else [])
        for index, chunk in enumerate(chunks):
            operations: list[Operation] = [operation for one in chunk for operation in one.operations]
            last = closing is not None and index == len(chunks) - 1
            if closing is not None and last:
                operations.append(closing.operation())
            try:
                etags = await self._table.commit(scope.incarnation, operations)
            except (RowExists, RowChanged, RowMissing) as refusal:
                closed = closing is not None and last and refusal.key == operations[-1].key
                if closed and closing is not None and await closing.landed():
                    return landed | {one.page.number: one.page for one in chunk}
                if closed or not await self._is_ours(scope, chunk, author):
                    return landed or _REFUSED
                etags = [""] * len(operations)
            landed |= self._landed(scope, chunk, etags)
        return landed

    def _landed(self, scope: Scope, chunk: Sequence["_Planned"], etags: Sequence[str]) -> dict[int, Page]:
        pages: dict[int, Page] = {}
        position = 0
        for one in chunk:
            page = replace(one.page, etag=etags[position] or one.page.etag)
            position += len(one.operations)
            self._remember(scope, page)
            pages[page.number] = page
        return pages

    async def _is_ours(self, scope: Scope, chunk: Sequence["_Planned"], author: Author) -> bool:
        """Whether this transaction landed before, though its answer was lost (the SDK repeats such a POST)."""
        if not chunk:
            return False
        if (await self.load(scope, chunk[0].page.number)).revision == author.revision:
            return True
        history = next((o for one in chunk for o in one.operations[2:]), None)
        row = await self._table.get(scope.incarnation, history.key) if history else None
        return row is not None and row.values.get("rev") == author.revision

    async def write_edition(
        self,
        project: Project,
        pages: Iterable[Page],
        author: Author,
        history: Callable[[Page], tuple[HistoryEntry, ...]],
    ) -> None:
        """Write the pages of an edition that nobody reads yet.

        Whoever writes it again finds what is there and leaves it: it may be in use, and changed, by then.
        """
        scope = project.scope
        planned: dict[int, _Planned] = {}
        for page in pages:
            fresh = replace(page, seq=int(author.at.timestamp() * 1_000_000), revision=author.revision)
            values = await page_codec.encode(fresh, f"{scope.incarnation}/spill", self._write_spill)
            head = head_codec.encode(head_codec.summarise(fresh, project))
            operations: list[Put] = [
                Insert(keys.page(scope.edition, page.number), values),
                Insert(keys.head(scope.edition, page.number), head),
            ]
            entries = history(page)
            if entries:
                operations.append(_history_row(fresh, Edit({}, entries), author))
            planned[page.number] = _Planned(fresh, tuple(operations))
        chunks = _chunks(planned, spare=0)
        await _gather((lambda c=chunk: self._insert(scope, c)) for chunk in chunks)

    async def _insert(self, scope: Scope, chunk: "Sequence[_Planned]") -> None:
        """Insert pages; those that are there already stay as they are."""
        try:
            await self._table.commit(scope.incarnation, [o for one in chunk for o in one.operations])
        except RowExists:
            for one in chunk if len(chunk) > 1 else ():
                await self._insert(scope, [one])

    async def purge_edition(self, incarnation: str, edition: str) -> None:
        """Delete the pages of an edition that is no longer the current one."""
        for start in (keys.page(edition, 0)[:-4], keys.head(edition, 0)[:-4]):
            low, high = keys.prefix(start)
            async for rows in self._table.pages(incarnation, low, high, select=["v"]):
                for first in range(0, len(rows), MAX_OPERATIONS):
                    try:
                        deletes = [Delete(row.key) for row in rows[first : first + MAX_OPERATIONS]]
                        await self._table.commit(incarnation, deletes)
                    except RowMissing:
                        continue  # somebody else purges too; what is left now is left to the next time

    # The gate

    async def shut(self, scope: Scope, number: int) -> None:
        """Lay lock `number` on every page, present or not. What a writer read before can no longer be written."""
        slot = {page_codec.SLOT_NAMES[number % SLOTS]: number}
        merges = [UpsertMerge(keys.page(scope.edition, n), slot) for n in range(scope.pages)]
        groups = [merges[i : i + MAX_OPERATIONS] for i in range(0, len(merges), MAX_OPERATIONS)]
        await _gather((lambda g=group: self._table.commit(scope.incarnation, g)) for group in groups)

    # Helpers

    def _remember(self, scope: Scope, page: Page) -> None:
        if len(self._cache) >= 4 * scope.pages + 64:
            self._cache.pop(next(iter(self._cache)))
        self._cache[scope.incarnation, scope.edition, page.number] = page

    async def _read_spill(self, name: str) -> bytes:
        data = await self._artefacts.read(name)
        if data is None:
            raise Unavailable("A stored document cannot be read: its blob is missing.")
        return data

    async def _write_spill(self, name: str, data: bytes) -> None:
        await self._artefacts.write(name, data)


@dataclass(frozen=True, slots=True)
class _Planned:
    page: Page
    operations: tuple[Put, ...]

    @property
    def size(self) -> int:
        """Bytes on the wire, about: binary travels as base64, and each operation has a frame."""
        binary = (v for o in self.operations for v in o.values.values() if isinstance(v, bytes))
        return sum(len(v) * 4 // 3 for v in binary) + 1_000 * len(self.operations)


#: Stands for "nothing landed, read again", as an empty result stands for "nothing to do".
_REFUSED: dict[int, Page] = {}


def locked(project: Project) -> LabelingLocked:
    lock = project.lock
    reason = lock.reason if lock else "Labeling is being locked; try again in a moment."
    return LabelingLocked(reason, retry_after=lock.retry_after if lock else 1)


def _put(key: str, values: dict[str, Value], etag: str | None) -> Put:
    return Insert(key, values) if etag is None else Replace(key, values, etag)


def _history_row(page: Page, edit: Edit, author: Author) -> Put:
    entries = [[e.document_id, e.action, dict(e.facts)] for e in edit.history]
    data = [author.name, author.at.isoformat(), entries]
    return Insert(
        keys.history(page.number, page.seq), {"v": 1, "rev": author.revision, **packing.packed_values(data)}
    )


def _chunks(planned: Mapping[int, _Planned], spare: int) -> list[list[_Planned]]:
    chunks: list[list[_Planned]] = []
    count = size = 0
    for one in planned.values():
        if (
            not chunks
            or count + len(one.operations) > MAX_OPERATIONS - spare
            or size + one.size > MAX_TRANSACTION
        ):
            chunks.append([])
            count = size = 0
        chunks[-1].append(one)
        count += len(one.operations)
        size += one.size
    return chunks


async def _gather[T](calls: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """All results, in order, with at most READERS calls under way."""
    limit = asyncio.Semaphore(READERS)

    async def one(call: Callable[[], Awaitable[T]]) -> T:
        async with limit:
            return await call()

    return await asyncio.gather(*(one(call) for call in calls))
