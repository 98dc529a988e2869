"""The storage account as the labeling studios see it: what a lease or a missing container means to them."""

from collections.abc import AsyncIterator

from shared.domain.errors import Unavailable
from shared.storage.gateways.ports import BlobChanged, BlobInfo, BlobLeased, Blobs, ContainerMissing


class LabelBlobs:
    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def container_exists(self, container: str) -> bool:
        return await self._blobs.container_exists(container)

    async def stat(self, container: str, name: str) -> BlobInfo | None:
        return await self._blobs.stat(container, name)

    async def write(
        self, container: str, name: str, data: bytes, *, lease: str | None = None, content_type: str
    ) -> None:
        """Raises Unavailable: trying again may help."""
        try:
            await self._blobs.write(container, name, data, lease=lease, content_type=content_type)
        except (BlobLeased, BlobChanged) as error:
            raise Unavailable(
                f"The file '{container}/{name}' is leased by another tool.", retry_after=5
            ) from error
        except ContainerMissing as error:
            raise Unavailable(f"The container '{container}' is gone.", retry_after=30) from error

    async def delete(self, container: str, name: str) -> None:
        try:
            await self._blobs.delete(container, name)
        except BlobLeased as error:
            raise Unavailable(
                f"The file '{container}/{name}' is leased by another tool.", retry_after=5
            ) from error

    async def lease(self, container: str, name: str, lease_id: str) -> bool:
        try:
            return await self._blobs.acquire_lease(container, name, lease_id)
        except BlobLeased:
            return False

    async def release_lease(self, container: str, name: str, lease_id: str) -> None:
        await self._blobs.release_lease(container, name, lease_id)

    async def names(self, container: str, prefix: str) -> AsyncIterator[str]:
        try:
            async for page in self._blobs.list(container, prefix=prefix):
                for blob in page:
                    yield blob.name
        except ContainerMissing:
            return
