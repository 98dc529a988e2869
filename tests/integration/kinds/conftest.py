"""The services on in-memory storage, for rules that need no host: whole jobs stopped at any moment."""

import pytest

from tests.support.lives import Life, living
from tests.support.services import Clock
from tests.support.storage.memory import MemoryStorage


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> MemoryStorage:
    return MemoryStorage(clock=clock)


@pytest.fixture
def app(memory: MemoryStorage, clock: Clock) -> Life:
    return living(memory, clock)
