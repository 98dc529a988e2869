"""A large job leaves room for others: few of its batches are queued at a time, and few of its blobs read."""

import asyncio
from collections.abc import Iterable
from typing import override

import pytest

from shared.domain.document import Reading
from shared.domain.jobs import Job, JobKind, JobStatus
from shared.domain.names import BATCH_QUEUE, ProjectKind, random_id
from shared.services.jobs.lifecycle import IN_FLIGHT
from shared.services.projects.service import ProjectPatch
from shared.storage.gateways.ports import BlobContent
from shared.storage.uploads import BATCHES_READ, READERS_EACH, UploadedBlobs
from tests.support.services import App, Clock
from tests.support.storage.memory_blobs import MemoryBlobs

LARGE = 1_500


def _queued(app: App) -> list[str]:
    return [body for queue, body in app.sent.waiting if queue == BATCH_QUEUE]


async def _large_scan(app: App) -> Job:
    """A container with many blobs, of which a plan made a job; its batches wait in the queue."""
    await app.create(on_upload=False)
    await app.upload({f"{n}.txt": f"text {n}" for n in range(LARGE)}, events=False)
    await app.container.registering.scan(app.name, "scan")
    while not _queued(app):
        await app.deliver(*app.sent.waiting.popleft())
    [job] = await app.jobs(JobKind.REGISTER)
    assert len(job.batches) > IN_FLIGHT + 4
    return job


async def _registered(app: App) -> int:
    return (await app.container.categories.statistics(app.name)).documents


async def test_a_small_job_waits_for_few_batches_of_a_large_one(app: App) -> None:
    """The queue is first in, first out."""
    await _large_scan(app)
    await app.blobs.create_container("others")
    await app.blobs.write("others", "a.txt", b"text")
    await app.container.projects.put("small", ProjectPatch(ProjectKind.MULTI_LABEL, "others", "en-us"))
    delivered = len(app.delivered)

    async def registered() -> int:
        return (await app.container.categories.statistics("small")).documents

    while not await registered():
        await app.deliver(*app.sent.waiting.popleft())

    large = [body for queue, body in app.delivered[delivered:] if queue == BATCH_QUEUE and '"p"' in body]
    assert len(large) <= 2 * IN_FLIGHT


async def test_every_batch_that_is_done_asks_for_one_more(app: App) -> None:
    await _large_scan(app)
    most = 0
    while app.sent.waiting:
        most = max(most, len(_queued(app)))
        await app.deliver(*app.sent.waiting.popleft())

    assert (most, await _registered(app)) == (IN_FLIGHT, LARGE)


async def test_batches_delivered_twice_and_backwards_are_all_done(app: App) -> None:
    await _large_scan(app)
    while app.sent.waiting:
        queue, body = app.sent.waiting.pop()
        await app.deliver(queue, body)
        if queue == BATCH_QUEUE:
            await app.deliver(queue, body)

    assert await _registered(app) == LARGE


async def test_the_sweep_restarts_a_large_job_within_its_share(app: App, clock: Clock) -> None:
    job = await _large_scan(app)
    app.sent.waiting.clear()  # the host dies
    clock.move(60)
    await app.container.maintenance.sweep()
    assert len(_queued(app)) == IN_FLIGHT

    app.sent.waiting.clear()
    jobs = app.container.stores.jobs
    leases = [await jobs.acquire(job, number, random_id(), clock()) for number in range(IN_FLIGHT - 3)]
    assert all(leases)
    await app.container.maintenance.sweep()
    assert len(_queued(app)) == 3  # the others are being run

    clock.move(60)
    await app.container.maintenance.sweep()
    await app.drain()
    assert await _registered(app) == LARGE
    scan = await app.container.registering.get(app.name, "scan")
    assert scan.status is JobStatus.SUCCEEDED


class _SlowBlobs(MemoryBlobs):
    """Counts the reads that are under way."""

    def __init__(self) -> None:
        super().__init__()
        self.reading: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.order: list[str] = []

    @override
    async def read(self, container: str, name: str, *, max_bytes: int | None = None) -> BlobContent | None:
        self.reading[container] = self.reading.get(container, 0) + 1
        self.most[container] = max(self.most.get(container, 0), self.reading[container])
        await asyncio.sleep(0)
        self.reading[container] -= 1
        self.order.append(container)
        return await super().read(container, name, max_bytes=max_bytes)


async def test_few_batches_of_a_project_read_at_a_time(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else all of them would have their texts at the end, and nothing could be predicted meanwhile."""
    await _large_scan(app)
    uploads, reading, most = app.container.stores.uploads, 0, 0
    inspect_all = uploads.inspect_all

    async def counted(container: str, locations: Iterable[str]) -> list[Reading | None]:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        await asyncio.sleep(0)
        found = await inspect_all(container, locations)
        reading -= 1
        return found

    monkeypatch.setattr(uploads, "inspect_all", counted)
    queued = _queued(app)
    app.sent.waiting.clear()
    await asyncio.gather(*(app.deliver(BATCH_QUEUE, body) for body in queued))
    await app.drain()

    assert most == BATCHES_READ
    assert await _registered(app) == LARGE


@pytest.mark.parametrize(("project", "count"), [("p", 1), ("another", READERS_EACH + 1)])
async def test_batches_that_read_keep_no_small_batch_and_no_other_project_waiting(
    monkeypatch: pytest.MonkeyPatch, project: str, count: int
) -> None:
    blobs, go_on = MemoryBlobs(), asyncio.Event()
    names = [f"{n}.txt" for n in range(READERS_EACH + 1)]
    uploads = UploadedBlobs(blobs)

    async def held(container: str, locations: Iterable[str]) -> list[Reading | None]:
        if len(reading) < BATCHES_READ:
            reading.append(container)
            await go_on.wait()
        return [None for _ in locations]

    reading: list[str] = []
    monkeypatch.setattr(uploads, "inspect_all", held)
    large = [asyncio.create_task(uploads.inspect_batch("p", "c", names)) for _ in range(BATCHES_READ + 1)]
    await asyncio.sleep(0)
    assert len(reading) == BATCHES_READ
    async with asyncio.timeout(30):
        assert len(await uploads.inspect_batch(project, "c", names[:count])) == count
    assert not any(task.done() for task in large)
    go_on.set()
    await asyncio.gather(*large)


async def test_readers_of_a_large_batch_leave_room_for_a_small_one() -> None:
    blobs = _SlowBlobs()
    for container, count in (("large", 500), ("small", 5)):
        await blobs.create_container(container)
        for n in range(count):
            await blobs.write(container, f"{n}.txt", b"text")
    uploads = UploadedBlobs(blobs)

    large, small = await asyncio.gather(
        uploads.inspect_all("large", [f"{n}.txt" for n in range(500)]),
        uploads.inspect_all("small", [*(f"{n}.txt" for n in range(5)), "absent.txt"]),
    )

    assert all(reading is not None and reading.text == "text" for reading in large)
    assert [reading is not None for reading in small] == [True] * 5 + [False]
    assert blobs.most["large"] == READERS_EACH
    assert blobs.order.index("small") < 3 * READERS_EACH
