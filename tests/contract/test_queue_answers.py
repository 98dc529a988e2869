"""Messages that a queue hands out before it closes the connection of the next request, as Azurite may."""

import asyncio

from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from devhost.queues import QueueListener
from devhost.settings import QueueOptions
from tests.contract.fake_service import HANG_UP, FakeService, Received, Scripted, fake_service

SECONDS = 30
DATE = "Thu, 01 Jan 2026 00:00:00 GMT"
MESSAGE = (
    "<QueueMessage><MessageId>{0}</MessageId><PopReceipt>r</PopReceipt><DequeueCount>1</DequeueCount>"
    f"<InsertionTime>{DATE}</InsertionTime><ExpirationTime>{DATE}</ExpirationTime>"
    f"<TimeNextVisible>{DATE}</TimeNextVisible><MessageText>{{0}}</MessageText></QueueMessage>"
)


def hand_out(service: FakeService, *names: str) -> None:
    """The first request gets as many as it asks for, and the others no answer: what was not handed out stays hidden."""
    gets = 0

    async def answer(request: Received) -> Scripted | str:
        nonlocal gets
        if request.method != "GET":
            return Scripted(204)
        gets += 1
        some = names[: int(request.query.get("numofmessages", "1"))]
        listed = "".join(map(MESSAGE.format, some))
        return Scripted(200, f"<QueueMessagesList>{listed}</QueueMessagesList>") if gets == 1 else HANG_UP

    service.answer = answer


async def test_what_the_sweep_received_is_not_lost_with_a_request_after_it() -> None:
    async with fake_service(retries=0) as (clients, service):
        hand_out(service, "one", "two")
        assert [message.body for message in await clients.queues.receive("work", 60)] == ["one", "two"]


async def test_what_the_local_host_received_is_not_lost_with_a_request_after_it() -> None:
    seen, both = list[str](), asyncio.Event()

    async def handle(message: QueueMessage) -> None:
        seen.append(message.id)
        if len(seen) == 2:
            both.set()

    async with fake_service() as (clients, service):
        hand_out(service, "one", "two")
        account = clients.account
        queue = QueueClient(account.queue_endpoint, "work", account.key, retry_total=0)
        listener = QueueListener(
            queue, None, handle, QueueOptions(16, 8, 5, 0.0, 0.1, base64_messages=False), 600
        )
        running = asyncio.create_task(listener.run())
        try:
            await asyncio.wait_for(both.wait(), SECONDS)
        finally:
            await listener.stop(0)
            await running
            await queue.close()
    assert sorted(seen) == ["one", "two"]
