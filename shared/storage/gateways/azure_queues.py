"""The sending side of the account's queues."""

import base64
from collections.abc import Callable
from typing import override

from shared.storage.gateways.limits import check_message
from shared.storage.gateways.ports import CallCounter, Queues
from shared.storage.gateways.rest import Answer, Service

_XML = {"Content-Type": "application/xml"}


class AzureQueues(Queues):
    """Queues by our names; `physical` turns one into its name in the account."""

    def __init__(
        self, service: Callable[[], Service], physical: Callable[[str], str], counter: CallCounter
    ) -> None:
        self._service = service
        self._physical = physical
        self._counter = counter

    @override
    async def send(self, queue: str, body: str, *, delay: int = 0) -> None:
        check_message(body, delay)
        answer = await self._send(queue, body, delay)
        if answer.code == "QueueNotFound":
            await self.create(queue)
            answer = await self._send(queue, body, delay)
        if not answer.ok:
            raise answer.unexpected()

    @override
    async def create(self, queue: str) -> None:
        self._counter.add("queue", "create")
        answer = await self._service().send("PUT", self._physical(queue))
        if not answer.ok and answer.code != "QueueAlreadyExists":
            raise answer.unexpected()

    async def _send(self, queue: str, body: str, delay: int) -> Answer:
        self._counter.add("queue", "send")
        text = base64.b64encode(body.encode()).decode()  # what host.json's messageEncoding expects
        return await self._service().send(
            "POST",
            f"{self._physical(queue)}/messages",
            query={"visibilitytimeout": str(delay)},
            headers=_XML,
            body=f"<QueueMessage><MessageText>{text}</MessageText></QueueMessage>".encode(),
        )
