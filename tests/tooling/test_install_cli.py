"""The command line is installed by itself, without the app and its packages."""

import subprocess
import sys
from pathlib import Path

import pytest

from labelbridge import __version__

ROOT = Path(__file__).parents[2]
UV = str(Path(sys.executable).with_name("uv"))


def uv(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run uv; without a package registry the test skips."""
    done = subprocess.run(
        [UV, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=250
    )
    words = ("Failed to fetch", "dns error", "Could not connect", "no versions of hatchling")
    if done.returncode and any(word in done.stderr for word in words):
        pytest.skip(f"no package registry: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.timeout(300)
def test_an_empty_environment_gets_the_command_and_nothing_of_the_app(tmp_path):
    uv("venv", "--python", sys.executable, str(tmp_path / "venv"), folder=tmp_path)
    python = str(tmp_path / "venv" / "bin" / "python")
    uv("pip", "install", "--python", python, f"{ROOT}[cli]", folder=tmp_path)
    program = [str(tmp_path / "venv" / "bin" / "labelbridge"), "--version"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"labelbridge {__version__}\n"
    listed = uv("pip", "list", "--python", python, "--format", "freeze", folder=tmp_path).stdout
    names = {line.partition("==")[0] for line in listed.splitlines()}
    assert {"httpx", "typer", "rich", "azure-storage-blob"} <= names
    assert not {"numpy", "scikit-learn", "azure-functions", "azure-identity", "aiohttp"} & names
    [packages] = (tmp_path / "venv").glob("lib/*/site-packages")
    assert (packages / "labelbridge" / "cli").is_dir()
    assert not [
        name for name in ("functions", "shared", "devhost", "samples", "tests") if (packages / name).exists()
    ]
