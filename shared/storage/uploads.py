"""Uploads: blobs that wait to be inspected, and the inspection of a blob.

A row of a pending upload says that its blob has to be inspected, never what is in it; one of a folder, that what is in
the folder has to be compared with the documents. Events arrive one by one, but a
partition takes a hundred rows in one transaction. So while one transaction is under way, the next events wait and go
together in the one after it: every caller returns when its own row is durable.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from weakref import WeakValueDictionary

from shared.domain.document import Reading, document_id
from shared.domain.names import random_id
from shared.domain.page import first_id
from shared.domain.project import Scope
from shared.domain.text import (
    MAX_BYTES,
    Rejection,
    decode_document,
    reject_by_name,
    reject_by_size,
    reject_unreadable,
)
from shared.storage.gateways.ports import (
    BlobInfo,
    BlobLeased,
    Blobs,
    BlobUnreadable,
    Delete,
    Insert,
    Row,
    RowChanged,
    RowExists,
    RowMissing,
    StorageUnavailable,
    Table,
    UpsertMerge,
    Value,
)
from shared.storage.projects import ActiveProjects
from shared.storage.rows import pending_partition, str_of

GROUP = 100
_FOLDER = "~"
"""Begins the row keys of folders, which are after all document ids."""


@dataclass(frozen=True, slots=True)
class PendingUpload:
    """A blob to inspect, or a folder; `etag` tells this request from a later one."""

    document_id: str
    location: str
    etag: str

    @property
    def is_folder(self) -> bool:
        """A whole folder, whose `location` ends with `/`; its `document_id` is no document's."""
        return self.document_id.startswith(_FOLDER)


class PendingUploads:
    def __init__(
        self, table: Table, clock: Callable[[], datetime], active: ActiveProjects | None = None
    ) -> None:
        """`active`: where projects with pending uploads are marked."""
        self._table = table
        self._active = active
        self._clock = clock
        self._waiting: dict[str, dict[str, tuple[str, list[asyncio.Future[None]]]]] = {}
        self._writers: dict[str, asyncio.Task[None]] = {}
        #: Rows that this process is deleting, by partition: their blobs need not be inspected again.
        self._leaving: dict[str, set[tuple[str, str]]] = {}

    async def add(self, incarnation: str, location: str, *, folder: bool = False) -> None:
        """Request the inspection of a blob, or the comparison of a folder. Returns when the row is durable."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(incarnation, {})
        key = (_FOLDER if folder else "") + document_id(location)
        _, futures = waiting.setdefault(key, (location, []))
        futures.append(done)
        if incarnation not in self._writers:
            self._writers[incarnation] = asyncio.create_task(self._write(incarnation))
        await done

    async def add_many(self, incarnation: str, locations: Iterable[str]) -> None:
        """Request what a listing found; a later event does not hide that a listing requested it."""
        rows = {document_id(location): location for location in locations}
        items = list(rows.items())
        for start in range(0, len(items), GROUP):
            await self._put(incarnation, items[start : start + GROUP], asked=self._clock())

    async def of_pages(self, scope: Scope, low: int, high: int) -> list[PendingUpload]:
        """The rows of documents of the pages `low` to before `high`."""
        partition = pending_partition(scope.incarnation)
        before = self._leaving_of(partition)
        rows = await self._table.query(partition, first_id(low, scope.pages), first_id(high, scope.pages))
        return self._staying(partition, rows, before)

    async def first(self, scope: Scope, limit: int) -> tuple[list[PendingUpload], bool]:
        """At most `limit` rows, those of folders last, and whether there may be more."""
        partition = pending_partition(scope.incarnation)
        before = self._leaving_of(partition)
        size = limit + len(before)
        rows = await self._table.query(partition, limit=size)
        staying = self._staying(partition, rows, before)
        return staying[:limit], len(rows) == size or len(staying) > limit

    def _leaving_of(self, partition: str) -> frozenset[tuple[str, str]]:
        return frozenset(self._leaving.get(partition, ()))

    def _staying(
        self, partition: str, rows: Iterable[Row], before: Set[tuple[str, str]]
    ) -> list[PendingUpload]:
        """Without the rows that were being deleted `before` the query, or are now: a deletion may end during it."""
        leaving = before | self._leaving_of(partition)
        return [_decode(row) for row in rows if (row.key, row.etag) not in leaving]

    async def any(self, incarnation: str, until: datetime | None = None) -> bool:
        """Whether an upload is pending; with `until`, one whose last event or listing was then or before."""
        return await self._any(incarnation, "seen", until)

    async def any_requested(self, incarnation: str) -> bool:
        """Whether an upload is pending that any listing requested."""
        return await self._any(incarnation, "asked", None)

    async def _any(self, incarnation: str, name: str, until: datetime | None) -> bool:
        async for rows in self._table.pages(pending_partition(incarnation), select=[name]):
            times = (at for row in rows if isinstance(at := row.values.get(name), datetime))
            if any(until is None or at <= until for at in times):
                return True
        return False

    async def remove(self, scope: Scope, inspected: Iterable[PendingUpload]) -> None:
        """Delete the rows at the version that was read; a row that a later event renewed stays."""
        left, partition = list(inspected), pending_partition(scope.incarnation)
        versions = {(upload.document_id, upload.etag) for upload in left}
        leaving = self._leaving.setdefault(partition, set())
        leaving |= versions
        try:
            for start in range(0, len(left), GROUP):
                await self._remove(partition, left[start : start + GROUP])
        finally:
            leaving -= versions
            if not leaving:
                self._leaving.pop(partition, None)

    async def _remove(self, partition: str, group: list[PendingUpload]) -> None:
        while group:
            try:
                deletes = [Delete(upload.document_id, upload.etag) for upload in group]
                await self._table.commit(partition, deletes)
                return
            except (RowChanged, RowMissing) as refusal:
                ids = sorted(upload.document_id for upload in group)
                rows = await self._table.query(partition, ids[0], f"{ids[-1]}~")
                versions = {(row.key, row.etag) for row in rows}
                # All that are gone at once: a batch that ran twice finds none of its rows.
                rest = [
                    upload
                    for upload in group
                    if upload.document_id != refusal.key and (upload.document_id, upload.etag) in versions
                ]
                if len(rest) == len(group):  # the refusal says nothing of them; they are inspected again
                    return
                group = rest

    async def _write(self, incarnation: str) -> None:
        waiting = self._waiting[incarnation]
        try:
            while waiting:
                group = [(key, waiting.pop(key)) for key in list(waiting)[:GROUP]]
                futures = [future for _, (_, added) in group for future in added]
                try:
                    await self._put(incarnation, [(key, location) for key, (location, _) in group])
                except Exception as error:  # noqa: BLE001 - the callers raise it, and their events come again
                    for future in futures:
                        if not future.done():
                            future.set_exception(error)
                else:
                    for future in futures:
                        if not future.done():
                            future.set_result(None)
        finally:
            del self._writers[incarnation]
            del self._waiting[incarnation]

    async def _put(
        self, incarnation: str, items: list[tuple[str, str]], asked: datetime | None = None
    ) -> None:
        common: dict[str, Value] = {"v": 1, "seen": self._clock()}
        if asked is not None:
            common["asked"] = asked
        rows = [(key, {**common, "location": location, "nonce": random_id()}) for key, location in items]
        if self._active is not None:
            await self._active.mark(incarnation)
        partition = pending_partition(incarnation)
        try:  # most are new, and an upsert takes Azurite several times as long
            await self._table.commit(partition, [Insert(key, values) for key, values in rows])
        except RowExists:
            await self._table.commit(partition, [UpsertMerge(key, values) for key, values in rows])


def _decode(row: Row) -> PendingUpload:
    return PendingUpload(row.key, str_of(row.values, "location"), row.etag)


READERS = 48
"""Reads at a time; and of one caller's, so that others need not wait until all of a large batch are read."""
READERS_EACH = 16
BATCHES_READ = READERS // READERS_EACH
#: So many other blobs are tried to tell a key of one blob from a key of the account.
OTHERS = 5


class UploadedBlobs:
    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._limit = asyncio.Semaphore(READERS)
        self._batches: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def inspect_batch(
        self, incarnation: str, container: str, locations: Collection[str]
    ) -> list[Reading | None]:
        """Like `inspect_all`, but only a few batches of a project read at a time, so that the first can be processed
        while others read. A small batch need not wait for large ones.
        """
        if len(locations) <= READERS_EACH:
            return await self.inspect_all(container, locations)
        async with self._batches.setdefault(incarnation, asyncio.Semaphore(BATCHES_READ)):
            return await self.inspect_all(container, locations)

    async def inspect_all(
        self, container: str, locations: Iterable[str], at_once: int = READERS_EACH
    ) -> list[Reading | None]:
        """As `inspect`, of each location."""
        turns = asyncio.Semaphore(at_once)

        async def in_turn(location: str) -> Reading | None:
            async with turns:
                return await self.inspect(container, location)

        return await asyncio.gather(*map(in_turn, locations))

    async def inspect(self, container: str, location: str) -> Reading | None:
        """What is at the location, in one call; None: no blob. A blob that its name or size rules out is not read."""
        async with self._limit:
            try:
                rejection = reject_by_name(location)
                if rejection is not None:
                    info = await self._blobs.stat(container, location)
                    return Reading(info.etag, None, rejection) if info else None
                content = await self._blobs.read(container, location, max_bytes=MAX_BYTES + 1)
            except (BlobUnreadable, BlobLeased) as error:
                if isinstance(error, BlobUnreadable) and error.doubtful:
                    await self._require_of_one_blob(container, location, error)
                code = error.code if isinstance(error, BlobUnreadable) else "BlobLeased"
                return Reading("", None, reject_unreadable(code), unreadable=True)
        if content is None:
            return None
        found = reject_by_size(content.size) or decode_document(content.data)
        if isinstance(found, Rejection):
            return Reading(content.etag, None, found)
        return Reading(content.etag, found, None)

    def listing(self, container: str, folder: str = "") -> AsyncIterator[list[BlobInfo]]:
        """The blobs of a container or of one folder in it, page by page. Raises ContainerMissing."""
        return self._blobs.list(container, prefix=folder)

    async def _require_of_one_blob(self, container: str, location: str, error: BlobUnreadable) -> None:
        """Raises StorageUnavailable when the refusal may meet every blob of the container, which is an outage.

        Rights: unless the container can be listed. A key: unless one of the first other blobs can be read.
        """
        async for page in self._blobs.list(container, page_size=OTHERS + 1):
            if not error.code.startswith("KeyVault"):
                return
            for other in page:
                with suppress(BlobUnreadable, BlobLeased):
                    if other.name != location and await self._blobs.read(container, other.name, max_bytes=1):
                        return
            break
        raise StorageUnavailable(str(error), key=location)

    async def container_exists(self, container: str) -> bool:
        return await self._blobs.container_exists(container)
