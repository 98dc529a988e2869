"""The blobs that a studio sees, in memory; a lease keeps everybody out who does not name it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from shared.domain.errors import Unavailable


@dataclass
class FakeBlob:
    data: bytes
    version: int
    lease: str | None = None

    @property
    def etag(self) -> str:
        return str(self.version)

    @property
    def size(self) -> int:
        return len(self.data)


class FakeLabelBlobs:
    def __init__(self, *containers: str) -> None:
        self.containers: dict[str, dict[str, FakeBlob]] = {name: {} for name in containers}
        self._version = 0

    async def container_exists(self, container: str) -> bool:
        return container in self.containers

    async def stat(self, container: str, name: str) -> FakeBlob | None:
        return self.containers.get(container, {}).get(name)

    async def write(
        self, container: str, name: str, data: bytes, *, lease: str | None = None, content_type: str = ""
    ) -> None:
        blob = self.containers[container].get(name)
        if blob is not None and blob.lease is not None and blob.lease != lease:
            raise Unavailable("The blob is leased.")
        self._version += 1
        self.containers[container][name] = FakeBlob(data, self._version, blob.lease if blob else None)

    async def put(self, container: str, name: str, data: bytes) -> None:
        """As a labeling tool writes, without a lease."""
        self.containers.setdefault(container, {})
        await self.write(container, name, data)

    async def delete(self, container: str, name: str) -> None:
        self.containers[container].pop(name, None)

    async def lease(self, container: str, name: str, lease_id: str) -> bool:
        blob = await self.stat(container, name)
        if blob is None or blob.lease not in {None, lease_id}:
            return False
        blob.lease = lease_id
        return True

    async def release_lease(self, container: str, name: str, lease_id: str) -> None:
        blob = await self.stat(container, name)
        if blob is not None and blob.lease == lease_id:
            blob.lease = None

    async def names(self, container: str, prefix: str) -> AsyncIterator[str]:
        for name in sorted(self.containers.get(container, {})):
            if name.startswith(prefix):
                yield name
