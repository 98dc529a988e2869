"""A SIGTERM to the make process alone ends everything that it started."""

import os
import signal

import pytest

from tests.tooling.project import INSTALLER, all_end, read_pids


@pytest.mark.parametrize("target", ["run", "demo"])
def test_sigterm_ends_what_a_long_running_target_started(project, target):
    project.install()
    make = project.start("make", target)
    pids, _ = read_pids(make)
    os.kill(make.pid, signal.SIGTERM)
    make.wait(60)
    assert all_end(pids, 0), "make ended before its children"


def test_sigterm_during_an_installation_ends_the_installer_and_its_children(project):
    project.make_python(uv=INSTALLER)
    make = project.start("make", "run")
    pids, _ = read_pids(make)
    os.kill(make.pid, signal.SIGTERM)
    assert make.wait(60) != 0
    assert all_end(pids, 0)


def test_an_installer_that_ignores_sigterm_is_killed(project):
    project.make_python(uv=INSTALLER.replace("#!/bin/sh", "#!/bin/sh\ntrap '' TERM"))
    make = project.start("make", "install")
    pids, _ = read_pids(make)
    os.kill(make.pid, signal.SIGTERM)
    assert make.wait(60) != 0
    assert all_end(pids, 60)


def test_settings_reach_the_program(project):
    project.install()
    make = project.start("make", "run", "PORT=7123", "DATA_DIR=over there", AZURITE_PORT="10100")
    _, words = read_pids(make)
    expected = "-m devhost run --app . --port 7123 --azurite-port 10100 --data-dir over there"
    expected += " --exclude labelbridge --exclude %TABLE_PREFIX% --say welcome"
    assert " ".join(words) == expected
    os.kill(make.pid, signal.SIGTERM)
    make.wait(60)
