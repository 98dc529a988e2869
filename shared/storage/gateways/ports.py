"""The ports of storage: one table, the blobs and the queues of one storage account.

Each port is implemented by an Azure adapter (`azure_*.py`) and by an in-memory twin (`memory.py`), which the
contract tests hold to the same behaviour; `faults.py` wraps either. Every failure is one of `errors.py`.
"""

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.storage.gateways.counter import CallCounter
from shared.storage.gateways.errors import (
    BadKey,
    BlobChanged,
    BlobExists,
    BlobLeased,
    ContainerMissing,
    RowChanged,
    RowExists,
    RowMissing,
    StorageError,
    StorageUnavailable,
    TooLarge,
)

__all__ = [
    "BadKey",
    "BlobChanged",
    "BlobContent",
    "BlobExists",
    "BlobInfo",
    "BlobLeased",
    "BlobPage",
    "Blobs",
    "CallCounter",
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

    async def commit(self, partition: str, operations: Sequence[Operation]) -> list[str]:
        """Do all operations or none, in one call; return the new etags, "" for a delete.

        A table that does not exist is created once. Raises RowExists, RowChanged, RowMissing (with key and
        index), TooLarge, BadKey. An empty list of operations costs no call.
        """
        ...

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
    """What a listing tells about a blob: `size` in bytes, `modified` in UTC (whole seconds)."""

    name: str
    etag: str
    size: int
    modified: datetime
    leased: bool


type BlobPage = list[BlobInfo]  # named here, for `Blobs.list` hides the builtin in the class
type Names = list[str]


class Blobs(Protocol):
    """The blobs of any container of the account."""

    async def read(self, container: str, name: str, *, max_bytes: int | None = None) -> BlobContent | None:
        """A blob in one call, at most its first `max_bytes` (>= 1); None if it or its container is missing.

        An empty blob costs a second call.
        """
        ...

    async def stat(self, container: str, name: str) -> BlobInfo | None:
        """What is known of a blob; None if the blob or its container is missing."""
        ...

    def list(
        self, container: str, *, prefix: str = "", page_size: int = LIST_PAGE
    ) -> AsyncIterator[BlobPage]:
        """The blobs by name, page by page; raises ContainerMissing."""
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
        """Delete every blob whose name starts with `prefix` (not empty); return how many."""
        ...

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
        """Take the lease `lease_id` (a GUID) for 15 to 60 `seconds` or, with -1, for ever; again is the same.

        False if the blob is missing; raises BlobLeased when another lease holds it.
        """
        ...

    async def release_lease(self, container: str, name: str, lease_id: str) -> None:
        """Give the lease up; one that is not held (any more), or a missing blob, is no error."""
        ...


class Queues(Protocol):
    """The sending side of queues; the host receives."""

    async def send(self, queue: str, body: str, *, delay: int = 0) -> None:
        """Send plain text, visible after `delay` seconds (under 7 days); a missing queue is created once."""
        ...

    async def create(self, queue: str) -> None:
        """Create the queue; one that exists is left alone."""
        ...
