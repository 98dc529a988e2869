"""docs/rules.md lists every rule that is cited, in one or two lines; the functions and the tests of each rule exist."""

import ast
import importlib
import re
from functools import cache
from typing import Any

import pytest

from tests.docs.sources import ROOT, lines_with

PAGE = (ROOT / "docs" / "rules.md").read_text("utf-8")
#: A rule: its code, its text, and the names of functions and tests, each in backquotes.
ENTRY = re.compile(
    r"^- \*\*([DAVTC]\d{1,2})\*\* (.+?)((?:\n  `(?:shared|functions|tests)[./][^\n]+)+)$",
    re.MULTILINE | re.DOTALL,
)
RULES = {code: (text, re.findall("`([^`]+)`", names)) for code, text, names in ENTRY.findall(PAGE)}
#: The text of a rule: so many lines of so many characters.
MOST_LINES, WIDTH = 2, 130
CITED = re.compile(r"(?<![\w%#&/\\.-])[DAVTC][1-9]\d?(?![\w-])")
#: Documents outside the repository that comments once cited.
OUTSIDE = re.compile(
    r"\bFACTS\b|[Dd]esign section|\b(?:DESIGN|LOCAL|ENGINE|STYLE)\.md|\(section \d|; section \d"
)
#: They contain the expressions themselves; `T20` is a rule of ruff.
EXCEPTIONS = {"tests/docs/test_rules.py", "scripts/structure.py", "pyproject.toml"}


def named(path: str) -> Any:
    """The function, class or method that a dotted path names."""
    owner, _, name = path.rpartition(".")
    is_class = owner.rpartition(".")[2][:1].isupper()
    return getattr(named(owner) if is_class else importlib.import_module(owner), name)


@cache
def functions_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_every_rule_is_complete_and_numbered_in_order():
    assert len(RULES) == PAGE.count("\n- **")
    for group in "DAVTC":
        numbers = [int(code[1:]) for code in RULES if code[0] == group]
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("code", RULES)
def test_a_rule_has_one_or_two_lines(code):
    first, *rest = RULES[code][0].split("\n")
    lines = [f"- **{code}** {first}", *rest]
    assert len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= WIDTH


@pytest.mark.parametrize("code", RULES)
def test_the_functions_and_the_tests_of_a_rule_exist(code):
    names = RULES[code][1]
    tests = [name.split("::") for name in names if name.startswith("tests/")]
    functions = [name for name in names if not name.startswith("tests/")]
    assert tests
    assert functions
    assert [name for name in functions if not callable(named(name))] == []
    assert [test for file, test in tests if test not in functions_in(file)] == []


def test_every_rule_that_is_cited_is_listed():
    unknown = [(place, code) for place, code in lines_with(CITED, EXCEPTIONS) if code not in RULES]
    assert not unknown


def test_no_document_outside_the_repository_is_cited():
    assert not list(lines_with(OUTSIDE, EXCEPTIONS))
