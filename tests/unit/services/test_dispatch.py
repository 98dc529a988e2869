"""Messages that fail, poison queues, and messages of the version before."""

import json
import logging

import pytest

from shared.domain.errors import BadMessage
from shared.domain.jobs import Job, JobKind, JobStatus
from shared.domain.names import BATCH_QUEUE, FIT_QUEUE, WORK_QUEUE
from shared.domain.schedule import Schedule
from shared.memory import TRIMMER
from shared.services.jobs.dispatch import PAUSES
from shared.services.jobs.lifecycle import (
    FORMER_QUEUES,
    RECONCILE,
    BatchMessage,
    JobMessage,
    PlanMessage,
    parse,
)
from shared.services.projects.maintenance import BLOB_TRIGGER_POISON
from shared.storage.gateways.ports import Received
from tests.support.services import App, Clock
from tests.support.storage.memory import MemoryStorage

OF_BEFORE = {"v": 1, "project": "p", "incarnation": "i"}


async def job_of(app: App, kind: JobKind = JobKind.SCAN) -> Job:
    project = await app.create()
    app.sent.waiting.clear()
    job = Job.new(kind, "job", project, app.container.stores.clock())
    return (await app.container.stores.jobs.create(job))[0]


@pytest.mark.parametrize(
    ("more", "expected", "queue"),
    [
        ({"id": "plan"}, PlanMessage, WORK_QUEUE),
        ({"kind": "autolabel", "job": "j", "number": 3}, BatchMessage, BATCH_QUEUE),
        ({"kind": "register", "job": "j", "number": 0}, BatchMessage, BATCH_QUEUE),
        ({"kind": "review", "job": "j", "number": 0}, BatchMessage, WORK_QUEUE),
        ({"kind": "undo", "job": "j", "number": 0}, BatchMessage, WORK_QUEUE),
        ({"kind": "autolabel", "job": "j"}, JobMessage, WORK_QUEUE),
        ({"kind": "reconcile", "job": "j"}, JobMessage, WORK_QUEUE),
        ({"kind": "connection", "job": "j"}, JobMessage, WORK_QUEUE),
        ({"kind": "train", "job": "j"}, JobMessage, FIT_QUEUE),
        ({"kind": "evaluate", "job": "j"}, JobMessage, FIT_QUEUE),
    ],
)
def test_messages_of_the_version_before_are_understood(
    app: App, more: dict[str, object], expected: type, queue: str
) -> None:
    message = parse(json.dumps(OF_BEFORE | more))
    assert (type(message), app.container.jobs.kinds.queue_of(message), message.attempt) == (
        expected,
        queue,
        1,
    )


def test_the_table_says_who_does_the_work_of_every_kind(app: App) -> None:
    rows = app.container.jobs.kinds.rows
    assert set(rows) == {*JobKind, RECONCILE} - {JobKind.DELETION}, "the sweep goes on with deletions"
    for kind, row in rows.items():
        assert row.run or row.run_batch, kind
        assert bool(row.run_batch) == bool(row.give_up_batch), kind
        assert all(callable(who()) for who in (row.run, row.run_batch, row.give_up_batch, row.fail) if who)


@pytest.mark.parametrize(
    "body", ["", "x", "{}", "[]", json.dumps(OF_BEFORE), json.dumps(OF_BEFORE | {"v": 2, "id": "a"})]
)
def test_what_is_no_message(body: str) -> None:
    with pytest.raises(BadMessage):
        parse(body)


async def test_a_message_that_fails_comes_again_and_is_given_up_after_five_tries(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job, quoted = await job_of(app), "the reason"

    async def fails(message: JobMessage) -> None:
        raise RuntimeError(quoted)

    delays: list[int] = []
    send = app.sent.send

    async def noted(queue: str, body: str, *, delay: int = 0) -> None:
        delays.append(delay)
        await send(queue, body, delay=delay)

    trimmed: list[int] = []

    async def trim() -> None:
        trimmed.append(tries)

    monkeypatch.setattr(app.sent, "send", noted)
    monkeypatch.setattr(app.container.registering, "run", fails)
    monkeypatch.setattr(TRIMMER, "trim", trim)
    waiting, tries = [(WORK_QUEUE, JobMessage.of(job).model_dump_json())], 0
    with caplog.at_level(logging.WARNING):
        while waiting:
            await app.container.dispatcher.run_or_retry(parse(waiting.pop()[1]))
            tries += 1
            waiting += app.sent.waiting
            app.sent.waiting.clear()

    assert tries == len(PAUSES) + 1
    assert delays == list(PAUSES) == [1, 2, 5, 10]
    assert trimmed == list(range(tries)), "freed memory is returned after each message"
    found = await app.container.stores.jobs.get(job.incarnation, job.kind, job.id)
    assert (found.status, found.errors[0].code) == (JobStatus.FAILED, "JobFailed")
    lines = [record for record in caplog.records if "(RuntimeError)" in record.getMessage()]
    assert quoted not in caplog.text, "it may quote a document"
    assert [bool(record.exc_info) for record in lines] == [False] * len(PAUSES) + [True]


async def test_a_poison_message_that_fails_in_every_sweep_shows_its_stack_once(
    app: App,
    storage: MemoryStorage,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    job, quoted = await job_of(app), "the reason"

    async def fails(*_: object) -> None:
        raise RuntimeError(quoted)

    monkeypatch.setattr(app.container.dispatcher, "give_up", fails)
    await storage.queues.send(f"{WORK_QUEUE}-poison", JobMessage.of(job).model_dump_json())
    for _ in range(3):
        await app.container.queue_sweep.run("document_uploaded")
        clock.move(100)

    lines = [record for record in caplog.records if record.getMessage().endswith("retry it: RuntimeError")]
    assert [bool(record.exc_info) for record in lines] == [True, False, False]
    assert quoted not in caplog.text, "it may quote a document"


async def test_a_job_in_a_poison_queue_is_given_up_once(app: App, storage: MemoryStorage) -> None:
    job = await job_of(app)
    for queue in (f"{WORK_QUEUE}-poison", "jobs-poison"):
        await storage.queues.send(queue, JobMessage.of(job).model_dump_json())
        await storage.queues.send(queue, "garbage")

    await app.container.queue_sweep.run("document_uploaded")
    await app.container.queue_sweep.run("document_uploaded")

    found = await app.container.stores.jobs.get(job.incarnation, job.kind, job.id)
    assert (found.status, len(found.errors)) == (JobStatus.FAILED, 1)
    assert not any(found for queue, found in storage.queues.messages.items() if queue.endswith("-poison"))


async def test_messages_of_the_version_before_move_to_the_queues_of_now(
    app: App, storage: MemoryStorage
) -> None:
    job = await job_of(app)
    body = JobMessage.of(job).model_dump_json(exclude={"attempt"})
    for queue in FORMER_QUEUES:
        await storage.queues.send(queue, body)

    await app.container.queue_sweep.run("document_uploaded")
    assert [queue for queue, _ in app.sent.waiting] == [WORK_QUEUE] * len(FORMER_QUEUES)
    await app.drain()
    await storage.queues.send("jobs", body)
    await app.container.queue_sweep.run("document_uploaded")
    assert not app.sent.waiting, "an upgrade is rare: later only a sweep that reconciles looks there"
    await app.container.queue_sweep.run("document_uploaded", former=True)
    assert len(app.sent.waiting) == 1


async def test_one_sweep_reads_a_queue_to_its_end(app: App, storage: MemoryStorage) -> None:
    """A queue answers at most 32 messages at a time."""
    job = await job_of(app)
    for _ in range(100):
        await storage.queues.send("jobs", JobMessage.of(job).model_dump_json())

    await app.container.queue_sweep.run("document_uploaded")

    assert len(app.sent.waiting) == 100
    assert not storage.queues.messages["jobs"]


async def test_a_sweep_that_takes_long_leaves_the_rest_to_the_next(
    app: App, storage: MemoryStorage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await job_of(app)
    for queue in ("work-poison", "jobs", "training"):
        for _ in range(40):
            await storage.queues.send(queue, JobMessage.of(job).model_dump_json())
    delete = storage.queues.delete

    async def slow(queue: str, message: Received) -> None:
        clock.move(2)
        await delete(queue, message)

    monkeypatch.setattr(storage.queues, "delete", slow)
    await app.container.queue_sweep.run("document_uploaded")
    assert {queue: len(storage.queues.messages[queue]) for queue in ("work-poison", "jobs", "training")} == {
        "work-poison": 8, "jobs": 8, "training": 8,
    }, "each queue had its turn"  # fmt: skip

    await app.container.queue_sweep.run("document_uploaded")
    assert not any(storage.queues.messages[queue] for queue in ("work-poison", "jobs", "training"))
    assert len(app.sent.waiting) == 80, (
        "the former queues were read again, for they were not read to their end"
    )


@pytest.mark.parametrize("broken", ["work-poison", BLOB_TRIGGER_POISON, "jobs"])
async def test_a_queue_that_cannot_be_read_leaves_the_others_to_the_sweep(
    app: App,
    storage: MemoryStorage,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    broken: str,
) -> None:
    job = await job_of(app)
    body = JobMessage.of(job).model_dump_json()
    for queue in ("batches-poison", "training"):
        await storage.queues.send(queue, body)
    await storage.queues.send("jobs", body)
    receive = storage.queues.receive

    async def fails(queue: str, seconds: int) -> list[Received]:
        if queue == broken:
            raise PermissionError("the reason")
        return await receive(queue, seconds)

    with monkeypatch.context() as patch:
        patch.setattr(storage.queues, "receive", fails)
        await app.container.queue_sweep.run("document_uploaded")

    assert not storage.queues.messages["batches-poison"]
    assert not storage.queues.messages["training"]
    [line] = [record for record in caplog.records if "could not be read" in record.getMessage()]
    assert f"'{broken}'" in line.getMessage()
    assert line.getMessage().endswith("(PermissionError: the reason)")
    assert not line.exc_info, "an outage would repeat the stack for each queue"

    await app.container.queue_sweep.run("document_uploaded")
    assert not storage.queues.messages["jobs"], "a former queue that could not be read is read again"


async def test_what_cannot_be_given_up_now_is_given_up_later(
    app: App, storage: MemoryStorage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await job_of(app)
    await storage.queues.send("work-poison", JobMessage.of(job).model_dump_json())

    async def fails(*args: object, **more: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(app.container.jobs, "end", fails)
        await app.container.queue_sweep.run("document_uploaded")
    clock.move(61)
    await app.container.queue_sweep.run("document_uploaded")

    found = await app.container.stores.jobs.get(job.incarnation, job.kind, job.id)
    assert found.status is JobStatus.FAILED


async def test_containers_are_compared_when_the_schedule_says_so(app: App, clock: Clock) -> None:
    await app.create()
    await app.drain()
    hourly = Schedule.parse("0 0 * * * *")
    assert await app.container.maintenance.reconcile_if_due(hourly)
    assert not await app.container.maintenance.reconcile_if_due(hourly)
    clock.move(3_600)
    app.sent.waiting.clear()
    assert await app.container.maintenance.reconcile_if_due(hourly)
    assert [parse(body) for _, body in app.sent.waiting if '"reconcile"' in body]
