"""scripts/bootstrap.sh: does what is missing, once, whatever happened to the runs before it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from scripts.check_settings import NODE
from tests.tooling.project import INSTALLER, ROOT, executable, read_pids

BOOTSTRAP = "scripts/bootstrap.sh"
# With flock, and with the folder that stands in for it where there is none.
LOCKS = pytest.mark.parametrize("locks", [{}, {"LABELBRIDGE_NO_FLOCK": "1"}], ids=["flock", "mkdir"])
# Enough of the system to run bash, and no Python.
TOOLS = "awk bash cat chmod cmp cp dirname env find grep id ln mkdir mv rm seq sleep touch"


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def bare_path(project) -> str:
    """A PATH of only what bash needs, and the stand-ins in project.bin."""
    for tool in TOOLS.split():
        found = subprocess.run(["which", tool], capture_output=True, text=True, check=True).stdout.strip()
        (project.bin / tool).symlink_to(found)
    return str(project.bin)


def test_installs_once_then_has_nothing_to_do(project):
    project.make_python()
    assert finish(project.start(BOOTSTRAP))[0] == 0
    assert project.log() == ["uv", "npm"]
    began = time.monotonic()
    assert finish(project.start(BOOTSTRAP)) == (0, "")
    assert time.monotonic() - began < 1
    assert project.log() == ["uv", "npm"]


def test_changed_files_are_installed_again(project):
    project.install()
    (project.folder / "requirements-dev.txt").write_text("uv==2\n")
    finish(project.start(BOOTSTRAP))
    assert project.log() == ["uv"]
    (project.folder / "package-lock.json").write_text("{ }\n")
    finish(project.start(BOOTSTRAP))
    assert project.log() == ["uv", "npm"]


def test_python_alone_needs_no_node(project):
    project.make_python()
    executable(project.bin / "node", "#!/bin/sh\nexit 1\n")
    assert finish(project.start(BOOTSTRAP, "python"))[0] == 0
    assert project.log() == ["uv"]


@LOCKS
def test_two_at_once_install_once(project, locks):
    project.make_python(uv="#!/bin/sh\nsleep 0.5\necho uv >>log\n")
    both = [project.start(BOOTSTRAP, **locks) for _ in range(4)]
    assert [finish(process)[0] for process in both] == [0, 0, 0, 0]
    assert project.log() == ["uv", "npm"]


@LOCKS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_is_made_good(project, locks, number):
    """Its lock is free, and the environment that it left half made is made anew."""
    project.make_python(uv=INSTALLER)
    first = project.start(BOOTSTRAP, **locks)
    pids, _ = read_pids(first)
    os.kill(first.pid, number)
    first.wait(60)
    if number == signal.SIGKILL:  # nobody is left to do it
        os.kill(pids[1], signal.SIGKILL)
    (project.folder / ".venv/half").touch()
    # The new environment: a stand-in for an interpreter that makes the stand-in of above.
    make_venv = (
        'mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; echo "echo uv >>log" >"$3/bin/uv"; chmod +x "$3/bin/uv"'
    )
    executable(
        project.bin / "python3.13", f'#!/bin/sh\n[ "$1" = -c ] && exit 0\n{make_venv}\necho venv >>log\n'
    )
    status, output = finish(project.start(BOOTSTRAP, **locks))
    assert status == 0, output
    assert not (project.folder / ".venv/half").exists()
    assert project.log() == ["venv", "uv", "npm"]


def test_a_shim_that_fails_is_passed_over_for_uv(project):
    executable(project.bin / "python3.13", "#!/bin/sh\nexit 127\n")
    uv = f'#!/bin/sh\necho "$*" >>log\nmkdir -p .venv/bin\nln -s {sys.executable} .venv/bin/python\n'
    executable(project.bin / "uv", uv + 'printf "#!/bin/sh\\n" >.venv/bin/uv\nchmod +x .venv/bin/uv\n')
    status, output = finish(project.start(BOOTSTRAP, "python", path=bare_path(project)))
    assert status == 0, output
    assert project.log() == ["venv", "--quiet", "--seed", "--python", "3.13", ".venv"]


def test_without_any_python_it_says_what_to_do(project):
    status, output = finish(project.start(BOOTSTRAP, path=bare_path(project)))
    assert status == 1
    assert "Python 3.13 is missing" in output
    assert "Fix: install Python 3.13" in output


@pytest.mark.parametrize(
    ("node", "found"), [("echo v18.20.4", "v18.20.4"), ("echo v20.18.3", "v20.18.3"), ("exit 1", "none")]
)
def test_an_old_or_absent_node_is_named_with_the_fix_before_and_after_the_install(project, node, found):
    project.make_python()
    executable(project.bin / "node", f"#!/bin/sh\n{node}\n")
    status, output = finish(project.start(BOOTSTRAP))
    assert status == 1
    assert (
        f"Node.js 20.19 or later with npm is needed for Azurite and the review page; found: {found}."
        in output
    )
    assert "Fix: install it" in output
    assert project.log() == []
    project.install()
    assert finish(project.start(BOOTSTRAP)) == (1, output)
    assert finish(project.start(BOOTSTRAP, "python")) == (0, "")


def test_a_newer_node_will_do(project):
    project.install()
    executable(project.bin / "node", "#!/bin/sh\necho v22.3.0\n")
    assert finish(project.start(BOOTSTRAP)) == (0, "")


def test_all_places_name_the_same_node(project):
    for package in ("package.json", "web/package.json"):
        assert json.loads((ROOT / package).read_text())["engines"]["node"] == ">=20.19"
        lock = json.loads((ROOT / package.replace(".json", "-lock.json")).read_text())
        assert lock["packages"][""]["engines"]["node"] == ">=20.19"
    assert NODE == (20, 19)
    assert "Node.js 20.19 or later" in (ROOT / "README.md").read_text()
