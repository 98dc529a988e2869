"""Shared by the requests of one process: pages and heads cached by version, and transactions.

Writers of single pages are gathered: those that wait while a transaction is under way share the next.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from shared.domain.document import with_changes
from shared.domain.errors import Unavailable
from shared.domain.page import Change, Head, HistoryEntry, Page, Written
from shared.domain.project import Project, Scope
from shared.storage import page_codec
from shared.storage.gateways.limits import MAX_OPERATIONS, MAX_TRANSACTION_BYTES, weight
from shared.storage.gateways.ports import Insert, Replace, Row, Table, UpsertReplace
from shared.storage.models import Artifacts
from shared.storage.page_parts import items_of
from shared.storage.rows import head_key, history_key, int_of, key_range, number_of, page_key, unpacked_values

READERS = 16
#: Full transactions at a time: with more, a lease that is renewed meanwhile waits too long behind them.
WRITERS = 8
#: Up to this many changed heads are read one by one, more as a range.
SINGLE_HEADS = 8
KEPT_EDITIONS = 16  # whose heads are remembered
#: Of the pages that are remembered, by `_weight`: 20,000 documents, which take about 20 MiB.
KEPT_WEIGHT = 100_000
#: Kept free for the row of a batch, which holds the outcomes of its documents.
SPARE_BYTES = 512 * 1024


class PageReader:
    def __init__(self, table: Table, artifacts: Artifacts) -> None:
        self._table = table
        self._artifacts = artifacts
        self._cache: dict[tuple[str, str, int], tuple[Page, int]] = {}
        self._weight = 0
        self._heads: dict[tuple[str, str], dict[int, Head]] = {}

    async def load(self, scope: Scope, number: int) -> Page:
        """One page, fresh; an empty one without etag where there is no row."""
        row = await self._table.get(scope.incarnation, page_key(scope.edition, number))
        return await page_codec.decode_page(row, self._read_spill) if row else Page(number)

    async def load_many(self, scope: Scope, numbers: Iterable[int]) -> dict[int, Page]:
        """Some pages, fresh: one range query where they lie close together, else one read each."""
        wanted = sorted(set(numbers))
        if not wanted:
            return {}
        if len(wanted) > 1 and wanted[-1] - wanted[0] < 2 * len(wanted):
            found = await self.load_range(scope, wanted[0], wanted[-1] + 1)
            return {n: found.get(n) or Page(n) for n in wanted}
        loaded = await gather((lambda n=n: self.load(scope, n)) for n in wanted)
        return {page.number: page for page in loaded}

    async def load_range(self, scope: Scope, low: int, high: int) -> dict[int, Page]:
        """The pages `low` to before `high` whose rows exist."""
        rows = await self._table.query(
            scope.incarnation, page_key(scope.edition, low), page_key(scope.edition, high)
        )
        pages = [await self._decoded(row) for row in rows]
        return {page.number: page for page in pages}

    async def scan(self, scope: Scope, low: int = 0, high: int | None = None) -> AsyncIterator[Page]:
        """All pages from `low` on, or those to before `high`, in number order, as the table gives them."""
        end = page_key(scope.edition, scope.pages if high is None else high)
        start = page_key(scope.edition, low)
        async for rows in self._table.pages(scope.incarnation, start, end):
            for row in rows:
                yield await self._decoded(row)

    async def _decoded(self, row: Row) -> Page:
        """One of many pages: they take seconds, so others of the event loop get their turn before each."""
        await asyncio.sleep(0)
        return await page_codec.decode_page(row, self._read_spill)

    async def heads(self, scope: Scope) -> list[Head]:
        """The heads of all pages as they are now, each with the `seq` of its page.

        Only the versions of the pages are read, and the heads of pages whose version is not the known one.
        """
        start, end = page_key(scope.edition, 0), page_key(scope.edition, scope.pages)
        rows = await self._table.query(scope.incarnation, start, end, select=["seq"])
        versions = {number_of(row.key): int_of(row.values, "seq") for row in rows}
        known = self._known_heads(scope)
        stale = [n for n, seq in versions.items() if seq and (n not in known or known[n].seq != seq)]
        for head in await self._read_heads(scope, stale):
            # One that is newer than the version that was read belongs to a page that was written since.
            known[head.number] = replace(head, seq=max(head.seq, versions[head.number]))
        return [known[n] for n, seq in versions.items() if seq and n in known]

    async def _read_heads(self, scope: Scope, numbers: Sequence[int]) -> list[Head]:
        keys = [head_key(scope.edition, number) for number in numbers]
        if len(keys) <= SINGLE_HEADS:
            found = await gather((lambda k=key: self._table.get(scope.incarnation, k)) for key in keys)
            return [page_codec.decode_head(row) for row in found if row]
        rows = await self._table.query(scope.incarnation, keys[0], keys[-1] + "~")
        wanted = set(keys)
        return [page_codec.decode_head(row) for row in rows if row.key in wanted]

    def _known_heads(self, scope: Scope) -> dict[int, Head]:
        key = scope.incarnation, scope.edition
        known = self._heads.pop(key, {})
        self._heads[key] = known  # the last one used is the last one dropped
        if len(self._heads) > KEPT_EDITIONS:
            self._heads.pop(next(iter(self._heads)))
        return known

    async def show(self, scope: Scope, heads: Sequence[Head]) -> dict[int, Page]:
        """Pages to show, not to write on: from the cache where it has the version that the head names."""
        pages: dict[int, Page] = {}
        stale: list[int] = []
        for head in heads:
            cached, _ = self._cache.get((scope.incarnation, scope.edition, head.number), _UNKNOWN)
            if cached is not None and cached.seq == head.seq:
                pages[head.number] = cached
            else:
                stale.append(head.number)
        for number, page in (await self.load_many(scope, stale)).items():
            self.remember(scope, page)
            pages[number] = page
        return pages

    async def history(self, scope: Scope, number: int) -> list[tuple[int, int, str, datetime, HistoryEntry]]:
        """All changes on a page, oldest first: (seq of its row, place in the row, who, when, what)."""
        low, high = key_range(history_key(number))
        found: list[tuple[int, int, str, datetime, HistoryEntry]] = []
        for row in await self._table.query(scope.incarnation, low, high):
            who, at, entries = unpacked_values(row.values)
            seq, when = number_of(row.key), datetime.fromisoformat(at)
            for place, entry in enumerate(entries):
                found.append((seq, place, who, when, page_codec.decode_entry(entry)))
        return found

    def remembered(self, scope: Scope, number: int) -> Page | None:
        """The page as this process last saw it: only a commit at its etag shows whether it is current."""
        page, _ = self._cache.get((scope.incarnation, scope.edition, number), _UNKNOWN)
        return page if page is not None and page.etag is not None else None

    def remember(self, scope: Scope, page: Page) -> None:
        """The page that was remembered longest ago is the first to be forgotten."""
        key = scope.incarnation, scope.edition, page.number
        self._weight -= self._cache.pop(key, _UNKNOWN)[1]
        self._cache[key] = page, (added := _weight(page))
        self._weight += added
        while self._weight > KEPT_WEIGHT and len(self._cache) > 1:
            self._weight -= self._cache.pop(next(iter(self._cache)))[1]

    async def _read_spill(self, name: str) -> bytes:
        data = await self._artifacts.read(name)
        if data is None:
            raise Unavailable("A stored document cannot be read: its blob is missing.")
        return data


_UNKNOWN = None, 0


def _weight(page: Page) -> int:
    """What it takes in memory: five for a document, one for each of its suggestions, entities and rejections."""
    items = sum([items_of(document) for document in page.documents.values()])
    return 5 * len(page.documents) + items + sum(map(len, page.gone.values()))


async def run_each[T](items: AsyncIterable[T], call: Callable[[T], Awaitable[object]]) -> None:
    """Call it for each item as it arrives; while WRITERS calls are in progress, no further item is requested."""
    under_way: set[asyncio.Task[object]] = set()
    try:
        async for item in items:
            under_way.add(asyncio.ensure_future(call(item)))
            if len(under_way) == WRITERS:
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.gather(*done)
        await asyncio.gather(*under_way)
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def gather[T](calls: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """All results, in order, with at most READERS calls under way."""
    waiting = list(calls)
    if len(waiting) == 1:
        return [await waiting[0]()]
    limit = asyncio.Semaphore(READERS)

    async def within_limit(call: Callable[[], Awaitable[T]]) -> T:
        async with limit:
            return await call()

    return await asyncio.gather(*(within_limit(call) for call in waiting))


type Put = Insert | Replace | UpsertReplace

GROUP = 30
"""Writers of one transaction: a page, a head and a history row each make at most 90 of its 100 operations."""


class ProjectHandle(Protocol):
    """A project as last read, that can be read again."""

    @property
    def current(self) -> Project: ...

    async def refresh(self) -> Project: ...


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes, when, and the revision by which a writer recognizes its own write."""

    name: str
    at: datetime
    revision: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A page as it will be, with the rows that make it so: the page, its head if it changes, the history if any.

    `changes`: what the history says.
    """

    page: Page
    head: Head
    operations: tuple[Put, ...]
    changes: tuple[HistoryEntry, ...] = ()


def transactions(planned: Iterable[Planned], spare: int = 0) -> list[list[Planned]]:
    """The pages in groups that fit one transaction each, with `spare` operations to be added."""
    groups: list[list[Planned]] = []
    count = size = 0
    most = MAX_TRANSACTION_BYTES - (SPARE_BYTES if spare else 0)
    parts = list(planned)
    if len(parts) == 1:
        return [parts]
    for part in parts:
        bytes_more = sum(map(weight, part.operations))
        if not groups or count + len(part.operations) > MAX_OPERATIONS - spare or size + bytes_more > most:
            groups.append([])
            count = size = 0
        groups[-1].append(part)
        count += len(part.operations)
        size += bytes_more
    return groups


@dataclass(slots=True, eq=False)
class Request:
    """One caller's change of one page."""

    handle: ProjectHandle
    number: int
    change: Change
    author: Author
    context: Context = field(default_factory=copy_context)
    done: asyncio.Future[Written] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def answer(self, outcome: Written | BaseException) -> None:
        """Let the caller continue; nothing to do for one that was canceled."""
        if self.done.done():
            return
        if isinstance(outcome, Written):
            self.done.set_result(outcome)
        else:
            self.done.set_exception(outcome)


type Outcome = tuple[Request, Project | Exception, Page]
"""A request, the project that its change rested on (or why it is refused), and the page after it."""


@dataclass(slots=True, eq=False)
class Draft:
    """The requests for one page, applied one after the other to the page as it is taken to be.

    `fresh`: the page was read for them, or has to be. One that was remembered is right only if the commit at its etag
    succeeds. `planned`: what has to be committed before the requests are answered.
    """

    number: int
    requests: list[Request]
    fresh: bool = False
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    planned: Planned | None = None

    def answer(self, current: Page) -> None:
        """Give the callers their results; `current`: the page as it is now."""
        self.planned = None
        for request, outcome, page in self.outcomes:
            if isinstance(outcome, Exception):
                request.answer(outcome)
            else:
                last = page.seq == current.seq
                found = current if last else with_changes(page, etag=current.etag)
                request.answer(Written(outcome, {self.number: found}))

    def fail(self, error: BaseException) -> None:
        """All requests end with this error."""
        self.planned = None
        for request in self.requests:
            request.answer(error)


class PageGroups:
    """One transaction at a time for each project; `write` answers the requests of a group.

    It answers at least one; those that it leaves, because they would not fit the transaction, go with the next.
    """

    def __init__(self, write: Callable[[Scope, Sequence[Draft]], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: dict[Scope, deque[Request]] = {}
        self._writers: dict[Scope, asyncio.Task[None]] = {}

    async def add(self, scope: Scope, request: Request) -> Written:
        """Returns when the change is durable, or raises its error."""
        self._waiting.setdefault(scope, deque()).append(request)
        if scope not in self._writers:
            self._writers[scope] = asyncio.create_task(self._serve(scope, request), context=request.context)
        return await request.done

    async def _serve(self, scope: Scope, first: Request) -> None:
        waiting = self._waiting[scope]
        try:
            while waiting:
                group = [waiting.popleft() for _ in range(min(GROUP, len(waiting)))]
                group = [request for request in group if not request.done.done()]
                if group and group[0] is first:
                    await self._round(scope, group)  # this task has its context
                elif group:  # in the context of a caller, so that a trace shows the calls
                    await asyncio.create_task(self._round(scope, group), context=group[0].context)
        finally:
            del self._writers[scope]
            del self._waiting[scope]

    async def _round(self, scope: Scope, group: Sequence[Request]) -> None:
        try:
            await self._write(scope, list(_drafts(group)))
        except BaseException as error:
            for request in group:
                request.answer(error)
            if not isinstance(error, Exception):
                raise
        left = [request for request in group if not request.done.done()]
        self._waiting[scope].extendleft(reversed(left))


def _drafts(group: Sequence[Request]) -> Iterator[Draft]:
    by_page: dict[int, list[Request]] = {}
    for request in group:
        by_page.setdefault(request.number, []).append(request)
    return (Draft(number, requests) for number, requests in by_page.items())
