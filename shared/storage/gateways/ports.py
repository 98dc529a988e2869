"""The ports of storage: one table, the blobs and the queues of one storage account.

Each port is implemented by an Azure adapter (`azure_*.py`) and by in-memory storage in the tests, which the
contract tests hold to the same behavior. Every failure is one of `errors.py`.
"""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class StorageError(Exception):
    """The storage account refused or failed a call.

    `key` is the RowKey or the name of the blob or container, `index` the position of the operation in its
    transaction; both are None where the failure belongs to no single operation.
    """

    retryable = False
    loggable = True
    """The message is the service's or ours, and quotes no document (`shared.telemetry.in_line`)."""

    def __init__(self, message: str = "", *, key: str | None = None, index: int | None = None) -> None:
        self.key = key
        self.index = index
        super().__init__(message or (type(self).__doc__ or "").strip())


class RowExists(StorageError):
    """The row exists already."""


class RowChanged(StorageError):
    """The row was changed since it was read."""


class RowMissing(StorageError):
    """The row does not exist."""


class TooLarge(StorageError):
    """The request is larger than the service takes."""


class BadKey(StorageError):
    """The key holds a character that the service does not take, or is too long."""


class BlobExists(StorageError):
    """The blob exists already."""


class BlobChanged(StorageError):
    """The blob was changed or deleted since it was read."""


class BlobLeased(StorageError):
    """Someone else holds a lease on the blob."""


class ContainerMissing(StorageError):
    """The container does not exist."""


class StorageUnavailable(StorageError):
    """The storage account did not answer, or answered with a failure of its own.

    `retryable` is False where trying again cannot help (credentials refused).
    """

    def __init__(
        self, message: str = "", *, key: str | None = None, index: int | None = None, retryable: bool = True
    ) -> None:
        super().__init__(message, key=key, index=index)
        self.retryable = retryable


class BlobUnreadable(StorageUnavailable):
    """The service answers permanently that this blob cannot be read, such as one in the archive tier.

    `code` is the service's own word for the reason. `doubtful`: it may be that no blob of the container can be read.
    """

    def __init__(
        self, message: str = "", *, code: str, key: str | None = None, doubtful: bool = False
    ) -> None:
        super().__init__(message, key=key, retryable=False)
        self.code = code
        self.doubtful = doubtful


__all__ = [
    "BadKey",
    "BlobChanged",
    "BlobContent",
    "BlobExists",
    "BlobInfo",
    "BlobLeased",
    "BlobPage",
    "BlobUnreadable",
    "Blobs",
    "ContainerMissing",
    "Delete",
    "Insert",
    "Merge",
    "Names",
    "Operation",
    "Queues",
    "Replace",
    "Row",
    "RowChanged",
    "RowExists",
    "RowMissing",
    "StorageError",
    "StorageUnavailable",
    "Table",
    "TooLarge",
    "UpsertMerge",
    "UpsertReplace",
    "Value",
]

CHUNK = 4 * 1024 * 1024
"""Bytes of one chunk of a streamed blob."""

DELETES_AT_ONCE = 16
"""Deletions of `delete_prefix` that are under way at the same time."""

LIST_PAGE = 1000
"""Blobs of one page of a listing; the service gives 5,000 at most, which takes the SDK too long at a stretch."""

type Value = str | int | float | bool | bytes | datetime
"""A property of a row. Ints outside 32 bits travel as Edm.Int64; a reader gets a plain int back."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it was read; `values` holds neither the keys nor the timestamp."""

    partition: str
    key: str
    etag: str
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Insert:
    """A row that must not exist yet."""

    key: str
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Replace:
    """A row as a whole, if it is still at `etag`."""

    key: str
    values: Mapping[str, Value]
    etag: str


@dataclass(frozen=True, slots=True)
class Merge:
    """Some properties of a row, if it is still at `etag`; the others stay."""

    key: str
    values: Mapping[str, Value]
    etag: str


@dataclass(frozen=True, slots=True)
class UpsertReplace:
    """A row as a whole, whatever is there."""

    key: str
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class UpsertMerge:
    """Some properties of a row, whatever is there; the others stay."""

    key: str
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Delete:
    """A row that must exist, at `etag` or, with None, at any version."""

    key: str
    etag: str | None = None


type Operation = Insert | Replace | Merge | UpsertReplace | UpsertMerge | Delete


type Commit = Callable[[str, Sequence[Operation]], Awaitable[list[str]]]
"""`Table.commit`."""


class Table(Protocol):
    """One table. Keys are ordered by code unit, as the service does."""

    async def get(self, partition: str, key: str, *, select: Sequence[str] | None = None) -> Row | None:
        """One row, or None; with `select` only these properties."""
        ...

    async def query(
        self,
        partition: str,
        low: str = "",
        high: str | None = None,
        *,
        select: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[Row]:
        """The rows of `low <= key < high` in key order, at most `limit`; `high` None: to the last."""
        ...

    def pages(
        self, partition: str, low: str = "", high: str | None = None, *, select: Sequence[str] | None = None
    ) -> AsyncIterator[list[Row]]:
        """The same rows page by page as the service gives them: any page may be short or empty."""
        ...

    async def commit(
        self, partition: str, operations: Sequence[Operation], *, at_once: bool = False
    ) -> list[str]:
        """Do all operations or none, in one call; return the new etags, "" for a delete.

        A table that does not exist is created once. Raises RowExists, RowChanged, RowMissing (with key and
        index), TooLarge, BadKey. An empty list of operations costs no call. `at_once`: for saves of people, which do
        not wait behind the large transactions of batches.
        """
        ...

    @asynccontextmanager
    async def turn(self, partition: str, operations: int) -> AsyncGenerator[Commit]:
        """What commits one transaction of about so many operations without waiting for others of this process: for one
        that is out of date if it is put together before it waits.
        """
        yield self.commit

    async def create(self) -> None:
        """Create the table; one that exists is left alone."""
        ...

    async def drop(self) -> None:
        """Delete the table with its rows; one that is missing is no error."""
        ...


@dataclass(frozen=True, slots=True)
class BlobContent:
    """A blob, or its first bytes; `size` is the length of the whole blob in bytes."""

    data: bytes
    etag: str
    size: int
    content_type: str | None


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What a listing tells about a blob: `size` in bytes, `modified` in UTC (whole seconds).

    `archived`: it is in the archive tier, also while it is moved out of it. That changes no ETag.
    """

    name: str
    etag: str
    size: int
    modified: datetime
    leased: bool
    archived: bool = False


type BlobPage = list[BlobInfo]  # named here, for `Blobs.list` hides the builtin in the class
type Names = list[str]


class Blobs(Protocol):
    """The blobs of any container of the account."""

    async def read(self, container: str, name: str, *, max_bytes: int | None = None) -> BlobContent | None:
        """A blob in one call, at most its first `max_bytes` (>= 1); None if it or its container is missing.

        An empty blob costs a second call when `max_bytes` is given. Raises BlobUnreadable.
        """
        ...

    async def stat(self, container: str, name: str) -> BlobInfo | None:
        """What is known of a blob; None if the blob or its container is missing."""
        ...

    def list(
        self, container: str, *, prefix: str = "", page_size: int = LIST_PAGE
    ) -> AsyncIterator[BlobPage]:
        """The blobs by name, page by page, without directories; raises ContainerMissing."""
        ...

    async def write(
        self,
        container: str,
        name: str,
        data: bytes,
        *,
        create_only: bool = False,
        etag: str | None = None,
        lease: str | None = None,
        content_type: str = "application/octet-stream",
    ) -> str:
        """Write a whole blob and return its etag.

        Raises BlobExists (`create_only`), BlobChanged (`etag` is not the current one), BlobLeased (`lease` is
        not the one on the blob), ContainerMissing, BadKey (no blob can have that name).
        """
        ...

    async def delete(self, container: str, name: str, *, lease: str | None = None) -> bool:
        """Delete a blob; False if it or its container was not there; raises BlobLeased."""
        ...

    async def delete_prefix(self, container: str, prefix: str) -> int:
        """Delete every blob whose name starts with `prefix` (not empty) and return how many; a missing container
        holds none.
        """
        if not prefix:
            raise ValueError("An empty prefix would empty the container.")
        deleted = 0
        try:
            async for page in self.list(container, prefix=prefix):
                for start in range(0, len(page), DELETES_AT_ONCE):
                    part = page[start : start + DELETES_AT_ONCE]
                    deletions = await asyncio.gather(*(self.delete(container, info.name) for info in part))
                    deleted += sum(deletions)
        except ContainerMissing:
            return 0
        return deleted

    def stream_read(self, container: str, name: str, chunk: int = CHUNK) -> AsyncIterator[bytes]:
        """A blob in pieces of at most `chunk` bytes, all of one version; nothing if it is missing or empty.

        Raises BlobChanged when the blob is rewritten or deleted while it is read.
        """
        ...

    async def stream_write(
        self,
        container: str,
        name: str,
        chunks: AsyncIterable[bytes],
        *,
        content_type: str = "application/octet-stream",
    ) -> str:
        """Write a blob piece by piece; nothing of it is visible before the last piece; return its etag."""
        ...

    async def create_container(self, container: str) -> bool:
        """Create a container; False if it was there."""
        ...

    async def container_exists(self, container: str) -> bool:
        """Whether there is such a container."""
        ...

    async def list_containers(self, prefix: str = "") -> Names:
        """The names of the containers that start with `prefix`, in order."""
        ...

    async def acquire_lease(self, container: str, name: str, lease_id: str, seconds: int = -1) -> bool:
        """Take the lease `lease_id` (a GUID) for 15 to 60 `seconds` or, with -1, until released; repeatable.

        False if the blob is missing; raises BlobLeased when another lease holds it.
        """
        ...

    async def release_lease(self, container: str, name: str, lease_id: str) -> None:
        """Give the lease up; one that is not held (any more), or a missing blob, is no error."""
        ...


@dataclass(frozen=True, slots=True)
class Received:
    """A message that was taken from a queue for a while; `id` and `receipt` are for deleting it.

    `inserted`: when it was sent.
    """

    body: str
    id: str
    receipt: str
    inserted: datetime


class Queues(Protocol):
    """Queues as the app uses them: the host receives, but for poison queues and those of an earlier version."""

    async def send(self, queue: str, body: str, *, delay: int = 0) -> None:
        """Send plain text, visible after `delay` seconds (under 7 days); a missing queue is created once."""
        ...

    async def create(self, queue: str) -> None:
        """Create the queue; one that exists is left alone."""
        ...

    async def receive(self, queue: str, seconds: int) -> list[Received]:
        """Up to 32 messages, hidden from others for `seconds`; a missing queue has none."""
        ...

    async def delete(self, queue: str, message: Received) -> None:
        """Delete a message; one that is gone, or that someone else has received since, is left alone."""
        ...
