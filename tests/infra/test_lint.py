"""`make lint` builds and lints every Bicep file, and a warning fails."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import lint_infra

ROOT = Path(__file__).parents[2]


def lint(root: Path, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    """The script of a checkout in another folder, `path` in place of PATH."""
    (root / "scripts").mkdir(parents=True)
    script = shutil.copy(ROOT / "scripts/lint_infra.py", root / "scripts")
    return subprocess.run(
        [sys.executable, script, *arguments], env={"PATH": path}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def program() -> str:
    found = lint_infra.compiler()
    if found is None:
        pytest.skip("the Bicep compiler is neither in ../shared/bicep nor on the path")
    return found


def test_make_lint_runs_it() -> None:
    recipe = (ROOT / "Makefile").read_text("utf-8").partition("\nlint: ")[2].partition("\n\n")[0]
    assert "$(PYTHON) scripts/lint_infra.py" in recipe


def test_every_file_builds_without_a_warning(program: str, tmp_path: Path) -> None:
    assert lint_infra.problems(program, ROOT / "infra", tmp_path) == []
    built = {
        file.relative_to(tmp_path / "built").with_suffix("") for file in tmp_path.glob("built/**/*.json")
    }
    files = (ROOT / "infra").glob("**/*.bicep")
    assert built == {file.relative_to(ROOT / "infra").with_suffix("") for file in files}


def test_a_warning_fails(program: str, tmp_path: Path) -> None:
    modules = tmp_path / "app/infra/modules"
    modules.mkdir(parents=True)
    (modules / "one.bicep").write_text("param unused string\n")
    folder = Path(program).parent
    done = lint(tmp_path / "app", path=str(folder))
    assert done.returncode == 1
    assert "one.bicep(1,7) : Warning no-unused-params" in done.stderr


def test_a_folder_without_files_is_an_error(program: str, tmp_path: Path) -> None:
    assert lint_infra.problems(program, tmp_path, tmp_path) == [f"{tmp_path} has no Bicep files"]


def test_without_a_compiler_it_says_that_nothing_was_checked(tmp_path: Path) -> None:
    done = lint(tmp_path / "app", path=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "skipped" in done.stdout


def test_a_compiler_in_the_folder_beside_is_taken_first(tmp_path: Path) -> None:
    beside = tmp_path / "shared/bicep/bicep"
    beside.parent.mkdir(parents=True)
    beside.touch()
    assert lint_infra.compiler(tmp_path / "app") == str(beside)
