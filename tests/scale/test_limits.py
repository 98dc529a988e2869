"""The app at the limits that Azure publishes for a storage account, in virtual time. docs/scale.md has the figures:

python -m pytest -s tests/scale/test_limits.py
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from azure.storage.queue._shared import policies_async

from bench.instant_engine import InstantEngine
from shared.domain.document import ANY_VERSION, document_id
from shared.domain.errors import Unavailable
from shared.domain.names import QUEUES, DocumentStatus, Names
from shared.domain.review import Decision
from shared.runtime.container import Container
from shared.services.autolabel import planning, registering
from shared.services.jobs import stores as stores_module
from shared.services.jobs.lifecycle import parse
from shared.services.jobs.stores import build
from shared.services.review.service import Saved, Submitted
from shared.storage.gateways.ports import StorageUnavailable
from shared.storage.rows import pending_partition
from tests.support.services import App, Sent, settings
from tests.support.storage.limits import ENTITIES, MESSAGES, REQUESTS, Limits
from tests.support.storage.memory import FULL_PAGES, MemoryStorage
from tests.support.virtual_time import VirtualLoop, virtual_now

INSTANCES = 4
WORKERS = 8  # of a queue in an instance
UPLOADS = 2_000
REVIEWERS, SAVES = 200, 8
READS, READERS = 20_000, 48  # of an instance: `READERS` in shared/storage/uploads.py
SENDS, SENDERS = 10_000, 64
RETRY_AFTER = 2  # of the answer when storage is busy
EVENT_PAUSES = (10, 30, 60, 300)  # before Event Grid delivers an event again
SEEDS = (3, 4, 5)  # of the pauses: those with the lowest and the highest rates of five

type Run = Callable[[Coroutine[Any, Any, None]], None]


class Deployment:
    """Instances of the app over one account with limits; `quiet` is one without them, to prepare and to look."""

    def __init__(self) -> None:
        self.storage = MemoryStorage(clock=virtual_now, page_sizes=FULL_PAGES)
        self.limits = Limits()
        self.instances = [self._instance() for _ in range(INSTANCES)]
        table, sent = self.storage.table("projects"), Sent(self.storage.queues)
        stores = build(Names("labelbridge"), table, self.storage.blobs, sent, virtual_now)
        self.quiet = App(self._container(stores), sent, self.storage.blobs)

    def _instance(self) -> Container:
        storage, limits = self.storage, self.limits
        table, blobs = limits.table(storage.table("projects")), limits.blobs(storage.blobs)
        queues = limits.queues(storage.queues)
        return self._container(build(Names("labelbridge"), table, blobs, queues, virtual_now))

    def _container(self, stores: Any) -> Container:
        given = settings(default_engine="instant", collect_window_seconds=2)
        return Container(given, stores, {"instant": InstantEngine})

    @asynccontextmanager
    async def hosts(self) -> AsyncIterator[None]:
        """Queues are read, and one instance sweeps each minute."""
        work = [self._reads(app, queue) for app in self.instances for queue in QUEUES for _ in range(WORKERS)]
        tasks = [asyncio.create_task(loop) for loop in (*work, self._sweeps(self.instances[0]))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _reads(self, app: Container, queue: str) -> None:
        while True:
            body = self.storage.queues.take(queue)
            if body is None:
                await asyncio.sleep(0.5)
                continue
            try:
                await app.dispatcher.run_or_retry(parse(body))
            except StorageUnavailable:  # the message comes again, as the host does it
                await self.storage.queues.send(queue, body, delay=5)

    async def _sweeps(self, app: Container) -> None:
        while True:
            await asyncio.sleep(60)
            try:
                await app.maintenance.sweep()
            except StorageUnavailable:
                continue


def now() -> float:
    return asyncio.get_running_loop().time()


class Work:
    """The work of clients and its fairness: figures of the first 90 %, because the last client may wait long."""

    def __init__(self, clients: int, count: int, limit: float) -> None:
        """`limit`: how many a second the limits allow."""
        self.done = [0] * clients
        self.again = 0
        self._count = count
        self._limit = limit
        self._begun = now()
        self.rate = 0.0
        self.fairness = 0.0
        """Jain's index: 1 where all clients have done the same, 1/n where one has done everything."""

    def add(self, client: int) -> None:
        self.done[client] += 1
        total = sum(self.done)
        if total == self._count // 2:
            self.fairness = total**2 / (len(self.done) * sum(count * count for count in self.done))
        if total == self._count * 9 // 10:
            self.rate = total / (now() - self._begun)

    @property
    def share(self) -> float:
        """The share of the limit that was used."""
        return self.rate / self._limit

    def show(self, name: str, limits: Limits) -> None:
        """Print the figures."""
        refused, calls = limits.served.refused.total(), limits.served.calls.total()
        rate = f"{self.rate:,.0f}/s, {self.share:.0%} of the limit"
        figures = f"{self._count:,} {name}: {rate}, fairness {self.fairness:.2f}, "
        figures += f"{calls:,} calls and {refused:,} refused ones, {self.again} given up and done again"
        sys.stderr.write(f"\n{figures}; all done after {now() - self._begun:.1f} s\n")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a scenario in virtual time; a seed, 1 if the test gives none, draws the same pauses each time."""
    random.seed(getattr(request, "param", 1))
    for module in (registering, planning, stores_module):
        monkeypatch.setattr(module, "monotonic", now)
    # The SDK makes a generator for each pause, with a seed of its own.
    monkeypatch.setattr(policies_async, "random", SimpleNamespace(Random=lambda: random))
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        yield runner.run


async def together(calls: Iterable[Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(call)


def names(count: int) -> list[str]:
    return [f"doc{number:06d}.txt" for number in range(count)]


async def _uploads() -> None:
    deployment = Deployment()
    app, served = deployment.quiet, deployment.limits.served
    project = await app.create()
    await app.define("Refund")
    locations = names(UPLOADS)
    await app.upload(dict.fromkeys(locations, "A text."), events=False)
    work = Work(INSTANCES, UPLOADS, ENTITIES)  # a row each

    async def event(number: int, location: str) -> None:
        """As Event Grid delivers it."""
        for pause in EVENT_PAUSES:
            try:
                await deployment.instances[number % INSTANCES].uploads.seen("docs", location)
            except StorageUnavailable:
                work.again += 1
                await asyncio.sleep(pause)
            else:
                return work.add(number % INSTANCES)
        raise AssertionError("An event was refused for minutes.")

    async def suggested() -> bool:
        if await app.container.stores.pending.any(project.incarnation):
            return False
        counts = await app.container.categories.statistics("p")
        return counts.statuses[DocumentStatus.AUTO_LABELED] >= UPLOADS

    async with deployment.hosts():
        await together(event(*pair) for pair in enumerate(locations))
        while not await suggested():
            await asyncio.sleep(1)
            assert now() < 3_600
    rows = served.units[pending_partition(project.incarnation)] + served.units[project.incarnation]
    work.show("uploads at once, stored", deployment.limits)
    sys.stderr.write(f"rows read and written: {rows / UPLOADS:.1f} for each\n")
    assert work.share > 0.65
    assert work.fairness > 0.4  # half of the uploads are ten transactions of four instances
    assert rows < 25 * UPLOADS  # plans that fail and come again read much, but their number stays limited


@pytest.mark.parametrize("run", SEEDS, indirect=True)
def test_no_upload_is_lost_when_a_partition_is_at_its_limit(run: Run):
    run(_uploads())


async def _saves() -> None:
    deployment = Deployment()
    app = deployment.quiet
    await app.create()
    await app.define("Refund")
    locations = names(REVIEWERS * SAVES)
    await app.upload(dict.fromkeys(locations, "A text."), events=False)
    await app.container.registering.scan("p", "scan")
    await app.drain()
    await app.autolabel()
    work = Work(REVIEWERS, len(locations), ENTITIES / 4)  # three rows written, one read

    async def reviewer(number: int) -> None:
        """As a client does: one decision after the other; after 503 again, when the answer says so."""
        review, name = deployment.instances[number % INSTANCES].review, f"reviewer-{number}"
        for location in locations[number::REVIEWERS]:
            decision = Submitted(Decision(document_id(location), accept_all=True), ANY_VERSION)
            while True:
                try:
                    _, [result] = await review.save("p", [decision], name, f"{number}-{location}")
                    break
                except (StorageUnavailable, Unavailable) as error:
                    work.again += 1
                    await asyncio.sleep(RETRY_AFTER if isinstance(error, StorageUnavailable) else 1)
            assert result.status is Saved.SAVED
            work.add(number)

    await together(map(reviewer, range(REVIEWERS)))
    work.show("saves in one project", deployment.limits)
    counts = await app.container.categories.statistics("p")
    assert counts.statuses[DocumentStatus.AUTO_LABELED] == 0  # each save that was answered is there
    assert counts.statuses[DocumentStatus.LABELED] >= len(locations)
    assert work.share > 0.7
    assert work.fairness > 0.45  # those of an instance that was refused wait together


@pytest.mark.parametrize("run", SEEDS, indirect=True)
def test_no_save_is_lost_when_a_partition_is_at_its_limit(run: Run):
    run(_saves())


async def _reads() -> None:
    limits, storage = Limits(), MemoryStorage(clock=virtual_now)
    await storage.blobs.create_container("docs")
    await storage.blobs.write("docs", "a.txt", b"A text.")
    blobs, waiting = limits.blobs(storage.blobs), [None] * READS
    work = Work(INSTANCES, READS, REQUESTS)

    async def reader(instance: int) -> None:
        while waiting:
            waiting.pop()
            try:
                assert await blobs.read("docs", "a.txt")
                work.add(instance)
            except StorageUnavailable:
                waiting.append(None)
                work.again += 1

    await together(reader(number % INSTANCES) for number in range(INSTANCES * READERS))
    work.show("reads of blobs", limits)
    assert sum(work.done) == READS
    assert work.share > 0.98
    assert work.fairness > 0.95


def test_instances_share_the_limit_of_an_account(run: Run):
    run(_reads())


async def _messages() -> None:
    limits, storage = Limits(), MemoryStorage(clock=virtual_now)
    queues, waiting = limits.queues(storage.queues), list(range(SENDS))
    work, instances = Work(SENDERS, SENDS, MESSAGES), Work(INSTANCES, SENDS, MESSAGES)

    async def sender(number: int) -> None:
        while waiting:
            message = waiting.pop()
            try:
                await queues.send("batches", str(message))
                work.add(number)
                instances.add(number % INSTANCES)
            except StorageUnavailable:
                waiting.append(message)
                work.again += 1

    await together(map(sender, range(SENDERS)))
    work.show("messages", limits)
    sys.stderr.write(f"fairness among instances: {instances.fairness:.2f}\n")
    assert sorted(int(body) for body, _ in storage.queues.messages["batches"]) == list(range(SENDS))
    assert work.share > 0.98
    assert work.fairness > 0.3  # a refused sender pauses for 1 to 3 s, and half of the messages take 2.5 s
    assert instances.fairness > 0.75


def test_no_message_is_lost_when_a_queue_is_at_its_limit(run: Run):
    run(_messages())
