"""An import that dies at any storage call, comes twice, or meets another one: one end state, nothing lost (C10)."""

import json
from contextlib import suppress

import pytest

from shared.domain.document import Document, document_id
from shared.domain.errors import Conflict
from shared.domain.jobs import JobKind, JobStatus
from shared.domain.kinds import ProjectKind
from shared.domain.labels import Labels
from shared.domain.page import Page, page_of
from shared.services.messages import JobMessage
from shared.services.training import TrainRequest
from shared.storage.gateways.faults import Crash, Faults, crash_points
from shared.storage.gateways.memory import MemoryStorage
from shared.storage.page_rows import Author
from tests.integration.kinds.files import project_file
from tests.support.api import SINGLE
from tests.support.lives import Life, living
from tests.support.services import Clock


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
    for _ in range(3):
        clock.move(60)
        await app.container.maintenance.sweep()
        await app.drain()


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
    mended = living(storage, clock)
    where = faults.calls[-1]
    found = await mended.container.stores.jobs.find("", JobKind.IMPORT, "job")
    if over:
        assert await labeled(mended) in (before, _locations("new-")), (
            where
        )  # never half of it, also before we go on
    await go_on(mended, clock)
    if found is None:  # it died before the job was written, so nobody was told that there is one
        assert not over or await labeled(mended) == before
        return len(faults.calls)
    job = await mended.container.stores.jobs.get("", JobKind.IMPORT, "job")
    assert job.status is JobStatus.SUCCEEDED, (where, job)
    assert await labeled(mended) == _locations("new-"), where
    project = await mended.container.projects.get("p")
    assert project.lock is None, where
    rows = await mended.container.stores.table.query(project.incarnation)
    editions = {row.key.split("|")[1] for row in rows if row.key.startswith(("page|", "head|"))}
    assert editions == {project.edition}, ("the old content is purged", where)
    await mended.label(_locations("new-")[0], "Refund")  # nothing is locked
    return len(faults.calls)


def _locations(mark: str, documents: int = 9) -> list[str]:
    found = project_file(SINGLE, "docs", documents, mark)["assets"]["documents"]
    return sorted(one["location"] for one in found if "class" in one)


async def test_an_import_over_a_project_dies_at_every_storage_call():
    calls = await dying(Faults(), over=True)
    for plan in crash_points(calls):
        await dying(Faults(plan), over=True)


async def test_an_import_of_a_new_project_dies_around_every_write():
    """The reads between are those of the test above; each life shuts no gate, so it is short."""
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


async def test_an_import_that_ended_does_not_come_back_over_a_later_one(app: Life):
    await app.create(on_upload=False, pages=8)
    await app.container.imports.start("p", file_of("one-"), "tester", "first")
    await app.container.imports.start("p", file_of("two-"), "tester", "second")
    message = JobMessage(project="p", incarnation="-", kind=JobKind.IMPORT, job="first")
    await app.container.runner.run(message)
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
    assert statistics["documents"]["autoLabeled"] == 0


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
