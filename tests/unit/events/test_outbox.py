"""Events are written with what they tell of: neither is there without the other, whatever stops or is lost."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.domain.document import ANY_VERSION
from shared.domain.names import EVENT_QUEUE
from shared.domain.page import Action, HistoryEntry, LabelChange
from shared.domain.review import Decision
from shared.events.delivery import STALE
from shared.services.review.bulk import BulkRequest
from shared.services.review.service import Saved, Submitted
from shared.services.training.service import TrainRequest
from shared.storage.gateways.ports import StorageUnavailable
from shared.storage.rows import INDEX, key_range, outbox_key
from shared.wire.events import of_labels
from tests.support.receivers import Collector, report_to, webhook_settings
from tests.support.repeating import Repeating
from tests.support.services import App, Clock, in_process
from tests.support.storage.faults import Crash, Faults, crash_points
from tests.support.storage.memory import MemoryStorage

HOOK = webhook_settings()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def storage(clock: Clock) -> MemoryStorage:
    return MemoryStorage(clock=clock)


async def waiting(app: App, partition: str) -> list[str]:
    low, high = key_range(outbox_key())
    return [row.key for row in await app.container.stores.table.query(partition, low, high)]


async def with_receiver(storage: MemoryStorage, clock: Clock, **more: Any) -> tuple[App, Collector]:
    app, receiver = in_process(storage, clock, **HOOK, **more), Collector()
    report_to(app, receiver)
    return app, receiver


async def test_a_save_tells_of_its_documents(storage: MemoryStorage, clock: Clock) -> None:
    app, receiver = await with_receiver(storage, clock)
    await app.create()
    await app.upload({"a.txt": "text"})
    await app.drain()
    document = await app.label("a.txt", "Refund")
    await app.drain()

    [event] = receiver.of("LabelsSaved")
    assert event.project == "p"
    assert event.data == {"documents": [{"id": document.id, "action": "labelsSet"}]}
    assert await waiting(app, (await app.container.projects.get("p")).incarnation) == []


async def test_a_save_costs_at_most_two_calls_and_with_a_receiver_one_message_more(clock: Clock) -> None:
    costs: list[list[tuple[str, str]]] = []
    for settings in ({}, HOOK):
        faults, storage = Faults(), MemoryStorage(clock=clock)
        table = faults.table(storage.table("projects"))
        storage.queues = faults.queues(storage.queues)  # type: ignore[assignment]
        app = in_process(storage, clock, table=table, **settings)
        report_to(app, Collector())
        await app.create(on_upload=False)
        await app.define("Refund", "Login")
        await app.upload({"a.txt": "@Refund:80"})
        await app.drain()
        await app.autolabel()
        document = await app.document("a.txt")
        assert document is not None
        accept = Submitted(Decision(document.id, accept_all=True), ANY_VERSION)
        before = len(faults.calls)
        _, [result] = await app.container.review.save("p", [accept], "me")
        costs.append([(call.service, call.operation) for call in faults.calls[before:]])
        assert result.status is Saved.SAVED
    assert costs[0] in ([("table", "get"), ("table", "commit")], [("table", "commit")])
    assert costs[1] == [*costs[0], ("queue", "send")]


async def test_without_a_receiver_nothing_is_written(storage: MemoryStorage, clock: Clock) -> None:
    app = in_process(storage, clock)
    await app.create()
    await app.define("Refund", "Login")
    await app.drain()
    assert await waiting(app, (await app.container.projects.get("p")).incarnation) == []
    assert EVENT_QUEUE not in {queue for queue, _ in app.delivered}


async def test_types_that_nobody_wants_are_not_written(storage: MemoryStorage, clock: Clock) -> None:
    app = in_process(storage, clock, **webhook_settings(events=["Labelbridge.ModelTrained"]))
    receiver = Collector()
    report_to(app, receiver)
    await app.create()
    await app.define("Refund", "Login")
    await app.drain()
    assert receiver.got == []
    assert EVENT_QUEUE not in {queue for queue, _ in app.delivered}


async def test_the_end_of_a_job_tells_of_its_suggestions(storage: MemoryStorage, clock: Clock) -> None:
    app, receiver = await with_receiver(storage, clock)
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    await app.upload({"a.txt": "@Refund:73", "b.txt": "@Login:80"})
    await app.drain()
    job = await app.autolabel()
    await app.drain()

    [finished] = [event for event in receiver.of("JobFinished") if event.data["jobId"] == job.id]
    assert finished.data["kind"] == "autolabel"
    assert finished.data["status"] == "succeeded"
    assert finished.data["outcomes"]["suggested"] == 2
    [ready] = receiver.of("SuggestionsReady")
    assert ready.data["documents"] == 2
    assert ready.data["jobId"] == job.id
    assert receiver.repeats == 0


async def test_a_training_tells_of_its_model(storage: MemoryStorage, clock: Clock) -> None:
    app, receiver = await with_receiver(storage, clock)
    await app.create(on_upload=False)
    await app.upload({f"{n}.txt": f"@{name}" for n, name in enumerate(["Refund", "Login"] * 10)})
    await app.drain()
    for number, name in enumerate(["Refund", "Login"] * 10):
        await app.label(f"{number}.txt", name)
    job = await app.container.training.start("p", TrainRequest("first"), "train")
    await app.drain()

    assert (await app.container.training.get("p", job.id)).status == "succeeded"
    [trained] = receiver.of("ModelTrained")
    assert trained.data == {"modelLabel": "first", "jobId": job.id, "engine": "scripted"}
    [finished] = [event for event in receiver.of("JobFinished") if event.data["kind"] == "train"]
    assert finished.data["status"] == "succeeded"


async def test_an_event_holds_no_text_and_no_name_of_a_file(storage: MemoryStorage, clock: Clock) -> None:
    app, receiver = await with_receiver(storage, clock)
    await app.create()
    await app.define("Refund", "Login")
    await app.upload({"secret name.txt": "@Refund:73 secret text"})
    await app.drain()
    await app.label("secret name.txt", "Login")
    await app.drain()
    assert len(receiver.got) > 3
    assert "secret" not in str(receiver.got)


async def test_a_commit_that_is_sent_twice_tells_once(storage: MemoryStorage, clock: Clock) -> None:
    table = Repeating(
        storage.table("projects"), lambda operations: any(o.key.startswith("outbox|") for o in operations)
    )
    app, receiver = in_process(storage, clock, table=table, **HOOK), Collector()
    report_to(app, receiver)
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    await app.upload({"a.txt": "@Refund:73"})
    await app.drain()
    await app.autolabel()
    clock.move(STALE.total_seconds() + 1)  # the end of a job is not recognized as our own: the sweep tells it
    await app.container.events.sweep()
    await app.drain()
    assert len(receiver.of("LabelsSaved")) == 2
    assert len(receiver.of("SuggestionsReady")) == 1
    assert receiver.repeats == 0


async def test_a_crash_at_any_call_of_a_save_loses_no_event_and_invents_none(clock: Clock) -> None:
    """What is labeled is reported, what is not is not."""
    storage = await _labelable(clock)
    faults = Faults()
    counted = in_process(storage, clock, table=faults.table(storage.table("projects")), **HOOK)
    await counted.label("a.txt", "Refund")
    seen: set[bool] = set()
    for number, plan in enumerate(crash_points(len(faults.calls))):
        storage = await _labelable(clock)
        faults = Faults(plan)
        app = in_process(storage, clock, table=faults.table(storage.table("projects")), **HOOK)
        with suppress(Crash):
            await app.label("a.txt", "Refund")
        again, receiver = await with_receiver(storage, clock)
        clock.move(STALE.total_seconds() + 1)
        await again.container.events.sweep()
        await again.drain()
        document = await again.document("a.txt")
        assert document is not None
        labeled = document.labels is not None
        assert len(receiver.of("LabelsSaved")) == int(labeled), f"crash point {number}"
        seen.add(labeled)
    assert seen == {True, False}


async def _labelable(clock: Clock) -> MemoryStorage:
    storage = MemoryStorage(clock=clock)
    app = in_process(storage, clock)  # without receivers, so that the events are of the save alone
    await app.create(on_upload=False)
    await app.upload({"a.txt": "text"})
    await app.drain()
    return storage


async def test_a_lost_message_is_sent_by_the_sweep(storage: MemoryStorage, clock: Clock) -> None:
    app, receiver = await with_receiver(storage, clock)
    await app.create(on_upload=False)
    await app.upload({"a.txt": "text"})
    await app.drain()
    receiver.got.clear()
    await app.label("a.txt", "Refund")
    app.sent.waiting.clear()
    await app.container.events.sweep()
    await app.drain()
    assert receiver.got == [], "its message may still come"

    clock.move(STALE.total_seconds() + 1)
    for _ in range(3):
        await app.container.maintenance.sweep()
    await app.container.events.sweep()
    await app.drain()
    assert len(receiver.of("LabelsSaved")) == 1


async def test_a_poisoned_message_is_dropped_and_its_row_is_sent(
    storage: MemoryStorage, clock: Clock
) -> None:
    app, receiver = await with_receiver(storage, clock)
    await app.create(on_upload=False)
    await app.upload({"a.txt": "text"})
    await app.drain()
    await app.label("a.txt", "Refund")
    _, body = app.sent.waiting.popleft()
    await storage.queues.send(f"{EVENT_QUEUE}-poison", body)
    clock.move(STALE.total_seconds() + 1)
    await app.container.queue_sweep.run("document_uploaded")
    assert not storage.queues.messages.get(f"{EVENT_QUEUE}-poison")
    await app.container.events.sweep()
    await app.drain()
    assert len(receiver.of("LabelsSaved")) == 1


async def test_a_save_succeeds_when_its_message_cannot_be_sent(
    storage: MemoryStorage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, receiver = await with_receiver(storage, clock)
    await app.create(on_upload=False)
    await app.upload({"a.txt": "text"})
    await app.drain()

    async def refused(*_: Any, **__: Any) -> None:
        raise StorageUnavailable("The queue is down.")

    with monkeypatch.context() as patched:
        patched.setattr(app.sent, "send", refused)
        document = await app.label("a.txt", "Refund")
    assert document.labels is not None
    clock.move(STALE.total_seconds() + 1)
    await app.container.events.sweep()
    await app.drain()
    assert len(receiver.of("LabelsSaved")) == 1


async def test_a_project_stays_marked_while_its_events_wait(storage: MemoryStorage, clock: Clock) -> None:
    app, receiver = await with_receiver(storage, clock)
    receiver.refuses = lambda event: True
    await app.create(on_upload=False)
    await app.upload({"a.txt": "text"})
    await app.drain()
    await app.label("a.txt", "Refund")
    while app.sent.waiting:
        await app.deliver(*app.sent.waiting.popleft())
        app.sent.waiting.clear()
    incarnation = (await app.container.projects.get("p")).incarnation
    clock.move(300)
    await app.container.maintenance.sweep()
    assert incarnation in await app.container.stores.active.all()


async def test_the_events_of_a_deleted_project_are_sent_before_they_are_purged(
    storage: MemoryStorage, clock: Clock
) -> None:
    app, receiver = await with_receiver(storage, clock)
    await app.create(on_upload=False)
    await app.upload({"a.txt": "text"})
    await app.drain()
    receiver.got.clear()
    await app.label("a.txt", "Refund")
    incarnation = (await app.container.projects.get("p")).incarnation
    await app.container.projects.delete("p", "deletion")
    app.sent.waiting.clear()  # no message comes

    clock.move(3600)
    await app.container.maintenance.sweep()
    rows = await app.container.stores.table.query(incarnation)
    assert {row.key.split("|")[0] for row in rows} == {"outbox"}, "nothing else of the project is left"
    await app.container.events.sweep()
    await app.drain()
    assert len(receiver.of("LabelsSaved")) == 1
    [deleted] = [event for event in receiver.of("JobFinished") if event.data["kind"] == "deletion"]
    assert deleted.project == "p"

    await app.container.maintenance.sweep()
    assert await app.container.stores.table.query(incarnation) == []
    assert await app.container.stores.projects.purges() == []
    assert await waiting(app, INDEX) == []


async def test_a_purge_does_not_wait_indefinitely(storage: MemoryStorage, clock: Clock) -> None:
    app, _ = await with_receiver(storage, clock)
    await app.create(on_upload=False)
    await app.upload({"a.txt": "text"})
    await app.drain()
    await app.label("a.txt", "Refund")
    incarnation = (await app.container.projects.get("p")).incarnation
    await app.container.projects.delete("p", "deletion")
    clock.move(21 * 3600)
    await app.container.maintenance.sweep()
    assert await app.container.stores.table.query(incarnation) == []
    assert await app.container.stores.projects.purges() == []


async def test_a_bulk_decision_tells_of_each_document_once(storage: MemoryStorage, clock: Clock) -> None:
    app, receiver = await with_receiver(storage, clock)
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    await app.upload({f"{number}.txt": "@Refund:80" for number in range(60)})
    await app.drain()
    await app.autolabel()
    await app.drain()
    receiver.got.clear()
    await app.container.bulk.start("p", BulkRequest(accept=True), "me", "bulk")
    await app.drain()
    ids = [document["id"] for event in receiver.of("LabelsSaved") for document in event.data["documents"]]
    assert len(ids) == len(set(ids)) == 60
    assert len(receiver.of("LabelsSaved")) < 10, "one event a transaction"
    assert receiver.repeats == 0


def test_many_documents_of_one_transaction_are_reported_in_parts() -> None:
    change = LabelChange(None, None)
    entries = [HistoryEntry(str(number), Action.LABELS_SET, change) for number in range(1_300)]
    entries.append(HistoryEntry("x", Action.DOCUMENT_CHANGED, change))
    events = list(of_labels("p", ("write",), datetime(2030, 1, 1, tzinfo=UTC), entries))
    assert [len(event.data["documents"]) for event in events] == [500, 500, 300]
    assert len({event.id for event in events}) == 3
    again = list(of_labels("p", ("write",), datetime(2031, 1, 1, tzinfo=UTC), entries))
    assert [event.id for event in again] == [event.id for event in events]
    [other] = of_labels("p", ("other",), datetime(2030, 1, 1, tzinfo=UTC), entries[:1])
    assert other.id not in {event.id for event in events}
