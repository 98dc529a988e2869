"""Reads of pages and heads, and what a process remembers of them by version."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from shared.domain.errors import Unavailable
from shared.domain.page import Head, HistoryEntry, Page
from shared.domain.project import Scope
from shared.storage import page_codec
from shared.storage.gateways.ports import Row, Table
from shared.storage.models import Artifacts
from shared.storage.rows import head_key, history_key, int_of, key_range, number_of, page_key, unpacked_values

READERS = 16
#: Full transactions at a time: with more, a lease that is renewed meanwhile waits too long behind them.
WRITERS = 8
#: Heads that changed are read one by one up to so many, else as a range.
SINGLE_HEADS = 8
KEPT_EDITIONS = 16  # whose heads are remembered


class PageReader:
    def __init__(self, table: Table, artifacts: Artifacts) -> None:
        self._table = table
        self._artifacts = artifacts
        self._cache: dict[tuple[str, str, int], Page] = {}
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

    async def scan(self, scope: Scope, low: int = 0) -> AsyncIterator[Page]:
        """All pages from `low` on in number order, as the table gives them."""
        start, end = page_key(scope.edition, low), page_key(scope.edition, scope.pages)
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
            cached = self._cache.get((scope.incarnation, scope.edition, head.number))
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
        """The page as this process last saw it: only a commit at its etag tells whether it is still so."""
        page = self._cache.get((scope.incarnation, scope.edition, number))
        return page if page is not None and page.etag is not None else None

    def remember(self, scope: Scope, page: Page) -> None:
        if len(self._cache) >= 4 * scope.pages + 64:
            self._cache.pop(next(iter(self._cache)))
        self._cache[scope.incarnation, scope.edition, page.number] = page

    async def _read_spill(self, name: str) -> bytes:
        data = await self._artifacts.read(name)
        if data is None:
            raise Unavailable("A stored document cannot be read: its blob is missing.")
        return data


async def run_each[T](items: AsyncIterable[T], call: Callable[[T], Awaitable[object]]) -> None:
    """Call it for each item as it comes; while WRITERS calls are under way, no further item is asked for."""
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
    limit = asyncio.Semaphore(READERS)

    async def within_limit(call: Callable[[], Awaitable[T]]) -> T:
        async with limit:
            return await call()

    return await asyncio.gather(*(within_limit(call) for call in calls))
