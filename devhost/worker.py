"""The function app, driven through Microsoft's worker library in this process.

The library keeps its state in modules: a process can load one app, and only once.
"""

import asyncio
import contextlib
import json
import os
import sys
import uuid
from asyncio import FIRST_COMPLETED
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, cast

import azure_functions_runtime  # pyright: ignore[reportMissingTypeStubs] - it has none
from azure.core.exceptions import AzureError

from devhost import protos
from devhost.output import log
from devhost.protos import InvocationResponse, ParameterBinding, TypedData
from devhost.settings import HostError, resolve, section

library: Any = azure_functions_runtime
TRIGGERS = {"httpTrigger", "queueTrigger", "timerTrigger", "eventGridTrigger", "blobTrigger"}

_NO_TRACE = SimpleNamespace(trace_parent="", trace_state="", attributes=dict[str, str]())
_NO_RETRY = SimpleNamespace(retry_count=0, max_retry_count=0, exception=None)
_EMPTY: Mapping[str, Any] = MappingProxyType({})


class InvocationFailed(Exception):
    """The function raised, returned what its bindings cannot carry, or ran too long. It is already logged."""


class HostDown(Exception):
    """The real host stops in this case; the message says why. Its exit status is 0."""


@dataclass(slots=True)
class Function:
    """One function: `bindings` as the app declares them, `trigger` and `outputs` with `%NAME%` resolved.

    `error` says why the host cannot serve it.
    """

    name: str
    id: str
    entry_point: str
    script_file: str
    bindings: list[dict[str, Any]]
    trigger: dict[str, Any] = field(default_factory=dict[str, Any])
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    error: str | None = None

    @property
    def deferred(self) -> bool:
        """True when the trigger gives the function a client instead of the content."""
        return bool(section(self.trigger, "properties").get("SupportsDeferredBinding"))

    @property
    def host_name(self) -> str:
        """The name under which the host keeps the function in storage and webhooks."""
        return f"Host.Functions.{self.name}"

    @property
    def disabled(self) -> bool:
        """True when the setting `AzureWebJobs.<function>.Disabled` switches the function off."""
        return os.environ.get(f"AzureWebJobs.{self.name}.Disabled", "").lower() in {"true", "1"}

    def path(self, prefix: str) -> str:
        """The route of an HTTP function, by default its name, behind the prefix of all routes."""
        return "/".join(filter(None, (prefix, str(self.trigger.get("route") or self.name).strip("/"))))


@contextlib.contextmanager
def reported(function: Function) -> Generator[None]:
    """Keep the HostError by which a function cannot be served."""
    try:
        yield
    except HostError as error:
        function.error = str(error)


type OutputWriter = Callable[[Function, Mapping[str, TypedData], Mapping[str, str]], Awaitable[None]]


def _function(metadata: Any) -> Function:
    bindings: list[dict[str, Any]] = [json.loads(raw) for raw in metadata.raw_bindings]
    m = metadata
    function = Function(m.name, m.function_id, m.entry_point, m.script_file, bindings)
    with reported(function):
        _bind(function)
    return function


def _bind(function: Function) -> None:
    bindings = [
        {key: resolve(v) if isinstance(v, str) and key != "name" else v for key, v in binding.items()}
        for binding in function.bindings
    ]
    triggers = [binding for binding in bindings if binding["type"] in TRIGGERS]
    outputs = {b["name"]: b for b in bindings if b.get("direction") == "OUT"}
    others = [b for b in bindings if b not in triggers and b["name"] not in outputs]
    unknown = {b["type"] for b in others} | {b["type"] for b in outputs.values()} - {"http", "queue", "blob"}
    if len(triggers) != 1 or unknown:
        kinds = ", ".join(binding["type"] for binding in bindings)
        raise HostError(f"this host does not know its bindings ({kinds})")
    function.trigger, function.outputs = triggers[0], outputs


class Worker:
    """Loads the app once and runs its functions, until one runs longer than `timeout` (seconds; None: no limit).

    Like the real host's, the worker then stops with all its invocations: every invocation fails, and `on_end` is
    called, which must start a new process.
    """

    def __init__(self, app: Path, timeout: float | None, on_end: Callable[[], None]) -> None:
        self._app = app
        self._timeout = timeout
        self._on_end = on_end
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.write_outputs: OutputWriter | None = None

    async def load(self) -> list[Function]:
        """Index the app. HostError with the worker's message when it cannot be indexed."""
        os.chdir(self._app)
        sys.path.insert(0, str(self._app))
        library.start_threadpool_executor()
        init = SimpleNamespace(capabilities={}, function_app_directory=str(self._app))
        properties = {"host": "127.0.0.1", "protos": protos}
        request = SimpleNamespace(request=SimpleNamespace(worker_init_request=init), properties=properties)
        answer: Any = await library.worker_init_request(request)
        if answer.result.status != protos.StatusResult.Success:
            error = answer.result.exception
            reason = (error.stack_trace or error.message) if error else ""
            raise HostError(f"the app cannot be indexed: {reason}")
        found: list[Any] | None = (
            await library.functions_metadata_request(request)
        ).function_metadata_results
        if found is None:
            raise HostError(f"{self._app} has no function_app.py")
        return [_function(metadata) for metadata in found]

    async def invoke(
        self,
        function: Function,
        data: TypedData,
        metadata: Mapping[str, TypedData] = _EMPTY,
        names: Mapping[str, str] = _EMPTY,
    ) -> TypedData | None:
        """Run a function, write its outputs with `names` for `{name}` in their paths, return its value.

        InvocationFailed, after one log entry, on failure.
        """
        invocation = str(uuid.uuid4())
        if self._ended.done():
            raise self._failed(function, invocation, "the worker ended")
        running = asyncio.ensure_future(self._complete(invocation, function, data, metadata, names))
        try:
            await asyncio.wait({running, self._ended}, timeout=self._timeout, return_when=FIRST_COMPLETED)
        except asyncio.CancelledError:
            running.cancel()
            raise
        if running.done():
            return running.result()
        running.add_done_callback(lambda late: late.cancelled() or late.exception())
        if self._ended.done():
            raise self._failed(function, invocation, "the worker ended")
        self.end()
        raise self._failed(function, invocation, f"ran longer than functionTimeout, {self._timeout:g} s")

    def end(self) -> None:
        """End the worker: every invocation fails."""
        if not self._ended.done():
            self._ended.set_result(None)
            self._on_end()

    async def _complete(self, invocation: str, function: Function, *given: Any) -> TypedData | None:
        data, metadata, names = given
        call = SimpleNamespace(
            invocation_id=invocation,
            function_id=function.id,
            input_data=[ParameterBinding(name=function.trigger["name"], data=data)],
            trigger_metadata=metadata,
            trace_context=_NO_TRACE,
            retry_context=_NO_RETRY,
        )
        request = SimpleNamespace(request=SimpleNamespace(invocation_request=call))
        response = cast("InvocationResponse", await library.invocation_request(request))
        if (failure := response.result.exception) is not None:
            raise self._failed(function, invocation, (failure.stack_trace or failure.message).rstrip())
        if function.outputs and self.write_outputs is not None:
            outputs = {out.name: out.data for out in response.output_data if out.data is not None}
            if response.return_value is not None:
                outputs["$return"] = response.return_value
            try:
                await self.write_outputs(function, outputs, names)
            except AzureError as error:
                raise self._failed(function, invocation, f"an output was not written: {error}") from error
        return response.return_value

    def _failed(self, function: Function, invocation: str, reason: str) -> InvocationFailed:
        log(f"function {function.name} failed, invocation {invocation}: {reason}")
        return InvocationFailed(function.name)

    def stop(self) -> None:
        """Release the idle threads; those at work end with the process."""
        executor = library.get_threadpool_executor()
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)
