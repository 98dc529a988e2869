"""The user's blobs, only ever read: what is a document, what is none, and why."""

import asyncio
from collections.abc import AsyncIterator

from shared.domain.document import Reading
from shared.domain.text import MAX_BYTES, Rejection, decode_document, reject_by_name, reject_by_size
from shared.storage.gateways.ports import BlobInfo, Blobs, ContainerMissing

READERS = 48


class UploadedBlobs:
    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._limit = asyncio.Semaphore(READERS)

    async def look(self, container: str, location: str) -> Reading | None:
        """What lies at the location: one call. None: nothing. A blob that its name or size rules out is not read."""
        async with self._limit:
            rejection = reject_by_name(location)
            if rejection is not None:
                info = await self._blobs.stat(container, location)
                return Reading(info.etag, None, rejection) if info else None
            content = await self._blobs.read(container, location, max_bytes=MAX_BYTES + 1)
        if content is None:
            return None
        found = reject_by_size(content.size) or decode_document(content.data)
        if isinstance(found, Rejection):
            return Reading(content.etag, None, found)
        return Reading(content.etag, found, None)

    async def listing(self, container: str) -> AsyncIterator[list[BlobInfo]]:
        """The blobs of a container, page by page; an absent container has none."""
        try:
            async for page in self._blobs.list(container):
                yield page
        except ContainerMissing:
            return

    async def container_exists(self, container: str) -> bool:
        return await self._blobs.container_exists(container)
