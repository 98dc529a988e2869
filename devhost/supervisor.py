"""Azurite, the host and the events as one program: started in order, ended in order, whatever happens."""

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
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
# Together under 15 s: what `make` and a container runtime allow before they kill.
HOST_SECONDS, HOST_GRACE, AZURITE_SECONDS = 7.0, 2.0, 30.0


@dataclass(frozen=True, slots=True)
class SupervisorArguments:
    """The command line of `python -m devhost run`; ports of 0 are chosen."""

    app: Path
    port: int
    azurite_port: int
    azurite: Path | None
    data_dir: Path
    health: str
    verbose: bool
    events: EventOptions


def find_azurite(given: Path | None) -> str:
    """The program to start: what was given, the repository's node_modules, or what is on the path."""
    here = ROOT / "node_modules" / ".bin" / "azurite"
    found = str(given) if given else str(here) if here.exists() else shutil.which("azurite")
    if found is None or not os.access(found, os.X_OK):
        raise HostError(
            f"Azurite was not found{f' at {given}' if given else ''}: run npm install, or give --azurite"
        )
    return found


@contextlib.contextmanager
def locked(data_dir: Path) -> Generator[None]:
    """Only one supervisor at a time works on a data directory."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise HostError(f"{data_dir} is in use by another run (DATA_DIR)") from error
        yield


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
            uses = " (Azurite takes three ports from there)" if variable == "AZURITE_PORT" else ""
            raise HostError(f"port {number} is taken: set {variable} to a free one{uses}")


class Stopped(Exception):
    """A signal came before everything was up."""


type Test = Callable[[], Awaitable[bool]]


class Supervisor:
    """One run. `stopping` is set by SIGTERM and SIGINT."""

    def __init__(self, arguments: SupervisorArguments, stdout: int | None) -> None:
        self._arguments = arguments
        self._stdout = stdout
        self._forwarder: Forwarder | None = None
        self.stopping = asyncio.Event()

    async def run(self) -> int:
        """The exit status: 0 after a signal, 1 when a part ended by itself."""
        async with (
            self._azurite() as azurite,
            self._host() as (host, address),
            self._events(address) as events,
        ):
            parts: dict[asyncio.Task[object], str] = {
                asyncio.create_task(_ended(azurite)): "Azurite",
                asyncio.create_task(_ended(host)): "the host",
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
            how = part.exception() or part.result()
            log(f"devhost: {parts[part]} ended by itself ({how}); everything is stopped")
        return 1 if ended else 0

    @contextlib.asynccontextmanager
    async def _azurite(self) -> AsyncGenerator[asyncio.subprocess.Process]:
        port, folder = self._arguments.azurite_port, self._arguments.data_dir / "azurite"
        command = [find_azurite(self._arguments.azurite), "--location", str(folder)]
        command += ["--skipApiVersionCheck", "--disableTelemetry"]
        for offset, service in enumerate(("blob", "queue", "table")):
            command += [f"--{service}Host", "127.0.0.1", f"--{service}Port", str(port + offset)]
        process = await children.start(command, capture=True)
        reading = asyncio.create_task(self._read_access_log(process))
        try:
            await self._wait_for("Azurite", process, self._listens)
            yield process
        finally:
            # Never killed: it writes its data to disk when it is asked to end.
            if not await children.stop(process, AZURITE_SECONDS, kill=False):
                log("devhost: Azurite has not ended yet; it will when it has saved its data")
            reading.cancel()

    async def _listens(self) -> bool:
        for offset in range(3):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._arguments.azurite_port + offset)
                writer.close()
            except OSError:
                return False
        return True

    async def _read_access_log(self, azurite: asyncio.subprocess.Process) -> None:
        output = cast("asyncio.StreamReader", azurite.stdout)  # it was captured
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
    async def _host(self) -> AsyncGenerator[tuple[asyncio.subprocess.Process, str]]:
        arguments = self._arguments
        command = [sys.executable, "-m", "devhost", "host", "--app", str(arguments.app)]
        command += ["--port", str(arguments.port), "--azurite-port", str(arguments.azurite_port)]
        command += ["--stop-seconds", str(HOST_SECONDS), *(["--verbose"] if arguments.verbose else [])]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        process = await children.start(command, environment={**os.environ, "PYTHONPATH": path}, capture=True)
        try:
            yield process, await self._address(process)
        finally:
            if not await children.stop(process, HOST_SECONDS + HOST_GRACE, kill=True):
                log("devhost: the host did not end in time and was killed")

    async def _address(self, host: asyncio.subprocess.Process) -> str:
        output = cast("asyncio.StreamReader", host.stdout)  # it was captured
        line = asyncio.create_task(output.readline())
        stop = asyncio.create_task(self.stopping.wait())
        await asyncio.wait({line, stop}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if line.done() and (match := re.match(rb"ready (\S+)", line.result())):
            return match[1].decode()
        line.cancel()
        if self.stopping.is_set():
            raise Stopped
        raise HostError("the host did not start: see above")

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
                    announce(self._stdout, f"ready {address}")
                    return
                await asyncio.wait(ends, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                pause = min(1.0, 2 * pause)
        if not any(task.done() for task in ends):
            raise HostError(f"the app is not healthy: {self._arguments.health} answers {status}")

    async def _wait_for(self, name: str, process: asyncio.subprocess.Process, test: Test) -> None:
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while not await test():
            if self.stopping.is_set():
                raise Stopped
            if process.returncode is not None:
                raise HostError(f"{name} ended at once, exit status {process.returncode}")
            if asyncio.get_running_loop().time() > deadline:
                raise HostError(f"{name} did not start in {START_SECONDS:g} s")
            await asyncio.sleep(0.05)


async def _ended(process: asyncio.subprocess.Process) -> str:
    return f"exit status {await process.wait()}"


async def _supervise(arguments: SupervisorArguments, stdout: int | None) -> int:
    supervisor = Supervisor(arguments, stdout)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, supervisor.stopping.set)
    try:
        return await supervisor.run()
    except Stopped:
        return 0


def run_supervisor(arguments: SupervisorArguments) -> int:
    """Run until SIGTERM or SIGINT, or until a part ends by itself; the exit status."""
    stdout = take_stdout()
    try:
        with locked(arguments.data_dir):
            base = arguments.azurite_port or _free_triple()
            check_ports(arguments.port, base)
            events = replace(arguments.events, azurite_port=base, data_dir=arguments.data_dir)
            return asyncio.run(_supervise(replace(arguments, azurite_port=base, events=events), stdout))
    except HostError as error:
        log(f"devhost: {error}")
        return 1
