"""The function app, driven through Microsoft's worker library in this process.

The library keeps its state in modules: one app to a process, and no way to load another.
"""

import asyncio
import json
import os
import sys
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, NoReturn, cast

import azure_functions_runtime  # pyright: ignore[reportMissingTypeStubs] - it has none
from azure.core.exceptions import AzureError

from devhost import protos
from devhost.output import log
from devhost.protos import InvocationResponse, ParameterBinding, RpcFunctionMetadata, TypedData
from devhost.settings import HostError, is_disabled, resolve, section

library: Any = azure_functions_runtime
TRIGGERS = {"httpTrigger", "queueTrigger", "timerTrigger", "eventGridTrigger", "blobTrigger"}

_NO_TRACE = SimpleNamespace(trace_parent="", trace_state="", attributes=dict[str, str]())
_NO_RETRY = SimpleNamespace(retry_count=0, max_retry_count=0, exception=None)
_EMPTY: Mapping[str, TypedData] = MappingProxyType({})
_NO_NAMES: Mapping[str, str] = MappingProxyType({})


class InvocationFailed(Exception):
    """The function raised, returned what its bindings cannot carry, or ran too long. It is already logged."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function of the app. Bindings are as in function.json, with `%NAME%` resolved."""

    name: str
    id: str
    trigger: dict[str, Any]
    outputs: dict[str, dict[str, Any]]

    @property
    def deferred(self) -> bool:
        """True when the trigger hands over a client instead of the content."""
        return bool(section(self.trigger, "properties").get("SupportsDeferredBinding"))

    @property
    def host_name(self) -> str:
        """The name under which the host keeps the function in storage and webhooks."""
        return f"Host.Functions.{self.name}"


type OutputWriter = Callable[[Function, Mapping[str, TypedData], Mapping[str, str]], Awaitable[None]]


def _function(metadata: RpcFunctionMetadata) -> Function:
    bindings: list[dict[str, Any]] = [json.loads(raw) for raw in metadata.raw_bindings]
    for binding in bindings:
        for key, value in binding.items():
            if isinstance(value, str) and key != "name":
                binding[key] = resolve(value)
    triggers = [binding for binding in bindings if binding["type"] in TRIGGERS]
    outputs = {b["name"]: b for b in bindings if b.get("direction") == "OUT"}
    others = [b for b in bindings if b not in triggers and b["name"] not in outputs]
    unknown = {b["type"] for b in others} | {b["type"] for b in outputs.values()} - {"http", "queue", "blob"}
    if len(triggers) != 1 or unknown:
        kinds = ", ".join(binding["type"] for binding in bindings)
        raise HostError(f"function {metadata.name}: this host does not know its bindings ({kinds})")
    return Function(metadata.name, metadata.function_id, triggers[0], outputs)


class Worker:
    """Loads the app once and runs its functions.

    `timeout` is the longest run of one invocation in seconds, None for no limit.
    """

    def __init__(self, app: Path, timeout: float | None) -> None:
        self._app = app
        self._timeout = timeout
        self.write_outputs: OutputWriter | None = None

    async def load(self) -> list[Function]:
        """Index the app. HostError with the worker's message when it cannot be indexed."""
        os.chdir(self._app)
        sys.path.insert(0, str(self._app))
        library.start_threadpool_executor()
        init = SimpleNamespace(capabilities={}, function_app_directory=str(self._app))
        request = SimpleNamespace(
            request=SimpleNamespace(worker_init_request=init),
            properties={"host": "127.0.0.1", "protos": protos},
        )
        answer = cast("protos.WorkerInitResponse", await library.worker_init_request(request))
        if answer.result.status != protos.StatusResult.Success:
            error = answer.result.exception
            raise HostError(
                f"the app cannot be indexed: {error.stack_trace or error.message if error else ''}"
            )
        response = cast("protos.FunctionMetadataResponse", await library.functions_metadata_request(request))
        found = response.function_metadata_results
        if found is None:
            raise HostError(f"{self._app} has no function_app.py")
        return [_function(metadata) for metadata in found if not is_disabled(metadata.name)]

    async def invoke(
        self,
        function: Function,
        data: TypedData,
        metadata: Mapping[str, TypedData] = _EMPTY,
        names: Mapping[str, str] = _NO_NAMES,
    ) -> TypedData | None:
        """Run a function on its trigger's data, write its outputs, return its value.

        `names` are the values for `{name}` in output bindings. InvocationFailed, after one log entry, on
        failure.
        """
        invocation = str(uuid.uuid4())
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._run(invocation, function, data, metadata)
                await self._write(function, response, names)
        except TimeoutError:
            # A thread cannot be stopped: a sync function runs on, but its result no longer counts.
            self._failed(function, invocation, f"ran longer than functionTimeout, {self._timeout:g} s")
        except AzureError as error:
            self._failed(function, invocation, f"an output was not written: {error}")
        return response.return_value

    async def _run(
        self, invocation: str, function: Function, data: TypedData, metadata: Mapping[str, TypedData]
    ) -> InvocationResponse:
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
        error = response.result.exception
        if error is not None:
            self._failed(function, invocation, (error.stack_trace or error.message).rstrip())
        return response

    async def _write(
        self, function: Function, response: InvocationResponse, names: Mapping[str, str]
    ) -> None:
        if not function.outputs or self.write_outputs is None:
            return
        outputs = {out.name: out.data for out in response.output_data if out.data is not None}
        if response.return_value is not None:
            outputs["$return"] = response.return_value
        await self.write_outputs(function, outputs, names)

    def _failed(self, function: Function, invocation: str, reason: str) -> NoReturn:
        log(f"function {function.name} failed, invocation {invocation}: {reason}")
        raise InvocationFailed(function.name)

    def stop(self) -> None:
        """Let go of the threads that have nothing to do; those at work end with the process."""
        executor = library.get_threadpool_executor()
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)
