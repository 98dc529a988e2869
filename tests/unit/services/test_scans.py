"""A large container is registered in rounds, so that what is outstanding stays small."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from shared.domain.jobs import JobKind, JobStatus, ScanParameters
from shared.services.autolabel import registering
from shared.services.jobs.lifecycle import PlanMessage, parse
from shared.storage.gateways.ports import BlobInfo
from tests.integration.kinds.files import project_file
from tests.support.api import SINGLE
from tests.support.services import App, Clock, in_process, result_json
from tests.support.storage.memory import MemoryStorage


def _count_asked(app: App, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many inspections are outstanding after each time that a listing asked for some."""
    asked: list[int] = []
    pending = app.container.stores.pending
    add_many = pending.add_many

    async def noted(incarnation: str, locations: Iterable[str]) -> None:
        await add_many(incarnation, locations)
        project = await app.container.stores.projects.get(app.name)
        asked.append(len((await pending.first(project.scope, 1_000))[0]))

    monkeypatch.setattr(pending, "add_many", noted)
    return asked


async def _registered(app: App) -> int:
    return (await app.container.categories.statistics(app.name)).documents


@pytest.fixture
def small_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registering, "INSPECTIONS_AT_ONCE", 5)
    monkeypatch.setattr(registering, "ROUND_SECONDS", 1)  # `drain` waits for no delay


async def test_an_import_does_not_wait_for_the_scan_that_it_begins(
    app: App, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.blobs.create_container("docs")
    file = project_file(SINGLE, "docs", 2)
    first, second = (document["location"] for document in file["assets"]["documents"])
    await app.upload({first: "text", "new.txt": "text"}, events=False)
    listing, goes_on = storage.blobs.list, asyncio.Event()

    async def held(container: str, **more: Any) -> AsyncIterator[list[BlobInfo]]:
        await goes_on.wait()
        async for blobs in listing(container, **more):
            yield blobs

    monkeypatch.setattr(storage.blobs, "list", held)
    job = await app.container.imports.start("p", json.dumps(file).encode(), "tester", "import")
    assert job.status is JobStatus.SUCCEEDED
    [scan] = await app.jobs(JobKind.SCAN)
    assert not scan.status.ended

    goes_on.set()
    await app.drain()
    [scan] = [await app.container.registering.view(job) for job in await app.jobs(JobKind.SCAN)]
    assert (scan.status, result_json(scan)["looks"]) == (JobStatus.SUCCEEDED, 3)
    found = [await app.document(name) for name in (first, second, "new.txt")]
    assert [document is not None and document.content != "" for document in found] == [True, False, True]


async def test_what_a_scan_found_waits_for_no_other_upload(storage: MemoryStorage, clock: Clock) -> None:
    """The collection window is for events; its message, delivered twice, registers each document once."""
    app = in_process(storage, clock, collect_window_seconds=300)
    await app.create(on_upload=False)
    await app.drain()
    queue = app.container.jobs.kinds.queue_of(PlanMessage(project="p", incarnation="i", id="plan"))
    await storage.queues.receive(queue, 600)
    await app.upload({"a.txt": "one", "b.txt": "two"}, events=False)
    await app.container.registering.scan(app.name, "scan")

    [received] = await storage.queues.receive(queue, 600)
    assert isinstance(parse(received.body), PlanMessage)
    for _ in range(2):
        await app.deliver(queue, received.body)
        await app.drain()
    assert (await app.container.registering.get(app.name, "scan")).status is JobStatus.SUCCEEDED
    assert await _registered(app) == 2


@pytest.mark.usefixtures("small_rounds")
async def test_a_scan_in_rounds_finds_what_one_listing_finds(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.create(on_upload=False)
    await app.upload({"changed.txt": "before", "gone.txt": "gone soon"})
    await app.drain()
    await app.upload({f"{n:02}.txt": f"text {n}" for n in range(40)} | {"changed.txt": "after"}, events=False)
    await app.blobs.delete(app.documents, "gone.txt")
    asked = _count_asked(app, monkeypatch)

    await app.container.registering.scan(app.name, "scan")
    await app.drain()

    job = await app.container.registering.get(app.name, "scan")
    assert (job.status, job.parameters_as(ScanParameters).rounds > 2) == (JobStatus.SUCCEEDED, True)
    expected = {"blobs": 41, "new": 40, "changed": 1, "gone": 1, "looks": 42}
    assert result_json(job) | expected == result_json(job)
    assert await _registered(app) == 41
    assert await app.document("gone.txt") is None
    assert max(asked) == 5


@pytest.mark.usefixtures("small_rounds")
async def test_a_scan_whose_host_dies_between_rounds_goes_on_with_the_sweep(app: App, clock: Clock) -> None:
    await app.create(on_upload=False)
    await app.drain()
    await app.upload({f"{n:02}.txt": f"text {n}" for n in range(40)}, events=False)
    await app.container.registering.scan(app.name, "scan")
    for _ in range(3):
        app.sent.waiting.clear()  # the host dies, and the messages are late
        clock.move(60)
        await app.container.maintenance.sweep()
        await app.deliver(*app.sent.waiting.popleft())
    await app.drain()
    job = await app.container.registering.get(app.name, "scan")
    assert (job.kind, job.status) == (JobKind.SCAN, JobStatus.SUCCEEDED)
    assert await _registered(app) == 40
