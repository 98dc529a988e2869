"""The account's queues, through azure-storage-queue."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, override

from shared.storage.gateways.azure_errors import code_of, translated, unavailable
from shared.storage.gateways.limits import MAX_RECEIVED, check_message
from shared.storage.gateways.ports import Queues, Received, StorageUnavailable

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError
    from azure.storage.queue import QueueMessage
    from azure.storage.queue.aio import QueueClient


class _QueueExists(StorageUnavailable):
    """The queue to create is there already."""


class _QueueMissing(StorageUnavailable):
    """There is no such queue."""


class _MessageMissing(StorageUnavailable):
    """The message is gone, or someone else has received it since."""


_BY_CODE = {
    "QueueAlreadyExists": _QueueExists,
    "QueueNotFound": _QueueMissing,
    "MessageNotFound": _MessageMissing,
    "PopReceiptMismatch": _MessageMissing,
}


class AzureQueues(Queues):
    """Queues by our names; `client` opens one, whose messages go as base64."""

    def __init__(self, client: Callable[[str], QueueClient]) -> None:
        self._client = client

    @override
    async def send(self, queue: str, body: str, *, delay: int = 0) -> None:
        check_message(body, delay)
        try:
            await self._send(queue, body, delay)
        except _QueueMissing:
            await self.create(queue)
            await self._send(queue, body, delay)

    @override
    async def create(self, queue: str) -> None:
        with suppress(_QueueExists):
            await translated(self._client(queue).create_queue(), _translated)

    @override
    async def receive(self, queue: str, seconds: int) -> list[Received]:
        async def receive() -> list[Received]:
            """With one request: if a second one failed, the messages of the first would stay hidden."""
            found = self._client(queue).receive_messages(
                messages_per_page=MAX_RECEIVED, visibility_timeout=seconds
            )
            async for page in found.by_page():
                return [_received(message) async for message in page]
            return []

        try:
            return await translated(receive(), _translated)
        except _QueueMissing:
            return []

    @override
    async def delete(self, queue: str, message: Received) -> None:
        with suppress(_QueueMissing, _MessageMissing):
            client = self._client(queue)
            await translated(client.delete_message(message.id, message.receipt), _translated)

    async def _send(self, queue: str, body: str, delay: int) -> None:
        await translated(self._client(queue).send_message(body, visibility_timeout=delay), _translated)


def _received(message: QueueMessage) -> Received:
    if message.inserted_on is None:
        raise ValueError("A message that was received has no time of its insertion.")
    return Received(_decoded(message.content), message.id, message.pop_receipt or "", message.inserted_on)


def _decoded(content: str) -> str:
    """The text of a message, which the host and the app send as base64."""
    try:
        return base64.b64decode(content, validate=True).decode()
    except ValueError:
        return content


def _translated(error: AzureError) -> StorageUnavailable:
    kind = _BY_CODE.get(code_of(error))
    return kind(str(error)[:300]) if kind else unavailable(error)
