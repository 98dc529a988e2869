"""Our own container: models, manifests, results, spilled documents. It is made when it is first written to."""

from collections.abc import AsyncIterable, AsyncIterator

from shared.storage.gateways.ports import CHUNK, Blobs, ContainerMissing


class Artefacts:
    def __init__(self, blobs: Blobs, container: str) -> None:
        self._blobs = blobs
        self._container = container

    async def read(self, name: str) -> bytes | None:
        content = await self._blobs.read(self._container, name)
        return content.data if content else None

    async def exists(self, name: str) -> bool:
        return await self._blobs.stat(self._container, name) is not None

    async def write(self, name: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Write over what is there."""
        try:
            await self._blobs.write(self._container, name, data, content_type=content_type)
        except ContainerMissing:
            await self._blobs.create_container(self._container)
            await self._blobs.write(self._container, name, data, content_type=content_type)

    async def write_stream(self, name: str, chunks: AsyncIterable[bytes], content_type: str) -> None:
        """Write piece by piece, each of some size, for each is a call; nothing is visible before the last piece."""
        await self._blobs.create_container(self._container)
        pieces = _collected(chunks)
        await self._blobs.stream_write(self._container, name, pieces, content_type=content_type)

    async def delete(self, name: str) -> None:
        await self._blobs.delete(self._container, name)

    async def delete_all(self, incarnation: str) -> int:
        """Everything of one incarnation of a project; return how many blobs."""
        return await self._blobs.delete_prefix(self._container, f"{incarnation}/")


async def _collected(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of at least CHUNK, but for the last."""
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        if len(waiting) >= CHUNK:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)
