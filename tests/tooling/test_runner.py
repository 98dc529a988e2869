"""scripts/test.py: both parts run, their counts are added, a failure in either one shows, a signal ends all."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from scripts.test import LAST, ON_REQUEST, folders
from tests.tooling.project import ROOT, all_end

GOOD = "def test_good(): pass\n"
BAD = "def test_bad(): assert False\n"
SKIPS = "import pytest\ndef test_skips(): pytest.skip('why')\n"
# Tells its own pid and that of a program that it started, by a named pipe.
STARTS = """
import os, signal, subprocess, sys
def test_starts_a_program():
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    with open("pids", "w") as pipe:
        print(os.getpid(), child.pid, file=pipe)
"""
HANGS = f"{STARTS}    signal.pause()\n"
DIES = f"{STARTS}    os._exit(1)\n"  # as a test does that exceeds its time


@pytest.fixture
def start(tmp_path):
    """Write tests as {path below tests/: source} and start the runner."""

    def start_with(files: dict[str, str], *names: str) -> subprocess.Popen[str]:
        (tmp_path / "scripts").mkdir()
        shutil.copy(ROOT / "scripts/test.py", tmp_path / "scripts")
        for path, source in files.items():
            (tmp_path / "tests" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "tests" / path).write_text(source)
        (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
        command = [sys.executable, "scripts/test.py", *names]
        # Only the one plug-in that the runner itself uses: loading the others takes seconds.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ARGS": "-p xdist.plugin"}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True
        )

    return start_with


@pytest.fixture
def run(start):
    """Run tests to the end: status and last line."""

    def run_with(files: dict[str, str], *names: str) -> tuple[int, str]:
        with start(files, *names) as process:
            printed, _ = process.communicate(timeout=100)
        return process.returncode, printed.splitlines()[-1]

    return run_with


def test_counts_are_added(run):
    files = {"unit/test_a.py": GOOD + SKIPS, "browser/deep/test_speed.py": GOOD}
    assert run(files) == (0, "2 passed, 0 failed, 1 skipped")


@pytest.mark.parametrize("bad", ["unit/test_a.py", "browser/test_speed.py"])
def test_a_failure_in_either_part_fails_the_whole(run, bad):
    files = {"unit/test_a.py": GOOD, "unit/test_b.py": GOOD, "browser/test_speed.py": GOOD} | {bad: BAD}
    assert run(files) == (1, "2 passed, 1 failed, 0 skipped")


def test_a_file_that_cannot_be_imported_fails_the_whole(run):
    status, line = run({"unit/test_speed.py": GOOD, "browser/test_b.py": "import nowhere_at_all\n"})
    assert status != 0
    assert line == "1 passed, 1 failed, 0 skipped"


def test_files_share_two_processes_and_what_measures_time_has_one_alone(run):
    worker = 'import os\ndef test_who(): assert os.environ.get("PYTEST_XDIST_WORKER") is {}\n'
    files = {"unit/test_a.py": worker.replace("is {}", 'in {"gw0", "gw1"}'), "unit/test_b.py": GOOD}
    assert run(files | {"unit/test_speed.py": worker.format(None)}) == (0, "3 passed, 0 failed, 0 skipped")


def test_a_signal_ends_the_tests_and_what_they_started_and_begins_no_other_part(start, tmp_path):
    os.mkfifo(tmp_path / "pids")
    with start({"unit/test_a.py": HANGS, "unit/test_speed.py": GOOD}) as process:
        pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=100)
    assert process.returncode != 0
    assert all_end(pids, 60)
    assert "1 passed" not in printed


def test_named_folders_only(run):
    files = {"unit/test_a.py": GOOD, "browser/test_b.py": BAD}
    assert run(files, "unit") == (0, "1 passed, 0 failed, 0 skipped")


def test_folders_whose_hosts_go_on_come_last():
    ordered = folders([])
    assert tuple(ordered[-len(LAST) :]) == LAST
    tests = ROOT / "tests"
    present = {path.relative_to(tests).parts[0] for path in tests.glob("*/**/test_*.py")}
    assert sorted(ordered) == sorted(present - ON_REQUEST)


def test_an_unknown_folder_is_refused(run):
    assert run({"unit/test_a.py": GOOD}, "unti") == (1, "no tests in tests/unti; there are: unit")


def test_no_test_at_all_is_a_failure(run):
    assert run({"unit/test_a.py": "def helper(): pass\n"}) == (1, "0 passed, 0 failed, 0 skipped")


def test_a_test_that_dies_is_a_failure_and_leaves_no_program_behind(start, tmp_path):
    os.mkfifo(tmp_path / "pids")
    with start({"unit/test_a.py": DIES}) as process:
        pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
        printed, _ = process.communicate(timeout=100)
    assert printed.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"
    assert process.returncode != 0
    assert all_end(pids, 60)
