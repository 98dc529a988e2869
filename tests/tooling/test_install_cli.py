"""The command line is installed by itself, without the app and its packages, with the lines that the page prints."""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module, metadata
from pathlib import Path

import pytest

from labelbridge import __version__

ROOT = Path(__file__).parents[2]
UV = str(Path(sys.executable).with_name("uv"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
#: The lines of the section *Install*, without their comments.
LINES = {
    line.split()[0]: shlex.split(line, comments=True)
    for line in re.findall(
        r"^## Install\n.*?^```\n(.*?)^```$",
        (ROOT / "docs/cli.md").read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    )[0].splitlines()
}


def uv(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run uv; without a package registry the test skips."""
    try:
        done = subprocess.run(
            [UV, *arguments], cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False,
            timeout=120,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        pytest.skip(f"no package registry in time: {error}")
    words = (
        "Failed to fetch",
        "Failed to download",
        "dns error",
        "Could not connect",
        "no versions of hatchling",
    )
    if done.returncode and any(word in done.stderr for word in words):
        pytest.skip(f"no package registry: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return done


def names(python: str, folder: Path) -> set[str]:
    """The packages that are installed for this Python."""
    listed = uv("pip", "list", "--python", python, "--format", "freeze", folder=folder).stdout
    return {line.partition("==")[0] for line in listed.splitlines()}


@pytest.mark.timeout(450)
def test_an_empty_environment_gets_the_command_and_nothing_of_the_app(tmp_path):
    uv("venv", "--python", sys.executable, str(tmp_path / "venv"), folder=tmp_path)
    python = str(tmp_path / "venv" / "bin" / "python")
    assert LINES["pipx"] == ["pipx", "install", ".[cli]"]  # which makes such an environment
    uv("pip", "install", "--python", python, f"{ROOT}[cli]", folder=tmp_path)
    program = [str(tmp_path / "venv" / "bin" / "labelbridge"), "--version"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"labelbridge {__version__}\n"
    found = names(python, tmp_path)
    assert {"httpx", "typer", "rich", "azure-storage-blob"} <= found
    assert not {"numpy", "scikit-learn", "azure-functions", "azure-identity", "aiohttp"} & found
    [packages] = (tmp_path / "venv").glob("lib/*/site-packages")
    assert (packages / "labelbridge" / "cli").is_dir()
    assert not [
        name for name in ("functions", "shared", "devhost", "samples", "tests") if (packages / name).exists()
    ]


@pytest.mark.timeout(450)
def test_uvx_runs_it_from_the_folder(tmp_path):
    program, *arguments = LINES["uvx"]  # which is `uv tool run`
    assert (program, arguments[-1]) == ("uvx", "--help")
    shown = uv("tool", "run", "--python", sys.executable, *arguments, folder=ROOT, UV_TOOL_DIR=str(tmp_path))
    assert "Label texts with Labelbridge" in shown.stdout


@pytest.mark.timeout(450)
def test_uv_tool_installs_it_with_sign_in_by_entra(tmp_path):
    program, *arguments = LINES["uv"]
    assert (program, arguments[:2]) == ("uv", ["tool", "install"])
    places = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    uv(*arguments, "--python", sys.executable, folder=ROOT, **places)
    command = [str(tmp_path / "bin" / "labelbridge"), "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"labelbridge {__version__}\n"
    assert "azure-identity" in names(str(tmp_path / "tools" / "labelbridge" / "bin" / "python"), tmp_path)


@pytest.mark.timeout(450)
def test_the_client_alone_needs_httpx_alone(tmp_path):
    uv("venv", "--python", sys.executable, str(tmp_path / "venv"), folder=tmp_path)
    python = str(tmp_path / "venv" / "bin" / "python")
    assert LINES["pip"][:2] == ["pip", "install"]
    uv(*LINES["pip"], "--python", python, folder=ROOT)
    program = [python, "-c", "from labelbridge.client import AsyncClient, Client"]
    subprocess.run(program, cwd=tmp_path, check=True, timeout=60)
    assert "httpx" in (found := names(python, tmp_path))
    assert not {"typer", "rich", "azure-core"} & found
    command = [str(tmp_path / "venv" / "bin" / "labelbridge"), "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("The command needs the package typer: install it with the extra 'cli'")
    assert done.stderr.count("\n") == 1


def test_the_command_and_its_extras_are_what_the_code_imports():
    """What an installation makes of the folder, without a registry."""
    assert callable(import_module("labelbridge.__main__").main)
    assert PROJECT["scripts"] == {"labelbridge": "labelbridge.__main__:main"}
    extras = PROJECT["optional-dependencies"]
    declared = {
        extra: {re.split(r"[\[<>=]", requirement)[0] for requirement in extras[extra]}
        for extra in ("client", "cli", "entra")
    }
    assert imported("client") == declared["client"]
    assert imported("cli") | imported("formats") | imported("client") == declared["cli"] | declared["entra"]


def imported(package: str) -> set[str]:
    """The distributions that a package of `labelbridge` imports, `azure.core` as a part of Azure's other ones."""
    distributions, found = metadata.packages_distributions(), set()
    for file in sorted((ROOT / "labelbridge" / package).glob("**/*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found.update(modules)
    own = {"labelbridge", *sys.stdlib_module_names}
    outside = {
        module for module in found if module.split(".")[0] not in own and module != "azure.core.exceptions"
    }
    azure = {
        "-".join(module.split(".")[: 3 if module.startswith("azure.storage") else 2])
        for module in outside
        if module.startswith("azure.")
    }
    rest = {
        name
        for module in outside
        if not module.startswith("azure.")
        for name in distributions[module.split(".")[0]]
    }
    return azure | rest
