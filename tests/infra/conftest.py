from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the Bicep compiler may write."""
    return tmp_path_factory.mktemp("bicep")
