from collections.abc import AsyncIterator

import pytest

from tests.stateful.connection_world import World
from tests.support.azurite import azurite
from tests.support.storage.memory import MemoryStorage

__all__ = ["azurite"]


@pytest.fixture(params=["memory", "azurite"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A fresh deployment over the in-memory storage, and over Azurite."""
    if request.param == "memory":
        yield await World(MemoryStorage()).prepare()
    else:
        async with request.getfixturevalue("azurite").storage() as clients:
            yield await World(clients).prepare()


@pytest.fixture
async def memory_world() -> World:
    return await World(MemoryStorage()).prepare()
