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

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from shared.domain.errors import LabelingLocked, Unavailable
from shared.domain.page import SLOTS, Change, Edit, HistoryEntry, Page, Written, edited
from shared.domain.project import Project, Scope
from shared.storage import head_codec, keys, page_codec
from shared.storage.artefacts import Artefacts
from shared.storage.gateways.limits import MAX_OPERATIONS
from shared.storage.gateways.ports import (
    Delete,
    Insert,
    Operation,
    RowChanged,
    RowExists,
    RowMissing,
    Table,
    UpsertMerge,
    UpsertReplace,
)
from shared.storage.page_reader import PageReader, gather
from shared.storage.page_rows import Author, Planned, Put, history_row, put, transactions

ATTEMPTS = 50


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


class PageStore(PageReader):
    def __init__(self, table: Table, artefacts: Artefacts, clock: Callable[[], datetime]) -> None:
        super().__init__(table, artefacts)
        self._clock = clock

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
            project = await self._pass_gate(handle, scope, pages.values(), passes_gate=passes_gate)
            if project.scope != scope:  # an import turned the edition, or the project was made again
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

    async def _pass_gate(
        self, handle: ProjectHandle, scope: Scope, pages: Iterable[Page], *, passes_gate: bool
    ) -> Project:
        project = handle.current
        if any(page.shut(project.opened) or page.etag is None for page in pages):
            project = await handle.refresh()
        here = project.scope == scope  # else the pages are those of other content
        if here and not passes_gate and any(page.shut(project.opened) for page in pages):
            raise locked(project)
        return project

    async def _plan(
        self, scope: Scope, project: Project, pages: Sequence[Page], change: Change, author: Author
    ) -> dict[int, Planned]:
        planned: dict[int, Planned] = {}
        for page in pages:
            edit = change(page, project)
            if edit is None or not (edit.documents or edit.history):
                continue
            after = self._apply(page, edit, author)
            values = await page_codec.encode(after, f"{scope.incarnation}/spill", self._write_spill)
            operations: list[Put] = [put(keys.page(scope.edition, page.number), values, page.etag)]
            head = head_codec.encode(head_codec.summarise(after, project))
            operations.append(UpsertReplace(keys.head(scope.edition, page.number), head))
            if edit.history:
                operations.append(history_row(after, edit.history, author))
            planned[page.number] = Planned(after, tuple(operations))
        return planned

    def _apply(self, page: Page, edit: Edit, author: Author) -> Page:
        seq = max(page.seq + 1, int(self._clock().timestamp() * 1_000_000))
        return replace(edited(page, edit), seq=seq, revision=author.revision)

    async def _commit(
        self, scope: Scope, planned: Mapping[int, Planned], author: Author, closing: Closing | None
    ) -> dict[int, Page]:
        """The pages that landed. When a row was in the way, those before it; then the caller reads again."""
        landed: dict[int, Page] = {}
        chunks = transactions(planned.values(), 1 if closing else 0) or ([[]] if closing else [])
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

    def _landed(self, scope: Scope, chunk: Sequence[Planned], etags: Sequence[str]) -> dict[int, Page]:
        pages: dict[int, Page] = {}
        position = 0
        for one in chunk:
            page = replace(one.page, etag=etags[position] or one.page.etag)
            position += len(one.operations)
            self.remember(scope, page)
            pages[page.number] = page
        return pages

    async def _is_ours(self, scope: Scope, chunk: Sequence[Planned], author: Author) -> bool:
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
        planned: dict[int, Planned] = {}
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
                operations.append(history_row(fresh, entries, author))
            planned[page.number] = Planned(fresh, tuple(operations))
        chunks = transactions(planned.values())
        await gather((lambda c=chunk: self._insert(scope, c)) for chunk in chunks)

    async def _insert(self, scope: Scope, chunk: Sequence[Planned]) -> None:
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
        await gather((lambda g=group: self._table.commit(scope.incarnation, g)) for group in groups)

    async def _write_spill(self, name: str, data: bytes) -> None:
        await self._artefacts.write(name, data)


#: Stands for "nothing landed, read again", as an empty result stands for "nothing to do".
_REFUSED: dict[int, Page] = {}


def locked(project: Project) -> LabelingLocked:
    lock = project.lock
    reason = lock.reason if lock else "Labeling is being locked; try again in a moment."
    return LabelingLocked(reason, retry_after=lock.retry_after if lock else 1)
