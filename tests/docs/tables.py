"""The tables of the documentation that follow from the code.

python -m tests.docs.tables     writes them, between their marks in docs/
"""

import json
import os
import pkgutil
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from functions.call import PROJECTS
from functions.http import OPERATIONS
from labelbridge.cli.main import app as command_line
from shared.runtime.auth import Access, Role

ROOT = Path(__file__).parents[2]
for _module in pkgutil.iter_modules([str(ROOT / "functions")]):
    if _module.name != "background":  # its bindings need the settings, and it has no operations
        import_module(f"functions.{_module.name}")  # they declare the operations
ACCESS = {Access.ANONYMOUS: "anyone", Access.SIGNED_IN: "any caller"}


def roles() -> list[str]:
    """One row a role with the operations that need it; reading is one row for all."""
    needed: dict[Role, list[str]] = defaultdict(list)
    for operation in OPERATIONS:
        if isinstance(operation.role, Role):
            needed[operation.role].append(f"`{operation.id}`")
    lines = ["| role | operations that need it |", "|---|---|"]
    for role in Role:
        what = "everything that only reads" if role is Role.READ else ", ".join(sorted(needed[role]))
        what = what or "none yet"
        lines.append(f"| `{role}` | {what} |")
    return lines


def operations() -> list[str]:
    """One row an operation, by module; `P` stands for the path of a project."""
    lines = ["| operation | method and path | role | what it does |", "|---|---|---|---|"]
    for operation in sorted(OPERATIONS, key=lambda operation: operation.handler.__module__):
        if "{*rest}" in operation.path:
            continue
        role = ACCESS[operation.role] if isinstance(operation.role, Access) else f"`{operation.role}`"
        path = operation.path.replace(f"{PROJECTS}/{{projectName}}", "P").replace(PROJECTS, "projects")
        lines.append(f"| `{operation.id}` | `{operation.method} {path}` | {role} | {operation.summary} |")
    return lines


def commands() -> list[str]:
    """One row a command of the command line, with the first sentence of its help."""
    lines = ["| command | what it does |", "|---|---|"]
    root: Any = typer.main.get_command(command_line)
    for name, command in root.commands.items():
        for full, leaf in sorted(_leaves(name, command)):
            given = [p for p in leaf.params if p.param_type_name == "argument"]
            names = [p.name.upper().replace("_", "-") for p in given]
            arguments = [n if p.required else f"[{n}]" for n, p in zip(names, given, strict=True)]
            text = " ".join((leaf.help or "").split("\n\n")[0].split())
            lines.append(f"| `labelbridge {' '.join([full, *arguments])}` | {text} |")
    return lines


def _leaves(name: str, command: Any) -> list[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        return [(name, command)]
    return [(f"{name} {short}", subcommand) for short, subcommand in inner.items()]


#: Prints name, bindings and first line of the docstring of each function. An app can be indexed once in a process.
INDEX = """
import json, function_app
rows = []
for function in function_app.app.get_functions():
    bindings = [binding.get_dict_repr() for binding in function.get_bindings()]
    rows.append([function.get_function_name(), bindings[0], function.get_user_function().__doc__ or ""])
print(json.dumps(rows, default=str))
"""
INDEXED = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "AUTH_MODE": "local",
    "EVENTS_TOPIC_ENDPOINT": "https://topic.example.com/api/events",
}


def functions() -> list[str]:
    """One row a function, those without HTTP first."""
    done = subprocess.run(
        [sys.executable, "-c", INDEX],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **INDEXED},
        capture_output=True,
        text=True,
        check=True,
    )
    operations = {operation.id: operation for operation in OPERATIONS}
    background: list[str] = []
    http: list[str] = []
    for name, trigger, text in json.loads(done.stdout.splitlines()[-1]):
        kind = trigger["type"].removesuffix("Trigger")
        if kind == "http":
            declared = operations[name]
            role = ACCESS[declared.role] if isinstance(declared.role, Access) else f"`{declared.role}`"
            http.append(
                f"| `{name}` | HTTP | `{declared.method} /{declared.path.removeprefix('/')}` | {role} |"
            )
        else:
            what = trigger.get("queueName") or trigger.get("path") or trigger.get("schedule")
            where = f"`{what}`" if what else "events of the storage account"
            background.append(
                f"| `{name}` | {TRIGGERS[kind]} | {where} | {text.partition(chr(10))[0].rstrip('.')} |"
            )
    first = [
        "| function | trigger | queue, path or schedule | what it does |",
        "|---|---|---|---|",
        *sorted(background),
    ]
    return [*first, "", "| function | trigger | route | role |", "|---|---|---|---|", *sorted(http)]


TRIGGERS = {"queue": "queue", "timer": "timer", "blob": "blob, by Event Grid", "eventGrid": "Event Grid"}

TABLES: list[tuple[str, str, Callable[[], list[str]]]] = [
    ("docs/reference/roles.md", "roles", roles),
    ("docs/reference/operations.md", "operations", operations),
    ("docs/reference/functions.md", "functions", functions),
    ("docs/cli.md", "commands", commands),
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
