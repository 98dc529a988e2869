"""Checks the settings before `make run` starts anything, and reports all problems in one message, with exit code 2.

python -m scripts.check_settings [--port PORT] [--azurite-port PORT] [--data-dir DIR] [--machine]

Values of settings are never printed. `--machine` also checks Python, Node and npm, for `make doctor`.
"""

import argparse
import difflib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, cast

from shared.runtime.settings import Settings, read_settings

APP: Final = Path(__file__).parents[1]
FILE, SAMPLE = "local.settings.json", "local.settings.sample.json"
#: How similar to a setting an unknown name must be to count as a typo.
NEAR: Final = 0.85
#: Set by Azure alone; other variables of a container have similar names.
OF_PLATFORM: Final = {"CONTAINER_APP_NAME"}
SHORTEST_NAME: Final = 8
NODE: Final = (20, 19)


def main() -> int:
    parser = argparse.ArgumentParser(prog="check_settings")
    for name in ("--port", "--azurite-port", "--data-dir"):
        parser.add_argument(name)
    parser.add_argument("--machine", action="store_true")
    options = parser.parse_args()
    found = machine_problems() if options.machine else []
    found += local_problems(APP, os.environ)
    found += port_problems(options.port, options.azurite_port)
    found += data_dir_problems(options.data_dir)
    if found:
        lines = "\n".join(f"  - {problem}" for problem in found)
        print(f"Labelbridge cannot start; correct this and try again:\n{lines}", file=sys.stderr)
        return 2
    if options.machine:
        print("This machine and the settings are fine.")
    return 0


def local_problems(app: Path, environment: Mapping[str, str]) -> list[str]:
    """What is wrong with local.settings.json, or the sample where it does not exist, and the environment over it.

    Where the file cannot be read, that comes first, and the sample's values stand for its own.
    """
    found: list[str] = []
    sample = _values(app / SAMPLE) if (app / SAMPLE).exists() else {}
    try:
        values = local_values(app)
    except ValueError as error:
        found, values = [str(error)], sample
    known = {name.upper() for name in (*Settings.model_fields, *sample)} - OF_PLATFORM
    given = values | dict(environment)
    return [*found, *unknown_settings(values, environment, known), *read_settings(given)[1]]


def local_values(app: Path) -> dict[str, str]:
    """`Values` of local.settings.json, or of the sample where it does not exist. Raises ValueError with its name."""
    file = app / FILE if (app / FILE).exists() else app / SAMPLE
    try:
        return _values(file)
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from None


def _values(file: Path) -> dict[str, str]:
    """`Values` of a file of local settings. Raises ValueError."""
    try:
        data: Any = json.loads(file.read_text("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from None
    except UnicodeDecodeError:
        raise ValueError("it must be UTF-8 text; save it again in that encoding.") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}.") from None
    values: Any = cast("dict[str, Any]", data).get("Values", {}) if isinstance(data, dict) else None
    if not isinstance(values, dict):
        raise ValueError("it must be an object with an object 'Values'.")  # noqa: TRY004 - invalid input
    settings = cast("dict[str, Any]", values)
    wrong = [name for name, value in settings.items() if not isinstance(value, str)]
    if wrong:
        raise ValueError(f"the values must be strings: {', '.join(sorted(wrong))}.")
    return settings


def unknown_settings(
    values: Mapping[str, str], environment: Mapping[str, str], known: Iterable[str]
) -> list[str]:
    """Names similar to settings. In the environment, which has many other names, only long ones count."""
    ours = set(known)
    names = [*values, *(name for name in environment if len(name) >= SHORTEST_NAME)]
    return [
        f"Unknown setting {name}, did you mean {near[0]}?"
        for name in dict.fromkeys(names)
        if name.upper() not in ours and (near := difflib.get_close_matches(name.upper(), ours, 1, NEAR))
    ]


def port_problems(port: str | None, azurite_port: str | None) -> list[str]:
    """Azurite takes three ports from its own on; with 0, each port is one that is free."""
    most = {"PORT": 65_535, "AZURITE_PORT": 65_535 - 2}
    given = {"PORT": port, "AZURITE_PORT": azurite_port}
    numbers = {
        name: int(text) for name, text in given.items() if text and text.isdecimal() and text.isascii()
    }
    found = [
        f"{name} must be a number from 0 to {most[name]}."
        for name, text in given.items()
        if text is not None and not 0 <= numbers.get(name, -1) <= most[name]
    ]
    azurite = numbers.get("AZURITE_PORT")
    if not found and azurite and numbers.get("PORT") in range(azurite, azurite + 3):
        found.append(f"PORT must not be one of Azurite's ports ({azurite} to {azurite + 2}).")
    return found


def data_dir_problems(value: str | None) -> list[str]:
    if value is None:
        return []
    if not value.strip():
        return ["DATA_DIR must not be empty; it is the folder where the local storage keeps its data."]
    folder = Path(value).absolute()
    try:
        while not folder.exists():
            folder = folder.parent
    except OSError as error:  # a name that is too long, or a folder that cannot be entered
        return [f"DATA_DIR cannot be used: {error.strerror}."]
    if not folder.is_dir() or not _is_writable(folder):
        return [f"DATA_DIR cannot be used: {folder} is not a folder that you can write to."]
    return []


def _is_writable(folder: Path) -> bool:
    """Tested by writing: for root, permissions look sufficient even on a read-only file system."""
    try:
        with tempfile.TemporaryDirectory(dir=folder):
            return True
    except OSError:
        return False


def machine_problems() -> list[str]:
    found: list[str] = []
    if sys.version_info[:2] != (3, 13):
        found.append("Python 3.13 is required; run 'make clean install' after installing it.")
    node = shutil.which("node")
    text = (
        subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
        if node
        else ""
    )
    version = text.strip()
    parts = version.removeprefix("v").split(".")[:2]
    if not all(part.isdecimal() for part in parts) or tuple(map(int, parts)) < NODE:
        found.append(
            "Node.js 20.19 or later is needed for Azurite and the review page; found: "
            f"{version or 'none'}. https://nodejs.org/"
        )
    elif shutil.which("npm") is None:
        found.append("npm is not installed; it comes with Node.js (Debian: apt-get install npm).")
    return found


if __name__ == "__main__":
    sys.exit(main())
