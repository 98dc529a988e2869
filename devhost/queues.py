"""Queue listeners: messages become invocations by the rules of the storage extension's QueueListener."""

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable

from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from devhost.bindings import send
from devhost.output import log
from devhost.protos import TypedData
from devhost.settings import QueueOptions, decode_message
from devhost.worker import Function, HostDown, InvocationFailed, Worker

SHORTEST_PAUSE = 0.1  # seconds, also the step of the back-off


type MessageHandler = Callable[[QueueMessage], Awaitable[None]]
"""Handles one message: InvocationFailed to retry it, HostDown when it ends the host."""


class QueueListener:
    """Passes the messages of one queue to one handler.

    It fetches `batch_size` messages whenever no more than `new_batch_threshold` are running. They stay hidden
    for `hidden` seconds, renewed at half time while they run. `poison` is None for a queue that has no poison
    queue: its failing messages stay hidden until that time ends.
    """

    def __init__(
        self,
        queue: QueueClient,
        poison: QueueClient | None,
        handler: MessageHandler,
        options: QueueOptions,
        hidden: int,
    ) -> None:
        self.name: str = queue.queue_name
        self._queue = queue
        self._poison = poison
        self._handler = handler
        self._options = options
        self._hidden = hidden
        self._running: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stopping = False
        self._down: HostDown | None = None
        self._empty_polls = 0

    def wake(self) -> None:
        """Poll at once: this process sent a message to the queue."""
        self._wake.set()

    async def run(self) -> None:
        """Listen until `stop`; errors of the storage are retried. HostDown when a message ends the host."""
        while not self._stopping:
            try:
                await self._poll()
            except AzureError as error:
                log(f"queue {self.name}: {type(error).__name__}, retrying")
                await self._pause(2.0)
        if self._down is not None:
            raise self._down

    async def stop(self, deadline: float) -> None:
        """Fetch no more, and wait until the loop's `deadline` for the messages that are running."""
        self._stopping = True
        self._wake.set()
        while self._running and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._running, timeout=left)

    async def _poll(self) -> None:
        if len(self._running) > self._options.new_batch_threshold:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            return
        self._wake.clear()
        size = self._options.batch_size
        messages: list[QueueMessage] = []
        # One request: if a second one failed, the messages of the first would stay hidden. A missing queue is empty.
        found = self._queue.receive_messages(messages_per_page=size, visibility_timeout=self._hidden)
        with contextlib.suppress(ResourceNotFoundError, StopAsyncIteration):
            messages = [message async for message in await anext(found.by_page())]
        if self._stopping:
            for message in messages:
                await self._hide(message, 0)
        elif messages:
            self._empty_polls = 0
            for message in messages:
                task = asyncio.create_task(self._process(message))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        else:
            self._empty_polls += 1
            await self._pause(self._back_off())

    def _back_off(self) -> float:
        step = 2 ** min(self._empty_polls - 1, 20) * SHORTEST_PAUSE * random.uniform(0.8, 1.2)
        return min(self._options.max_polling_interval, SHORTEST_PAUSE + step)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    async def _process(self, message: QueueMessage) -> None:
        renewal = asyncio.create_task(self._renew(message))
        try:
            await self._attempt(message)
        except AzureError as error:
            # The message is visible again when its invisibility ends.
            log(f"queue {self.name}: message {message.id}: {type(error).__name__}")
        except HostDown as error:
            self._down, self._stopping = error, True
            self._wake.set()
        finally:
            renewal.cancel()

    async def _attempt(self, message: QueueMessage) -> None:
        count, most = message.dequeue_count or 0, self._options.max_dequeue_count
        if count > most:
            await self._to_poison(message)
            return
        try:
            await self._handler(message)
        except InvocationFailed:
            if count >= most:
                await self._to_poison(message)
            elif self._poison is not None:
                await self._hide(message, int(self._options.visibility_timeout))
        else:
            await self._delete(message)

    async def _renew(self, message: QueueMessage) -> None:
        """Extend the invisibility at half time; the pop receipt changes each time."""
        while True:
            await asyncio.sleep(self._hidden / 2)
            with contextlib.suppress(AzureError):
                await self._hide(message, self._hidden)

    async def _hide(self, message: QueueMessage, seconds: int) -> None:
        receipt = message.pop_receipt
        updated = await self._queue.update_message(message.id, receipt, visibility_timeout=seconds)
        message.pop_receipt = updated.pop_receipt

    async def _to_poison(self, message: QueueMessage) -> None:
        if self._poison is None:
            return
        await send(self._poison, message.content)
        log(f"queue {self.name}: message {message.id} moved to {self._poison.queue_name}")
        await self._delete(message)

    async def _delete(self, message: QueueMessage) -> None:
        try:
            await self._queue.delete_message(message.id, message.pop_receipt)
        except HttpResponseError as error:
            # Another receiver has it now (a stale pop receipt): it runs again, delivery is at least once.
            if error.status_code not in {400, 404}:
                raise


def queue_handler(worker: Worker, function: Function, base64_messages: bool) -> MessageHandler:
    """The handler of a queue trigger: runs the function on a message and its metadata."""

    async def handle(message: QueueMessage) -> None:
        try:
            data = TypedData(string=decode_message(message.content, base64_messages).decode())
        except ValueError:
            log(f"queue {function.trigger['queueName']}: message {message.id} is not base64 of UTF-8")
            raise InvocationFailed(function.name) from None
        await worker.invoke(function, data, _metadata(message, data))

    return handle


def _metadata(message: QueueMessage, data: TypedData) -> dict[str, TypedData]:
    # As the real host sends them: text as string, everything else as JSON.
    names = ("ExpirationTime", "InsertionTime", "NextVisibleTime")
    times = zip(names, (message.expires_on, message.inserted_on, message.next_visible_on), strict=True)
    return {name: TypedData(json=json.dumps(time.isoformat())) for name, time in times if time} | {
        "QueueTrigger": data,
        "Id": TypedData(string=message.id),
        "PopReceipt": TypedData(string=message.pop_receipt or ""),
        "DequeueCount": TypedData(json=str(message.dequeue_count)),
    }
