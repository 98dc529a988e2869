"""The services of the app in the process of the test, over in-memory storage or Azurite; the test plays the host.

app = in_process(MemoryStorage())
await app.create("p")
await app.upload({"a.txt": "text"})
await app.drain()
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, override

import pytest

from shared.domain.document import ANY_VERSION, Document, document_id
from shared.domain.errors import DocumentNotFound
from shared.domain.jobs import FitParameters, Job, JobKind
from shared.domain.labels import Labels
from shared.domain.names import EVENT_QUEUE, Names, ProjectKind, random_job_id
from shared.domain.project import AutolabelSettings, Project, ProjectSettings
from shared.engines.base import Engine
from shared.runtime.container import Container, wanted_events
from shared.runtime.settings import Settings
from shared.services.autolabel.service import AutolabelRequest
from shared.services.jobs import lifecycle
from shared.services.jobs.lifecycle import JobMessage, parse
from shared.services.jobs.stores import build
from shared.services.projects.service import ProjectPatch
from shared.storage.gateways.ports import Blobs, Queues, Received, Table
from shared.storage.jobs import PLANNED
from shared.storage.outbox import parse_event
from shared.storage.rows import latest_key
from shared.wire.api import job_json
from tests.support.engines import NAME, ScriptedEngine

SECRET = "AccountName=devstoreaccount1;AccountKey=bm9uZQ=="


class Storage(Protocol):
    """What both in-memory storage and the clients of Azurite have."""

    @property
    def blobs(self) -> Blobs: ...
    @property
    def queues(self) -> Queues: ...
    def table(self, name: str) -> Table: ...


def logged(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The records of the app: libraries may log at any time, as when an object is garbage collected."""
    return [record for record in caplog.records if record.name.split(".")[0] == "labelbridge"]


def result_json(job: Job) -> dict[str, Any]:
    """The result of a job as its answer shows it; empty while there is none."""
    return job_json(job).get("result", {})


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)  # so that no two moments are one
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Sent(Queues):
    """Sends on to the real queues, and remembers, for the test to deliver."""

    def __init__(self, inner: Queues) -> None:
        self._inner = inner
        self.waiting: deque[tuple[str, str]] = deque()

    @override
    async def send(self, queue: str, body: str, *, delay: int = 0) -> None:
        await self._inner.send(queue, body, delay=delay)
        self.waiting.append((queue, body))

    @override
    async def create(self, queue: str) -> None:
        await self._inner.create(queue)

    @override
    async def receive(self, queue: str, seconds: int) -> list[Received]:
        return await self._inner.receive(queue, seconds)

    @override
    async def delete(self, queue: str, message: Received) -> None:
        await self._inner.delete(queue, message)


@dataclass
class App:
    """The services, and the messages that wait. One project, `name`, in one container."""

    container: Container
    sent: Sent
    blobs: Blobs
    name: str = "p"
    documents: str = "docs"
    delivered: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    async def deliver(self, queue: str, body: str) -> None:
        """Give one message to who handles it, as the queue functions do."""
        self.delivered.append((queue, body))
        if queue == EVENT_QUEUE:
            await self.container.events.run(parse_event(body))
            return
        await self.container.dispatcher.run(parse(body))

    async def drain(self) -> None:
        """Deliver what waits, and what comes of it, whatever its delay; then no work of a request is left either."""
        loop = asyncio.get_running_loop()
        while True:
            while self.sent.waiting:
                await self.deliver(*self.sent.waiting.popleft())
            # What took longer than its request waited for.
            left = [task for task in lifecycle._running if task.get_loop() is loop]
            if not left:
                return
            await asyncio.wait(left)

    async def fail_five_times(self, queue: str, body: str) -> None:
        """Deliver a message of a batch that fails until the host moves it to the poison queue, and handle it there."""
        for _ in range(5):
            with pytest.raises(RuntimeError):
                await self.deliver(queue, body)
        await self.container.dispatcher.give_up(parse(body), "It failed five times.")

    async def create(
        self,
        kind: ProjectKind = ProjectKind.SINGLE_LABEL,
        *,
        on_upload: bool = True,
        settings: ProjectSettings | None = None,
        **more: Any,
    ) -> Project:
        """The project, and its container if it is not there."""
        await self.blobs.create_container(self.documents)
        given = settings or ProjectSettings(autolabel=AutolabelSettings(on_upload=on_upload))
        patch = ProjectPatch(kind, self.documents, "en-us", settings=lambda _: given, **more)
        project, _ = await self.container.projects.put(self.name, patch)
        return project

    async def upload(self, texts: Mapping[str, str | bytes], *, events: bool = True) -> None:
        """Write blobs, and tell of them."""
        for name, text in texts.items():
            data = text if isinstance(text, bytes) else text.encode()
            await self.blobs.write(self.documents, name, data)
            if events:
                await self.container.uploads.seen(self.documents, name)

    async def document(self, location: str) -> Document | None:
        try:
            return (await self.container.documents.get(self.name, document_id(location))).document
        except DocumentNotFound:
            return None

    async def label(self, location: str, category: str) -> Document:
        labels = Labels(categories=(category,))
        shown = await self.container.documents.set_labels(
            self.name, document_id(location), ANY_VERSION, labels, "tester"
        )
        return shown.document

    async def define(self, *categories: str) -> None:
        """Make categories known, by labeling documents of their own."""
        for category in categories:
            await self.upload({f"~{category}.txt": f"This one is {category}."})
        await self.drain()
        for category in categories:
            await self.label(f"~{category}.txt", category)

    async def fit(self) -> None:
        """Fit the engine on the labels as they are, as if uploads had asked for it."""
        project = await self.container.projects.get(self.name)
        stores = self.container.stores
        job = Job.new(JobKind.FIT, random_job_id(), project, stores.clock(), FitParameters(NAME))
        await stores.jobs.create(job)
        await self.container.planner.fit(JobMessage.of(job))
        await self.drain()

    async def autolabel(self, job_id: str = "job", **request: Any) -> Job:
        """A job over HTTP, to its end."""
        await self.container.autolabel.start(self.name, AutolabelRequest(**request), job_id)
        await self.drain()
        return await self.container.autolabel.get(self.name, job_id)

    async def rows(self) -> dict[str, Mapping[str, Any]]:
        """Every row of the project, as stored: what must not change when nothing does; but for the last plan's job."""
        project = await self.container.projects.get(self.name)
        table = self.container.stores.table
        rows = await table.query(project.incarnation)
        uploads = await table.query(f"{project.incarnation}|todo")
        planned = latest_key(PLANNED)
        return {row.key: dict(row.values) for row in (*rows, *uploads) if row.key != planned}

    async def jobs(self, kind: JobKind = JobKind.AUTOLABEL) -> list[Job]:
        project = await self.container.projects.get(self.name)
        return await self.container.stores.jobs.list(project.incarnation, kind)


async def pass_minutes(app: App, minutes: int) -> int:
    """Let this much time of the test's clock pass, with a sweep a minute and a comparison an hour.

    Messages are delivered as the host does, each at once. Returns how many were: every attempt is one.
    """
    clock, attempts = app.container.stores.clock, 0
    assert isinstance(clock, Clock)
    for minute in range(minutes):
        clock.move(60)
        if minute % 60 == 59:
            await app.container.maintenance.reconcile()
        await app.container.maintenance.sweep()
        while app.sent.waiting:
            queue, body = app.sent.waiting.popleft()
            if queue == EVENT_QUEUE:
                await app.deliver(queue, body)
                continue
            attempts += 1
            await app.container.dispatcher.run_or_retry(parse(body))
    return attempts


def settings(**more: Any) -> Settings:
    """Uploads are planned at once, for a test delivers a plan whatever its delay."""
    given: dict[str, Any] = {
        "azurewebjobsstorage": SECRET,
        "auth_mode": "entra",
        "default_engine": NAME,
        "api_keys": "[]",
        "collect_window_seconds": 0,
    }
    return Settings(**given | more)


def in_process(
    storage: Storage,
    clock: Callable[[], datetime] | None = None,
    *,
    table: Table | None = None,
    prefix: str = "labelbridge",
    engines: Mapping[str, Callable[[], Engine]] | None = None,
    **more: Any,
) -> App:
    """The app over this storage; `table` in its place, where it is wrapped. `engines`: beside the scripted one."""
    sent, given = Sent(storage.queues), settings(**more)
    rows = table or storage.table("projects")
    stores = build(Names(prefix), rows, storage.blobs, sent, clock, wanted_events(given))
    container = Container(given, stores, {NAME: ScriptedEngine, **(engines or {})})
    return App(container, sent, storage.blobs)


__all__ = ["App", "Clock", "Storage", "in_process", "settings"]
