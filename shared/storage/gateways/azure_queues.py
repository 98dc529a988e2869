"""The sending side of the account's queues, through azure-storage-queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from shared.storage.gateways.azure_errors import error_code, unavailable
from shared.storage.gateways.limits import check_message
from shared.storage.gateways.ports import CallCounter, Queues

if TYPE_CHECKING:
    from azure.storage.queue.aio import QueueClient, QueueServiceClient


class AzureQueues(Queues):
    """Queues by our names; `physical` turns one into the name in the account."""

    def __init__(
        self, service: Callable[[], QueueServiceClient], physical: Callable[[str], str], counter: CallCounter
    ) -> None:
        self._service = service
        self._physical = physical
        self._counter = counter
        self._clients: dict[str, QueueClient] = {}

    async def send(self, queue: str, body: str, *, delay: int = 0) -> None:
        from azure.core.exceptions import AzureError

        check_message(body, delay)
        try:
            return await self._send(queue, body, delay)
        except AzureError as error:
            if error_code(error) != "QueueNotFound":
                raise unavailable(error) from error
        await self.create(queue)
        try:
            await self._send(queue, body, delay)
        except AzureError as error:
            raise unavailable(error) from error

    async def create(self, queue: str) -> None:
        from azure.core.exceptions import AzureError, ResourceExistsError

        self._counter.add("queue", "create")
        try:
            await self._client(queue).create_queue()
        except ResourceExistsError as error:
            if error_code(error) != "QueueAlreadyExists":  # being deleted
                raise unavailable(error) from error
        except AzureError as error:
            raise unavailable(error) from error

    async def _send(self, queue: str, body: str, delay: int) -> None:
        self._counter.add("queue", "send")
        await self._client(queue).send_message(body, visibility_timeout=delay)

    def _client(self, queue: str) -> QueueClient:
        from azure.storage.queue import TextBase64EncodePolicy

        if queue not in self._clients:
            self._clients[queue] = self._service().get_queue_client(
                self._physical(queue), message_encode_policy=TextBase64EncodePolicy()
            )
        return self._clients[queue]
