"""Azurite, the host and the events as one program, started and stopped in order."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import aiohttp

from devhost import children
from devhost.events import EventOptions, Forwarder, forwarder
from devhost.output import announce, log, take_stdout
from devhost.settings import HostError

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60.0
# Together under 15 s, the time that `make` and a container runtime allow before they kill.
HOST_SECONDS, HOST_GRACE, AZURITE_SECONDS = 7.0, 2.0, 30.0


@dataclass(frozen=True, slots=True)
class SupervisorArguments:
    """The options of `devhost run`; ports of 0 are chosen."""

    app: Path
    port: int
    azurite_port: int
    azurite: Path | None
    data_dir: Path
    health: str
    verbose: bool
    say: str
    events: EventOptions


def find_azurite(given: Path | None) -> str:
    """The program to start: what was given, the repository's node_modules, or what is on the path."""
    here = ROOT / "node_modules" / ".bin" / "azurite"
    found = str(given) if given else str(here) if here.exists() else shutil.which("azurite")
    if found is None or not os.access(found, os.X_OK):
        where = f" at {given}" if given else ""
        raise HostError(f"Azurite was not found{where}: run npm install, or give --azurite")
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_triple() -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 65_000 and all(_is_free(port + offset) for offset in range(3)):
            return port


def check_ports(port: int, azurite_port: int) -> None:
    """HostError that names the port and the variable when one is taken."""
    wanted = [(port, "PORT")] if port else []
    wanted += [(azurite_port + offset, "AZURITE_PORT") for offset in range(3)]
    for number, variable in wanted:
        if not _is_free(number):
            uses = " (Azurite uses three ports from there)" if variable == "AZURITE_PORT" else ""
            raise HostError(f"port {number} is taken: set {variable} to a free one{uses}")


class Stopped(Exception):
    """A signal came before everything was up."""


class Supervisor:
    """One run. `stopping` is set by SIGTERM and SIGINT."""

    def __init__(self, arguments: SupervisorArguments, stdout: int | None) -> None:
        self._arguments = arguments
        self._stdout = stdout
        self._forwarder: Forwarder | None = None
        self.stopping = asyncio.Event()

    async def run(self) -> int:
        """The exit status: 0 after a signal, 1 when a part ended unexpectedly."""
        async with (
            self._azurite() as azurite,
            self._host() as (host, address),
            self._events(address) as events,
        ):
            parts: dict[asyncio.Task[object], str] = {
                asyncio.create_task(azurite.wait()): "Azurite",
                asyncio.create_task(host.wait()): "the host",
                events: "the event forwarder",
            }
            signalled = asyncio.create_task(self.stopping.wait())
            try:
                await self._announce(address, {*parts, signalled})
                await asyncio.wait({*parts, signalled}, return_when=asyncio.FIRST_COMPLETED)
                ended = [part for part in parts if part.done() and not signalled.done()]
            finally:
                for task in (*parts, signalled):
                    task.cancel()
        for part in ended:
            how = part.exception() or f"exit status {part.result()}"
            log(f"devhost: {parts[part]} ended unexpectedly ({how}); everything is stopped")
        return 1 if ended else 0

    @contextlib.asynccontextmanager
    async def _azurite(self) -> AsyncGenerator[Process]:
        port, folder = self._arguments.azurite_port, self._arguments.data_dir / "azurite"
        command = [find_azurite(self._arguments.azurite), "--location", str(folder)]
        command += ["--skipApiVersionCheck", "--disableTelemetry"]
        for offset, service in enumerate(("blob", "queue", "table")):
            command += [f"--{service}Host", "127.0.0.1", f"--{service}Port", str(port + offset)]
        process, reading = await children.start(command), None
        try:
            await self._printed("Azurite", process, rb"successfully listening", 3)
            reading = asyncio.create_task(self._read_access_log(process))
            yield process
        finally:
            # Never killed: it writes its data to disk on SIGTERM.
            if not await children.stop(process, AZURITE_SECONDS, kill=False):
                log("devhost: Azurite is still running; it stops after saving its data")
            if reading is not None:
                reading.cancel()

    async def _read_access_log(self, azurite: Process) -> None:
        output = cast("asyncio.StreamReader", azurite.stdout)
        while True:
            try:
                line = await output.readline()
            except ValueError:  # longer than any line that matters
                continue
            if not line:
                return
            if self._forwarder is not None:
                self._forwarder.hint(line.decode(errors="replace"))

    @contextlib.asynccontextmanager
    async def _host(self) -> AsyncGenerator[tuple[Process, str]]:
        arguments = self._arguments
        command = [sys.executable, "-m", "devhost", "host", "--app", str(arguments.app)]
        command += ["--port", str(arguments.port), "--azurite-port", str(arguments.azurite_port)]
        command += ["--strict", "--stop-seconds", str(HOST_SECONDS)]
        command += ["--verbose"] if arguments.verbose else []
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        process = await children.start(command, {**os.environ, "PYTHONPATH": path})
        try:
            [address] = await self._printed("the host", process, rb"ready (\S+)", 1)
            yield process, address.decode()
        finally:
            if not await children.stop(process, HOST_SECONDS + HOST_GRACE, kill=True):
                log("devhost: the host did not end in time and was killed")

    async def _printed(self, name: str, process: Process, pattern: bytes, count: int) -> list[bytes]:
        """The lines by which a program reports that it is ready: matches of a pattern in its output."""
        output, found = cast("asyncio.StreamReader", process.stdout), list[bytes]()

        async def read() -> None:
            while len(found) < count and (line := await output.readline()):
                found.extend(re.findall(pattern, line))

        reading, stop = asyncio.create_task(read()), asyncio.create_task(self.stopping.wait())
        await asyncio.wait({reading, stop}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in (reading, stop):
            task.cancel()
        if len(found) < count:
            raise Stopped if self.stopping.is_set() else HostError(f"{name} did not start; see above")
        return found

    @contextlib.asynccontextmanager
    async def _events(self, address: str) -> AsyncGenerator[asyncio.Task[None]]:
        delivery = replace(self._arguments.events.delivery, target=address)
        async with forwarder(replace(self._arguments.events, delivery=delivery)) as made:
            self._forwarder = made
            task = asyncio.create_task(made.run(follow=True))
            try:
                yield task
            finally:
                self._forwarder = None
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _announce(self, address: str, ends: set[asyncio.Task[object]]) -> None:
        """The ready line, when the app says it is healthy, or when it has no such route."""
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        status, pause = None, 0.05
        async with aiohttp.ClientSession() as session:
            while asyncio.get_running_loop().time() < deadline and not any(task.done() for task in ends):
                try:
                    async with session.get(f"{address}{self._arguments.health}") as answer:
                        status = answer.status
                except aiohttp.ClientError as error:
                    status = type(error).__name__
                if status in {200, 404}:
                    announce(
                        self._stdout, f"ready {address}", self._arguments.say.replace("{address}", address)
                    )
                    return
                await asyncio.wait(ends, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                pause = min(1.0, 2 * pause)
        if not any(task.done() for task in ends):
            raise HostError(f"the app is not healthy: {self._arguments.health} answers {status}")


async def _supervise(arguments: SupervisorArguments, stdout: int | None) -> int:
    supervisor = Supervisor(arguments, stdout)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, supervisor.stopping.set)
    with contextlib.suppress(Stopped):
        return await supervisor.run()
    return 0


def run_supervisor(arguments: SupervisorArguments) -> int:
    """Run until SIGTERM or SIGINT, or until a part ends unexpectedly; the exit status. HostError on failure."""
    stdout = take_stdout()
    # Until this process ends.
    children.lock_file(
        arguments.data_dir / ".lock", f"{arguments.data_dir} is in use by another run (DATA_DIR)"
    )
    base = arguments.azurite_port or _free_triple()
    check_ports(arguments.port, base)
    events = replace(arguments.events, azurite_port=base)
    return asyncio.run(_supervise(replace(arguments, azurite_port=base, events=events), stdout))
