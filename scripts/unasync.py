"""Makes the synchronous client from the asynchronous one: `python -m scripts.unasync` writes it.

Both are ordinary, typed source. `tests/cli/test_client_openapi.py` compares the file with what this makes.
"""

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "labelbridge" / "client"
#: The asynchronous files, and what is made from each.
FILES = {
    FOLDER / "aio.py": FOLDER / "sync.py",
    FOLDER / "project_aio.py": FOLDER / "project_sync.py",
    FOLDER / "team_aio.py": FOLDER / "team_sync.py",
}
_DOCSTRING = (
    '''"""The synchronous client, made from `{}` by `python -m scripts.unasync`; do not change it."""'''
)
_WORDS = {
    r"\bclient\.aio\b": "client.sync",
    r"\b(project|team)_aio\b": r"\1_sync",
    r"^import asyncio\n": "",
    r"  # noqa: ASYNC109 - [^\n]+": "",
    r"\basync (def|with|for) ": r"\1 ",
    r"\bawait asyncio\.sleep\b": "time.sleep",
    r"\(await ([\w.]+\([^()]*(?:\([^()]*\)[^()]*)*\))\)(?=[.\[])": r"\1",
    r"`await ": "`",
    r"\bawait ": "",
    r"\bhttpx\.AsyncBaseTransport\b": "httpx.BaseTransport",
    r"\bhttpx\.AsyncClient\b": "httpx.Client",
    r"\bAsyncIterator\b": "Iterator",
    r"\b__aenter__\b": "__enter__",
    r"\b__aexit__\b": "__exit__",
    r"\baclose\b": "close",
    r"\bAsync(Client|ProjectClient|TeamOperations|Job|Credential)\b": r"\1",
    r"^from collections\.abc import .*$": "from collections.abc import Callable, Iterator, Mapping, Sequence",
}


def synchronous(file: Path) -> str:
    """The text of the synchronous client made from a file of the asynchronous one, formatted."""
    source = file.read_text("utf-8")
    for pattern, replacement in _WORDS.items():
        source = re.sub(pattern, replacement, source, flags=re.MULTILINE)
    docstring = _DOCSTRING.format(file.name)
    source = re.sub(r'\A""".*?"""', lambda _: docstring, source, count=1, flags=re.DOTALL)
    commands = (["format"], ["check", "--select=I,F401", "--fix-only", "--quiet"])
    for command in commands:
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(FILES[file]), "-"]
        source = subprocess.run(ruff, input=source, capture_output=True, text=True, check=True).stdout
    return source


if __name__ == "__main__":
    for _source, _target in FILES.items():
        _target.write_text(synchronous(_source), "utf-8")
