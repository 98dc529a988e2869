"""An import that dies at any storage call, comes twice, or meets another one: one end state, nothing lost (C10)."""

import asyncio
import json
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import pytest

from shared.domain.document import Document, document_id
from shared.domain.errors import Conflict
from shared.domain.jobs import JobKind, JobStatus
from shared.domain.labels import Labels
from shared.domain.names import DocumentStatus, ProjectKind
from shared.domain.page import Page, page_of
from shared.domain.project import Project
from shared.services.jobs import lifecycle
from shared.services.jobs.lifecycle import JobMessage
from shared.services.training.service import TrainRequest
from shared.storage.pages import Author
from tests.integration.kinds.files import project_file
from tests.support.api import SINGLE
from tests.support.lives import Life, living
from tests.support.services import Clock
from tests.support.storage.faults import Crash, Faults, crash_points
from tests.support.storage.memory import MemoryStorage


def file_of(mark: str, documents: int = 9) -> bytes:
    return json.dumps(project_file(SINGLE, "docs", documents, mark)).encode()


async def old_project(storage: MemoryStorage, clock: Clock) -> Life:
    """A project with content and pending suggestions, on few pages."""
    app = living(storage, clock)
    await app.create(on_upload=False, pages=8)
    await app.suggested({"old.txt": "@Refund:73"}, "Refund", "Login")
    return app


async def labeled(app: Life) -> list[str]:
    """Locations of the labeled documents: blobs that lie in the container are registered under any content."""
    project = await app.container.projects.get(app.name)
    pages = app.container.stores.pages.scan(project.scope)
    return sorted([d.location async for page in pages for d in page.documents.values() if d.labels])


async def go_on(app: Life, clock: Clock) -> None:
    """What timers and queues do after a death."""
    for _ in range(5):
        clock.move(60)
        await app.container.maintenance.sweep()
        await app.drain()


async def test_replaced_content_stays_for_the_requests_that_read_it() -> None:
    clock = Clock()
    app = await old_project(MemoryStorage(clock=clock), clock)
    former = await app.container.projects.get("p")

    async def read() -> int:
        """Documents that a request finds which read the project before the import."""
        return sum([len(page.documents) async for page in app.container.stores.pages.scan(former.scope)])

    before = await read()
    await app.container.imports.start("p", file_of("new-"), "tester", "job")
    await app.drain()
    job = await app.container.stores.jobs.get("", JobKind.IMPORT, "job")
    clock.move(200)  # the time limit of a request
    await app.container.maintenance.sweep()
    assert (job.status, await read()) == (JobStatus.SUCCEEDED, before)
    assert before
    await go_on(app, clock)
    assert await read() == 0


async def dying(faults: Faults, *, over: bool) -> int:
    """Import with a process that fails as planned, go on with a new one, and look at the end."""
    clock = Clock()
    storage = MemoryStorage(clock=clock)
    first = await old_project(storage, clock) if over else living(storage, clock)
    await first.blobs.create_container("docs")
    before = await labeled(first) if over else None
    process = living(storage, clock, faults=faults)
    with suppress(Crash):
        await process.container.imports.start("p", file_of("new-"), "tester", "job")
    repaired = living(storage, clock)
    where = faults.calls[-1]
    found = await repaired.container.stores.jobs.find("", JobKind.IMPORT, "job")
    if over:
        assert await labeled(repaired) in (before, _locations("new-")), (
            where
        )  # never half of it, also before we go on
    await go_on(repaired, clock)
    if found is None:  # it stopped before the job was written, so no caller knows of it
        assert not over or await labeled(repaired) == before
        return len(faults.calls)
    job = await repaired.container.stores.jobs.get("", JobKind.IMPORT, "job")
    assert job.status is JobStatus.SUCCEEDED, (where, job)
    assert await labeled(repaired) == _locations("new-"), where
    project = await repaired.container.projects.get("p")
    assert project.lock is None, where
    rows = await repaired.container.stores.table.query(project.incarnation)
    editions = {row.key.split("|")[1] for row in rows if row.key.startswith(("page|", "head|"))}
    assert editions == {project.edition}, ("the old content is purged", where)
    await repaired.label(_locations("new-")[0], "Refund")  # nothing is locked
    return len(faults.calls)


def _locations(mark: str, documents: int = 9) -> list[str]:
    found = project_file(SINGLE, "docs", documents, mark)["assets"]["documents"]
    return sorted(document["location"] for document in found if "class" in document)


def _every(mark: str) -> list[str]:
    return sorted(document["location"] for document in json.loads(file_of(mark))["assets"]["documents"])


async def test_an_import_over_a_project_dies_at_every_storage_call():
    calls = await dying(Faults(), over=True)
    for plan in crash_points(calls):
        await dying(Faults(plan), over=True)


async def test_an_import_of_a_new_project_dies_around_every_write():
    """The reads between are those of the test above; each life locks nothing, so it is short."""
    calls = await dying(Faults(), over=False)
    for plan in crash_points(calls):
        await dying(Faults(plan), over=False)


async def test_a_worker_that_comes_late_changes_nothing_that_was_done_since(
    memory: MemoryStorage, clock: Clock
):
    """It began before the project was turned, and wrote its pages after a person had saved on them."""
    app = await old_project(memory, clock)
    await app.container.imports.start("p", file_of("new-"), "tester", "job")
    [location, *_] = _locations("new-")
    await app.label(location, "Other")
    project = await app.container.projects.get("p")
    job = await app.container.stores.jobs.get("", JobKind.IMPORT, "job")

    number = page_of(document_id(location), project.pages)
    late = Document(document_id(location), location, "de", labels=Labels(("Refund",)))
    pages = [Page(number, {late.id: late})]
    author = Author("tester", job.created, "late")
    await app.container.stores.pages.write_edition(project, pages, author, lambda page: ())

    labels = (await app.get(location)).labels
    assert labels is not None
    assert labels.categories == ("Other",)


async def test_an_import_that_goes_on_later_removes_no_documents_that_were_inspected_meanwhile(
    memory: MemoryStorage, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    """Its listing lacks more than half of them, which a person has to confirm (rule D12)."""
    first, locations = living(memory, clock), _every("new-")
    await first.blobs.create_container("docs")
    for location in locations:
        await first.blobs.write("docs", location, b"A text.")
    monkeypatch.setattr(first.container.registering, "begin_scan", _dies)
    with suppress(Crash):
        await first.container.imports.start("p", file_of("new-"), "tester", "job")
    later = living(memory, clock)
    await later.container.registering.scan("p", "scan")
    await later.drain()
    assert all([(await later.get(location)).content for location in locations])

    for location in locations[2:]:
        await later.blobs.delete("docs", location)
    clock.move(60)
    job = await later.container.stores.jobs.get("", JobKind.IMPORT, "job")
    await later.container.imports.run(JobMessage.of(job))
    await asyncio.wait(lifecycle._running)  # the listing, before its message comes
    await later.drain()

    job = await later.container.stores.jobs.get("", JobKind.IMPORT, "job")
    assert job.status is JobStatus.SUCCEEDED
    assert not any([(await later.get(location)).missing for location in locations])


@pytest.mark.parametrize("pending", [False, True])
async def test_the_scan_of_an_import_reads_the_documents_while_uploads_are_pending(
    memory: MemoryStorage, clock: Clock, monkeypatch: pytest.MonkeyPatch, pending: bool
):
    """An event may have come since the import landed, and its document be inspected before the listing."""
    app = await old_project(memory, clock)
    project = await app.container.projects.get(app.name)
    if pending:
        await app.container.stores.pending.add(project.incarnation, "new-0.txt")
    begin, known = app.container.registering.begin_scan, list[Collection[str] | None]()

    async def begin_scan(project: Project, reason: str, locations: Collection[str] | None) -> None:
        known.append(locations)
        await begin(project, reason, locations)

    monkeypatch.setattr(app.container.registering, "begin_scan", begin_scan)
    await app.container.imports.start(app.name, file_of("new-"), "tester", "job")
    await app.drain()

    assert known == [
        None if pending else [d["location"] for d in json.loads(file_of("new-"))["assets"]["documents"]]
    ]


async def _dies(*_: Any) -> None:
    raise Crash


async def test_an_import_that_ended_does_not_come_back_over_a_later_one(app: Life):
    await app.create(on_upload=False, pages=8)
    await app.container.imports.start("p", file_of("one-"), "tester", "first")
    await app.container.imports.start("p", file_of("two-"), "tester", "second")
    message = JobMessage(project="p", incarnation="-", kind=JobKind.IMPORT, job="first")
    await app.container.dispatcher.run(message)
    assert await labeled(app) == _locations("two-")


async def test_of_a_job_that_an_import_overtakes_nothing_appears(app: Life):
    await app.create(on_upload=False, pages=8)
    texts = {f"{number:04}.txt": "@Refund:50" for number in range(1_200)}
    await app.upload(texts, events=False)
    await app.container.registering.scan("p", "scan")
    await app.define("Refund")
    waiting = await app.planned("running")

    file = project_file(SINGLE, "docs", 0)
    file["assets"]["documents"] = [{"location": name, "language": "de", "dataset": "Train"} for name in texts]
    job = await app.container.imports.start("p", json.dumps(file).encode(), "tester", "job")

    assert job.status is JobStatus.SUCCEEDED
    running = await app.job(JobKind.AUTOLABEL, "running")
    assert (running.status, running.errors[-1].code) == (JobStatus.CANCELLED, "ProjectReplaced")
    for message in waiting:
        await app.deliver(*message)
    await app.drain()
    statistics = await app.container.categories.statistics("p")
    assert statistics.statuses[DocumentStatus.AUTO_LABELED] == 0


async def test_an_export_that_an_import_overtakes_fails_for_its_poller_to_end(app: Life):
    """Pollers of Azure's clients know no `cancelled` but that of training."""
    await app.create(on_upload=False, pages=8)
    job = await app.container.exports.start("p", "done")
    running = job.__class__(
        "running", JobKind.EXPORT, "p", job.incarnation, job.edition, job.created, job.updated, JobStatus.RUNNING,
        parameters=job.parameters,
    )  # fmt: skip
    await app.container.stores.jobs.create(running)
    await app.container.imports.start("p", file_of("new-"), "tester", "job")
    assert (await app.job(JobKind.EXPORT, "running")).status is JobStatus.FAILED


async def test_no_import_while_a_model_is_trained(app: Life):
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    await app.container.training.start("p", TrainRequest("m1"), "train")
    with pytest.raises(Conflict, match="training"):
        await app.container.imports.start("p", file_of("new-"), "tester", "job")
    await app.drain()
    job = await app.container.imports.start("p", file_of("new-"), "tester", "later")
    assert job.status is JobStatus.SUCCEEDED
    assert (await app.container.projects.get("p")).kind is ProjectKind.SINGLE_LABEL
