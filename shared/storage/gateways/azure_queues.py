"""The sending side of the account's queues, through azure-storage-queue."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, override

from shared.storage.gateways.azure_errors import code_of, translated, unavailable
from shared.storage.gateways.errors import StorageUnavailable
from shared.storage.gateways.limits import check_message
from shared.storage.gateways.ports import CallCounter, Queues

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError
    from azure.storage.queue.aio import QueueClient


class _QueueExists(StorageUnavailable):
    """The queue to create is there already."""


class _QueueMissing(StorageUnavailable):
    """There is no such queue."""


_BY_CODE = {"QueueAlreadyExists": _QueueExists, "QueueNotFound": _QueueMissing}


class AzureQueues(Queues):
    """Queues by our names; `client` opens one, whose messages go as base64."""

    def __init__(self, client: Callable[[str], QueueClient], counter: CallCounter) -> None:
        self._client = client
        self._counter = counter

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
        self._counter.add("queue", "create")
        with suppress(_QueueExists):
            await translated(self._client(queue).create_queue(), _translated)

    async def _send(self, queue: str, body: str, delay: int) -> None:
        self._counter.add("queue", "send")
        await translated(self._client(queue).send_message(body, visibility_timeout=delay), _translated)


def _translated(error: AzureError) -> StorageUnavailable:
    kind = _BY_CODE.get(code_of(error))
    return kind(str(error)[:300]) if kind else unavailable(error)
