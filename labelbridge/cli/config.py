"""The settings file of the command line, with address and key; only its owner can read it.

Environment variables override it: LABELBRIDGE_URL, LABELBRIDGE_KEY, LABELBRIDGE_TOKEN, LABELBRIDGE_STORAGE,
LABELBRIDGE_PROJECT; LABELBRIDGE_CONFIG names another file.
"""

import json
import os
import tempfile
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import cast

import typer

from labelbridge.cli.output import CREDENTIALS, Stop

PREFIX = "LABELBRIDGE_"


class NotSignedIn(Stop):
    """No address and no key are known."""

    status = CREDENTIALS


@dataclass(frozen=True, slots=True)
class Config:
    """The contents of the file. `key` or `scope` determines how to sign in; `token` comes from the environment only.

    `storage` is a connection string or the URL of the storage account, for uploads.
    """

    url: str = ""
    key: str = ""
    scope: str = ""
    storage: str = ""
    project: str = ""
    token: str = ""


def path() -> Path:
    """The file: in the platform's folder for settings, unless LABELBRIDGE_CONFIG names another."""
    given = os.environ.get(f"{PREFIX}CONFIG")
    return Path(given) if given else Path(typer.get_app_dir("labelbridge")) / "config.json"


def stored() -> Config:
    """The settings in the file; empty ones without a file. Raises Stop."""
    file = path()
    try:
        values = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return Config()
    except (OSError, ValueError) as error:
        raise Stop(
            f"The settings in {file} cannot be read ({error}). Delete the file and sign in again."
        ) from error
    known = {field.name for field in fields(Config)} - {"token"}
    found = cast("dict[str, object]", values) if isinstance(values, dict) else {"": 0}
    if not all(isinstance(value, str) for value in found.values()):
        raise Stop(f"{file} is not a file of settings. Delete it and sign in again.")
    return Config(**{name: str(value) for name, value in found.items() if name in known})


def load() -> Config:
    """The settings of file and environment. A stored key is used for the stored address only."""
    return replace(from_file(), **_environment())


def _environment() -> dict[str, str]:
    """The settings in the environment."""
    names = [field.name for field in fields(Config)]
    return {name: value for name in names if (value := os.environ.get(f"{PREFIX}{name.upper()}"))}


def from_file() -> Config:
    """The settings in the file that the environment does not override. Raises Stop."""
    config, given = stored(), _environment()
    if ("url" in given and given["url"].rstrip("/") != config.url) or "key" in given or "token" in given:
        config = replace(config, key="", scope="")
    return replace(config, **dict.fromkeys(given, ""))


def save(config: Config) -> Path:
    """Write the file, readable by its owner only, and return its path. Raises Stop."""
    file = path()
    values = {name: value for name, value in asdict(config).items() if value and name != "token"}
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A new file with a random name: an existing one could belong to someone else, or be a link.
        number, part = tempfile.mkstemp(dir=file.parent, prefix=f"{file.name}.")
        try:
            with open(number, "w", encoding="utf-8") as out:
                json.dump(values, out, indent=2)
                out.write("\n")
            Path(part).replace(file)
        except BaseException:  # it has the key
            Path(part).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Stop(f"The settings cannot be written to {file}: {error.strerror}.") from error
    return file


def delete() -> bool:
    """Delete the file and return whether there was one. Raises Stop."""
    file = path()
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Stop(f"{file} cannot be deleted: {error.strerror}.") from error
    return True


def exposed() -> bool:
    """Whether people other than the owner may read or change the file."""
    try:
        return os.name == "posix" and bool(path().stat().st_mode & 0o077)
    except OSError:
        return False


def signed_in() -> Config:
    """The settings, with an address. Raises NotSignedIn."""
    config = load()
    if not config.url:
        raise NotSignedIn(
            "You are not signed in. Run 'labelbridge login URL', or set LABELBRIDGE_URL and LABELBRIDGE_KEY."
        )
    return config
