"""Output bindings: what a function sets through `Out` or returns goes to a queue or a blob."""

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

# The SDK's own pauses (15 s and more) would hold up the end of the host when the emulator is gone; listeners
# and callers try again themselves.
_RETRIES: dict[str, Any] = {
    "retry_total": 2,
    "initial_backoff": 0,
    "increment_base": 1,
    "random_jitter_range": 0,
}


class Storage:
    """Clients by connection, made once. Messages are coded by the host itself, never by the SDK."""

    def __init__(self) -> None:
        self._queues: dict[str, QueueServiceClient] = {}
        self._blobs: dict[str, BlobServiceClient] = {}

    def queues(self, connection: str | None = None) -> QueueServiceClient:
        """The queue service behind a binding's `connection`."""
        text = connection_string(connection)
        if text not in self._queues:
            self._queues[text] = QueueServiceClient.from_connection_string(text, **_RETRIES)
        return self._queues[text]

    def blobs(self, connection: str | None = None) -> BlobServiceClient:
        """The blob service behind a binding's `connection`."""
        text = connection_string(connection)
        if text not in self._blobs:
            self._blobs[text] = BlobServiceClient.from_connection_string(text, **_RETRIES)
        return self._blobs[text]

    async def close(self) -> None:
        """Close every client."""
        await asyncio.gather(*(client.close() for client in (*self._queues.values(), *self._blobs.values())))


async def send(queue: QueueClient, text: str) -> None:
    """Send a message as it stands; the queue is made when it is missing."""
    try:
        await queue.send_message(text)
    except ResourceNotFoundError:
        with contextlib.suppress(ResourceExistsError):
            await queue.create_queue()
        await queue.send_message(text)


def _bytes(value: TypedData) -> bytes:
    text = value.string if value.string is not None else value.json
    return text.encode() if text is not None else value.bytes or b""


def _messages(value: TypedData) -> list[bytes]:
    """A JSON list is many messages, as in the real host; of an SDK message only its body counts."""
    if value.json is None:
        return [_bytes(value)]
    parsed: Any = json.loads(value.json)
    items = cast("list[Any]", parsed) if isinstance(parsed, list) else [parsed]
    return [_message_body(item).encode() for item in items]


def _message_body(item: Any) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, dict) and cast("dict[str, Any]", item).keys() == {"id", "body"}:
        return str(cast("dict[str, Any]", item)["body"])
    return json.dumps(item)


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
            await client.upload_blob(blob, _bytes(value), overwrite=True)
        except ResourceNotFoundError:
            await client.create_container()
            await client.upload_blob(blob, _bytes(value), overwrite=True)


def fill(pattern: str, names: Mapping[str, str]) -> str:
    """Replace `{name}` in a binding path by the trigger's values."""
    return re.sub(r"\{(\w+)\}", lambda match: names.get(match[1], match[0]), pattern)
