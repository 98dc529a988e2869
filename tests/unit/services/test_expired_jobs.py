"""Jobs are deleted a week after they were created, those of a project and those of the index."""

from dataclasses import replace

import pytest

from shared.domain.jobs import EXPIRES_AFTER, Job, JobKind, JobStatus
from shared.storage.gateways.ports import Insert
from shared.storage.rows import INDEX
from tests.support.services import App, Clock, in_process
from tests.support.storage.memory import MemoryStorage


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(clock: Clock) -> App:
    return in_process(MemoryStorage(), clock)


async def _hour(app: App) -> None:
    """What the timer does when the comparison is due."""
    await app.container.maintenance.reconcile()
    await app.container.maintenance.sweep(everything=True)
    await app.drain()


@pytest.mark.parametrize(
    "kind", [JobKind.AUTOLABEL, JobKind.SCAN, JobKind.EXPORT, JobKind.DELETION, JobKind.IMPORT]
)
async def test_ended_jobs_are_deleted_after_a_week(app: App, clock: Clock, kind: JobKind) -> None:
    project = await app.create()
    await app.drain()
    jobs = app.container.stores.jobs
    job = replace(Job.new(kind, "old", project, clock()), status=JobStatus.SUCCEEDED)
    await jobs.create(job)

    clock.move(EXPIRES_AFTER.total_seconds() - 1)
    await _hour(app)
    assert await jobs.find(project.incarnation, kind, "old") is not None
    clock.move(2)
    await _hour(app)
    assert await jobs.find(project.incarnation, kind, "old") is None


async def test_open_jobs_and_those_of_a_later_version_stay(app: App, clock: Clock) -> None:
    project = await app.create()
    await app.drain()
    stores = app.container.stores
    opened = replace(Job.new(JobKind.SCAN, "open", project, clock()), status=JobStatus.RUNNING)
    later = {"v": 9, "status": "succeeded", "created": clock()}
    for partition in (project.incarnation, INDEX):
        await stores.table.commit(partition, [Insert("job|new|later", later)])
        await stores.table.commit(partition, [Insert("job|push|later", later | {"status": "paused"})])
    await stores.jobs.create(opened)
    clock.move(2 * EXPIRES_AFTER.total_seconds())

    assert "open" not in [job.id for job in await stores.jobs.expired(project.incarnation, clock())]
    for partition in (project.incarnation, None):
        found = await stores.jobs.expired(partition, clock())
        assert not [job for job in found if job.id == "later"]


async def test_a_comparison_requests_a_plan_only_if_something_may_wait(app: App) -> None:
    await app.create()
    await app.upload({"a.txt": "@Refund:73 please"})
    await app.drain()
    await app.container.maintenance.reconcile()
    await app.deliver(*app.sent.waiting.popleft())
    assert len(app.sent.waiting) == 1, "the document waits for an engine"

    await app.drain()
    await app.label("a.txt", "Refund")
    await app.container.maintenance.reconcile()
    await app.deliver(*app.sent.waiting.popleft())
    assert not app.sent.waiting, "its label is no reason for a suggestion"

    await app.container.uploads.seen(app.documents, "a.txt")  # the blob has not changed
    app.sent.waiting.clear()  # the plan of the upload is lost
    await app.container.maintenance.reconcile()
    await app.deliver(*app.sent.waiting.popleft())
    assert len(app.sent.waiting) == 1, "the upload is pending"
