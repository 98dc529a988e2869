"""scripts/test.py: both parts run, their counts are added, and a failure in either one shows."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.tooling.project import ROOT

GOOD = "def test_good(): pass\n"
BAD = "def test_bad(): assert False\n"
SKIPS = "import pytest\ndef test_skips(): pytest.skip('why')\n"


@pytest.fixture
def run(tmp_path):
    """Write tests as {path below tests/: source} and run them: status and last line."""

    def run_with(files: dict[str, str], *names: str) -> tuple[int, str]:
        (tmp_path / "scripts").mkdir()
        shutil.copy(ROOT / "scripts/test.py", tmp_path / "scripts")
        for path, source in files.items():
            (tmp_path / "tests" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "tests" / path).write_text(source)
        (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
        command = [sys.executable, "scripts/test.py", *names]
        # Only the one plug-in that the runner itself uses: loading the others takes seconds.
        environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ARGS": "-p xdist.plugin"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False
        )
        return done.returncode, (done.stdout or done.stderr).splitlines()[-1]

    return run_with


def test_counts_are_added(run):
    files = {"unit/test_a.py": GOOD + SKIPS, "browser/deep/test_b.py": GOOD}
    assert run(files) == (0, "2 passed, 0 failed, 1 skipped")


@pytest.mark.parametrize("bad", ["unit", "browser"])
def test_a_failure_in_either_part_fails_the_whole(run, bad):
    files = {"unit/test_a.py": GOOD, "browser/test_b.py": GOOD} | {f"{bad}/test_c.py": BAD}
    assert run(files) == (1, "2 passed, 1 failed, 0 skipped")


def test_a_file_that_cannot_be_imported_fails_the_whole(run):
    status, line = run({"unit/test_a.py": GOOD, "browser/test_b.py": "import nowhere_at_all\n"})
    assert status != 0
    assert line == "1 passed, 1 failed, 0 skipped"


def test_named_folders_only(run):
    files = {"unit/test_a.py": GOOD, "browser/test_b.py": BAD}
    assert run(files, "unit") == (0, "1 passed, 0 failed, 0 skipped")


def test_an_unknown_folder_is_refused(run):
    assert run({"unit/test_a.py": GOOD}, "unti") == (1, "no tests in tests/unti; there are: unit")


def test_no_test_at_all_is_a_failure(run):
    assert run({"unit/test_a.py": "def helper(): pass\n"}) == (1, "0 passed, 0 failed, 0 skipped")
