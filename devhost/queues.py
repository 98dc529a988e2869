"""Queue listeners: how messages become invocations, by the rules of the storage extension's QueueListener."""

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from devhost.bindings import send
from devhost.output import log
from devhost.protos import TypedData
from devhost.settings import QueueOptions, decode_message
from devhost.worker import Function, InvocationFailed, Worker

SHORTEST_PAUSE = 0.1  # seconds, also the step of the back-off


class BadMessage(Exception):
    """The message cannot be read. It is never run."""


@dataclass(frozen=True, slots=True)
class Invisibility:
    """Seconds that a received message stays hidden; renewed at half time while it is worked on."""

    seconds: int = 600


type Handler = Callable[[QueueMessage], Awaitable[None]]
"""Works on one message: InvocationFailed to have it again, BadMessage when there is no use."""


class QueueListener:
    """Feeds one queue to one handler.

    It fetches `batch_size` messages whenever no more than `new_batch_threshold` are being worked on. `poison`
    is None for a queue that has no poison queue: its failing messages come back for ever.
    """

    def __init__(
        self,
        queue: QueueClient,
        poison: QueueClient | None,
        handler: Handler,
        options: QueueOptions,
        invisibility: Invisibility,
        poison_unreadable: bool = True,
    ) -> None:
        self._queue = queue
        self._poison = poison
        self._handler = handler
        self._options = options
        self._hidden = invisibility.seconds
        self._poison_unreadable = poison_unreadable
        self._running: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stopping = False
        self._empty_polls = 0

    @property
    def name(self) -> str:
        """Name of the queue."""
        return self._queue.queue_name

    def wake(self) -> None:
        """Look at the queue at once: something in this process sent a message to it."""
        self._wake.set()

    async def run(self) -> None:
        """Listen until `stop`; errors of the storage are waited out."""
        with contextlib.suppress(ResourceExistsError):
            await self._queue.create_queue()
        while not self._stopping:
            try:
                await self._poll()
            except ResourceNotFoundError:
                with contextlib.suppress(AzureError):
                    await self._queue.create_queue()
                await self._pause(1.0)
            except AzureError as error:
                log(f"queue {self.name}: {type(error).__name__}, trying again")
                await self._pause(2.0)

    async def stop(self, deadline: float) -> None:
        """Fetch no more, and wait until the loop's `deadline` for what is being worked on."""
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
        pages = self._queue.receive_messages(
            messages_per_page=size, max_messages=size, visibility_timeout=self._hidden
        )
        messages = [message async for message in pages]
        if self._stopping:
            for message in messages:
                await self._release(message, message.pop_receipt, 0)
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
        longest = self._options.max_polling_interval
        if self._empty_polls > 20:
            return longest
        step = 2 ** (self._empty_polls - 1) * SHORTEST_PAUSE * random.uniform(0.8, 1.2)
        return min(longest, SHORTEST_PAUSE + step)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    async def _process(self, message: QueueMessage) -> None:
        renewal = asyncio.create_task(self._renew(message))
        try:
            await self._attempt(message)
        except AzureError as error:
            # The message shows up again when its invisibility ends.
            log(f"queue {self.name}: message {message.id}: {type(error).__name__}")
        finally:
            renewal.cancel()

    async def _attempt(self, message: QueueMessage) -> None:
        count, most = message.dequeue_count or 0, self._options.max_dequeue_count
        if count > most:
            await self._to_poison(message)
            return
        try:
            await self._handler(message)
        except BadMessage:
            log(f"queue {self.name}: message {message.id} cannot be read")
            await (self._to_poison(message) if self._poison_unreadable else self._delete(message))
        except InvocationFailed:
            if count >= most:
                await self._to_poison(message)
            else:
                await self._release(message, message.pop_receipt, int(self._options.visibility_timeout))
        else:
            await self._delete(message)

    async def _renew(self, message: QueueMessage) -> None:
        """Hide the message anew at half time; the pop receipt changes each time."""
        while True:
            await asyncio.sleep(self._hidden / 2)
            with contextlib.suppress(AzureError):
                await self._release(message, message.pop_receipt, self._hidden)

    async def _release(self, message: QueueMessage, receipt: str | None, seconds: int) -> None:
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
            # Another receiver has it by now (a stale pop receipt): it runs again, delivery is at least once.
            if error.status_code not in {400, 404}:
                raise


def queue_handler(worker: Worker, function: Function, base64_messages: bool) -> Handler:
    """The handler of a queue trigger: a message with its metadata to the function."""

    async def handle(message: QueueMessage) -> None:
        try:
            body = decode_message(message.content, base64_messages)
        except ValueError:
            raise BadMessage from None
        try:
            data = TypedData(string=body.decode())
        except UnicodeDecodeError:
            data = TypedData(bytes=body)
        await worker.invoke(function, data, _metadata(message, data))

    return handle


def _metadata(message: QueueMessage, data: TypedData) -> dict[str, TypedData]:
    # As the real host sends them: text as string, everything else as JSON.
    times = {
        "ExpirationTime": message.expires_on,
        "InsertionTime": message.inserted_on,
        "NextVisibleTime": message.next_visible_on,
    }
    metadata = {name: TypedData(json=json.dumps(time.isoformat())) for name, time in times.items() if time}
    metadata["QueueTrigger"] = data
    metadata["Id"] = TypedData(string=message.id)
    metadata["PopReceipt"] = TypedData(string=message.pop_receipt or "")
    metadata["DequeueCount"] = TypedData(json=str(message.dequeue_count))
    return metadata
