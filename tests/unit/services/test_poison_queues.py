"""Poison queues: uploads that the host gave up, and messages that cannot be settled."""

import json

import pytest

from shared.domain.jobs import JobStatus
from shared.services.jobs.lifecycle import JobMessage, Work
from shared.services.projects.maintenance import (
    BLOB_TRIGGER_POISON,
    MOST_HIDDEN_AFTER_FAILURES,
    SWEEP_SECONDS,
)
from shared.storage.gateways.ports import Received, StorageUnavailable
from tests.support.services import App, Clock
from tests.support.storage.memory import MemoryStorage
from tests.unit.services.test_dispatch import job_of


async def test_an_upload_whose_function_failed_five_times_is_pending(
    app: App, storage: MemoryStorage
) -> None:
    project = await app.create()
    message = {
        "Type": "BlobTrigger", "FunctionId": "Host.Functions.document_uploaded", "BlobType": "BlockBlob",
        "ContainerName": app.documents, "BlobName": "a b/ä.txt", "ETag": '"0x1"',
    }  # fmt: skip
    other = message | {"FunctionId": "Host.Functions.resize"}
    theirs = message | {"ContainerName": "documents-of-another-labelbridge"}
    for body in (json.dumps(message), json.dumps(other), json.dumps(theirs), "garbage", "[]"):
        await storage.queues.send(BLOB_TRIGGER_POISON, body)

    await app.container.queue_sweep.run("document_uploaded")

    [pending] = (await app.container.stores.pending.first(project.scope, 10))[0]
    assert pending.location == "a b/ä.txt"
    left = [body for body, _ in storage.queues.messages[BLOB_TRIGGER_POISON]]
    assert left == [json.dumps(other), json.dumps(theirs), "garbage", "[]"], (
        "the queue belongs to every app of the account"
    )


async def test_failed_uploads_of_deleted_projects_make_way_for_others(
    app: App, storage: MemoryStorage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    project = await app.create()
    message = {"FunctionId": "Host.Functions.document_uploaded", "BlobName": "a.txt"}
    for number in range(32):
        gone = message | {"ContainerName": f"gone-{number}"}
        await storage.queues.send(BLOB_TRIGGER_POISON, json.dumps(gone))
    clock.move(24 * 3_600 - 1)
    await storage.queues.send(BLOB_TRIGGER_POISON, json.dumps(message | {"ContainerName": app.documents}))
    await app.container.queue_sweep.run("document_uploaded")
    assert len(storage.queues.messages[BLOB_TRIGGER_POISON]) == 33
    assert not (await app.container.stores.pending.first(project.scope, 10))[0]

    for hidden in (True, True, False):
        clock.move(61)
        await app.container.queue_sweep.run("document_uploaded")
        left = storage.queues.messages[BLOB_TRIGGER_POISON]
        assert bool(left) is hidden, "none is dropped while this app hides them for longer than usual"
    assert [
        pending.location for pending in (await app.container.stores.pending.first(project.scope, 10))[0]
    ] == ["a.txt"]
    assert sum("'gone-7'" in record.getMessage() for record in caplog.records) == 1


async def test_any_number_of_failed_uploads_of_a_deleted_project_is_dropped_after_a_day(
    app: App, storage: MemoryStorage, clock: Clock
) -> None:
    """More than 60 sweeps of 32 messages hide within an hour."""
    project = await app.create()
    message = {"FunctionId": "Host.Functions.document_uploaded", "ContainerName": "gone"}
    for number in range(2_100):
        await storage.queues.send(BLOB_TRIGGER_POISON, json.dumps(message | {"BlobName": f"{number}.txt"}))
    clock.move(20 * 3_600)
    ours = message | {"ContainerName": app.documents, "BlobName": "a.txt"}
    await storage.queues.send(BLOB_TRIGGER_POISON, json.dumps(ours))
    left = list[int]()
    for _ in range(6 * 60):
        await app.container.queue_sweep.run("document_uploaded")
        clock.move(60)
        left.append(len(storage.queues.messages[BLOB_TRIGGER_POISON]))

    [pending] = (await app.container.stores.pending.first(project.scope, 10))[0]
    assert pending.location == "a.txt"
    assert left[15] == left[4 * 60 - 5] == 2_100, "ours was seen soon, and no other dropped within a day"
    assert left[-1] == 0


@pytest.mark.parametrize("fails", [True, False])
async def test_a_sweep_that_is_interrupted_lets_the_next_drop_nothing(
    app: App, storage: MemoryStorage, clock: Clock, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """It could not read what this app had hidden for longer than usual, or had no time for it."""
    message = {"FunctionId": "Host.Functions.document_uploaded", "ContainerName": "gone"}
    for number in range(64):
        await storage.queues.send(BLOB_TRIGGER_POISON, json.dumps(message | {"BlobName": f"{number}.txt"}))
    clock.move(24 * 3_600 - 60)
    await app.container.queue_sweep.run("document_uploaded")
    clock.move(120)
    receive = storage.queues.receive

    async def interrupted(queue: str, seconds: int) -> list[Received]:
        if queue == BLOB_TRIGGER_POISON:
            if fails:
                raise StorageUnavailable("busy")
            clock.move(SWEEP_SECONDS)
        return await receive(queue, seconds)

    with monkeypatch.context() as patch:
        patch.setattr(storage.queues, "receive", interrupted)
        await app.container.queue_sweep.run("document_uploaded")
    await app.container.queue_sweep.run("document_uploaded")
    assert len(storage.queues.messages[BLOB_TRIGGER_POISON]) == 64


@pytest.mark.parametrize("others", [32, 300])
async def test_failed_uploads_of_other_apps_do_not_hold_back_ours(
    app: App, storage: MemoryStorage, clock: Clock, caplog: pytest.LogCaptureFixture, others: int
) -> None:
    project = await app.create()
    for number in range(others):
        await storage.queues.send(BLOB_TRIGGER_POISON, json.dumps({"number": number}))
    ours = {"FunctionId": "Host.Functions.document_uploaded", "BlobName": "a.txt"}
    await storage.queues.send(BLOB_TRIGGER_POISON, json.dumps(ours | {"ContainerName": app.documents}))

    for _ in range(30):
        await app.container.queue_sweep.run("document_uploaded")
        clock.move(60)

    assert [
        pending.location for pending in (await app.container.stores.pending.first(project.scope, 10))[0]
    ] == ["a.txt"]
    assert len(storage.queues.messages[BLOB_TRIGGER_POISON]) == others
    assert f"None of 32 messages in the queue '{BLOB_TRIGGER_POISON}' could be settled" in caplog.text


@pytest.mark.parametrize(
    ("outage", "most", "last"),
    [("none", 3_600, 3_600), ("always", 900, 900), ("later", 3_600, 900)],
)
async def test_messages_that_cannot_be_settled_are_hidden_for_a_limited_time(
    app: App, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch, outage: str, most: int, last: int
) -> None:
    message = {
        "FunctionId": "Host.Functions.document_uploaded",
        "BlobName": "a.txt",
        "ContainerName": "other",
    }
    if outage != "none":  # one fails, the others are not ours
        await storage.queues.send(BLOB_TRIGGER_POISON, json.dumps(message | {"ContainerName": app.documents}))
    for _ in range(400):
        await storage.queues.send(BLOB_TRIGGER_POISON, json.dumps(message))
    receive, hidden = storage.queues.receive, list[int]()

    async def noted(queue: str, seconds: int) -> list[Received]:
        if queue == BLOB_TRIGGER_POISON:
            hidden.append(seconds)
        return await receive(queue, 0)  # all come back at once

    async def fails(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(storage.queues, "receive", noted)
    monkeypatch.setattr(app.container.queue_sweep, "_seen", fails)
    if outage == "always":
        await app.create()
    for _ in range(10):
        await app.container.queue_sweep.run("document_uploaded")
    assert (hidden[0], max(hidden), hidden[-1]) == (60, most, most)
    if outage == "later":
        await app.create()
        await app.container.queue_sweep.run("document_uploaded")
    assert hidden[-1] == last


async def test_one_failing_message_does_not_slow_down_a_queue_of_other_apps(
    app: App, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the limit of the time for which messages are hidden, a sweep reads on, also behind one that failed."""
    await app.create()
    message = {"FunctionId": "Host.Functions.document_uploaded", "BlobName": "a.txt"}
    ours, others = message | {"ContainerName": app.documents}, message | {"ContainerName": "other"}
    for content in (ours, *[others] * 400):
        await storage.queues.send(BLOB_TRIGGER_POISON, json.dumps(content))

    async def fails(*_: object) -> None:
        raise RuntimeError

    receive, received = storage.queues.receive, list[Received]()

    async def noted(queue: str, seconds: int) -> list[Received]:
        found = await receive(queue, seconds)
        received.extend(found)
        return found

    monkeypatch.setattr(storage.queues, "receive", noted)
    monkeypatch.setattr(app.container.queue_sweep, "_seen", fails)
    app.container.queue_sweep._hidden[BLOB_TRIGGER_POISON] = MOST_HIDDEN_AFTER_FAILURES
    await app.container.queue_sweep.run("document_uploaded")
    assert len(received) == 401


@pytest.mark.parametrize(
    ("count", "seconds", "behind", "sweeps"), [(32, 0, 1, 4), (600, 0, 1, 8), (40, 2, 1, 4), (31, 2, 40, 4)]
)
async def test_messages_that_fail_do_not_hold_back_those_behind_them(
    app: App,
    storage: MemoryStorage,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    seconds: int,
    behind: int,
    sweeps: int,
) -> None:
    """Such as those of a project whose documents cannot be read: 480 would come back before the next are reached.

    Also where those of a group, at so many seconds each, take all the time of a sweep.
    """
    job = await job_of(app)
    for number in range(count):
        message = JobMessage.of(job).model_copy(update={"job": f"fails-{number}"})
        await storage.queues.send("work-poison", message.model_dump_json())
    for _ in range(behind):
        await storage.queues.send("work-poison", JobMessage.of(job).model_dump_json())
    give_up = app.container.dispatcher.give_up

    async def fails(work: Work, reason: str) -> None:
        if isinstance(work, JobMessage) and work.job != job.id:
            clock.move(seconds)
            raise RuntimeError
        await give_up(work, reason)

    monkeypatch.setattr(app.container.dispatcher, "give_up", fails)
    for _ in range(sweeps):
        await app.container.queue_sweep.run("document_uploaded")
        clock.move(60)

    found = await app.container.stores.jobs.get(job.incarnation, job.kind, job.id)
    assert found.status is JobStatus.FAILED
    assert len(storage.queues.messages["work-poison"]) == count


async def test_failed_uploads_of_other_apps_are_read_once_a_sweep(
    app: App, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads a message hides it from its app."""
    for _ in range(100):
        await storage.queues.send(BLOB_TRIGGER_POISON, "{}")
    receive, read = storage.queues.receive, list[str]()

    async def counts(queue: str, seconds: int) -> list[Received]:
        read.append(queue)
        return await receive(queue, seconds)

    monkeypatch.setattr(storage.queues, "receive", counts)
    await app.container.queue_sweep.run("document_uploaded")

    assert read.count(BLOB_TRIGGER_POISON) == 1
    assert len(storage.queues.messages[BLOB_TRIGGER_POISON]) == 100
