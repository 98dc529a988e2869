"""Processes and storage for the devhost's tests."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, ContainerClient
from azure.storage.queue import QueueClient, QueueServiceClient

from devhost.settings import azurite_connection

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = Path(__file__).parent / "apps" / "sample"
ROUTES = Path(__file__).parent / "apps" / "routes"
KEYS = {
    "master": "the-master-key",
    "function": "a-function-key",
    "eventgrid_extension": "the-eventgrid-key",
    "blobs_extension": "the-blobs-key",
}


def until[T](condition: Callable[[], T], seconds: float = 120.0) -> T:
    """Wait until a condition is true, and give its value."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {condition.__name__} gives {value!r}")
        pause.wait(0.02)
    return value


def azurite_program() -> str:
    local = ROOT / "node_modules" / ".bin" / "azurite"
    found = str(local) if local.exists() else os.environ.get("AZURITE_BIN") or shutil.which("azurite")
    assert found, "Azurite is missing: run `npm ci`, or name its program in AZURITE_BIN"
    return found


def free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first: int = probe.getsockname()[1]
        with suppress(OSError):
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return first


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


@dataclass
class Storage:
    """The emulator, seen from a test."""

    port: int

    @cached_property
    def blobs(self) -> BlobServiceClient:
        return BlobServiceClient.from_connection_string(azurite_connection(self.port))

    @cached_property
    def queues(self) -> QueueServiceClient:
        return QueueServiceClient.from_connection_string(azurite_connection(self.port))

    def close(self) -> None:
        self.blobs.close()
        self.queues.close()

    def container(self, name: str) -> ContainerClient:
        with suppress(ResourceExistsError):
            return self.blobs.create_container(name)
        return self.blobs.get_container_client(name)

    def queue(self, name: str) -> QueueClient:
        return self.queues.get_queue_client(name)

    def create(self, queue: str) -> None:
        """Create a queue when it is missing: the host creates none."""
        with suppress(ResourceExistsError):
            self.queue(queue).create_queue()

    def send(self, queue: str, *bodies: str) -> None:
        """Base64, as the host expects."""
        self.create(queue)
        for body in bodies:
            self.queue(queue).send_message(base64.b64encode(body.encode()).decode())

    def exists(self, queue: str) -> bool:
        try:
            self.queue(queue).get_queue_properties()
        except ResourceNotFoundError:
            return False
        return True

    def count(self, queue: str) -> int:
        """Messages of a queue, hidden ones as well."""
        return self.queue(queue).get_queue_properties().approximate_message_count or 0

    def visible(self, queue: str) -> list[str]:
        return [message.content for message in self.queue(queue).peek_messages(max_messages=32)]


@dataclass
class Program:
    """A `python -m devhost ...` process with its output in files."""

    arguments: list[str]
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self, stdout: int | None = None) -> "Program":
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "stdout").open("wb") as out, (self.folder / "stderr").open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "devhost", *self.arguments],
                stdout=out if stdout is None else stdout,
                stderr=err,
                cwd=ROOT,
                env={**os.environ, **self.environment},
            )
        return self

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    def end(self, seconds: float = 60.0) -> int:
        """The exit status, once it has ended."""
        return self.process.wait(seconds)

    def stop(self) -> int:
        """SIGTERM, then the exit status."""
        self.signal(signal.SIGTERM)
        try:
            return self.end()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def wait_ready(self) -> str:
        """The address in the ready line."""

        def ready() -> str:
            assert self.process.poll() is None, self.stderr
            return self.stdout

        line = until(ready, 60)
        assert line.startswith("ready http://127.0.0.1:"), line
        return line.split()[1]


class Host(Program):
    """A running host (alone or under the supervisor) with the traces of the sample app."""

    address = ""

    def start(self, stdout: int | None = None) -> "Host":
        super().start(stdout)
        self.address = self.wait_ready()
        return self

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def lines(self) -> list[dict[str, Any]]:
        """What the functions of the app traced, oldest first."""
        file = Path(self.environment["TRACE_FILE"])
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def traces(self, function: str, **values: Any) -> list[dict[str, Any]]:
        """What a function traced, oldest first; only lines that have all the values."""
        wanted = {"function": function, **values}
        return [line for line in self.lines() if all(line.get(key) == value for key, value in wanted.items())]

    def touch(self, name: str) -> None:
        """Make the file that a function waits for."""
        Path(self.environment["TRACE_FILE"]).with_name(name).touch()

    def request(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> "Answer":
        """One HTTP request, sent as it is written."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            return Answer.of(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        answer = self.request("GET", path)
        assert answer.status == 200, answer
        return json.loads(answer.body)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @classmethod
    def of(cls, response: HTTPResponse) -> "Answer":
        return cls(response.status, response.getheaders(), response.read())

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def sample_environment(folder: Path) -> dict[str, str]:
    """Names of its own for every host, so that hosts share an emulator without meeting."""
    return {
        "TRACE_FILE": str(folder / "trace"),
        "ORDERS_QUEUE": unique("orders"),
        "DOCUMENTS_CONTAINER": unique("docs"),
        "AzureFunctionsWebHost__hostid": unique("host"),
        "PYTHON_THREADPOOL_THREAD_COUNT": "16",
    }


@contextmanager
def running_host(
    storage: Storage,
    folder: Path,
    *options: str,
    app: Path = SAMPLE,
    keys: bool = True,
    settings: Mapping[str, str] | None = None,
    **environment: str,
) -> Iterator[Host]:
    """An app under `devhost host`, by default the sample with keys; ended by SIGTERM."""
    arguments = ["host", "--app", str(app), "--port", "0", "--azurite-port", str(storage.port), *options]
    folder.mkdir(parents=True, exist_ok=True)
    if keys:
        file = folder / "keys.json"
        file.write_text(json.dumps(KEYS))
        arguments += ["--enable-auth", str(file)]
    host = Host(arguments, folder, {**sample_environment(folder), **environment, **(settings or {})})
    try:
        yield host.start()
    finally:
        host.stop()
