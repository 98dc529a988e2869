"""A labeling tool: what lies in a container of a storage account, and writing to it without a lease."""

from shared.storage.gateways.ports import Blobs


class LabelTool:
    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs

    async def put(self, container: str, name: str, data: bytes) -> None:
        """Raises BlobLeased while labeling is prevented."""
        await self.blobs.create_container(container)
        await self.blobs.write(container, name, data)

    async def data(self, container: str, name: str) -> bytes | None:
        content = await self.blobs.read(container, name)
        return content.data if content else None

    async def leased(self, container: str, name: str) -> bool:
        info = await self.blobs.stat(container, name)
        return info is not None and info.leased
