"""Delivery of events as Event Grid does it: POST, try again after growing pauses, give up in the end."""

import asyncio
import datetime
import json
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from devhost.acknowledged import GONE
from devhost.listing import Blob
from devhost.output import log
from devhost.settings import ACCOUNT

BLOB_FUNCTION, EVENT_FUNCTION = "document_uploaded", "storage_event"
PAUSES = (10, 30, 60, 300, 600, 1800, 3600)  # seconds between attempts; the last one repeats
MOST_ATTEMPTS = 30
HOPELESS = {400, 401, 403, 413}  # not tried again
TOPIC = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/local"
    f"/providers/Microsoft.Storage/storageAccounts/{ACCOUNT}"
)


@dataclass(frozen=True, slots=True)
class Event:
    """A change of a blob, for one function. `etag` is what the blob has become: GONE for a deletion."""

    blob: Blob
    etag: str
    function: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    # Orders the events of one blob.
    sequencer: str = field(default_factory=lambda: f"{time.time_ns():032x}")
    time: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))

    @property
    def key(self) -> tuple[str, str]:
        """Container and name."""
        return self.blob.container, self.blob.name


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """Where to and how. `target` is the host's address; `retry_scale` multiplies the pauses."""

    target: str
    cloud_events: bool = False
    events_per_batch: int = 1
    concurrency: int = 16
    retry_scale: float = 0.1
    topic: str = TOPIC


@dataclass(slots=True)
class _Batch:
    function: str
    events: list[Event]
    attempts: int = 0


class Delivery:
    """Posts events. `done` is called with each event that was delivered or given up."""

    def __init__(
        self,
        options: DeliveryOptions,
        session: aiohttp.ClientSession,
        blob_url: Callable[[str, str], str],
        done: Callable[[Event], None],
    ) -> None:
        self._options = options
        self._session = session
        self._blob_url = blob_url
        self._done = done
        self._queue: asyncio.Queue[_Batch] = asyncio.Queue()
        self._filling: defaultdict[str, list[Event]] = defaultdict(list)

    async def functions(self) -> set[str]:
        """Names of the app's functions, as soon as the host answers."""
        while True:
            try:
                async with self._session.get(f"{self._options.target}/admin/functions") as answer:
                    if answer.status == 200:
                        return {function["name"] for function in await answer.json()}
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.2)

    def post_later(self, event: Event, delay: float) -> None:
        """Post an event after some seconds, together with others for its function that are due then."""
        asyncio.get_running_loop().call_later(delay, self._fill, event)

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._options.concurrency):
                group.create_task(self._work())

    def _fill(self, event: Event) -> None:
        events = self._filling[event.function]
        if not events:
            asyncio.get_running_loop().call_soon(self._flush, event.function)
        events.append(event)
        if len(events) >= self._options.events_per_batch:
            self._flush(event.function)

    def _flush(self, function: str) -> None:
        events = self._filling.pop(function, [])
        if events:
            self._queue.put_nowait(_Batch(function, events))

    async def _work(self) -> None:
        while True:
            batch = await self._queue.get()
            status = await self._post(batch)
            batch.attempts += 1
            if 200 <= status <= 204:
                for event in batch.events:
                    self._done(event)
            elif status in HOPELESS or batch.attempts >= MOST_ATTEMPTS:
                log(f"events: {len(batch.events)} for {batch.function} given up, status {status}")
                for event in batch.events:
                    self._done(event)
            else:
                pause = PAUSES[min(batch.attempts, len(PAUSES)) - 1] * self._options.retry_scale
                asyncio.get_running_loop().call_later(pause, self._queue.put_nowait, batch)

    async def _post(self, batch: _Batch) -> int:
        """The status of the answer; 0 when there was none."""
        headers = {
            "aeg-event-type": "Notification",
            "aeg-delivery-count": str(batch.attempts),
            "aeg-subscription-name": batch.function.upper(),
        }
        if self._options.cloud_events:
            headers["content-type"] = "application/cloudevents-batch+json; charset=utf-8"
            body = [self._cloud_event(event) for event in batch.events]
        else:
            headers |= {"content-type": "application/json; charset=utf-8"}
            headers |= {"aeg-data-version": "", "aeg-metadata-version": "1"}
            body = [self._event_grid_event(event) for event in batch.events]
        try:
            url = f"{self._options.target}{_webhook(batch.function)}"
            async with self._session.post(url, data=json.dumps(body).encode(), headers=headers) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    def _event_grid_event(self, event: Event) -> dict[str, Any]:
        return {
            "topic": self._options.topic,
            "subject": _subject(event),
            "eventType": _type(event),
            "id": event.id,
            "data": self._data(event),
            "dataVersion": "",
            "metadataVersion": "1",
            "eventTime": _time(event),
        }

    def _cloud_event(self, event: Event) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "source": self._options.topic,
            "subject": _subject(event),
            "type": _type(event),
            "id": event.id,
            "time": _time(event),
            "data": self._data(event),
        }

    def _data(self, event: Event) -> dict[str, Any]:
        return {
            "api": "DeleteBlob" if event.etag == GONE else "PutBlob",
            "clientRequestId": event.id,
            "requestId": str(uuid.uuid5(uuid.NAMESPACE_OID, event.id)),
            "eTag": event.blob.etag,
            "contentType": event.blob.content_type,
            "contentLength": event.blob.size,
            "blobType": event.blob.blob_type,
            "url": self._blob_url(*event.key),
            "sequencer": event.sequencer,
            "storageDiagnostics": {"batchId": str(uuid.uuid5(uuid.NAMESPACE_URL, event.id))},
        }


def _webhook(function: str) -> str:
    # The deployed subscriptions use the same two addresses.
    if function == BLOB_FUNCTION:
        return f"/runtime/webhooks/blobs?functionName=Host.Functions.{function}"
    return f"/runtime/webhooks/EventGrid?functionName={function}"


def _subject(event: Event) -> str:
    return f"/blobServices/default/containers/{event.blob.container}/blobs/{event.blob.name}"


def _type(event: Event) -> str:
    return "Microsoft.Storage.BlobDeleted" if event.etag == GONE else "Microsoft.Storage.BlobCreated"


def _time(event: Event) -> str:
    return event.time.isoformat(timespec="microseconds").replace("+00:00", "0Z")
