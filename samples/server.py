"""The product on this machine: starts `python -m devhost run`, watches it, and stops it."""

import os
import random
import selectors
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
#: The local key of `local.settings.sample.json`; it has every role, and does not work on Azure.
KEY = "labelbridge-local"
# The emulator's account, published by Microsoft and the same everywhere.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
# Longer than `devhost run` waits for each of its parts, so that it is the one to say which did not start.
START_SECONDS = 200
STOP_SECONDS = 20
BLAME_SECONDS = 3
TAIL_LINES = 12


class ServerFailed(Exception):
    """The product did not start, or ended by itself; the message says why and what to do."""


class Server:
    """A running product: `url` of its API, and `connection_string` of its storage account.

    A port of 0 takes a free one.
    """

    def __init__(self, port: int, azurite_port: int, data_dir: Path) -> None:
        self._port = port
        self._azurite_port = azurite_port or free_ports(3)
        self._data_dir = data_dir
        self._log = data_dir / "demo.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def connection_string(self) -> str:
        endpoint = f"http://127.0.0.1:{self._azurite_port}/{ACCOUNT}"
        account = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
        return f"{account}BlobEndpoint={endpoint};"

    def __enter__(self) -> Self:
        self._data_dir.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "devhost", "run", "--app", str(ROOT), "--port", str(self._port)]
        command += ["--azurite-port", str(self._azurite_port), "--data-dir", str(self._data_dir)]
        command += ["--exclude", "labelbridge", "--exclude", "%TABLE_PREFIX%"]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        with self._log.open("ab") as log:
            self._from = log.tell()
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env={**os.environ, "PYTHONPATH": path},
            )  # fmt: skip
        try:
            self.url = self._ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def require_running(self) -> None:
        """Raises ServerFailed when the product ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise ServerFailed(
                f"Labelbridge ended by itself (exit status {self._process.returncode}). Its output:\n"
                f"{self._tail()}\nThe log is {self._log}."
            )

    def blame(self) -> None:
        """After a failed call: raises ServerFailed if the product is ending by itself."""
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(BLAME_SECONDS)
            self.require_running()

    def stop(self) -> None:
        """Ask the product to end, and wait: Azurite saves its data first."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            print(
                f"Labelbridge (process {process.pid}) is still saving its data; it ends by itself.",
                file=sys.stderr,
            )
        if process.stdout:
            process.stdout.close()

    def _ready(self) -> str:
        """The address in the line `ready http://...`."""
        process = self._process
        if process is None or process.stdout is None:
            raise ServerFailed("Labelbridge was not started.")
        deadline = time.monotonic() + START_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                if selector.select(timeout=0.5):
                    word, _, address = process.stdout.readline().decode().strip().partition(" ")
                    if word == "ready":
                        return address
                    process.wait(STOP_SECONDS)
                self.require_running()
        raise ServerFailed(
            f"Labelbridge did not answer within {START_SECONDS} s. Its output:\n{self._tail()}"
        )

    def _tail(self) -> str:
        with self._log.open("rb") as log:
            log.seek(self._from)
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-TAIL_LINES:]) or "  (nothing)"


def free_ports(count: int) -> int:
    """The first of `count` consecutive free ports."""
    while True:
        # Below the range of outgoing connections, whose ports are taken again quickly.
        first = random.randrange(20_000, 32_000)
        with suppress(OSError):
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return first
