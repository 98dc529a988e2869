"""docs/rules.md lists every rule that is cited; the function and the test of each rule exist."""

import ast
import importlib
import re
from typing import Any

import pytest

from tests.docs.sources import ROOT, lines_with

PAGE = (ROOT / "docs" / "rules.md").read_text("utf-8")
RULE = re.compile(
    r"^- \*\*([DAVTC]\d{1,2})\*\* .+?\n  `([\w.]+)` ·\n  `(tests/[\w/]+\.py)::(\w+)`$",
    re.MULTILINE | re.DOTALL,
)
RULES = {code: (function, file, test) for code, function, file, test in RULE.findall(PAGE)}
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


def test_every_rule_is_complete_and_numbered_in_order():
    assert len(RULES) == PAGE.count("\n- **")
    for group in "DAVTC":
        numbers = [int(code[1:]) for code in RULES if code[0] == group]
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("code", RULES)
def test_the_function_of_a_rule_exists(code):
    assert callable(named(RULES[code][0]))


@pytest.mark.parametrize("code", RULES)
def test_the_test_of_a_rule_exists(code):
    _, file, test = RULES[code]
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert test in {node.name for node in ast.walk(tree) if isinstance(node, functions)}


def test_every_rule_that_is_cited_is_listed():
    unknown = [(place, code) for place, code in lines_with(CITED, EXCEPTIONS) if code not in RULES]
    assert not unknown


def test_no_document_outside_the_repository_is_cited():
    assert not list(lines_with(OUTSIDE, EXCEPTIONS))
