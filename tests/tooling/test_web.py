"""scripts/web.sh: builds the review page, by make and as the hook of azd before the package is made (azure.yaml)."""

import pytest

from tests.tooling.project import Project, executable
from tests.tooling.test_bootstrap import bare_path, finish

SCRIPT = "scripts/web.sh"


@pytest.fixture
def fresh(project: Project) -> Project:
    """A checkout in which make never ran."""
    (project.folder / "web").mkdir()
    (project.folder / "web/package-lock.json").write_text("{}\n")
    npm = '#!/bin/sh\nmkdir -p web/node_modules web/dist; echo "$3" >>log\n'
    executable(project.bin / "npm", npm)
    return project


def test_the_page_is_built_where_make_never_ran_and_once(fresh: Project) -> None:
    for _ in range(2):
        assert finish(fresh.start(SCRIPT))[0] == 0
    assert fresh.log() == ["ci", "run"]


def test_without_node_it_says_what_to_install(fresh: Project) -> None:
    path = bare_path(fresh)
    (fresh.bin / "npm").unlink()
    status, output = finish(fresh.start(SCRIPT, path=path))
    assert status == 1
    assert "Install version 20.19 or later" in output
