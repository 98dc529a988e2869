"""Every commit is sent twice, as if its answer was lost: the app recognizes its own writes."""

import pytest

from shared.domain.document import document_id, parse_version
from shared.domain.jobs import JobStatus
from shared.domain.review import Decision
from shared.services.review.service import Saved, Submitted
from shared.wire.documents import etag
from tests.support.repeating import Repeating
from tests.support.services import App, Clock, in_process, result_json
from tests.support.storage.memory import MemoryStorage


@pytest.fixture
def app(storage: MemoryStorage, clock: Clock) -> App:
    return in_process(storage, clock, table=Repeating(storage.table("projects")))


async def test_the_whole_way_from_upload_to_history(app: App, clock: Clock) -> None:
    await app.create()
    await app.define("Refund")
    await app.upload({"a.txt": "@Refund:73 please"})
    for _ in range(4):
        await app.drain()
        clock.move(30)
        await app.container.maintenance.sweep()

    [job] = await app.jobs()
    assert (job.status, result_json(job)["outcomes"]["suggested"]) == (JobStatus.SUCCEEDED, 1)
    document = await app.document("a.txt")
    assert document is not None
    version = parse_version(etag(document, 0))
    decision = Decision(document.id, accept_all=True)
    _, [result] = await app.container.review.save("p", [Submitted(decision, version)], "me")
    assert result.status is Saved.SAVED
    history = await app.container.documents.history("p", document.id)
    assert [(change.by, change.entry.action) for change in history] == [("me", "decided")]


async def test_labels_are_set_once(app: App) -> None:
    await app.create()
    await app.upload({"a.txt": "text"})
    await app.drain()

    await app.label("a.txt", "Refund")

    history = await app.container.documents.history("p", document_id("a.txt"))
    assert [change.entry.action for change in history] == ["labelsSet"]


async def test_locks_are_taken_and_given_once(app: App) -> None:
    await app.create()
    fence = app.container.stores.fence

    project = await fence.lock("p", "holder", "because")
    assert (project.locks, project.lock and project.lock.holder) == (1, "holder")
    project = await fence.unlock("p", "holder")
    assert (project.locks, project.released, project.lock) == (1, 1, None)


async def test_a_project_is_created_and_deleted_once(app: App) -> None:
    await app.create()
    await app.drain()

    job = await app.container.projects.delete("p", "deletion")
    await app.container.maintenance.sweep()

    assert (await app.container.projects.deletion(job.id)).status is JobStatus.SUCCEEDED
    assert await app.container.projects.list("", 10) == []
    created = await app.create()
    assert created.locks == 0
