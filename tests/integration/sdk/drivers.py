"""The official client, sync and async, behind the same three calls, so that one test drives both."""

import asyncio
import inspect
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Protocol

from azure.ai.textanalytics.authoring import TextAuthoringClient, operations
from azure.ai.textanalytics.authoring.aio import TextAuthoringClient as AioClient
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError

from tests.support.hosts import KEY

#: Groups of operations: the attribute of a client, and the class that has them.
GROUPS = {
    "": TextAuthoringClient,
    "project": operations.ProjectOperations,
    "trained_model": operations.TrainedModelOperations,
    "deployment": operations.DeploymentOperations,
    "exported_model": operations.ExportedModelOperations,
}
_NO_OPERATIONS = {"close", "send_request", "get_project_client"}


def all_operations() -> set[str]:
    """Everything that the client offers, as `group.operation`."""
    return {
        f"{group}.{name}".lstrip(".")
        for group, kind in GROUPS.items()
        for name, _ in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") and name not in _NO_OPERATIONS
    }


class Driver(Protocol):
    """Calls operations by their names; those of a project need its name."""

    async def call(self, operation: str, *args: Any, project: str = "", **more: Any) -> Any:
        """The answer; of a `begin_` operation the result at its end; of a list all its items."""
        ...

    async def close(self) -> None: ...


class SyncDriver:
    def __init__(self, url: str) -> None:
        self._client = TextAuthoringClient(url, AzureKeyCredential(KEY))

    async def call(self, operation: str, *args: Any, project: str = "", **more: Any) -> Any:
        client, function = _find(self._client, operation, project)

        def run() -> Any:
            with client if project else nullcontext():
                answer = function(*args, **more)
                if hasattr(answer, "result"):
                    return answer.result(timeout=60)
                return list(answer) if hasattr(answer, "by_page") else answer

        return await asyncio.to_thread(run)

    async def close(self) -> None:
        self._client.close()


class AsyncDriver:
    def __init__(self, url: str) -> None:
        self._client = AioClient(url, AzureKeyCredential(KEY))

    async def call(self, operation: str, *args: Any, project: str = "", **more: Any) -> Any:
        client, name = _find(self._client, operation, project)
        async with client if project else nullcontext():
            answer = name(*args, **more)
            if hasattr(answer, "by_page"):
                return [item async for item in answer]
            answer = await answer
            return await asyncio.wait_for(answer.result(), 60) if hasattr(answer, "result") else answer

    async def close(self) -> None:
        await self._client.close()


def _find(client: Any, operation: str, project: str) -> tuple[Any, Callable[..., Any]]:
    """The client that has the operation, and the operation."""
    group, _, name = operation.rpartition(".")
    owner = client.get_project_client(project) if project else client
    return owner, getattr(getattr(owner, group) if group else owner, name)


async def refused(driver: Driver, operation: str, *args: Any, **more: Any) -> HttpResponseError:
    """The error that an operation ends with."""
    try:
        await driver.call(operation, *args, **more)
    except HttpResponseError as error:
        return error
    raise AssertionError(f"{operation} was not refused")


def parts_of(error: HttpResponseError) -> Any:
    """Code, message, target, details and inner error, as the client read them from Azure's error shape."""
    assert error.error is not None, error
    return error.error
