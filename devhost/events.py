"""Event Grid for Azurite, which emits no events: posts an event for each change in the containers.

Who gets them follows from the app's functions: blobs written to the container of a blob trigger go to it,
everything else (other containers, every deletion) to the Event Grid triggers. Delivery is at least once and in
no order.
"""

import asyncio
import contextlib
import random
import re
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import aiohttp

from devhost.acknowledged import GONE, Acknowledged
from devhost.delivery import Delivery, DeliveryOptions, Event, Subscriber
from devhost.listing import Account, Blob, EmulatorError
from devhost.output import log
from devhost.settings import ACCOUNT

FEW = 32  # up to this many changed blobs are requested one by one, more by listing the container
LONGEST_PAUSE = 5.0  # seconds between two scans of all containers, however long one takes


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Faults for tests: chances (0 to 1), the longest `delay` in seconds, the size of a group to shuffle."""

    duplicate: float = 0.0
    drop: float = 0.0
    delay: float = 0.0
    reorder: int = 1
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class EventOptions:
    """What to watch. `interval` in seconds; `exclude` are prefixes of container names."""

    azurite_port: int
    data_dir: Path
    exclude: tuple[str, ...]
    delivery: DeliveryOptions
    interval: float = 0.5
    disturbance: Disturbance = field(default_factory=Disturbance)


class Forwarder:
    """Watches one emulator for one host.

    Without hints it lists every container at an interval, for about a tenth of the time but with no longer pause
    than LONGEST_PAUSE. With hints (`follow`), which the supervisor takes from Azurite's access log, it inspects only
    what was written.
    """

    def __init__(self, options: EventOptions, session: aiohttp.ClientSession) -> None:
        self._options = options
        self._account = Account(session, options.azurite_port)
        self._acknowledged = Acknowledged(options.data_dir / "events.jsonl")
        self._delivery = Delivery(options.delivery, session, self._account.blob_url, self._delivered)
        # The last change of a blob, and the subscribers that have not received it yet.
        self._pending: dict[tuple[str, str], tuple[str, set[Subscriber]]] = {}
        self._hints: defaultdict[str, set[str]] = defaultdict(set)
        self._hinted = asyncio.Event()
        self._random = random.Random(options.disturbance.seed)
        self._subscribers: list[Subscriber] = []

    async def run(self, follow: bool = False) -> None:
        """Watch and deliver until canceled. `follow`: after the first scan inspect only what `hint` names."""
        self._subscribers = await self._delivery.subscribers()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._delivery.run())
            await self._watch(follow)

    def hint(self, line: str) -> None:
        """Record the write that a line of Azurite's access log reports."""
        match = _WRITTEN.search(line)
        if match is None or "popreceipt=" in (match[3] or ""):
            return
        container = match[1]
        if not container.startswith(self._options.exclude):
            self._hints[container].add(unquote(match[2]))
            self._hinted.set()

    def close(self) -> None:
        """Release the data directory."""
        self._acknowledged.close()

    async def _watch(self, follow: bool) -> None:
        loop, scanned = asyncio.get_running_loop(), False
        while True:
            started = loop.time()
            try:
                if follow and scanned:
                    await self._inspect_hints()
                else:
                    await self._scan()
                    scanned = True
            except EmulatorError as error:
                log(f"events: {error}")
                await asyncio.sleep(1.0)
                continue
            if follow:
                await self._hinted.wait()
                await asyncio.sleep(0.05)  # concurrent writes are inspected together
            else:
                pause = min(9 * (loop.time() - started), LONGEST_PAUSE)
                await asyncio.sleep(max(self._options.interval, pause))

    async def _scan(self) -> None:
        names = await self._account.containers()
        existing = {name for name in names if not name.startswith(self._options.exclude)}
        for container in sorted(existing):
            await self._scan_container(container)
        for container in self._acknowledged.containers() - existing:
            # Deleting a container makes no events of its blobs.
            for name in list(self._acknowledged.names(container)):
                self._acknowledged.add(container, name, GONE)

    async def _scan_container(self, container: str) -> None:
        pending = {name for (other, name), (etag, _) in self._pending.items() if other == container and etag}
        missing = pending.union(self._acknowledged.names(container))
        found: list[Event] = []
        async for blob in self._account.blobs(container):
            missing.discard(blob.name)
            found += self._change(container, blob.name, blob)
        for name in sorted(missing):
            found += self._change(container, name, None)
        self._emit(found)

    async def _inspect_hints(self) -> None:
        self._hinted.clear()
        hints, self._hints = self._hints, defaultdict(set)
        try:
            for container in list(hints):
                names = hints[container]
                # A page of a listing costs as much as some hundred single requests.
                if len(names) > FEW + len(self._acknowledged.names(container)) // 20:
                    await self._scan_container(container)
                else:
                    blobs = await asyncio.gather(*(self._account.blob(container, name) for name in names))
                    pairs = zip(names, blobs, strict=True)
                    self._emit([e for name, blob in pairs for e in self._change(container, name, blob)])
                del hints[container]
        except EmulatorError:
            for container, names in hints.items():
                self._hints[container] |= names
            self._hinted.set()
            raise

    def _change(self, container: str, name: str, blob: Blob | None) -> Iterable[Event]:
        """The events for a change of a blob, none when nothing is new."""
        key, etag = (container, name), blob.etag if blob else GONE
        known = (
            self._pending[key][0]
            if key in self._pending
            else self._acknowledged.names(container).get(name, GONE)
        )
        if known == etag:
            return ()
        triggers = [s for s in self._subscribers if blob is not None and s.container == container]
        subscribers = triggers or [s for s in self._subscribers if s.container is None]
        shown = blob or Blob(container, name, known, 0, "application/octet-stream", "BlockBlob")
        if subscribers:
            self._pending[key] = etag, set(subscribers)
        else:
            self._acknowledged.add(container, name, etag)
        return [Event(shown, etag, subscriber) for subscriber in subscribers]

    def _emit(self, events: list[Event]) -> None:
        wrong, window = self._options.disturbance, max(1, self._options.disturbance.reorder)
        for start in range(0, len(events), window):
            part = events[start : start + window]
            if window > 1:
                self._random.shuffle(part)
            for event in part:
                if self._random.random() < wrong.drop:
                    self._delivered(event)
                    continue
                for _ in range(2 if self._random.random() < wrong.duplicate else 1):
                    self._delivery.post_later(event, self._random.uniform(0, wrong.delay))

    def _delivered(self, event: Event) -> None:
        """A subscriber has the event, or it was given up: not sent again, unless a newer change is pending."""
        etag, subscribers = self._pending.get(event.key, (None, set[Subscriber]()))
        if etag == event.etag:
            subscribers.discard(event.subscriber)
            if not subscribers:
                del self._pending[event.key]
                self._acknowledged.add(*event.key, event.etag)


_WRITTEN = re.compile(rf'"(?:PUT|DELETE) /{ACCOUNT}/([^/? "]+)/([^? "]+)(\?[^ "]*)? HTTP/1\.[01]" 20[0-9]')


@contextlib.asynccontextmanager
async def forwarder(options: EventOptions) -> AsyncGenerator[Forwarder]:
    """A forwarder with its HTTP session; not yet running."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as session:
        made = Forwarder(options, session)
        try:
            yield made
        finally:
            made.close()
