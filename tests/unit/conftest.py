"""For all unit tests: nothing depends on the speed of the machine."""

import pytest

from shared.services.jobs import lifecycle


@pytest.fixture(autouse=True)
def patient_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request waits for the work that it starts, however long that takes, and does not leave it to messages."""
    monkeypatch.setattr(lifecycle, "SECONDS", 60)
