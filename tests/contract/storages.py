"""The storage accounts that the contract is tested on."""

from collections.abc import AsyncIterator

from shared.storage.gateways.clients import StorageClients
from shared.storage.gateways.memory import MemoryStorage

type Storage = MemoryStorage | StorageClients


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def joined(pieces: AsyncIterator[bytes]) -> list[bytes]:
    return [piece async for piece in pieces]
