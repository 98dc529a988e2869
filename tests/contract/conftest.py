"""The contract tests run each test on in-memory storage, and on Azurite by REST and by the SDK."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from shared.storage.gateways.ports import Blobs, Queues, Table
from tests.contract.fake_service import FakeService
from tests.contract.storages import Storage
from tests.support.azurite import QUIET, azurite
from tests.support.storage.memory import MemoryStorage

__all__ = ["azurite"]


@pytest.fixture(params=["memory", "rest", "sdk"])
async def storage(request: pytest.FixtureRequest) -> AsyncIterator[Storage]:
    """An account in which nothing has the names of this test yet."""
    if request.param == "memory":
        yield MemoryStorage()
    else:
        async with request.getfixturevalue("azurite").storage(rest=request.param == "rest") as clients:
            yield clients


@pytest.fixture(params=["rest", "sdk"])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the clients of a fake service make the frequent calls."""
    monkeypatch.setattr(FakeService, "rest", request.param == "rest")
    return request.param


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
    name = f"{QUIET}{uuid4().hex}"
    await blobs.create_container(name)
    return name
