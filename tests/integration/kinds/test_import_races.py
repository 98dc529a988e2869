"""An import meets, before each of its storage calls, someone who deletes, makes, replaces or takes its project."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest

from shared.domain.errors import Conflict, ProjectNotFound
from shared.domain.jobs import Job, JobKind, JobStatus
from shared.domain.transfers import ImportParameters
from shared.services.jobs.lifecycle import JobMessage
from shared.services.project_files import imports
from tests.integration.kinds.files import project_file
from tests.support.api import SINGLE
from tests.support.lives import Life, living
from tests.support.meanwhile import Meanwhile
from tests.support.services import Clock
from tests.support.storage.faults import Crash, Faults, crash_points
from tests.support.storage.memory import MemoryStorage

type Act = Callable[[Life], Awaitable[object]]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "PAUSE_SECONDS", 0)


def file_of(mark: str, documents: int = 9) -> bytes:
    return json.dumps(project_file(SINGLE, "docs", documents, mark)).encode()


def locations(mark: str, documents: int = 9) -> list[str]:
    return sorted(
        document["location"]
        for document in project_file(SINGLE, "docs", documents, mark)["assets"]["documents"]
    )


async def content(app: Life) -> list[str] | None:
    """What the project holds; None: there is none."""
    try:
        project = await app.container.projects.get(app.name)
    except ProjectNotFound:
        return None
    pages = app.container.stores.pages.scan(project.scope)
    return sorted([d.location async for page in pages for d in page.documents.values()])


async def leftovers(app: Life) -> set[str]:
    """Editions whose pages are not to be purged, and that no project shows."""
    stores = app.container.stores
    purges = await stores.projects.purges()
    purged = {purge.incarnation for purge in purges if not purge.edition}
    replaced = {purge.edition for purge in purges}
    shown = {project.edition for project in await stores.projects.all()}
    places = {project.incarnation for project in await stores.projects.all()}
    for job in await stores.jobs.list("", JobKind.IMPORT):
        places |= set(job.parameters_as(ImportParameters).places)
    rows = [row for place in places - purged for row in await stores.table.query(place)]
    return (
        {row.key.split("|")[1] for row in rows if row.key.startswith(("page|", "head|"))} - shown - replaced
    )


async def job_of(app: Life, job_id: str) -> Job:
    return await app.container.stores.jobs.get("", JobKind.IMPORT, job_id)


async def go_on(app: Life, clock: Clock) -> None:
    """What timers and queues do."""
    for _ in range(5):
        clock.move(60)
        await app.container.maintenance.sweep()
        await app.drain()


async def remake(app: Life) -> None:
    """Delete the project, and make it again, empty."""
    with suppress(ProjectNotFound):
        await app.container.projects.delete(app.name, f"delete-{app.container.stores.clock()}")
    await app.create(on_upload=False, pages=8)


@dataclass
class Met:
    """The app after an import before one of whose calls someone acted; `landed`: readers saw its content by then."""

    app: Life
    acted: bool
    landed: bool


async def meeting(number: int, act: Act, *, over: bool) -> Met:
    clock = Clock()
    storage = MemoryStorage(clock=clock)
    other = living(storage, clock)
    await other.blobs.create_container("docs")
    if over:
        await other.create(on_upload=False, pages=8)
        await other.container.imports.start("p", file_of("old-"), "tester", "old")
    met = Met(other, acted=False, landed=False)

    async def meanwhile() -> None:
        job = await other.container.stores.jobs.find("", JobKind.IMPORT, "job")
        met.acted, met.landed = (
            True,
            job is not None and job.parameters_as(ImportParameters).landed is not None,
        )
        await act(other)

    first = living(storage, clock, faults=Meanwhile(number, meanwhile))
    with suppress(Conflict):  # refused at once
        await first.container.imports.start("p", file_of("new-"), "tester", "job")
    other.sent.waiting.extend(first.sent.waiting)
    await go_on(other, clock)
    return met


async def meetings(act: Act, *, over: bool) -> list[tuple[int, Met]]:
    """One for each call of the import."""
    found: list[tuple[int, Met]] = []
    while (met := await meeting(len(found), act, over=over)).acted:
        found.append((len(found), met))
    assert len(found) > 10
    return found


@pytest.mark.parametrize("over", [True, False])
async def test_a_project_made_again_meanwhile_holds_what_the_import_says(over: bool):
    ends = set[JobStatus]()
    for number, met in await meetings(remake, over=over):
        job = await job_of(met.app, "job")
        assert job.status.ended, number
        assert met.landed or job.status is JobStatus.SUCCEEDED, number
        assert await content(met.app) == ([] if met.landed else locations("new-")), (number, job)
        assert await leftovers(met.app) == set(), number
        ends.add(job.status)
    assert ends == {JobStatus.SUCCEEDED, JobStatus.FAILED}, "failed: deleted before it had ended"


async def test_an_import_that_died_does_not_recreate_a_deleted_project():
    clock = Clock()
    calls = Faults()
    await _dies_and_is_deleted(clock, calls)
    for plan in crash_points(len(calls.calls)):
        await _dies_and_is_deleted(Clock(), Faults(plan))


async def _dies_and_is_deleted(clock: Clock, faults: Faults) -> None:
    storage = MemoryStorage(clock=clock)
    repaired = living(storage, clock)
    await repaired.blobs.create_container("docs")
    with suppress(Crash):
        await living(storage, clock, faults=faults).container.imports.start("p", file_of("new-"), "me", "job")
    found = await content(repaired)
    assert found in (None, locations("new-"))
    if found is not None:
        deletion = await repaired.container.projects.delete("p", "deletion")
        assert deletion.status is JobStatus.SUCCEEDED
    await go_on(repaired, clock)
    job = await repaired.container.stores.jobs.find("", JobKind.IMPORT, "job")
    where = (faults.calls[-1], job)
    assert job is None or job.status.ended, where
    if found is not None or job is None:
        assert await content(repaired) is None, where
    else:
        assert (job.status, await content(repaired)) == (JobStatus.SUCCEEDED, locations("new-")), where
    clock.move(3600)
    await repaired.container.maintenance.sweep()
    clock.move(3600)
    await repaired.container.maintenance.sweep()
    assert await content(repaired) in (None, locations("new-")), where


@pytest.mark.parametrize("over", [True, False])
async def test_two_imports_meet_and_both_succeed(over: bool):
    async def act(app: Life) -> None:
        await app.container.imports.start("p", file_of("other-"), "tester", "second")

    last = set[str]()
    for number, met in await meetings(act, over=over):
        for job_id in ("job", "second"):
            job = await job_of(met.app, job_id)
            assert job.status is JobStatus.SUCCEEDED, (number, job)
        found = await content(met.app)
        assert found in (locations("new-"), locations("other-")), number
        assert await leftovers(met.app) == set(), number
        assert (await met.app.container.projects.get("p")).lock is None, number
        last.add("new" if found == locations("new-") else "other")
    assert last == {"new", "other"}


@pytest.mark.parametrize("over", [True, False])
async def test_many_imports_at_once_all_succeed(memory: MemoryStorage, clock: Clock, over: bool):
    apps = [living(memory, clock) for _ in range(4)]
    await apps[0].blobs.create_container("docs")
    if over:
        await apps[0].create(on_upload=False, pages=8)
    marks = [f"{number}-" for number in range(len(apps))]
    await asyncio.gather(
        *(
            app.container.imports.start("p", file_of(mark), "tester", mark)
            for app, mark in zip(apps, marks, strict=True)
        )
    )
    for app in apps:
        await app.drain()
    for mark in marks:
        job = await job_of(apps[0], mark)
        assert job.status is JobStatus.SUCCEEDED, job
    assert await content(apps[0]) in [locations(mark) for mark in marks]
    assert await leftovers(apps[0]) == set()


@pytest.mark.parametrize("over", [True, False])
async def test_of_an_import_that_fails_nothing_stays(over: bool):
    async def act(app: Life) -> None:
        if await content(app) is None:
            await app.create(on_upload=False, pages=8)
        await app.container.stores.directory.update("p", lambda project: replace(project, training="job"))

    ends = set[JobStatus]()
    for number, met in await meetings(act, over=over):
        job = await met.app.container.stores.jobs.find("", JobKind.IMPORT, "job")
        if job is not None and not met.landed:
            assert "training" in job.errors[0].message, (number, job)
            assert await content(met.app) == (locations("old-") if over else []), number
        assert await leftovers(met.app) == set(), number
        ends |= {job.status} if job else set()
    assert ends == {JobStatus.SUCCEEDED, JobStatus.FAILED}


async def test_an_import_waits_for_a_lock_that_is_over_in_a_moment_and_not_indefinitely(
    app: Life, clock: Clock
):
    await app.create(on_upload=False, pages=8)
    await app.container.stores.fence.lock("p", "someone", "In a moment.", 1)
    job = await app.container.imports.start("p", file_of("new-"), "tester", "job")
    assert not job.status.ended
    await app.deliver(*app.sent.waiting.pop())
    assert not (await job_of(app, "job")).status.ended

    clock.move(imports.PATIENCE.total_seconds())
    await app.drain()
    job = await job_of(app, "job")
    assert (job.status, job.errors[0].message) == (JobStatus.FAILED, "In a moment.")
    assert await leftovers(app) == set()


async def test_of_an_import_that_is_given_up_nothing_stays_wherever_it_died():
    died = set[JobStatus]()
    for plan in [None, *crash_points(14)]:
        clock = Clock()
        storage = MemoryStorage(clock=clock)
        app = living(storage, clock)
        await app.create(on_upload=False, pages=8)
        with suppress(Crash):
            dying = living(storage, clock, faults=Faults(plan))
            await dying.container.imports.start("p", file_of("new-"), "tester", "job")
        message = JobMessage(project="p", incarnation="-", kind=JobKind.IMPORT, job="job")
        await app.container.dispatcher.give_up(message, "It failed five times.")
        assert await leftovers(app) == set()
        job = await app.container.stores.jobs.find("", JobKind.IMPORT, "job")
        died |= {job.status} if job else set()
    assert died == {JobStatus.SUCCEEDED, JobStatus.FAILED}
