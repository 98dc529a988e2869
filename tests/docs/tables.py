"""The tables of the documentation that follow from the code.

python -m tests.docs.tables     writes them, between their marks in README, ARCHITECTURE and docs/operations.md
"""

import ast
import re
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import function_app  # declares the operations  # noqa: F401
from functions.http import OPERATIONS, PROJECTS
from shared.runtime.policy import POLICY, Access, Role

ROOT = Path(__file__).parents[2]
ACCESS = {Access.ANONYMOUS: "anyone", Access.SIGNED_IN: "any caller"}


def roles() -> list[str]:
    """One row a role with the operations that need it; reading is one row for all."""
    needed: dict[Role, list[str]] = defaultdict(list)
    for operation, permission in POLICY.items():
        if isinstance(permission, Role):
            needed[permission].append(f"`{operation}`")
    lines = ["| role | operations that need it |", "|---|---|"]
    for role in Role:
        what = "everything that only reads" if role is Role.READ else ", ".join(sorted(needed[role]))
        what = what or "none yet"
        lines.append(f"| `{role}` | {what} |")
    return lines


def operations() -> list[str]:
    """One row an operation; `P` stands for the path of a project."""
    lines = ["| operation | method and path | role | what it does |", "|---|---|---|---|"]
    for one in OPERATIONS:
        if "{*rest}" in one.path:
            continue
        permission = POLICY[one.id]
        role = ACCESS[permission] if isinstance(permission, Access) else f"`{permission}`"
        path = one.path.replace(f"{PROJECTS}/{{projectName}}", "P").replace(PROJECTS, "projects")
        lines.append(f"| `{one.id}` | `{one.method} {path}` | {role} | {one.summary} |")
    return lines


def room(folder: str) -> list[str]:
    """One row a file of a folder: the first sentence of its docstring."""
    lines = ["| file | what it is |", "|---|---|"]
    for path in sorted((ROOT / folder).glob("*.py")):
        words = " ".join(
            (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split("\n\n")[0].split()
        )
        sentence = re.split(r"(?<=\.)\s", words, maxsplit=1)[0].rstrip(".:")
        if path.name != "__init__.py":
            lines.append(f"| `{path.name}` | {sentence.replace('|', chr(92) + '|')} |")
    return lines


ROOMS = (
    "functions",
    "shared/runtime",
    "shared/services",
    "shared/storage",
    "shared/storage/gateways",
    "shared/engines",
    "shared/engines/embedded",
    "shared/studios",
    "shared/wire",
    "shared/domain",
    "devhost",
    "samples",
)
TABLES: list[tuple[str, str, Callable[[], list[str]]]] = [
    ("README.md", "roles", roles),
    ("docs/operations.md", "operations", operations),
    *(("ARCHITECTURE.md", folder, partial(room, folder)) for folder in ROOMS),
]


def marked(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name}: [^\n]*-->\n)(.*?)(<!-- end -->)", re.DOTALL)


def write() -> None:
    for file, name, table in TABLES:
        path = ROOT / file
        before, after = marked(name).split(path.read_text("utf-8"))[0::4]
        mark = f"<!-- {name}: written by python -m tests.docs.tables -->\n"
        path.write_text(f"{before}{mark}{'\n'.join(table())}\n<!-- end -->{after}", "utf-8")


if __name__ == "__main__":
    write()
