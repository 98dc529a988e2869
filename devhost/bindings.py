"""Output bindings: what a function sets through `Out` or returns is written to a queue or a blob."""

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from devhost.protos import TypedData
from devhost.settings import connection_string, encode_message
from devhost.worker import Function

# The SDK's own pauses (15 s and more) would delay the end of the host when the emulator is gone; listeners and
# callers retry themselves.
_RETRIES = {"retry_total": 2, "initial_backoff": 0, "increment_base": 1, "random_jitter_range": 0}


class Storage:
    """Clients by connection, made once. The host encodes and decodes messages itself, not the SDK."""

    def __init__(self) -> None:
        self._clients: dict[tuple[type, str], Any] = {}

    def queues(self, connection: str | None = None) -> QueueServiceClient:
        """The queue service behind a binding's `connection`."""
        return self._client(QueueServiceClient, connection)

    def blobs(self, connection: str | None = None) -> BlobServiceClient:
        """The blob service behind a binding's `connection`."""
        return self._client(BlobServiceClient, connection)

    def _client(self, kind: type[Any], connection: str | None) -> Any:
        key = kind, connection_string(connection)
        if key not in self._clients:
            self._clients[key] = kind.from_connection_string(key[1], **_RETRIES)
        return self._clients[key]

    async def close(self) -> None:
        """Close every client."""
        await asyncio.gather(*(client.close() for client in self._clients.values()))


async def send(queue: QueueClient, text: str) -> None:
    """Send a message unchanged; the queue is created when it is missing."""
    try:
        await queue.send_message(text)
    except ResourceNotFoundError:
        with contextlib.suppress(ResourceExistsError):
            await queue.create_queue()
        await queue.send_message(text)


def _messages(value: TypedData) -> list[bytes]:
    """The bodies of the messages, as the real host writes them: of a list one for each item."""
    try:
        parsed: Any = json.loads(value.json or value.string or "")
    except ValueError:
        return [value.encoded()]
    if isinstance(parsed, list):
        return [_message_body(item).encode() for item in cast("list[Any]", parsed)]
    is_text = value.json is None and not isinstance(parsed, dict)
    return [value.encoded() if is_text else _message_body(parsed).encode()]


def _message_body(item: Any) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, dict) and cast("dict[str, Any]", item).keys() == {"id", "body"}:
        return str(cast("dict[str, Any]", item)["body"])  # of an SDK message only the body counts
    return json.dumps(item, indent=2, ensure_ascii=False)


class Outputs:
    """Writes outputs, and wakes the listener of a queue it sent to."""

    def __init__(self, storage: Storage, base64_messages: bool, wake: Callable[[str], None]) -> None:
        self._storage = storage
        self._base64 = base64_messages
        self._wake = wake

    async def write(
        self, function: Function, values: Mapping[str, TypedData], names: Mapping[str, str]
    ) -> None:
        """Write every output of an invocation; `{name}` in a path or queue name is taken from `names`."""
        for parameter, value in values.items():
            binding = function.outputs.get(parameter)
            if binding is None or binding["type"] == "http":
                continue
            if binding["type"] == "queue":
                await self._to_queue(binding, value, names)
            else:
                await self._to_blob(binding, value, names)

    async def _to_queue(self, binding: Mapping[str, Any], value: TypedData, names: Mapping[str, str]) -> None:
        name = fill(binding["queueName"], names)
        queue = self._storage.queues(binding.get("connection")).get_queue_client(name)
        for body in _messages(value):
            await send(queue, encode_message(body, self._base64))
        self._wake(name)

    async def _to_blob(self, binding: Mapping[str, Any], value: TypedData, names: Mapping[str, str]) -> None:
        container, _, blob = fill(binding["path"], names).partition("/")
        client = self._storage.blobs(binding.get("connection")).get_container_client(container)
        try:
            await client.upload_blob(blob, value.encoded(), overwrite=True)
        except ResourceNotFoundError:
            await client.create_container()
            await client.upload_blob(blob, value.encoded(), overwrite=True)


def fill(pattern: str, names: Mapping[str, str]) -> str:
    """Replace `{name}` in a binding path by the trigger's values."""
    return re.sub(r"\{(\w+)\}", lambda match: names.get(match[1], match[0]), pattern)
