"""Reads of pages, heads and history; pages that are only shown come from a cache where their head says it is right."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import datetime

from shared.domain.errors import Unavailable
from shared.domain.page import Head, HistoryEntry, Page
from shared.domain.project import Scope
from shared.storage import head_codec, keys, packing, page_codec
from shared.storage.artefacts import Artefacts
from shared.storage.gateways.ports import Table

READERS = 16


class PageReader:
    def __init__(self, table: Table, artefacts: Artefacts) -> None:
        self._table = table
        self._artefacts = artefacts
        self._cache: dict[tuple[str, str, int], Page] = {}

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
        loaded = await gather((lambda n=n: self.load(scope, n)) for n in wanted)
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
            self.remember(scope, page)
            pages[number] = page
        return pages

    async def history(self, scope: Scope, number: int) -> list[tuple[int, int, str, datetime, HistoryEntry]]:
        """All changes on a page, oldest first: (seq of its row, place in the row, who, when, what)."""
        low, high = keys.prefix(keys.history(number))
        found: list[tuple[int, int, str, datetime, HistoryEntry]] = []
        for row in await self._table.query(scope.incarnation, low, high):
            who, at, entries = packing.unpacked_values(row.values)
            seq, when = keys.number_of(row.key), datetime.fromisoformat(at)
            found.extend((seq, i, who, when, HistoryEntry(*entry)) for i, entry in enumerate(entries))
        return found

    def remember(self, scope: Scope, page: Page) -> None:
        if len(self._cache) >= 4 * scope.pages + 64:
            self._cache.pop(next(iter(self._cache)))
        self._cache[scope.incarnation, scope.edition, page.number] = page

    async def _read_spill(self, name: str) -> bytes:
        data = await self._artefacts.read(name)
        if data is None:
            raise Unavailable("A stored document cannot be read: its blob is missing.")
        return data


async def gather[T](calls: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """All results, in order, with at most READERS calls under way."""
    limit = asyncio.Semaphore(READERS)

    async def one(call: Callable[[], Awaitable[T]]) -> T:
        async with limit:
            return await call()

    return await asyncio.gather(*(one(call) for call in calls))
