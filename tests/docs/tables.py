"""The tables of the documentation that follow from the code.

    python -m tests.docs.tables     writes them, between the marks in README.md and docs/operations.md
"""

import re
from collections import defaultdict
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


TABLES = {"README.md": ("roles", roles), "docs/operations.md": ("operations", operations)}


def marked(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name}: [^\n]*-->\n)(.*?)(<!-- end -->)", re.DOTALL)


def write() -> None:
    for file, (name, table) in TABLES.items():
        path = ROOT / file
        lines = "\n".join(table()) + "\n"
        text = marked(name).sub(lambda found: found[1] + lines + found[3], path.read_text("utf-8"))  # noqa: B023
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    write()
