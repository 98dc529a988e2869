"""The storage accounts that the contract is tested on."""

from collections.abc import AsyncIterator

from tests.support.storage.counting import CountingClients
from tests.support.storage.memory import MemoryStorage

type Storage = MemoryStorage | CountingClients


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def joined(pieces: AsyncIterator[bytes]) -> list[bytes]:
    return [piece async for piece in pieces]
