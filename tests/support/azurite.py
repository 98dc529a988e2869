"""Azurite for tests: one process a test session, on free ports, in memory, ended by SIGTERM.

A suite takes the fixture into its `conftest.py`:

    from tests.support.azurite import azurite

    __all__ = ["azurite"]

However many suites do so, they share one process. Programs use `with running_azurite() as azurite:`.
"""

import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from shared.storage.gateways.clients import Account, StorageNames
from tests.support.storage.counting import CountingClients

_BINARY = Path(__file__).parents[2] / "node_modules" / ".bin" / "azurite"
_ACCOUNT = "devstoreaccount1"
# The emulator's published key, the same on every machine.
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_SERVICES = ("Blob", "Queue", "Table")
_STOP_SECONDS = 60
#: Containers with this prefix make no events: their tests post their own, or none. The forwarder lists each of the
#: others again and again.
QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Azurite:
    """A running Azurite: its endpoints (with the account's name, no slash at the end) and its process id."""

    blob: str
    queue: str
    table: str
    pid: int

    @property
    def connection_string(self) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};"
            f"BlobEndpoint={self.blob};QueueEndpoint={self.queue};TableEndpoint={self.table};"
        )

    @property
    def account(self) -> Account:
        return Account.from_connection_string(self.connection_string)

    @asynccontextmanager
    async def storage(self, prefix: str = "", *, rest: bool = True) -> AsyncIterator[CountingClients]:
        """Gateways for one test; without a prefix a fresh one, so that tests never meet."""
        names = StorageNames(prefix or f"{QUIET}{uuid4().hex[:16]}")
        clients = CountingClients(self.account, names=names, rest=rest)
        try:
            yield clients
        finally:
            await clients.close()


@contextmanager
def running_azurite(folder: Path | None = None) -> Iterator[Azurite]:
    """Start Azurite, wait until it listens, and end it by SIGTERM, so that it saves its state in `folder`.

    Without one it keeps its state in memory: to a file it writes all of it again every few seconds.
    """
    with ExitStack() as stack:
        process = subprocess.Popen(
            _command(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        stack.callback(_stop, process)
        yield _listening(process)


@pytest.fixture(scope="session")
def azurite(pytestconfig: pytest.Config) -> Azurite:
    """The session's Azurite, started on first use."""
    if _Shared.instance is None:
        running = running_azurite()
        _Shared.instance = running.__enter__()
        pytestconfig.add_cleanup(lambda: _Shared.stop(running))
    return _Shared.instance


class _Shared:
    """A session fixture exists once for each conftest that imports it; the process, once for all."""

    instance: Azurite | None = None

    @classmethod
    def stop(cls, running) -> None:
        cls.instance = None
        running.__exit__(None, None, None)


def _command(folder: Path | None) -> list[str]:
    binary = _BINARY if _BINARY.exists() else os.environ.get("AZURITE_BIN")
    if not binary:
        raise RuntimeError("Azurite is missing: run `npm ci`, or name its program in AZURITE_BIN.")
    ports = [f"--{service.lower()}Port=0" for service in _SERVICES]  # 0: the system chooses a free one
    quiet = ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    place = ["--inMemoryPersistence"] if folder is None else ["--location", str(folder)]
    return [str(binary), *place, *ports, *quiet]


def _listening(process: subprocess.Popen[str]) -> Azurite:
    """Read what Azurite prints at the start, and no more after: a line for each service with its address."""
    assert process.stdout
    found: dict[str, str] = {}
    printed = ""
    for line in process.stdout:
        printed += line
        if match := re.search(r"Azurite (\w+) service is successfully listening at (\S+)", line):
            found[match[1]] = f"{match[2]}/{_ACCOUNT}"
        if len(found) == len(_SERVICES):
            return Azurite(*(found[service] for service in _SERVICES), pid=process.pid)
    raise RuntimeError(f"Azurite ended before it listened: {printed}")


def _stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
