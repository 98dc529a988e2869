"""The host: loads the app, listens, and stops in good order."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from azure.core.exceptions import AzureError

from devhost.bindings import Outputs, Storage, send
from devhost.blobs import POISON_QUEUE, blob_deliver, blob_handler
from devhost.eventgrid import event_grid_deliver, webhook
from devhost.http import HttpApp, Keys
from devhost.output import announce, log, take_stdout
from devhost.queues import Invisibility, QueueListener, queue_handler
from devhost.settings import (
    HostError,
    HostOptions,
    QueueOptions,
    host_id,
    load_environment,
    read_host_options,
)
from devhost.timers import TimerListener
from devhost.worker import Function, Worker


@dataclass(frozen=True, slots=True)
class HostArguments:
    """The command line of `devhost host`; `stop_seconds` bounds the wait for running invocations."""

    app: Path
    port: int
    azurite_port: int | None
    keys: Keys | None
    stop_seconds: float
    message_invisibility: int
    verbose: bool


class Host:
    """One app with its listeners."""

    def __init__(self, arguments: HostArguments, options: HostOptions, worker: Worker) -> None:
        self._arguments = arguments
        self._options = options
        self._worker = worker
        self._storage = Storage()
        self._hidden = Invisibility(arguments.message_invisibility)
        self._queues: list[QueueListener] = []
        self._timers: list[TimerListener] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.broken = False

    def build(self, functions: list[Function]) -> HttpApp:
        """Make the listeners and the HTTP application; nothing runs yet."""
        by_trigger: dict[str, list[Function]] = {}
        for function in functions:
            by_trigger.setdefault(function.trigger["type"], []).append(function)
        app = HttpApp(self._worker, functions, self._options.route_prefix, self._options.max_body)
        app.keys = self._arguments.keys
        for hidden, hiding in app.router.shadowed():
            log(
                f"route {hidden.template} of {hidden.function} is hidden by {hiding.template} of"
                f" {hiding.function}: the host tries functions in the order of their names"
            )
        self._worker.write_outputs = Outputs(
            self._storage, self._options.queues.base64_messages, self._wake
        ).write
        for function in by_trigger.get("queueTrigger", []):
            self._queues.append(self._queue_listener(function))
        for function in by_trigger.get("timerTrigger", []):
            blobs, name = self._storage.blobs(), host_id(self._arguments.app)
            self._timers.append(TimerListener(self._worker, function, blobs, name, self._options))
        app.webhooks["eventgrid"] = webhook(
            event_grid_deliver(self._worker, by_trigger.get("eventGridTrigger", []))
        )
        self._add_blob_triggers(app, by_trigger.get("blobTrigger", []))
        return app

    def _queue_listener(self, function: Function) -> QueueListener:
        service = self._storage.queues(function.trigger.get("connection"))
        name = function.trigger["queueName"]
        # A queue that is itself for poison has none, nor has one whose poison queue's name would be too long.
        poison = (
            f"{name}-poison" if not name.endswith("-poison") and len(name) + len("-poison") <= 63 else None
        )
        return QueueListener(
            service.get_queue_client(name),
            service.get_queue_client(poison) if poison else None,
            queue_handler(self._worker, function, self._options.queues.base64_messages),
            self._options.queues,
            self._hidden,
        )

    def _add_blob_triggers(self, app: HttpApp, functions: list[Function]) -> None:
        for function in functions:
            if function.trigger.get("source") != "EventGrid":
                raise HostError(
                    f"function {function.name}: only blob triggers with source EventGrid are supported"
                )
        base64_messages = self._options.queues.base64_messages
        service = self._storage.queues()
        queue = service.get_queue_client(f"azure-webjobs-blobtrigger-{host_id(self._arguments.app)}")
        half = self._options.blob_parallelism // 2
        options = QueueOptions(
            batch_size=min(32, half + 1),
            new_batch_threshold=half,
            max_polling_interval=self._options.queues.max_polling_interval,
            base64_messages=base64_messages,
        )
        handler = blob_handler(self._worker, self._storage, functions, base64_messages)
        poison = service.get_queue_client(POISON_QUEUE)
        listener = QueueListener(queue, poison, handler, options, self._hidden, poison_unreadable=False)
        if functions:
            self._queues.append(listener)

        async def enqueue(text: str) -> None:
            await send(queue, text)
            listener.wake()

        app.webhooks["blobs"] = webhook(blob_deliver(enqueue, base64_messages))

    def _wake(self, queue: str) -> None:
        for listener in self._queues:
            if listener.name == queue:
                listener.wake()

    def start(self) -> None:
        """Start every listener."""
        self._tasks = [asyncio.create_task(listener.run()) for listener in (*self._queues, *self._timers)]
        for task in self._tasks:
            task.add_done_callback(self._report)

    def _report(self, task: asyncio.Task[None]) -> None:
        """A listener that broke is a defect of this host: better no host than one that is half deaf."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log("devhost: a listener broke\n" + "".join(traceback.format_exception(error)))
            self.broken = True
            os.kill(os.getpid(), signal.SIGTERM)

    async def stop(self) -> None:
        """Take nothing new, give what runs the agreed time, let go of the leases."""
        deadline = asyncio.get_running_loop().time() + self._arguments.stop_seconds
        for timer in self._timers:
            timer.stop()
        await asyncio.gather(*(queue.stop(deadline) for queue in self._queues))
        if self._tasks:
            left = max(0.1, deadline - asyncio.get_running_loop().time())
            _, late = await asyncio.wait(self._tasks, timeout=left)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def close(self) -> None:
        """Close the storage clients, when nothing uses them any more."""
        with contextlib.suppress(AzureError):
            await self._storage.close()
        self._worker.stop()


def _listen(port: int) -> socket.socket:
    # With the protocol named, asyncio turns Nagle's algorithm off; else answers with a body wait some 40 ms.
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(("127.0.0.1", port))
    except OSError as error:
        raise HostError(f"port {port} is taken (PORT): {error.strerror}") from error
    return server


async def _serve(arguments: HostArguments, stdout: int | None) -> int:
    load_environment(arguments.app, arguments.azurite_port)
    options = read_host_options(arguments.app)
    server_socket = _listen(arguments.port)
    worker = Worker(arguments.app, options.function_timeout)
    host = Host(arguments, options, worker)
    app = host.build(await worker.load())
    server = _Server(
        uvicorn.Config(
            app,
            access_log=False,
            log_level="info" if arguments.verbose else "error",
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=max(1, int(arguments.stop_seconds)),
        )
    )
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)

    def started() -> None:
        host.start()
        announce(stdout, f"ready http://127.0.0.1:{server_socket.getsockname()[1]}")

    server.on_started = started
    serving = asyncio.create_task(server.serve(sockets=[server_socket]))
    await stopping.wait()
    server.should_exit = True
    await asyncio.gather(host.stop(), serving)
    await host.close()
    return 1 if host.broken else 0


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, and with a call when it listens."""

    on_started: Callable[[], None]

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_started()


def run_host(arguments: HostArguments) -> int:
    """Run until SIGTERM or SIGINT; the exit status."""
    stdout = take_stdout()
    logging.basicConfig(level=logging.INFO if arguments.verbose else logging.WARNING, stream=sys.stderr)
    for name in ("azure_functions_runtime", "azure.core", "azure.functions.AsgiMiddleware"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        status = asyncio.run(_serve(arguments, stdout))
    except HostError as error:
        log(f"devhost: {error}")
        return 1
    sys.stdout.flush()
    # Threads of sync functions that still run must not hold up the end of the process.
    os._exit(status)
