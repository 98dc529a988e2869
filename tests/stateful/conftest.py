from collections.abc import AsyncIterator

import pytest

from shared.storage.gateways.memory import MemoryStorage
from tests.stateful.connection_world import World
from tests.support.azurite import azurite

__all__ = ["azurite"]


@pytest.fixture(params=["memory", "azurite"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A fresh deployment over the in-memory twin, and over Azurite."""
    if request.param == "memory":
        yield await World(MemoryStorage()).prepare()
    else:
        async with request.getfixturevalue("azurite").storage() as clients:
            yield await World(clients).prepare()


@pytest.fixture
async def twin() -> World:
    return await World(MemoryStorage()).prepare()
