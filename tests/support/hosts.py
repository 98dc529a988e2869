"""The app as a user runs it: the local host and the event forwarder, as processes on the session's Azurite.

    from tests.support.hosts import host

`host` is one for the whole session. A test that kills or configures one starts its own with `running_host`.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import pytest

from tests.support.azurite import QUIET, Azurite
from tests.support.engines import NAME
from tests.support.events import HOST_KEYS

ROOT = Path(__file__).parents[2]
KEY = "labelbridge-local"
#: Keys by name and their roles; the key of a name is the name itself.
LIMITED = {
    "reader": ["Labels.Read"],
    "reviewer": ["Labels.Review"],
    "writer": ["Projects.Write"],
    "stranger": ["Unknown.Role"],
}
DOCUMENTS = "documents"
_STOP_SECONDS = 60


@dataclass
class Host:
    """A running host: its address, its process, what it names its things in storage, and its log.

    While the file `hold` exists, the scripted engine waits with texts that say "@hold". The host answers as
    the file `answers` says: `[{"path": "/projects", "status": 503, "times": 1}]`, see devhost/answers.py.
    """

    url: str
    prefix: str
    process: subprocess.Popen[str]
    log: Path
    hold: Path
    answers: Path

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


def api_keys() -> str:
    """The setting API_KEYS with all keys of the tests."""
    keys = {KEY: ["*"], **LIMITED}
    return json.dumps(
        [
            {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), "roles": roles}
            for name, roles in keys.items()
        ]
    )


@contextmanager
def running_host(
    azurite: Azurite,
    prefix: str,
    folder: Path,
    settings: Mapping[str, str] | None = None,
    invisibility: int = 30,
) -> Iterator[Host]:
    """The host on a free port, ready to answer; ended by SIGTERM.

    Azurite may close a connection while it hands out messages; they come again after `invisibility` seconds, which
    are 600 in the real host.
    """
    environment = {
        **os.environ,
        "AzureWebJobsStorage": azurite.connection_string,
        "AzureFunctionsWebHost__hostid": prefix,
        "TABLE_PREFIX": prefix,
        "DOCUMENTS_CONTAINER": DOCUMENTS,
        "API_KEYS": api_keys(),
        "DEFAULT_ENGINE": NAME,
        "EXTRA_ENGINES": json.dumps({NAME: "tests.support.engines:ScriptedEngine"}),
        "TEST_HOLD_FILE": str(folder / "hold"),
        "TEST_LONGEST_PAUSE": "1",
        "COLLECT_WINDOW_SECONDS": "1",
        # What only a sweep brings on is a fault; each one reads every project that the tests have made so far.
        "SWEEP_SCHEDULE": "0 */10 * * * *",
        "AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:00.3",
        "AzureFunctionsJobHost__extensions__queues__visibilityTimeout": "00:00:00",
        **(settings or {}),
    }
    log = folder / f"{prefix}.log"
    keys = folder / "host-keys.json"
    keys.write_text(json.dumps(HOST_KEYS))
    command = [sys.executable, "-m", "devhost", "host", "--app", str(ROOT), "--port", "0", "--strict"]
    command += ["--enable-auth", str(keys), "--answers", str(folder / "answers.json")]
    command += ["--message-invisibility", str(invisibility)]
    with log.open("a") as errors, _process(command, environment, errors) as process:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("ready "), f"The host did not start: {log.read_text()}"
        yield Host(line.split()[1], prefix, process, log, folder / "hold", folder / "answers.json")


@contextmanager
def running_events(azurite: Azurite, host: Host, folder: Path) -> Iterator[None]:
    """The forwarder, which posts what happens in the containers of Azurite."""
    port = azurite.blob.rsplit(":", 1)[1].split("/")[0]
    command = [sys.executable, "-m", "devhost", "events", "--azurite-port", port, "--target", host.url]
    command += ["--data-dir", str(folder), "--key", HOST_KEYS["master"], "--interval", "0.3"]
    for prefix in (host.prefix, QUIET):
        command += ["--exclude", prefix]
    environment = {**os.environ, "DOCUMENTS_CONTAINER": DOCUMENTS}
    with (folder / "events.log").open("a") as errors, _process(command, environment, errors):
        yield


@contextmanager
def _process(
    command: list[str], environment: Mapping[str, str], errors: IO[str]
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


class _Shared:
    """A session fixture exists once for each conftest that imports it; the processes, once for all."""

    instance: Host | None = None

    @classmethod
    def stop(cls, stack: ExitStack) -> None:
        cls.instance = None
        stack.close()


@pytest.fixture(scope="session")
def host(azurite: Azurite, pytestconfig: pytest.Config) -> Host:
    """The session's host, with its forwarder."""
    if _Shared.instance is None:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="labelbridge-host-")))
            made = stack.enter_context(running_host(azurite, "labelbridge", folder))
            stack.enter_context(running_events(azurite, made, folder))
            _Shared.instance = made
            running = stack.pop_all()
        pytestconfig.add_cleanup(lambda: _Shared.stop(running))
    return _Shared.instance
