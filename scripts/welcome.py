"""Prints the message of `make run` when the app is ready: addresses, the key, and what to try next.

python -m scripts.welcome

`{address}` is replaced by the host with its address.
"""

import hashlib
import os
from collections.abc import Mapping
from typing import Final

from scripts.check_settings import APP, local_values
from shared.runtime.settings import Settings, read_settings

#: The local key of `local.settings.sample.json`; it does not work on Azure.
KEY: Final = "labelbridge-local"
PROJECTS: Final = "{address}/language/authoring/analyze-text/projects?api-version=2023-04-15-preview"


def welcome(values: Mapping[str, str]) -> str:
    """The text for these settings. The key is in it only where the app is local and accepts it."""
    settings, _ = read_settings(values)
    if settings.auth_mode != "local":
        return _lines(
            ("Review page", "{address}/studio/", "sign in with your work account"),
            ("OpenAPI", "{address}/language/openapi.json", "with a token"),
        )
    if not _accepts(settings, KEY):
        return _lines(
            ("Review page", "{address}/studio/", "sign in with a key of API_KEYS"),
            ("OpenAPI", "{address}/language/openapi.json", "with a key"),
        )
    places = _lines(
        ("Review page", "{address}/studio/#key=" + KEY, "opens signed in"),
        ("Local key", KEY, "every role, on this machine only"),
        ("OpenAPI", "{address}/language/openapi.json", "with the key, as below"),
    )
    # The local storage by its short name, where Azurite has the ports that the name means.
    storage = " --storage UseDevelopmentStorage=true" if values.get("AZURITE_PORT") == "10000" else ""
    return f"""{places}
Try next, in another terminal:
  make demo PORT=0 AZURITE_PORT=0 DATA_DIR=.data/demo
  curl -H 'Ocp-Apim-Subscription-Key: {KEY}' '{PROJECTS}'
  .venv/bin/python -m labelbridge login {{address}} --key {KEY}{storage}
Your own documents in five minutes: docs/quickstart.md. Ctrl-C stops it; the data stays.
"""


def _lines(*rows: tuple[str, str, str]) -> str:
    return "".join(f"  {name:<12} {value}  ({remark})\n" for name, value, remark in rows)


def _accepts(settings: Settings, key: str) -> bool:
    digest = hashlib.sha256(key.encode()).hexdigest()
    return any(known.sha256 == digest for known in settings.api_keys)


def main() -> None:
    """Print the text for the local settings and the environment."""
    print(welcome(local_values(APP) | dict(os.environ)), end="")


if __name__ == "__main__":
    main()
