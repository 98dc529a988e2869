"""The product as a user runs it, on free ports and with its own data folder, for one measurement."""

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from bench.processes import children, command_line
from devhost.children import WRAPPER

ROOT = Path(__file__).parent.parent
KEY = "labelbridge-local"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
#: Containers whose blobs cause no events: with the prefix `bench-`, a measurement posts its own.
QUIET = ("bench-", "labelbridge")
SETTINGS = {
    "DEFAULT_ENGINE": "instant",
    "EXTRA_ENGINES": '{"instant": "bench.instant_engine:InstantEngine"}',
    "COLLECT_WINDOW_SECONDS": "1",
    "RECONCILE_SCHEDULE": "0 0 0 1 1 *",
}

#: For NODE_OPTIONS: Azurite finds blobs and rows by their names first.
BY_KEY = f"--require={ROOT / 'bench' / 'azurite-by-key.cjs'}"

#: Seconds that a start may take on a busy machine.
START_SECONDS = 300
#: Seconds that a stop may take: Azurite stores its data first.
STOP_SECONDS = 120

#: The defaults on Azure; the sample settings are more frequent, for a developer's machine.
SCHEDULES_ON_AZURE = {
    "SWEEP_SCHEDULE": "0 * * * * *",
    "RECONCILE_SCHEDULE": "0 0 * * * *",
    "SYNC_SCHEDULE": "0 */15 * * * *",
}


def end_on_sigterm() -> None:
    """SIGTERM ends this program like Ctrl+C: the processes that it started end first."""

    def end(number: int, _: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)


def bound(*command: str) -> list[str]:
    """A command that gets SIGTERM when this process has ended for any reason."""
    return [sys.executable, "-S", "-E", "-c", WRAPPER, str(os.getpid()), *command]


@dataclass(frozen=True, slots=True)
class Server:
    """A running product: the base of its API, its storage account, the process ids of the host and of Azurite."""

    base: str
    connection_string: str
    host: int
    azurite: int


def _free_port(count: int = 1) -> int:
    """The first of `count` ports in a row that are free now; chosen at random, because another run may start at the
    same time.
    """
    for port in random.sample(range(21_000, 32_000, 10), 1_100):
        sockets = [socket.socket() for _ in range(count)]
        try:
            for offset, listener in enumerate(sockets):
                listener.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        else:
            return port
        finally:
            for listener in sockets:
                listener.close()
    raise RuntimeError("There are no free ports between 21,000 and 32,000.")


def connection_string(first_port: int) -> str:
    """Azurite's well-known account on three ports from the first one on."""
    endpoints = "".join(
        f"{service}Endpoint=http://127.0.0.1:{first_port + offset}/devstoreaccount1;"
        for offset, service in enumerate(("Blob", "Queue", "Table"))
    )
    return f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={ACCOUNT_KEY};{endpoints}"


@contextmanager
def serve(data_dir: Path | None = None, **environment: str) -> Iterator[Server]:
    """Start everything, wait until it answers, and stop it by SIGTERM at the end. The data stays in `data_dir`."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = str(data_dir or temporary)
        azurite, port = _free_port(3), _free_port()
        port = port if port > azurite + 2 or port < azurite else azurite + 5
        command = bound(
            *(sys.executable, "-m", "devhost", "run", "--app", str(ROOT), "--port", str(port)),
            *("--azurite-port", str(azurite), "--data-dir", folder),
            *(argument for prefix in QUIET for argument in ("--exclude", prefix)),
        )
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | SETTINGS | environment, stdout=subprocess.PIPE, text=True
        )
        try:
            _await_ready(process)
            ids = {name: _child(process.pid, name) for name in ("devhost host", "azurite")}
            yield Server(
                f"http://127.0.0.1:{port}", connection_string(azurite), ids["devhost host"], ids["azurite"]
            )
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_SECONDS)


def _await_ready(process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + START_SECONDS
    assert process.stdout is not None
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        if line.startswith("ready "):
            return
        if not line:
            break
    raise RuntimeError("The product did not start; its messages are above.")


def _child(pid: int, program: str) -> int:
    """The child process that runs this program."""
    return next(child for child in children(pid) if program in command_line(child))


@contextmanager
def logged_storage(folder: Path) -> Iterator[tuple[str, Path]]:
    """Azurite: its connection string, and its log, which grows with every storage call."""
    azurite, log = _free_port(3), folder / "azurite.log"
    ports = zip(("blob", "queue", "table"), range(azurite, azurite + 3), strict=True)
    options = [f"--{service}Port={number}" for service, number in ports]
    program = str(ROOT / "node_modules/.bin/azurite")
    command = bound(
        program, "--skipApiVersionCheck", "--disableTelemetry", "--location", str(folder), *options
    )
    with ExitStack() as stack:
        output = stack.enter_context(log.open("w"))
        storage = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        stack.callback(_stop, storage)
        _await_text(log, "Table service is successfully listening")
        yield connection_string(azurite), log


@contextmanager
def host_on(storage: str, **environment: str) -> Iterator[Server]:
    """Only the host, without events, on a storage account; it has the schedules of Azure."""
    settings = SETTINGS | {"AzureWebJobsStorage": storage} | SCHEDULES_ON_AZURE | environment
    port = _free_port()
    command = bound(sys.executable, "-m", "devhost", "host", "--app", str(ROOT), "--port", str(port))
    host = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stdout=subprocess.PIPE, text=True)
    try:
        _await_ready(host)
        yield Server(f"http://127.0.0.1:{port}", storage, host.pid, azurite=0)
    finally:
        _stop(host)


def _stop(process: subprocess.Popen[Any]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(STOP_SECONDS)


def _await_text(file: Path, text: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while text not in file.read_text():
        if time.monotonic() > deadline:
            raise RuntimeError(f"'{text}' did not appear: {file.read_text()}")
        time.sleep(0.1)
