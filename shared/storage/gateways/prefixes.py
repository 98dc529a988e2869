"""Deleting by prefix, over any implementation of the blobs port."""

import asyncio

from shared.storage.gateways.errors import ContainerMissing
from shared.storage.gateways.ports import Blobs

_AT_ONCE = 16


async def delete_prefix(blobs: Blobs, container: str, prefix: str) -> int:
    """Delete every blob whose name starts with `prefix` (not empty); a missing container holds none."""
    if not prefix:
        raise ValueError("An empty prefix would empty the container.")
    deleted = 0
    try:
        async for page in blobs.list(container, prefix=prefix):
            for start in range(0, len(page), _AT_ONCE):
                part = page[start : start + _AT_ONCE]
                gone = await asyncio.gather(*(blobs.delete(container, info.name) for info in part))
                deleted += sum(gone)
    except ContainerMissing:
        return 0
    return deleted
