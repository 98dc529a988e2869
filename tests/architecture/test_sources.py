"""Rules about the source that neither ruff nor import-linter can state."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APP = sorted(path for folder in ("shared", "functions") for path in ROOT.glob(f"{folder}/**/*.py"))
APP += [path for path in [ROOT / "function_app.py"] if path.exists()]
SOURCES = APP + sorted(
    path
    for folder in ("devhost", "labelbridge", "samples", "bench")
    for path in ROOT.glob(f"{folder}/**/*.py")
)
SETTINGS = "shared/runtime/settings.py"
MOST_LINES = 500


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    """Every module that a file names in an import, also inside functions: `azure.data.tables`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def reads_environment(tree: ast.AST) -> bool:
    names = {"environ", "environb", "getenv", "getenvb"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in names:
            return True
        if isinstance(node, ast.ImportFrom) and node.module == "os" and names & {a.name for a in node.names}:
            return True
        if isinstance(node, (ast.Import, ast.ImportFrom)) and "pydantic_settings" in ast.unparse(node):
            return True
    return False


def test_there_is_source_to_check():
    assert len(APP) > 20


@pytest.mark.parametrize(
    "text", ["import os\nos.environ['A']", "from os import getenv", "import pydantic_settings"]
)
def test_the_environment_check_sees_a_read(text):
    assert reads_environment(ast.parse(text))


def test_only_settings_reads_the_environment():
    readers = [name(p) for p in APP if reads_environment(ast.parse(p.read_text("utf-8")))]
    assert set(readers) <= {SETTINGS}


@pytest.mark.parametrize(
    ("packages", "owner"),
    [
        (("azure.storage", "azure.data"), "shared/storage/"),
        (("sklearn", "numpy", "scipy", "pycrfsuite", "azure.ai"), "shared/engines/"),
        (("openai",), "shared/engines/"),
        (("azure.functions", "azurefunctions"), "functions/"),
    ],
)
def test_a_library_is_imported_only_where_it_belongs(packages, owner):
    strangers = {
        name(path): module
        for path in APP
        if not name(path).startswith(owner) and path.name != "function_app.py"
        for module in imports(path)
        if within(module, *packages)
    }
    assert not strangers


def test_every_folder_is_a_package():
    """import-linter does not look into a folder without __init__.py."""
    assert not {
        name(path.parent)
        for path in APP
        if path.parent != ROOT and not (path.parent / "__init__.py").exists()
    }


def test_no_source_file_is_too_long():
    lengths = {name(path): len(path.read_text("utf-8").splitlines()) for path in SOURCES}
    assert not {file: lines for file, lines in lengths.items() if lines > MOST_LINES}


def test_the_local_host_stays_small():
    """Anything more is a case for Microsoft's host."""
    files = list(ROOT.glob("devhost/**/*.py"))
    assert len(files) > 10
    assert sum(len(path.read_text("utf-8").splitlines()) for path in files) <= 3_500


#: Tokens that are no code.
NO_CODE = (
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
)


def lines_of_code(source: str) -> int:
    """Without blank lines, comments, docstrings (strings that stand alone) and imports."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant(value=str())):
                lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
            case _:
                pass
    return len(lines)


def test_lines_of_code_are_counted():
    source = '''"""A docstring
of two lines."""

from a import (
    b,
)

# A comment.
VALUE = b(
    """A text

    with a blank line.""",  # a comment
)
"""A docstring of a constant."""
'''
    assert lines_of_code(source) == 5


def test_the_storage_calls_by_rest_stay_small():
    """docs/adr/0021-frequent-calls-by-rest.md"""
    files = [ROOT / "shared/storage/gateways" / file for file in ("rest.py", "rest_pipeline.py")]
    assert sum(lines_of_code(path.read_text("utf-8")) for path in files) <= 300


def test_function_app_is_a_page():
    path = ROOT / "function_app.py"
    if path.exists():
        assert len(path.read_text("utf-8").splitlines()) <= 40


OPERATOR = r"\w \b(eq|ne|gt|ge|lt|le)\b "


def is_text_with(pattern: str, node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and bool(re.search(pattern, node.value))
    )


def formatted_filters(tree: ast.AST) -> list[int]:
    """Lines where a value gets into a filter's text; values are for `parameters=`.

    A value with a quote would widen the filter: `x' or PartitionKey ne 'z` lists every row.
    """
    return [
        node.lineno for node in ast.walk(tree) if isinstance(node, ast.expr) and puts_value_in_filter(node)
    ]


def queries_without_parameters(tree: ast.AST) -> list[int]:
    """Lines that query a table without `parameters=`."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("query_entities", "query_tables")
        and "parameters" not in {keyword.arg for keyword in node.keywords}
    ]


def puts_value_in_filter(node: ast.expr) -> bool:
    match node:
        case ast.JoinedStr(values=values):
            return any(is_text_with(OPERATOR + "'?$", text) for text, _ in pairwise(values))
        case ast.BinOp(left=left, op=ast.Mod() | ast.Add()):
            return is_text_with(OPERATOR, left)
        case ast.Call(func=ast.Attribute(value=text, attr="format")):
            return is_text_with(OPERATOR, text)
        case _:
            return False


@pytest.mark.parametrize(
    "text",
    [
        "f\"PartitionKey eq '{x}'\"",
        "'PartitionKey eq %s' % x",
        "'RowKey ge ' + x",
        "f'{more} and RowKey lt {x}'",
        "f'PartitionKey eq {_literal(x)}'",
        "'RowKey lt {}'.format(x)",
    ],
)
def test_the_filter_check_sees_a_formatted_filter(text):
    assert formatted_filters(ast.parse(text))


def test_the_filter_check_lets_parameters_pass():
    query = "table.query_entities('PartitionKey eq @pk', parameters={'pk': x})"
    assert not formatted_filters(ast.parse(query))
    assert not queries_without_parameters(ast.parse(query))
    assert queries_without_parameters(ast.parse("table.query_entities(text, select=x)"))


def test_values_of_a_filter_are_parameters():
    trees = {name(path): ast.parse(path.read_text("utf-8")) for path in APP}
    formatted = {file: lines for file, tree in trees.items() if (lines := formatted_filters(tree))}
    bare = {file: lines for file, tree in trees.items() if (lines := queries_without_parameters(tree))}
    assert (formatted, bare) == ({}, {})
