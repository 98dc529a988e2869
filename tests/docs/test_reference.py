"""The documentation matches the code: settings, error codes, roles, operations, files."""

import ast
import inspect
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from devhost.answers import ANSWERS
from functions.http import status_of
from labelbridge.cli.main import EXIT_CODES
from labelbridge.cli.main import app as command_line
from labelbridge.cli.output import CODES
from shared.domain import errors
from shared.domain.errors import LabelbridgeError
from shared.runtime.settings import Settings
from tests.docs.tables import TABLES, marked

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def rows(page: str) -> list[list[str]]:
    """The cells of the first table of a reference page."""
    text = (REFERENCE / page).read_text("utf-8")
    lines = text[text.index("\n| ") + 1 :].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def documented_settings() -> dict[str, str]:
    return {code(name)[0]: default for name, default, _ in rows("settings.md")}


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
    return {kind}.union(*(tree(subclass) for subclass in kind.__subclasses__()))


def made(kind: type[LabelbridgeError]) -> LabelbridgeError:
    count = len(
        [p for p in inspect.signature(kind).parameters.values() if p.default is p.empty and p.kind < 2]
    )
    return kind(*[""] * count)


def documented_errors() -> set[tuple[int, str]]:
    return {(int(status), code(cell)[0]) for status, cell, _, _ in rows("errors.md")}


def test_every_error_is_documented_with_its_status():
    kinds = {kind for kind in tree() if kind.__module__ == errors.__name__}
    assert len(kinds) > 12
    found = {(status_of(error), error.code) for error in (made(kind) for kind in kinds)}
    assert found == documented_errors()


def test_the_answers_of_the_host_are_documented():
    """Those that devhost can give in its place."""
    page = (REFERENCE / "errors.md").read_text("utf-8").partition("## Errors of the Functions host")[2]
    first = re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE)
    assert {str(status) for status in ANSWERS} <= {status for cell in first for status in cell.split(", ")}


def test_the_idle_cost_of_each_group_follows_from_the_prices():
    prices = (ROOT / "docs" / "scale.md").read_text("utf-8")
    [gb_second] = re.findall(r"^\| `gb_second`.*\| ([\d.]+) per GB-s", prices, re.MULTILINE)
    [polling] = re.findall(r"^\| queue polling.*\| ([\d.]+) \|$", prices, re.MULTILINE)
    [execution] = re.findall(r"^\| `execution`.*\| ([\d.]+) per million", prices, re.MULTILINE)
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    costs = dict(re.findall(r"^\| `(\w+)` \| .* \| ([^|]*) \|$", page, re.MULTILINE))
    run = 2 * float(gb_second) + float(execution) / 1_000_000  # of a second at 2,048 MB
    for timer, runs in {"sweep_jobs": 43_800, "sync_labels": 43_800 // 15}.items():
        assert costs[timer] == f"{runs * run:.2f}"
    for name in ("run_batch", "run_fit", "send_events"):
        assert costs[name] == f"0 to {float(polling) / 4:.2f}"
    compared = 730 * run
    assert costs["run_work"] == f"{compared:.2f} to {compared + float(polling) / 4:.2f}"


def test_the_totals_of_the_cost_are_the_sums_of_their_parts():
    scale, deploy = ((ROOT / "docs" / page).read_text("utf-8") for page in ("scale.md", "deploy.md"))
    table = scale.partition("\n| | quantity |")[2].partition("\n\n")[0]
    lines = re.findall(r"^\|.*\| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE)
    [one, many] = [
        sum(float(number) for cell in column for number in re.findall(r"^(?:at \w+ )?(\d+\.\d\d)", cell))
        for column in zip(*lines, strict=True)
    ]
    assert f"at least {one:.2f} dollars a month with 1 project and {many:.2f} with 300" in scale
    assert f"at least {one:.2f} with 1 project" in deploy
    assert f"at least {many:.2f} with 300" in deploy

    storage = dict(re.findall(r"^    (together|one by one): .*= +([\d.]+)$", scale, re.MULTILINE))
    uploads = r"^\| (together|one by one) \|.*\| ([^|]+) \| ([\d.]+) \| ([\d.]+) \|$"
    totals = list[str]()
    for how, memory, executions, total in re.findall(uploads, scale, re.MULTILINE):
        cost = float(storage[how]) + float(memory.rpartition("= ")[2]) + float(executions)
        totals.append(total)
        assert total == (f"{cost:.2f}" if how == "together" else f"{cost:.0f}")
    [low, high, single] = totals
    assert f"{low} to {high} when they are uploaded together" in deploy
    assert f"about {single} when they arrive one by one" in deploy


def test_every_inner_code_of_the_tree_is_documented():
    documented = {name for row in rows("errors.md") for name in code(row[2])}
    assert {kind.inner_code for kind in tree() if kind.inner_code} <= documented


@pytest.mark.parametrize(("file", "name", "table"), TABLES, ids=[name for _, name, _ in TABLES])
def test_the_tables_follow_from_the_code(file, name, table):
    found = marked(name).search((ROOT / file).read_text("utf-8"))
    assert found, f"{file} has no marks for the table of {name}"
    assert found[2] == "\n".join(table()) + "\n", "run: python -m tests.docs.tables"


def test_the_keys_of_the_review_page_are_documented():
    commands = (ROOT / "web" / "src" / "review" / "commands.ts").read_text("utf-8")
    keys = dict(re.findall(r'\bkey: "(.)",\n\s+name: "([^"]+)"', commands))
    page = (ROOT / "docs" / "review.md").read_text("utf-8")
    documented = dict(re.findall(r"^\| `(\w)` \| ([^|]+?) \|", page, re.MULTILINE))
    assert len(keys) > 8
    assert documented == keys


def test_the_exit_codes_of_the_help_are_those_of_the_page():
    """The page says more: each of its rows has what the help says before the first comma."""
    text = (ROOT / "docs/cli.md").read_text("utf-8").partition("| exit code | meaning |\n")[2]
    listed = re.findall(r"^\| (\d+) \| (.*) \|$", text.partition("\n\n")[0], re.MULTILINE)
    entries = " ".join(EXIT_CODES.split()).removeprefix("Exit codes: ").rstrip(".").split("; ")
    helped = [entry.partition(" ")[::2] for entry in entries]
    assert [number for number, _ in listed] == [number for number, _ in helped]
    for (number, meaning), (_, short) in zip(listed, helped, strict=True):
        assert short.split(",")[0] in meaning, number
    assert {int(number) for number, _ in helped} == {0, *CODES}


def test_every_picture_is_shown():
    pages = "".join(page.read_text("utf-8") for page in PAGES)
    assert not [
        image.name for image in (ROOT / "docs" / "images").iterdir() if f"images/{image.name})" not in pages
    ]


@pytest.mark.parametrize(
    "page", ["docs/review.md", "docs/quickstart.md", "docs/how-to/review-5000-suggestions.md"]
)
def test_what_a_page_calls_controls_of_the_review_page_is_written_there(page):
    """Names in italics; and in the table of keys each command by its name."""
    sources = "\n".join(file.read_text("utf-8") for file in (ROOT / "web/src").glob("**/*.ts*"))
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL)
    named = set(re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", text))
    named |= {row for row in re.findall(r"^\| `[^|]*` \| ([^|]+) \|", text, re.MULTILINE) if row[0].isupper()}
    assert named
    assert sorted(name for name in named if name not in sources) == []


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


def test_every_package_says_what_it_holds():
    packages = [
        path
        for name in ("functions", "shared", "devhost", "labelbridge")
        for path in ROOT.glob(f"{name}/**/__init__.py")
    ]
    assert len(packages) > 8
    silent = [
        path for path in packages if len(ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "") < 20
    ]
    assert not silent


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


def commands_of(page: Path) -> list[list[str]]:
    """The arguments of each `labelbridge` command in a block or a sentence of a page."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    lines += re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("labelbridge ")]
    return [words[1:] for words in commands]


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/how-to/*.md")), ids=lambda page: page.stem)
def test_the_commands_of_a_how_to_page_exist(page):
    commands = commands_of(page)
    assert len(commands) > 5
    for arguments in commands:  # an unknown command or option is an error before there is any help
        done = CliRunner().invoke(command_line, [*arguments, "--help"])
        assert done.exit_code == 0, f"{arguments}: {done.output}"
