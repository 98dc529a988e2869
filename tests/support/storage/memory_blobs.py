"""The blobs of the in-memory storage account."""

import itertools
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import override

from shared.storage.gateways.limits import check_blob_name, check_container
from shared.storage.gateways.ports import (
    CHUNK,
    LIST_PAGE,
    BlobChanged,
    BlobContent,
    BlobExists,
    BlobInfo,
    BlobLeased,
    BlobPage,
    Blobs,
    BlobUnreadable,
    ContainerMissing,
    Names,
)
from tests.support.storage.counting import CallCounter

_PERMANENT = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Blob:
    data: bytes
    etag: str
    content_type: str
    modified: datetime
    lease: str | None = None
    leased_until: datetime = _PERMANENT


class MemoryBlobs(Blobs):
    """Containers of blobs; containers must be created first, as with the service."""

    def __init__(
        self, *, counter: CallCounter | None = None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.counter = counter or CallCounter()
        self.containers: dict[str, dict[str, _Blob]] = {}
        #: Code with which the service refuses to read a blob, by container and name.
        self.refusals: dict[tuple[str, str], str] = {}
        self._clock = clock
        self._revision = 0

    @override
    async def read(self, container: str, name: str, *, max_bytes: int | None = None) -> BlobContent | None:
        self.counter.add("blob", "read")
        blob = self._find(container, name)
        if blob is None:
            return None
        if code := self.refusals.get((container, name)):
            raise BlobUnreadable(f"Answer 409 {code}.", code=code, key=name)
        if not blob.data and max_bytes is not None:  # of an empty blob no range can be had
            self.counter.add("blob", "read")
        return BlobContent(blob.data[:max_bytes], blob.etag, len(blob.data), blob.content_type)

    @override
    async def stat(self, container: str, name: str) -> BlobInfo | None:
        self.counter.add("blob", "stat")
        blob = self._find(container, name)
        return blob and self._info(container, name, blob)

    @override
    async def list(
        self, container: str, *, prefix: str = "", page_size: int = LIST_PAGE
    ) -> AsyncIterator[BlobPage]:
        names: Names | None = None
        for start in itertools.count(0, page_size):
            self.counter.add("blob", "list")
            blobs = self._container(container)
            names = names if names is not None else sorted(n for n in blobs if n.startswith(prefix))
            page = names[start : start + page_size]
            yield [self._info(container, name, blobs[name]) for name in page if name in blobs]
            if start + page_size >= len(names):
                return

    @override
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
        check_container(container)
        check_blob_name(name)
        self.counter.add("blob", "write")
        blob = self._container(container).get(name)
        if create_only and blob:
            raise BlobExists(key=name)
        if etag is not None and (blob is None or blob.etag != etag):
            raise BlobChanged(key=name)
        self._check_lease(name, blob, lease)
        return self._put(container, name, bytes(data), content_type, blob)

    @override
    async def delete(self, container: str, name: str, *, lease: str | None = None) -> bool:
        self.counter.add("blob", "delete")
        blob = self._find(container, name)
        if blob is None:
            return False
        self._check_lease(name, blob, lease)
        del self.containers[container][name]
        return True

    @override
    async def stream_read(self, container: str, name: str, chunk: int = CHUNK) -> AsyncIterator[bytes]:
        self.counter.add("blob", "read")
        first = self._find(container, name)
        if first is None:
            return
        if not first.data:
            self.counter.add("blob", "read")
            return
        yield first.data[:chunk]
        for start in range(chunk, len(first.data), chunk):
            self.counter.add("blob", "read")
            now = self._find(container, name)
            if now is None or now.etag != first.etag:
                raise BlobChanged(key=name)
            yield first.data[start : start + chunk]

    @override
    async def stream_write(
        self,
        container: str,
        name: str,
        chunks: AsyncIterable[bytes],
        *,
        content_type: str = "application/octet-stream",
    ) -> str:
        check_container(container)
        check_blob_name(name)
        parts: list[bytes] = []
        async for part in chunks:
            if part:
                self.counter.add("blob", "stage")
                self._check_lease(name, self._container(container).get(name), None)
                parts.append(part)
        self.counter.add("blob", "write")
        blob = self._container(container).get(name)
        self._check_lease(name, blob, None)
        return self._put(container, name, b"".join(parts), content_type, blob)

    @override
    async def create_container(self, container: str) -> bool:
        check_container(container)
        self.counter.add("blob", "create_container")
        if container in self.containers:
            return False
        self.containers[container] = {}
        return True

    @override
    async def container_exists(self, container: str) -> bool:
        self.counter.add("blob", "container_exists")
        return container in self.containers

    @override
    async def list_containers(self, prefix: str = "") -> Names:
        self.counter.add("blob", "list_containers")
        return sorted(name for name in self.containers if name.startswith(prefix))

    @override
    async def acquire_lease(self, container: str, name: str, lease_id: str, seconds: int = -1) -> bool:
        self.counter.add("blob", "acquire_lease")
        blob = self._find(container, name)
        if blob is None:
            return False
        if self._lease(blob) not in (None, lease_id):
            raise BlobLeased(key=name)
        until = _PERMANENT if seconds == -1 else self._clock() + timedelta(seconds=seconds)
        self.containers[container][name] = replace(blob, lease=lease_id, leased_until=until)
        return True

    @override
    async def release_lease(self, container: str, name: str, lease_id: str) -> None:
        self.counter.add("blob", "release_lease")
        blob = self._find(container, name)
        if blob and blob.lease == lease_id:
            self.containers[container][name] = replace(blob, lease=None)

    def _container(self, container: str) -> dict[str, _Blob]:
        try:
            return self.containers[container]
        except KeyError:
            raise ContainerMissing(key=container) from None

    def _find(self, container: str, name: str) -> _Blob | None:
        return self.containers.get(container, {}).get(name)

    def _lease(self, blob: _Blob) -> str | None:
        return blob.lease if self._clock() < blob.leased_until else None

    def _check_lease(self, name: str, blob: _Blob | None, lease: str | None) -> None:
        """A write needs the lease if there is one, and none may be named if there is not."""
        if blob and self._lease(blob) != lease:
            raise BlobLeased(key=name)

    def _put(self, container: str, name: str, data: bytes, content_type: str, old: _Blob | None) -> str:
        self._revision += 1
        etag = f"0x{self._revision:016X}"
        lease, until = (old.lease, old.leased_until) if old else (None, _PERMANENT)
        blob = _Blob(data, etag, content_type, self._clock().replace(microsecond=0), lease, until)
        self.containers[container][name] = blob
        return etag

    def _info(self, container: str, name: str, blob: _Blob) -> BlobInfo:
        archived = (container, name) in self.refusals and self.refusals[container, name] == "BlobArchived"
        leased = self._lease(blob) is not None
        return BlobInfo(name, blob.etag, len(blob.data), blob.modified, leased, archived)
