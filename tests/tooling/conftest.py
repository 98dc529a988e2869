"""The toy project as a fixture."""

import pytest

from tests.tooling.project import Project


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    yield project
    project.close()
