"""The host: loads the app, listens, and stops in order."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from azure.core.exceptions import AzureError

from devhost.answers import Answers
from devhost.bindings import Outputs, Storage, send
from devhost.eventgrid import POISON_QUEUE, blob_handler, blob_webhook, event_grid_webhook
from devhost.http import HttpApp
from devhost.keys import Keys
from devhost.output import announce, log, take_stdout
from devhost.queues import QueueListener, queue_handler
from devhost.server import HttpServer
from devhost.settings import (
    HostError,
    HostOptions,
    QueueOptions,
    connection_string,
    host_id,
    load_environment,
    read_host_options,
    read_json,
)
from devhost.timers import TimerListener
from devhost.worker import Function, HostDown, Worker, reported

# What a host passes to the process that replaces it when its worker ended.
LISTENER, RESTARTS = "DEVHOST_LISTENER", "DEVHOST_RESTARTS"
MAX_WORKER_EXITS = 3  # then the host ends


@dataclass(frozen=True, slots=True)
class HostArguments:
    """The options of `devhost host`. `stop_seconds` bounds the wait for running invocations."""

    app: Path
    port: int
    azurite_port: int | None
    enable_auth: Path | None
    stop_seconds: float
    message_invisibility: int
    verbose: bool
    strict: bool = False
    settings_file: bool = True
    answers: Path | None = None


class Host:
    """One app with its listeners. `stopping` is set when it must end, `restarting` when a new one follows."""

    def __init__(self, arguments: HostArguments, options: HostOptions) -> None:
        self._arguments = arguments
        self._options = options
        self.worker = Worker(arguments.app, options.function_timeout, self._worker_ended)
        self._storage = Storage()
        self._hidden = arguments.message_invisibility
        self._queues: list[QueueListener] = []
        self._timers: list[TimerListener] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.stopping = asyncio.Event()
        self.restarting = self.broken = self._ending = False

    async def load(self) -> HttpApp:
        """Index the app and make its listeners and the HTTP application; nothing runs yet.

        What cannot be served is left out and logged, as the real host does; HostError in strict mode.
        """
        functions, errors = list[Function](), list[str]()
        try:
            functions = await self.worker.load()
        except HostError as error:
            errors = [str(error)]
        app = self._build(functions)
        errors += [f"function {f.name} is left out: {f.error}" for f in functions if f.error is not None]
        if errors and self._arguments.strict:
            raise HostError("\n".join(errors))
        for error in errors:
            log(f"devhost: {error}")
        return app

    def end(self) -> None:
        """End the host, also when its worker is about to be replaced."""
        self._ending, self.restarting = True, False
        self.stopping.set()

    def _worker_ended(self) -> None:
        self.restarting = not self._ending
        self.stopping.set()

    def _build(self, functions: list[Function]) -> HttpApp:
        by_trigger: dict[str, list[Function]] = {}
        for function in functions:
            if function.error is None and not function.disabled:
                by_trigger.setdefault(function.trigger["type"], []).append(function)
        arguments, prefix, own_id = self._arguments, self._options.route_prefix, host_id(self._arguments.app)
        keys = Keys(read_json(arguments.enable_auth)) if arguments.enable_auth else None
        answers, http = Answers(arguments.answers), by_trigger.get("httpTrigger", [])
        app = HttpApp(self.worker, functions, http, prefix, own_id, keys, answers)
        outputs = Outputs(self._storage, self._options.queues.base64_messages, self._wake)
        self.worker.write_outputs = outputs.write
        for function in by_trigger.get("queueTrigger", []):
            with reported(function):
                self._queues.append(self._queue_listener(function))
        for function in by_trigger.get("timerTrigger", []):
            with reported(function):
                blobs = self._storage.blobs()
                self._timers.append(TimerListener(self.worker, function, blobs, own_id, self._options))
        app.webhooks["eventgrid"] = event_grid_webhook(self.worker, by_trigger.get("eventGridTrigger", []))
        self._add_blob_triggers(app, by_trigger.get("blobTrigger", []))
        return app

    def _queue_listener(self, function: Function) -> QueueListener:
        service = self._storage.queues(function.trigger.get("connection"))
        name = function.trigger["queueName"]
        # A queue that is itself for poison has none, nor has one whose poison queue's name would be too long.
        has_poison = not name.endswith("-poison") and len(name) + len("-poison") <= 63
        poison = service.get_queue_client(f"{name}-poison") if has_poison else None
        handler = queue_handler(self.worker, function, self._options.queues.base64_messages)
        queue = service.get_queue_client(name)
        return QueueListener(queue, poison, handler, self._options.queues, self._hidden)

    def _add_blob_triggers(self, app: HttpApp, functions: list[Function]) -> None:
        for function in functions:
            with reported(function):
                connection_string(function.trigger.get("connection"))
                if function.trigger.get("source") != "EventGrid":
                    raise HostError("only blob triggers with source EventGrid are supported")
        functions = [function for function in functions if function.error is None]
        queues, half = self._options.queues, self._options.blob_parallelism // 2
        service = self._storage.queues()
        queue = service.get_queue_client(f"azure-webjobs-blobtrigger-{host_id(self._arguments.app)}")
        options = QueueOptions(
            min(32, half + 1), half, 5, 0.0, queues.max_polling_interval, queues.base64_messages
        )
        handler = blob_handler(self.worker, self._storage, functions, queues.base64_messages)
        poison = service.get_queue_client(POISON_QUEUE)
        listener = QueueListener(queue, poison, handler, options, self._hidden)
        if functions:
            self._queues.append(listener)

        async def enqueue(text: str) -> None:
            await send(queue, text)
            listener.wake()

        app.webhooks["blobs"] = blob_webhook(enqueue, queues.base64_messages)

    def _wake(self, queue: str) -> None:
        for listener in self._queues:
            if listener.name == queue:
                listener.wake()

    def start(self) -> None:
        """Start every listener."""
        for listener in (*self._queues, *self._timers):
            self._tasks.append(asyncio.create_task(listener.run()))
            self._tasks[-1].add_done_callback(self._report)

    def _report(self, task: asyncio.Task[None]) -> None:
        """A failed listener is a defect of this host, which stops instead of serving without it."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, HostDown):
            log(f"devhost: the host stops, as the real host does: {error}")
        else:
            log("devhost: a listener failed\n" + "".join(traceback.format_exception(error)))
            self.broken = True
        self.stopping.set()

    async def stop(self, deadline: float) -> None:
        """Start nothing new, wait until the loop's `deadline` for what runs, and release the leases."""
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
        """Close the storage clients, when nothing uses them anymore."""
        with contextlib.suppress(AzureError):
            await self._storage.close()
        self.worker.stop()


def _listen(port: int) -> socket.socket:
    inherited = int(os.environ.get(LISTENER, "-1"))
    if inherited >= 0:
        return socket.socket(fileno=inherited)
    # With the protocol named, asyncio turns Nagle's algorithm off; else answers with a body wait some 40 ms.
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(("127.0.0.1", port))
    except OSError as error:
        raise HostError(f"port {port} is taken (PORT): {error.strerror}") from error
    return server


async def _serve(arguments: HostArguments, stdout: int | None) -> int | socket.socket:
    """The exit status, or the socket for the process that replaces this one."""
    load_environment(arguments.app, arguments.azurite_port, arguments.settings_file)
    options = read_host_options(arguments.app)
    listener = _listen(arguments.port)
    spare = listener.dup()
    host = Host(arguments, options)
    server = HttpServer(await host.load(), options.max_body)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, host.end)
    loop.add_signal_handler(signal.SIGUSR1, host.worker.end)
    await server.start(listener)
    host.start()
    announce(stdout, f"ready http://127.0.0.1:{spare.getsockname()[1]}")
    await host.stopping.wait()
    deadline = loop.time() + arguments.stop_seconds
    # While it is open, the system accepts connections, for the next process to serve.
    if not host.restarting:
        spare.close()
    await asyncio.gather(host.stop(deadline), server.stop(deadline))
    await host.close()
    if host.restarting:
        return spare
    return 1 if host.broken else 0


def _replace(listener: socket.socket) -> None:
    """Restart this program in this process, on the same socket; return if the worker ended too often."""
    exits = int(os.environ.get(RESTARTS, "0")) + 1
    if exits >= MAX_WORKER_EXITS:
        log(f"devhost: the worker ended {exits} times; the host stops")
        return
    listener.set_inheritable(True)
    os.environ |= {LISTENER: str(listener.fileno()), RESTARTS: str(exits)}
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - the command line that started this process


def run_host(arguments: HostArguments) -> int:
    """Run until SIGTERM or SIGINT; the exit status. SIGUSR1 ends the worker, which is then replaced."""
    folder, stdout = Path.cwd(), take_stdout()
    if os.environ.get(LISTENER) and stdout is not None:
        stdout = os.close(stdout)  # the ready line was written before
    logging.basicConfig(level=logging.INFO if arguments.verbose else logging.WARNING, stream=sys.stderr)
    for name in ("azure_functions_runtime", "azure.core", "azure.functions.AsgiMiddleware"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        ended = asyncio.run(_serve(arguments, stdout))
    except HostError as error:
        log(f"devhost: {error}")
        return 1
    if isinstance(ended, socket.socket):
        os.chdir(folder)
        _replace(ended)
        ended = 0
    sys.stdout.flush()
    # Threads of sync functions that still run must not delay the end of the process.
    os._exit(ended)
