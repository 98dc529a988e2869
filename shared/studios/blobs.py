"""What the studios need of the storage account: a narrow view of the blob gateway.

The failures of the gateway stay behind it: `Leased` and `Missing` are the only two a studio must know.
"""

from collections.abc import AsyncIterator
from typing import Protocol


class BlobFacts(Protocol):
    @property
    def etag(self) -> str: ...
    @property
    def size(self) -> int: ...


class LabelBlobs(Protocol):
    async def container_exists(self, container: str) -> bool: ...

    async def stat(self, container: str, name: str) -> BlobFacts | None: ...

    async def write(
        self, container: str, name: str, data: bytes, *, lease: str | None = None, content_type: str
    ) -> None:
        """Raises Unavailable when the blob is leased by somebody else or the container is missing."""
        ...

    async def delete(self, container: str, name: str) -> None: ...

    async def lease(self, container: str, name: str, lease_id: str) -> bool:
        """Take the infinite lease, again is the same; False if the blob is missing or otherwise leased."""
        ...

    async def release_lease(self, container: str, name: str, lease_id: str) -> None: ...

    def names(self, container: str, prefix: str) -> AsyncIterator[str]:
        """The blobs that begin with `prefix`, by name; none when the container is missing."""
        ...
