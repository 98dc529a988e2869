"""Bulk decisions run several batches at a time."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from shared.domain.jobs import Batch, BulkParameters, Job, JobKind, JobStatus
from shared.domain.labels import Labels
from shared.domain.page import Page
from shared.services.jobs.lifecycle import BatchMessage
from shared.services.review import bulk
from shared.storage.gateways.ports import StorageUnavailable
from shared.storage.page_access import ProjectHandle
from tests.integration.kinds.files import project_file
from tests.support.api import SINGLE
from tests.support.services import App, Clock, result_json


@pytest.fixture
async def suggested(app: App) -> App:
    """A project with a suggestion for each of some documents, each on another page than the next."""
    await app.create()
    await app.define("Refund")
    await app.upload({f"{number:02}.txt": "@Refund:73" for number in range(40)})
    await app.drain()
    return app


async def test_what_changed_after_its_page_was_read_is_decided_as_it_is_then(
    suggested: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pages are read by one query, the last of them long before they are written."""
    app, pages = suggested, suggested.container.stores.pages
    scan, queries = pages.scan, 0

    async def slow_scan(*scope: Any) -> AsyncIterator[Page]:
        nonlocal queries
        queries += 1
        found = [page async for page in scan(*scope)]
        await app.label("07.txt", "Other")  # a person decides otherwise
        for page in found:
            yield page

    monkeypatch.setattr(pages, "scan", slow_scan)
    job = await app.container.bulk.start(app.name, bulk.BulkRequest(accept=True), "Ana", "job")

    assert queries == 1
    result = result_json(job)
    assert (job.status, result["matched"], result["changed"]) == (JobStatus.SUCCEEDED, 39, 39)
    document = await app.document("07.txt")
    assert document is not None
    assert document.labels == Labels(categories=("Other",))


async def test_when_the_pages_cannot_be_read_batches_under_way_finish(
    suggested: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, pages = suggested, suggested.container.stores.pages
    scan = pages.scan

    async def broken_scan(*scope: Any) -> AsyncIterator[Page]:
        found = [page async for page in scan(*scope)]
        for page in found[:-1]:
            yield page
        raise StorageUnavailable("The storage is away.")

    monkeypatch.setattr(pages, "scan", broken_scan)
    job = await app.container.bulk.start(app.name, bulk.BulkRequest(accept=True), "Ana", "job")
    assert job.status is JobStatus.RUNNING

    # Finished batches stay, and the sweep continues with the others.
    done = [d for n in range(40) if (d := await app.document(f"{n:02}.txt")) and d.labels is not None]
    assert 0 < len(done) < 40
    for number in range(len(job.batches)):
        await app.container.bulk.run_batch(BatchMessage.of(job, number))
    job = await app.container.bulk.get(app.name, JobKind.REVIEW, "job")
    assert (job.status, result_json(job)["changed"]) == (JobStatus.SUCCEEDED, 40)


async def test_suggestions_that_a_training_ended_before_their_pages_were_read_are_not_decided(
    suggested: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = suggested
    create = app.container.stores.jobs.create

    async def create_late(job: Job, *more: Any) -> tuple[Job, bool]:
        """The generation ends between the request and its work."""
        made = await create(job, *more)
        project = await app.container.stores.projects.get(app.name)
        await app.container.stores.projects.save(replace(project, generation=project.generation + 1), project)
        await app.container.stores.directory.read(app.name)
        return made

    monkeypatch.setattr(app.container.stores.jobs, "create", create_late)
    job = await app.container.bulk.start(app.name, bulk.BulkRequest(accept=True), "Ana", "job")
    await app.drain()
    assert result_json(job)["changed"] == 0
    assert [d for n in range(40) if (d := await app.document(f"{n:02}.txt")) and d.labels is not None] == []


@pytest.mark.parametrize("moment", ["before its batches begin", "in its batches"])
async def test_a_project_that_is_imported_over_after_its_pages_were_read_keeps_its_new_content(
    suggested: App, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The new content has the same documents, some with labels, and none of the suggestions."""
    app, stores, file = suggested, suggested.container.stores, project_file(SINGLE, suggested.documents, 0)
    names = [f"{number:02}.txt" for number in range(40)]
    label = {"class": {"category": "Refund"}}
    file["assets"]["classes"] = [{"category": "Refund"}]
    file["assets"]["documents"] = [
        {"location": name, "language": "en-us"} | (label if name < "05" else {}) for name in names
    ]
    scan, open_project = stores.pages.scan, stores.directory.open
    imported: list[JobStatus] = []
    importing = asyncio.Lock()

    async def import_over() -> None:
        job = await app.container.imports.start(app.name, json.dumps(file).encode(), "Ana", "import")
        imported.append(job.status)

    async def scan_early(*scope: Any) -> AsyncIterator[Page]:
        monkeypatch.setattr(stores.pages, "scan", scan)
        found = [page async for page in scan(*scope)]
        if moment == "in its batches":
            monkeypatch.setattr(stores.directory, "open", open_late)
        else:
            await import_over()
        for page in found:
            yield page

    async def open_late(name: str) -> ProjectHandle:
        async with importing:
            if not imported:
                await import_over()
        return await open_project(name)

    monkeypatch.setattr(stores.pages, "scan", scan_early)
    await app.container.bulk.start(app.name, bulk.BulkRequest(accept=True), "Ana", "job")
    await app.drain()
    assert imported == [JobStatus.SUCCEEDED]
    job = await app.container.bulk.get(app.name, JobKind.REVIEW, "job")
    result = result_json(job)
    assert (job.status, result["matched"], result["changed"]) == (JobStatus.CANCELLED, 0, 0)
    found = [(name, document.labels) for name in names if (document := await app.document(name))]
    assert found == [(name, Labels(categories=("Refund",)) if name < "05" else None) for name in names]


async def test_after_a_failure_batches_under_way_finish_and_no_other_begins(
    app: App, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they have written is counted; a canceled batch could not say it at its next try."""
    await app.create()
    project = await app.container.stores.directory.read(app.name)
    parameters = BulkParameters("Ana", True, None, None, None, None, None)
    job = Job.new(JobKind.REVIEW, "job", project, clock(), parameters)
    job = replace(job, batches=tuple(Batch(number, number + 1, 1) for number in range(40)))
    begun: list[int] = []
    finished: list[int] = []

    async def run(_stores: Any, _jobs: Any, message: BatchMessage, *_: Any, **__: Any) -> None:
        begun.append(message.number)
        await asyncio.sleep(0)
        if message.number == 1:
            raise OSError("The storage is away.")
        for _turn in range(5):
            await asyncio.sleep(0)
        finished.append(message.number)

    monkeypatch.setattr(bulk, "run_leased", run)
    with pytest.raises(OSError, match="away"):
        await app.container.bulk._work(job)
    assert len(begun) < 20
    assert set(begun) - {1} == set(finished)
