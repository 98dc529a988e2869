"""The lines of the repository that contain an expression."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KINDS = {".py", ".md", ".ts", ".tsx", ".css", ".html", ".sh", ".toml", ".json", ".yml", ".yaml", ".bicep"}


@cache
def sources() -> tuple[tuple[str, str], ...]:
    """(name, text) of every text file of the clone that people write."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git clone: there is no list of the files that belong to it")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    written = [name for name in names if name and not name.endswith("package-lock.json")]
    paths = [(name, ROOT / name) for name in written if Path(name).suffix in KINDS or name == "Makefile"]
    return tuple((name, path.read_text("utf-8")) for name, path in paths if path.is_file())


def lines_with(pattern: re.Pattern[str], leave_out: set[str]) -> Iterator[tuple[str, str]]:
    """(file:line, what was found); `leave_out`: names of files."""
    for name, text in sources():
        if name in leave_out or not pattern.search(text):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for found in pattern.finditer(line):
                yield f"{name}:{number}", found.group()
