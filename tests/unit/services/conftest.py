"""Services over in-memory storage, whose listings come in short and empty pages; the clock is the test's."""

import pytest

from tests.support.services import App, Clock, in_process
from tests.support.storage.memory import MemoryStorage


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def storage(clock: Clock) -> MemoryStorage:
    return MemoryStorage(clock=clock)


@pytest.fixture
def app(storage: MemoryStorage, clock: Clock) -> App:
    return in_process(storage, clock)
