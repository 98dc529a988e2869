"""The client and the command line against the session's host, as a user runs them."""

from pathlib import Path

import pytest

from tests.cli.terminal import Cli
from tests.integration.conftest import http, new_project, storage
from tests.support.azurite import Azurite, azurite
from tests.support.hosts import KEY, Host, host

__all__ = ["azurite", "host", "http", "new_project", "storage"]


@pytest.fixture
def cli(host: Host, azurite: Azurite, tmp_path: Path) -> Cli:
    """The command line, not signed in yet."""
    return Cli(host.url, KEY, azurite.connection_string, tmp_path)
