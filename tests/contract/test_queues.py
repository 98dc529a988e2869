"""The sending side of queues."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.queue.aio import QueueClient

from shared.storage.gateways.ports import Queues, TooLarge
from tests.contract.storages import Storage
from tests.support.azurite import Azurite
from tests.support.storage.memory import MemoryQueues


async def test_the_host_finds_base64_of_what_was_sent(azurite: Azurite) -> None:
    async with azurite.storage() as storage:
        await storage.queues.send("training", '{"project": "é😀"}')
        client = QueueClient.from_connection_string(
            azurite.connection_string, storage.names.queue("training")
        )
        async with client:
            found = [message.content async for message in client.receive_messages()]

    assert [base64.b64decode(text).decode() for text in found] == ['{"project": "é😀"}']


async def test_a_delayed_message_is_not_visible_yet(azurite: Azurite) -> None:
    async with azurite.storage() as storage:
        await storage.queues.send("training", "later", delay=600)
        client = QueueClient.from_connection_string(
            azurite.connection_string, storage.names.queue("training")
        )
        async with client:
            found = [message async for message in client.receive_messages()]
            waiting = (await client.get_queue_properties()).approximate_message_count

    assert (found, waiting) == ([], 1)


async def test_a_received_message_says_when_it_was_sent(queues: Queues) -> None:
    await queues.send("received", "é")
    [message] = await queues.receive("received", 60)

    assert message.body == "é"
    assert abs(datetime.now(UTC) - message.inserted) < timedelta(hours=1)


async def test_a_missing_queue_is_created_by_sending(storage: Storage) -> None:
    await storage.queues.send("new", "one")
    await storage.queues.send("new", "two")

    assert storage.counter.snapshot() == {("queue", "send"): 3, ("queue", "create"): 1}


async def test_creating_a_queue_again_is_no_error(queues: Queues) -> None:
    await queues.create("again")
    await queues.create("again")
    await queues.send("again", "x")


@pytest.mark.parametrize("body", ["x" * (48 * 1024 + 1), "é" * (24 * 1024 + 1)])
async def test_a_message_over_48_kib(storage: Storage, body: str) -> None:
    with pytest.raises(TooLarge):
        await storage.queues.send("big", body)

    assert storage.counter.total == 0


async def test_the_largest_message_is_taken(queues: Queues) -> None:
    await queues.send("big", "x" * (48 * 1024))
    await queues.send("big", "")


@pytest.mark.parametrize("delay", [-1, 7 * 24 * 3600])
async def test_a_delay_out_of_range_is_a_mistake_of_the_caller(storage: Storage, delay: int) -> None:
    with pytest.raises(ValueError, match="delay"):
        await storage.queues.send("late", "x", delay=delay)

    assert storage.counter.total == 0


async def test_memory_keeps_messages_with_the_time_they_are_due() -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    queues = MemoryQueues(clock=lambda: now[0])
    await queues.send("q", "later", delay=5)
    await queues.send("q", "at once")

    assert queues.messages["q"] == [("later", now[0] + timedelta(seconds=5)), ("at once", now[0])]
    assert [queues.take("q"), queues.take("q")] == ["at once", None]
    now[0] += timedelta(seconds=5)
    assert [queues.take("q"), queues.take("q")] == ["later", None]
