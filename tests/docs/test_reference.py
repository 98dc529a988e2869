"""What the documentation lists is what there is: settings, error codes, roles, operations, files."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from shared.domain import errors
from shared.domain.errors import LabelbridgeError
from shared.runtime import problems
from shared.runtime.settings import Settings
from tests.docs.tables import TABLES, marked

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def rows(heading: str) -> list[list[str]]:
    """The cells of the table in a section of the README."""
    text = README.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def documented_settings() -> dict[str, str]:
    return {code(name)[0]: default for name, default, _ in rows("Settings")}


def test_every_setting_of_the_app_is_documented():
    documented = {name.lower() for name in documented_settings()}
    assert set(Settings.model_fields) <= documented


def test_every_setting_of_the_sample_is_documented():
    values = json.loads((ROOT / "local.settings.sample.json").read_text("utf-8"))["Values"]
    assert set(values) <= set(documented_settings())


def test_no_setting_is_documented_that_does_not_exist():
    values = json.loads((ROOT / "local.settings.sample.json").read_text("utf-8"))["Values"]
    known = set(Settings.model_fields) | {name.lower() for name in values}
    assert {name.lower() for name in documented_settings()} <= known


def shown(default: Any) -> str:
    """A default as the documentation writes it: nothing for nothing, JSON for lists and objects."""
    if default in ("", False):
        return ""
    return str(default) if isinstance(default, (str, int)) else json.dumps(default)


def test_documented_defaults_are_the_defaults():
    documented = {name.lower(): (code(cell) or [""])[0] for name, cell in documented_settings().items()}
    defaults = {name: shown(field.default) for name, field in Settings.model_fields.items()}
    assert {name: documented.get(name) for name in defaults} == defaults


def tree(kind: type[LabelbridgeError] = LabelbridgeError) -> set[type[LabelbridgeError]]:
    return {kind}.union(*(tree(one) for one in kind.__subclasses__()))


def made(kind: type[LabelbridgeError]) -> LabelbridgeError:
    count = len(
        [p for p in inspect.signature(kind).parameters.values() if p.default is p.empty and p.kind < 2]
    )
    return kind(*[""] * count)


def documented_errors() -> set[tuple[int, str]]:
    return {(int(status), code(cell)[0]) for status, cell, _, _ in rows("Errors")}


def test_every_error_is_documented_with_its_status():
    kinds = {kind for kind in tree() if kind.__module__ == errors.__name__}
    assert len(kinds) > 12
    found = {(problems.status_of(one), one.code) for one in (made(kind) for kind in kinds)}
    assert found == documented_errors()


def test_every_inner_code_of_the_tree_is_documented():
    documented = {name for row in rows("Errors") for name in code(row[2])}
    assert {kind.inner_code for kind in tree() if kind.inner_code} <= documented


@pytest.mark.parametrize(("file", "name", "table"), TABLES, ids=[name for _, name, _ in TABLES])
def test_the_tables_follow_from_the_code(file, name, table):
    found = marked(name).search((ROOT / file).read_text("utf-8"))
    assert found, f"{file} has no marks for the table of {name}"
    assert found[2] == "\n".join(table()) + "\n", "run: python -m tests.docs.tables"


LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")
#: `shared/domain/page.py`, `functions/`, `tests/docs`: what looks like a path of the repository.
MENTIONED = re.compile(r"`((?:functions|shared|devhost|samples|scripts|tests|bench|web|docs)/[\w./-]*)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_paths_lead_somewhere(page):
    text = page.read_text("utf-8")
    links = [link for link, _ in LINK.findall(text) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [path for path in MENTIONED.findall(text) if not (ROOT / path).exists()]
    assert not missing


def test_the_architecture_tells_of_every_folder():
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    packages = [
        path.parent
        for name in ("functions", "shared", "devhost")
        for path in ROOT.glob(f"{name}/**/__init__.py")
    ]
    folders = {path.relative_to(ROOT).as_posix() for path in packages}
    assert len(folders) > 8
    assert not {folder for folder in folders - {"shared"} if f"`{folder}/`" not in text}


def test_every_decision_is_titled_with_its_number_and_numbers_are_unique():
    records = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert len(records) >= 9
    numbers = [int(record.name[:4]) for record in records]
    assert len(set(numbers)) == len(numbers)
    for number, record in zip(numbers, records, strict=True):
        assert re.match(rf"# 0*{number}[.:]? \w", record.read_text("utf-8")), record.name


def test_the_changelog_knows_the_version():
    from functions.system import VERSION

    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"\n## [{VERSION}]" in text or "\n## [Unreleased]\n" in text
