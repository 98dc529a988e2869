"""The page store: the only way in which a page is written.

A write reads its pages, computes the change, and replaces each row at the etag it read, with its head and a history
row in the same transaction:

    read page ── fenced? ── read project again ── still fenced? ── LabelingLocked
        │                                                     (writers that ignore the fence go on)
        ▼
    change(page, project) ── commit ── ok
        ▲                       │ 412 or 409
        └── read again ◀────────┤ the page or the history row to insert has our revision:
                                └ our own write, whose answer was lost: done

Writers of single pages share transactions, and begin with the page that the process remembers, if it does: a commit at
its etag tells whether it is right. What such a page refuses is decided again by the page as it is.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from shared.domain.document import with_changes
from shared.domain.errors import LabelingLocked, Unavailable
from shared.domain.names import EventType
from shared.domain.page import Change, Edit, Head, HistoryEntry, Page, Written, edited
from shared.domain.project import Project, Scope
from shared.storage import page_codec
from shared.storage.gateways.limits import MAX_OPERATIONS, weight
from shared.storage.gateways.ports import (
    Delete,
    Insert,
    Operation,
    Replace,
    RowChanged,
    RowExists,
    RowMissing,
    Table,
    UpsertReplace,
    Value,
)
from shared.storage.models import Artifacts
from shared.storage.outbox import Outbox
from shared.storage.page_access import (
    KEPT_EDITIONS,
    Author,
    Draft,
    PageGroups,
    PageReader,
    Planned,
    ProjectHandle,
    Put,
    Request,
    gather,
    run_each,
    transactions,
)
from shared.storage.page_parts import PageParts, head_of
from shared.storage.rows import (
    head_key,
    history_key,
    key_range,
    packed_values,
    page_key,
)
from shared.wire.events import Event, of_labels


def put(key: str, values: dict[str, Value], etag: str | None) -> Put:
    return Insert(key, values) if etag is None else Replace(key, values, etag)


def history_row(page: Page, entries: Iterable[HistoryEntry], author: Author) -> Put:
    data = [
        author.name,
        author.at.isoformat(),
        [page_codec.encode_entry(entry) for entry in entries],
    ]
    return Insert(history_key(page.number, page.seq), {"v": 1, "rev": author.revision, **packed_values(data)})


async def _filled(planned: AsyncIterable[Planned]) -> AsyncIterator[list[Planned]]:
    """The pages in groups that fit one transaction each, every group as soon as it is full."""
    waiting: list[Planned] = []
    async for part in planned:
        waiting.append(part)
        if len(waiting) == MAX_OPERATIONS:
            *full, waiting = transactions(waiting)
            for group in full:
                yield group
    for group in transactions(waiting):
        yield group


ATTEMPTS = 50
READ_FIRST = timedelta(minutes=1)
#: Of history rows of one page in one transaction, which has room for them beside the page.
HISTORY_BYTES = 1024 * 1024


class Closing(Protocol):
    """A row that is committed with the last pages of a write, so that both land or neither: the row of a batch."""

    def operation(self) -> Operation: ...

    async def landed(self) -> bool:
        """Asked when the row was in the way: True: it is ours, all is done; raises when someone else took over."""
        ...


class PageStore(PageReader):
    def __init__(
        self,
        table: Table,
        artifacts: Artifacts,
        clock: Callable[[], datetime],
        outbox: Outbox | None = None,
    ) -> None:
        super().__init__(table, artifacts)
        self._clock = clock
        self._outbox = outbox or Outbox(table)
        self._groups = PageGroups(self._write_group)
        self._read_first: dict[str, datetime] = {}
        self._parts = PageParts()

    async def write(
        self,
        handle: ProjectHandle,
        numbers: Iterable[int],
        change: Change,
        author: Author,
        *,
        ignores_fence: bool = False,
        loaded: Mapping[int, Page] | None = None,
        closing: Closing | None = None,
    ) -> Written:
        """Change pages, in as few transactions as fit; all pages of one transaction land together.

        Raises LabelingLocked (unless `ignores_fence`), whatever `change` raises, Unavailable when others write faster
        than we can. With `closing` its row lands with the last transaction, also when no page changes.
        """
        wanted = sorted(set(numbers))
        if len(wanted) == 1 and closing is None and not loaded and not ignores_fence:
            return await self._groups.add(handle.current.scope, Request(handle, wanted[0], change, author))
        pages = {n: p for n, p in (loaded or {}).items() if n in wanted}
        return await self._write(
            handle, wanted, change, author, pages, ignores_fence=ignores_fence, closing=closing
        )

    async def _write(
        self,
        handle: ProjectHandle,
        wanted: Sequence[int],
        change: Change,
        author: Author,
        loaded: Mapping[int, Page],
        *,
        ignores_fence: bool,
        closing: Closing | None = None,
    ) -> Written:
        scope, pages = handle.current.scope, dict(loaded)
        pages |= await self.load_many(scope, [n for n in wanted if n not in pages])
        left, done = list(wanted), dict[int, Page]()
        for _ in range(ATTEMPTS):
            project = await self._pass_fence(handle, scope, pages.values(), ignores_fence=ignores_fence)
            if project.scope != scope:  # an import replaced the edition, or the project was created again
                scope = project.scope
                pages, left, done = await self.load_many(scope, wanted), list(wanted), {}
                continue
            planned = await self._plan(scope, project, [pages[n] for n in left], change, author)
            done |= {n: pages[n] for n in left if n not in planned}
            # Jobs wait for their turn; people, who save several pages at once, do not.
            at_once = closing is None and not ignores_fence
            landed = await self._commit(scope, planned, closing, at_once=at_once)
            done |= landed
            left = [n for n in left if n not in done]
            if not left and landed is not _REFUSED:
                return Written(project, done)
            pages |= await self.load_many(scope, left)
        raise _too_busy()

    # Writers of single pages, together

    async def _write_group(self, scope: Scope, drafts: Sequence[Draft]) -> None:
        """Answer the requests in order, each as if it had come alone."""
        left = list(drafts)
        for _ in range(ATTEMPTS):
            await gather((lambda d=draft: self._prepare(scope, d)) for draft in left)
            left = [draft for draft in left if draft.planned]
            by_number = {draft.number: draft for draft in left}
            planned = (draft.planned for draft in left if draft.planned)
            for chunk in transactions(planned, self._spare):
                await self._commit_group(scope, [by_number[part.page.number] for part in chunk])
            left = [draft for draft in left if draft.planned]
            if not left:
                return
        for draft in left:
            draft.fail(_too_busy())

    async def _prepare(self, scope: Scope, draft: Draft) -> None:
        """Apply the requests; `planned` is what they change. They are answered if that is nothing."""
        try:
            page = None if draft.fresh or self._reads_first(scope) else self.remembered(scope, draft.number)
            draft.fresh = page is None
            page = page or await self.load(scope, draft.number)
            await self._draft(scope, draft, page)
            if (
                draft.planned is None and not draft.fresh
            ):  # nothing to commit, or refused: also by the page as it is?
                draft.fresh, page = True, await self.load(scope, draft.number)
                await self._draft(scope, draft, page)
            if draft.planned is None:
                draft.answer(page)
        except Exception as error:  # noqa: BLE001 - the callers raise it
            draft.fail(error)

    async def _draft(self, scope: Scope, draft: Draft, before: Page) -> None:
        draft.outcomes, draft.planned = [], None
        page, last, size, history = before, None, 0, list[Put]()
        changes = list[HistoryEntry]()
        for request in draft.requests:
            if request.done.done():
                continue
            if size > HISTORY_BYTES:
                break
            try:
                project = await self._pass_fence(request.handle, scope, [page], ignores_fence=False)
                if project.scope != scope:  # an import replaced the edition, or the project was created again
                    request.answer(
                        await self._write(
                            request.handle,
                            [draft.number],
                            request.change,
                            request.author,
                            {},
                            ignores_fence=False,
                        )
                    )
                    continue
                edit = request.change(page, project)
            except Exception as error:  # noqa: BLE001 - the caller raises it
                draft.outcomes.append((request, error, page))
                continue
            if edit is not None and (edit.documents or edit.history):
                page, last = self._apply(page, edit, request.author), project
                if edit.history:
                    changes += edit.history
                    history.append(history_row(page, edit.history, request.author))
                    size += weight(history[-1]) if len(draft.requests) > 1 else 0
            draft.outcomes.append((request, project, page))
        if last is not None:
            draft.planned = await self._planned(scope, last, before, page, history, changes, self._parts)

    async def _commit_group(self, scope: Scope, drafts: Sequence[Draft]) -> None:
        """Commit and answer; a page that someone else wrote is to be read, and the others are committed without it."""
        planned = [draft.planned for draft in drafts if draft.planned]
        try:
            events = await self._outbox.prepare(scope.incarnation, self._events(scope, planned))
            operations = [*(operation for part in planned for operation in part.operations), *events]
            try:
                etags = await self._table.commit(scope.incarnation, operations, at_once=True)
            except (RowExists, RowChanged, RowMissing) as refusal:
                if not await self._is_ours(scope, planned):
                    changed = [d for d in drafts if d.planned and _names(d.planned, refusal.key)] or drafts
                    for draft in changed:
                        self._distrust(scope, draft)
                    others = [draft for draft in drafts if draft not in changed]
                    return await self._commit_group(scope, others) if others else None
                etags = [""] * len(operations)
            await self._outbox.announce(scope.incarnation, events)
            landed = self._landed(scope, planned, etags)
            for draft in drafts:
                draft.answer(landed[draft.number])
        except Exception as error:  # noqa: BLE001 - the callers raise it
            for draft in drafts:
                draft.fail(error)

    def _distrust(self, scope: Scope, draft: Draft) -> None:
        """Another process writes to the project: for a while, pages are read before they are written."""
        if not draft.fresh:
            self._read_first[scope.incarnation] = self._clock() + READ_FIRST
            while len(self._read_first) > KEPT_EDITIONS:
                self._read_first.pop(next(iter(self._read_first)))
        draft.fresh = True

    def _reads_first(self, scope: Scope) -> bool:
        until = self._read_first.get(scope.incarnation)
        return until is not None and self._clock() < until

    async def _pass_fence(
        self, handle: ProjectHandle, scope: Scope, pages: Iterable[Page], *, ignores_fence: bool
    ) -> Project:
        project = handle.current
        if any(page.fenced(project.released) or page.etag is None for page in pages):
            project = await handle.refresh()
        here = project.scope == scope  # else the pages are those of other content
        if here and not ignores_fence and any(page.fenced(project.released) for page in pages):
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
            history = [history_row(after, edit.history, author)] if edit.history else []
            planned[page.number] = await self._planned(scope, project, page, after, history, edit.history)
        return planned

    async def _planned(
        self,
        scope: Scope,
        project: Project,
        before: Page,
        after: Page,
        history: Iterable[Put],
        changes: Iterable[HistoryEntry],
        parts: PageParts | None = None,
    ) -> Planned:
        """`parts`: for pages that are likely to be written again, document by document."""
        if parts is None:
            earlier = self._head_of(scope, before, lambda: page_codec.summarize(before, project))
            head, texts = page_codec.summarize(after, project), None
        else:
            earlier = self._head_of(scope, before, lambda: head_of(before, parts.of(scope, before, project)))
            known = parts.of(scope, after, project)
            head, texts = head_of(after, known), [part.text for part in known]
        values = await page_codec.encode_page(after, f"{scope.incarnation}/spill", self._write_spill, texts)
        operations: list[Put] = [put(page_key(scope.edition, before.number), values, before.etag)]
        if before.etag is None or with_changes(head, seq=before.seq) != earlier:
            row = page_codec.encode_head(head)
            operations.append(UpsertReplace(head_key(scope.edition, before.number), row))
        return Planned(after, head, (*operations, *history), tuple(changes))

    @property
    def _spare(self) -> int:
        """Operations that a transaction needs for events."""
        return int(self._outbox.wants(EventType.LABELS_SAVED))

    def _events(self, scope: Scope, chunk: Sequence[Planned]) -> Iterator[Event]:
        """Of one transaction, which is named by its first page as it will be."""
        if chunk:
            first = chunk[0].page
            write = (scope.incarnation, scope.edition, str(first.number), str(first.seq))
            changes = (change for part in chunk for change in part.changes)
            yield from of_labels(scope.project, write, self._clock(), changes)

    def _head_of(self, scope: Scope, page: Page, compute: Callable[[], Head]) -> Head:
        known = self._known_heads(scope).get(page.number)
        return known if known and known.seq == page.seq else compute()

    def _apply(self, page: Page, edit: Edit, author: Author) -> Page:
        seq = max(page.seq + 1, int(self._clock().timestamp() * 1_000_000))
        return edited(page, edit, seq=seq, revision=author.revision)

    async def _commit(
        self, scope: Scope, planned: Mapping[int, Planned], closing: Closing | None, *, at_once: bool
    ) -> dict[int, Page]:
        """The pages that landed. When a row was in the way, those before it; then the caller reads again."""
        landed: dict[int, Page] = {}
        spare = self._spare + int(closing is not None)
        chunks = transactions(planned.values(), spare) or ([[]] if closing else [])
        for index, chunk in enumerate(chunks):
            events = await self._outbox.prepare(scope.incarnation, self._events(scope, chunk))
            operations = [*(operation for part in chunk for operation in part.operations), *events]
            last = closing is not None and index == len(chunks) - 1
            try:
                async with self._table.turn(
                    scope.incarnation, 0 if at_once else len(operations) + 1
                ) as commit:
                    if closing is not None and last:  # not before: while this waited, the row was renewed
                        operations.append(closing.operation())
                    etags = await commit(scope.incarnation, operations)
            except (RowExists, RowChanged, RowMissing) as refusal:
                closed = closing is not None and last and refusal.key == operations[-1].key
                if closed and closing is not None and await closing.landed():
                    await self._outbox.announce(scope.incarnation, events)
                    return landed | {part.page.number: part.page for part in chunk}
                if closed or not await self._is_ours(scope, chunk):
                    return landed or _REFUSED
                etags = [""] * len(operations)
            await self._outbox.announce(scope.incarnation, events)
            landed |= self._landed(scope, chunk, etags)
        return landed

    def _landed(self, scope: Scope, chunk: Sequence[Planned], etags: Sequence[str]) -> dict[int, Page]:
        pages: dict[int, Page] = {}
        position = 0
        for part in chunk:
            page = with_changes(part.page, etag=etags[position] or part.page.etag)
            position += len(part.operations)
            self.remember(scope, page)
            self._known_heads(scope)[page.number] = part.head
            pages[page.number] = page
        return pages

    async def _is_ours(self, scope: Scope, chunk: Sequence[Planned]) -> bool:
        """Whether this transaction landed before, though its answer was lost (the SDK repeats such a POST)."""
        if not chunk:
            return False
        page = chunk[0].page
        if (await self.load(scope, page.number)).revision == page.revision:
            return True
        history = next((o for part in chunk for o in part.operations if o.key.startswith("history|")), None)
        row = await self._table.get(scope.incarnation, history.key) if history else None
        return row is not None and history is not None and row.values.get("rev") == history.values["rev"]

    async def write_edition(
        self,
        project: Project,
        pages: Iterable[Page],
        author: Author,
        history: Callable[[Page], tuple[HistoryEntry, ...]],
    ) -> None:
        """Write the pages of an edition that nobody reads yet; others of the event loop get their turn between pages.

        A repeat leaves existing pages as they are: they may be in use, and changed, by then.
        """
        planned = self._edition(project, pages, author, history)
        await run_each(_filled(planned), partial(self._insert, project.scope))

    async def _edition(
        self,
        project: Project,
        pages: Iterable[Page],
        author: Author,
        history: Callable[[Page], tuple[HistoryEntry, ...]],
    ) -> AsyncIterator[Planned]:
        scope = project.scope
        for page in pages:
            fresh = replace(page, seq=int(author.at.timestamp() * 1_000_000), revision=author.revision)
            values = await page_codec.encode_page(fresh, f"{scope.incarnation}/spill", self._write_spill)
            head = page_codec.summarize(fresh, project)
            operations: list[Put] = [
                Insert(page_key(scope.edition, page.number), values),
                Insert(head_key(scope.edition, page.number), page_codec.encode_head(head)),
            ]
            entries = history(page)
            if entries:
                operations.append(history_row(fresh, entries, author))
            yield Planned(fresh, head, tuple(operations))
            await asyncio.sleep(0)  # a page may take 10 ms, and there are a thousand

    async def _insert(self, scope: Scope, chunk: Sequence[Planned]) -> None:
        """Insert pages; those that are there already stay as they are."""
        try:
            await self._table.commit(scope.incarnation, [o for part in chunk for o in part.operations])
        except RowExists:
            for part in chunk if len(chunk) > 1 else ():
                await self._insert(scope, [part])

    async def purge_edition(self, incarnation: str, edition: str) -> None:
        """Delete the pages of an edition that is no longer the current one."""
        for start in (page_key(edition, 0)[:-4], head_key(edition, 0)[:-4]):
            low, high = key_range(start)
            async for rows in self._table.pages(incarnation, low, high, select=["v"]):
                for first in range(0, len(rows), MAX_OPERATIONS):
                    try:
                        deletes = [Delete(row.key) for row in rows[first : first + MAX_OPERATIONS]]
                        await self._table.commit(incarnation, deletes)
                    except RowMissing:
                        continue  # someone else purges too; what is left now is left to the next time

    async def _write_spill(self, name: str, data: bytes) -> None:
        await self._artifacts.write(name, data)


def _names(planned: Planned, key: str | None) -> bool:
    return any(operation.key == key for operation in planned.operations)


def _too_busy() -> Unavailable:
    return Unavailable("Too many callers are changing the same documents; try again.", retry_after=1)


#: Stands for "nothing landed, read again", as an empty result stands for "nothing to do".
_REFUSED: dict[int, Page] = {}


def locked(project: Project) -> LabelingLocked:
    lock = project.lock
    reason = lock.reason if lock else "Labeling is being locked; try again in a moment."
    return LabelingLocked(reason, retry_after=lock.retry_after if lock else 1)
