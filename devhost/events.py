"""The part of Event Grid over Azurite, which emits no events: sees what changes in containers and posts it.

Subscriptions are as in the deployed app: blobs written to the documents container go to the blob trigger,
everything else (other containers, every deletion) to the Event Grid trigger. Delivery is at least once and in
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
from devhost.delivery import BLOB_FUNCTION, EVENT_FUNCTION, Delivery, DeliveryOptions, Event
from devhost.listing import Account, Blob, EmulatorError
from devhost.output import log
from devhost.settings import ACCOUNT

FEW = 32  # up to so many changed blobs are asked for one by one, more by listing the container


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What goes wrong on purpose, for tests: chances (0 to 1), the most `delay` in seconds, a window."""

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
    documents_container: str
    exclude: tuple[str, ...]
    interval: float
    delivery: DeliveryOptions
    disturbance: Disturbance = field(default_factory=Disturbance)


class Forwarder:
    """Watches one emulator for one host.

    Without hints it lists every container at an interval that never takes more than a tenth of the time. With
    hints (`follow`), which the supervisor takes from Azurite's access log, it looks only at what was written.
    """

    def __init__(self, options: EventOptions, session: aiohttp.ClientSession) -> None:
        self._options = options
        self._account = Account(session, options.azurite_port)
        self._acknowledged = Acknowledged(options.data_dir / "events.jsonl")
        self._delivery = Delivery(options.delivery, session, self._account.blob_url, self._done)
        self._pending: dict[tuple[str, str], str] = {}
        self._hints: defaultdict[str, set[str]] = defaultdict(set)
        self._hinted = asyncio.Event()
        self._random = random.Random(options.disturbance.seed)
        self._functions: set[str] = set()

    async def run(self, follow: bool = False) -> None:
        """Watch and deliver until cancelled. `follow`: after the first look, only at what `hint` names."""
        self._functions = await self._delivery.functions()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._delivery.run())
            await self._watch(follow)

    def hint(self, line: str) -> None:
        """Take notice of a line of Azurite's access log."""
        match = _WRITTEN.search(line)
        if match is None or "popreceipt=" in (match[3] or ""):
            return
        container = match[1]
        if self._is_watched(container):
            self._hints[container].add(unquote(match[2]))
            self._hinted.set()

    def close(self) -> None:
        """Let go of the data directory."""
        self._acknowledged.close()

    async def _watch(self, follow: bool) -> None:
        loop, looked = asyncio.get_running_loop(), False
        while True:
            started = loop.time()
            try:
                if follow and looked:
                    await self._look_at_hints()
                else:
                    await self._look_at_all()
                    looked = True
            except EmulatorError as error:
                log(f"events: {error}")
                await asyncio.sleep(1.0)
                continue
            if follow:
                await self._hinted.wait()
                await asyncio.sleep(0.05)  # what is written together is looked at together
            else:
                await asyncio.sleep(max(self._options.interval, 9 * (loop.time() - started)))

    def _is_watched(self, container: str) -> bool:
        return not container.startswith(self._options.exclude)

    async def _look_at_all(self) -> None:
        existing = {name for name in await self._account.containers() if self._is_watched(name)}
        for container in sorted(existing):
            await self._look_at_container(container)
        for container in self._acknowledged.containers() - existing:
            # Deleting a container makes no events of its blobs.
            for name in self._acknowledged.names(container):
                self._acknowledged.add(container, name, GONE)

    async def _look_at_container(self, container: str) -> None:
        missing = self._acknowledged.names(container)
        missing |= {
            name for (other, name), etag in self._pending.items() if other == container and etag != GONE
        }
        found: list[Event] = []
        async for blob in self._account.blobs(container):
            missing.discard(blob.name)
            found += self._change(container, blob.name, blob)
        for name in sorted(missing):
            found += self._change(container, name, None)
        self._emit(found)

    async def _look_at_hints(self) -> None:
        self._hinted.clear()
        hints, self._hints = self._hints, defaultdict(set)
        try:
            for container in list(hints):
                names = hints[container]
                # A page of a listing costs as much as some hundred single looks.
                if len(names) > FEW + self._acknowledged.count(container) // 20:
                    await self._look_at_container(container)
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
        """The event that tells what a blob has become, none when nothing is new."""
        last = self._acknowledged.etag(container, name)
        known, etag = self._pending.get((container, name), last), blob.etag if blob else GONE
        if known == etag:
            return ()
        to_blob = blob is not None and container == self._options.documents_container
        function = BLOB_FUNCTION if to_blob else EVENT_FUNCTION
        shown = blob or Blob(container, name, known, 0, "application/octet-stream", "BlockBlob")
        return (Event(shown, etag, function),)

    def _emit(self, events: list[Event]) -> None:
        wrong, window = self._options.disturbance, max(1, self._options.disturbance.reorder)
        for event in events:
            self._pending[event.key] = event.etag
        for start in range(0, len(events), window):
            part = events[start : start + window]
            if window > 1:
                self._random.shuffle(part)
            for event in part:
                if event.function not in self._functions or self._random.random() < wrong.drop:
                    self._done(event)
                    continue
                for _ in range(2 if self._random.random() < wrong.duplicate else 1):
                    self._delivery.post_later(event, self._random.uniform(0, wrong.delay))

    def _done(self, event: Event) -> None:
        """The event was delivered, or given up: it does not go out again."""
        container, name = event.key
        self._acknowledged.add(container, name, event.etag)
        if self._pending.get(event.key) == event.etag:
            del self._pending[event.key]


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
