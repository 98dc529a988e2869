"""The contracts of pyproject.toml about who may import whom hold, and they see what they should."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    command = [program, "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_contracts_hold():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


def test_contracts_see_an_import_against_the_stream(tmp_path):
    """The same contracts over a toy tree in which the domain reaches up to the storage."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    for package in [*contracts["root_packages"], *modules(contracts)]:
        folder = tmp_path / package.replace(".", "/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    assert lint_imports(tmp_path).returncode == 0
    (tmp_path / "shared/domain/__init__.py").write_text("import shared.storage\nimport os\n")
    (tmp_path / "shared/engines/__init__.py").write_text("import shared.storage\n")
    (tmp_path / "functions/__init__.py").write_text("import devhost\n")
    (tmp_path / "labelbridge/__init__.py").write_text("import shared.wire\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1
    for sentence in (
        "shared.domain is not allowed to import shared.storage",
        "shared.domain is not allowed to import os",
        "shared.engines is not allowed to import shared.storage",
        "functions is not allowed to import devhost",
        "labelbridge is not allowed to import shared",
    ):
        assert sentence in result.stdout


def modules(contracts: dict) -> set[str]:
    """Our own modules that the contracts name."""
    named = set[str]()
    for contract in contracts["contracts"]:
        for entry in contract.get("layers", []):
            named |= {part.strip(" ()") for part in entry.replace("|", ":").split(":")}
        named |= set(contract.get("source_modules", [])) | set(contract.get("forbidden_modules", []))
    return {module for module in named if module.split(".")[0] in contracts["root_packages"]}


def test_imports_name_modules_that_exist():
    """Also those within functions, which fail only when the function runs."""
    ours = ("functions", "shared", "devhost", "labelbridge", "samples", "bench", "scripts", "tests")
    unknown: list[str] = []
    for path in (path for folder in ours for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] not in ours:
                continue
            target = ROOT / str(node.module).replace(".", "/")
            if target.with_suffix(".py").exists():
                continue
            defined = target / "__init__.py"
            text = defined.read_text("utf-8") if defined.exists() else ""
            unknown += [
                f"{path.relative_to(ROOT)}:{node.lineno}: {node.module}.{alias.name}"
                for alias in node.names
                if not ((target / f"{alias.name}.py").exists() or (target / alias.name).is_dir())
                and not re.search(rf"(?<!\w){re.escape(alias.name)}(?!\w)", text)
            ]
    assert not unknown
