"""Delivery of events as Event Grid does it: POST, retry after growing delays, finally give up."""

import asyncio
import contextlib
import datetime
import json
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from devhost.acknowledged import GONE
from devhost.listing import Blob
from devhost.output import log
from devhost.settings import ACCOUNT, HostError, resolve

PAUSES = (10, 30, 60, 300, 600, 1800, 3600)  # seconds between attempts; the last one repeats
MOST_ATTEMPTS = 30
NOT_RETRIED = {400, 401, 403, 413}
GROUP = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/local"
TOPIC = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/{ACCOUNT}"


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A function that gets events. `container` is that of a blob trigger, None for an Event Grid trigger."""

    name: str
    container: str | None

    @property
    def webhook(self) -> str:
        """Where its events are posted; a subscription in Azure has the same two addresses."""
        if self.container is None:
            return f"/runtime/webhooks/EventGrid?functionName={self.name}"
        return f"/runtime/webhooks/blobs?functionName=Host.Functions.{self.name}"


@dataclass(frozen=True, slots=True)
class Event:
    """A change of a blob, for one function. `etag` is the new one of the blob: GONE for a deletion."""

    blob: Blob
    etag: str
    subscriber: Subscriber
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
    """Where and how events are delivered. `target` is the host's address, `key` its master key; `retry_scale`
    multiplies pauses.

    `event_functions` are the Event Grid triggers that get events, None for all of the app. `settings` resolve
    `%NAME%` in the paths of blob triggers.
    """

    target: str = ""
    key: str | None = None
    event_functions: list[str] | None = None
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    cloud_events: bool = False
    events_per_batch: int = 1
    concurrency: int = 16
    retry_scale: float = 0.1
    topic: str = TOPIC


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
        self._limit = asyncio.Semaphore(options.concurrency)
        self._group = asyncio.TaskGroup()
        self._filling: defaultdict[Subscriber, list[Event]] = defaultdict(list)
        self._headers = {"x-functions-key": options.key} if options.key else {}

    async def subscribers(self) -> list[Subscriber]:
        """The app's functions that get events, as soon as the host answers. HostError when it refuses the key."""
        url, logged = f"{self._options.target}/admin/functions", False
        while True:
            try:
                async with self._session.get(url, headers=self._headers) as answer:
                    if answer.status == 200:
                        return [found for item in await answer.json() for found in self._subscriber(item)]
                    status: object = answer.status
            except (aiohttp.ClientError, TimeoutError) as error:
                status = type(error).__name__
            if status in {401, 403}:
                raise HostError(f"{url} answers {status}: give the host's master key with --key")
            if not logged:
                log(f"events: waiting for {url}: {status}")
                logged = True
            await asyncio.sleep(0.2)

    def _subscriber(self, function: dict[str, Any]) -> Iterable[Subscriber]:
        name, chosen = function["name"], self._options.event_functions
        for binding in function["config"]["bindings"]:
            if binding["type"] == "eventGridTrigger" and (chosen is None or name in chosen):
                yield Subscriber(name, None)
            elif binding["type"] == "blobTrigger":
                # The host leaves out a function whose path does not resolve.
                with contextlib.suppress(HostError):
                    path = resolve(binding["path"], self._options.settings)
                    yield Subscriber(name, path.partition("/")[0])

    def post_later(self, event: Event, delay: float) -> None:
        """Post an event after a delay, together with others for its function that are due then."""
        asyncio.get_running_loop().call_later(delay, self._fill, event)

    async def run(self) -> None:
        """Deliver until canceled."""
        async with self._group:
            await asyncio.Event().wait()

    def _fill(self, event: Event) -> None:
        events = self._filling[event.subscriber]
        if not events:
            asyncio.get_running_loop().call_soon(self._flush, event.subscriber)
        events.append(event)
        if len(events) >= self._options.events_per_batch:
            self._flush(event.subscriber)

    def _flush(self, subscriber: Subscriber) -> None:
        if events := self._filling.pop(subscriber, []):
            self._group.create_task(self._deliver(subscriber, events))

    async def _deliver(self, subscriber: Subscriber, events: list[Event]) -> None:
        status = 0
        for attempt in range(MOST_ATTEMPTS):
            async with self._limit:
                status = await self._post(subscriber, events, attempt)
            if 200 <= status <= 204 or status in NOT_RETRIED:
                break
            await asyncio.sleep(PAUSES[min(attempt, len(PAUSES) - 1)] * self._options.retry_scale)
        if not 200 <= status <= 204:
            log(f"events: gave up {len(events)} for {subscriber.name}, status {status}")
        for event in events:
            self._done(event)

    async def _post(self, subscriber: Subscriber, events: list[Event], attempt: int) -> int:
        """The status of the answer; 0 when there was none."""
        kind = "cloudevents-batch+json" if self._options.cloud_events else "json"
        headers = self._headers | {
            "aeg-event-type": "Notification",
            "aeg-delivery-count": str(attempt),
            "aeg-subscription-name": subscriber.name.upper(),
            "content-type": f"application/{kind}; charset=utf-8",
        }
        body = json.dumps([self._body(event) for event in events]).encode()
        try:
            url = f"{self._options.target}{subscriber.webhook}"
            async with self._session.post(url, data=body, headers=headers) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    def _body(self, event: Event) -> dict[str, Any]:
        blob, topic = event.blob, self._options.topic
        kind = f"Microsoft.Storage.Blob{'Deleted' if event.etag == GONE else 'Created'}"
        time = event.time.isoformat(timespec="microseconds").replace("+00:00", "0Z")
        subject = f"/blobServices/default/containers/{blob.container}/blobs/{blob.name}"
        common = {"id": event.id, "subject": subject, "data": self._data(event)}
        if self._options.cloud_events:
            return common | {"specversion": "1.0", "source": topic, "type": kind, "time": time}
        versions = {"dataVersion": "", "metadataVersion": "1"}
        return common | versions | {"topic": topic, "eventType": kind, "eventTime": time}

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
