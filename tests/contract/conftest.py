"""The contract tests run each test against the in-memory twin and against Azurite."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from shared.storage.gateways.memory import MemoryStorage
from shared.storage.gateways.ports import Blobs, Queues, Table
from tests.contract.storages import Storage
from tests.support.azurite import azurite

__all__ = ["azurite"]


@pytest.fixture(params=["memory", "azurite"])
async def storage(request: pytest.FixtureRequest) -> AsyncIterator[Storage]:
    """An account in which nothing has the names of this test yet."""
    if request.param == "memory":
        yield MemoryStorage()
    else:
        async with request.getfixturevalue("azurite").storage() as clients:
            yield clients


@pytest.fixture
def table(storage: Storage) -> Table:
    return storage.table("rows")


@pytest.fixture
def blobs(storage: Storage) -> Blobs:
    return storage.blobs


@pytest.fixture
def queues(storage: Storage) -> Queues:
    return storage.queues


@pytest.fixture
async def container(blobs: Blobs) -> str:
    name = f"c{uuid4().hex}"
    await blobs.create_container(name)
    return name
