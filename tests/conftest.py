"""Shared by all tests: the end of a run, the settings of hypothesis, the path of Chromium."""

import os
import shutil
import signal
from types import FrameType

import pytest
from hypothesis import settings

# The machine may be busy: an example's run time says nothing about the code.
settings.register_profile("labelbridge", deadline=None)
settings.load_profile("labelbridge")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def pytest_configure() -> None:
    """End on SIGTERM as on Ctrl-C: fixtures finish, and so stop the programs that they started."""
    signal.signal(signal.SIGTERM, _interrupt)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of Chromium. Without it a browser test skips, in CI it fails."""
    path = shutil.which("chromium")
    if path is None:
        reason = "no Chromium: run scripts/chromium.sh or apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path
