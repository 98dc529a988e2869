"""From an event to a suggestion: events are hints, the listing is the truth (rules A1, A6, A8, D2, D3, D5, D14)."""

import random

import pytest

from shared.domain.document import document_id
from shared.domain.errors import JobNotFound
from shared.domain.jobs import Job, JobKind, Outcome
from shared.domain.labels import Labels
from shared.domain.names import WORK_QUEUE, DocumentStatus
from shared.domain.project import Scope
from shared.services.jobs.lifecycle import BatchMessage, parse
from shared.storage.uploads import PendingUpload
from tests.support.services import App, Clock, in_process, result_json
from tests.support.storage.memory import MemoryStorage


async def test_an_upload_becomes_a_document_with_a_suggestion(app: App) -> None:
    await app.create()
    await app.define("Refund")

    await app.upload({"a.txt": "@Refund:73 please"})
    await app.drain()

    document = await app.document("a.txt")
    assert document is not None
    assert document.suggestions is not None
    [suggestion] = document.suggestions.items
    assert (suggestion.category, suggestion.confidence) == ("Refund", 73)
    [job] = await app.jobs()
    assert result_json(job)["outcomes"] == {"suggested": 1, "nothingFound": 0, "skipped": 0, "failed": 0}


async def test_uploads_that_arrive_together_share_a_job(storage: MemoryStorage) -> None:
    first = in_process(storage)
    await first.create()
    await first.define("Refund")
    app = in_process(storage, collect_window_seconds=300)

    await app.upload({f"{n}.txt": f"@Refund:73 number {n}" for n in range(30)})
    plans = [queue for queue, _ in app.sent.waiting if queue == WORK_QUEUE]
    await app.drain()

    assert len(plans) == 1
    [job] = await app.jobs()
    assert result_json(job)["outcomes"]["suggested"] == 30


async def test_plans_that_find_work_under_way_are_repeated_once(storage: MemoryStorage) -> None:
    """Else as many chains of them would run as there were collect windows."""
    first = in_process(storage)
    await first.create()
    await first.define("Refund")
    app = in_process(storage, collect_window_seconds=300)
    await app.upload({"a.txt": "@Refund:73 please"})
    [plan] = app.sent.waiting
    await app.deliver(*app.sent.waiting.popleft())
    begun = list(app.sent.waiting)
    await app.upload({"a.txt": "@Refund:80 again"})
    app.sent.waiting.clear()

    for _ in range(3):
        await app.deliver(*plan)

    assert [queue for queue, _ in app.sent.waiting] == [WORK_QUEUE]
    app.sent.waiting.extendleft(begun)
    await app.drain()
    document = await app.document("a.txt")
    assert document is not None
    assert document.suggestions is not None
    assert [suggestion.confidence for suggestion in document.suggestions.items] == [80]


async def test_a_repeated_plan_that_comes_early_is_repeated_again(storage: MemoryStorage) -> None:
    """A queue knows whole seconds; without another repeat, what is under way would wait for the next reconcile."""
    await in_process(storage).create()
    app = in_process(storage, collect_window_seconds=300)
    await app.upload({"a.txt": "@Refund:73 please"})
    [plan] = app.sent.waiting
    await app.deliver(*plan)
    app.sent.waiting.clear()
    await app.deliver(*plan)

    for _ in range(3):
        [repeat] = app.sent.waiting
        app.sent.waiting.clear()
        await app.deliver(*repeat)

    assert len(app.sent.waiting) == 1
    await app.deliver(*plan)
    assert len(app.sent.waiting) == 1


async def test_uploads_whose_batch_ends_while_they_are_planned_are_not_read_again(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await in_process(storage).create()
    app = in_process(storage, collect_window_seconds=300)
    await app.upload({"a.txt": "@Refund:73 please"})
    [plan] = app.sent.waiting
    await app.deliver(*plan)
    batch = app.sent.waiting[-1]
    app.sent.waiting.clear()
    pending = app.container.stores.pending
    read = pending.first

    async def ends_meanwhile(scope: Scope, limit: int) -> tuple[list[PendingUpload], bool]:
        found = await read(scope, limit)
        await app.deliver(*batch)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(pending, "first", ends_meanwhile)
        again = parse(plan[1]).model_copy(update={"id": "another"})
        await app.container.dispatcher.run(again)

    assert not [body for _, body in app.sent.waiting if isinstance(parse(body), BatchMessage)]
    reads = storage.counter.snapshot()["blob", "read"]
    await app.drain()
    assert storage.counter.snapshot()["blob", "read"] == reads
    assert await app.document("a.txt") is not None


async def test_uploads_that_another_instance_plans_meanwhile_are_not_planned_again(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = await in_process(storage).create()
    app = in_process(storage, collect_window_seconds=300)
    await app.upload({"a.txt": "@Refund:73 please"})
    plan = parse(app.sent.waiting.popleft()[1])
    pending = app.container.stores.pending
    read = pending.first

    async def planned_meanwhile(scope: Scope, limit: int) -> tuple[list[PendingUpload], bool]:
        await in_process(storage).container.dispatcher.run(plan)
        return await read(scope, limit)

    monkeypatch.setattr(pending, "first", planned_meanwhile)
    await app.container.dispatcher.run(plan.model_copy(update={"id": "another"}))

    assert len(await app.container.stores.jobs.open_jobs(project.incarnation)) == 1


async def test_no_batch_extends_over_pages_that_another_has_under_way(storage: MemoryStorage) -> None:
    """It would read the same uploads as well."""
    project = await in_process(storage).create()
    app = in_process(storage, collect_window_seconds=300)
    first, middle, last = sorted((f"{n}.txt" for n in range(3)), key=document_id)
    await app.upload({middle: "@Refund:73 please"})
    plan = parse(app.sent.waiting.popleft()[1])
    await app.container.dispatcher.run(plan)
    await app.upload(dict.fromkeys((first, last), "@Refund:73 please"))
    await app.container.dispatcher.run(plan.model_copy(update={"id": "another"}))

    jobs = await app.container.stores.jobs.open_jobs(project.incarnation)
    pages = [range(batch.low, batch.high) for job in jobs for batch in job.batches]
    assert sorted(map(len, pages)) == [1, 1, 1]


async def test_without_labels_uploads_are_registered_and_wait(app: App) -> None:
    await app.create()

    await app.upload({"a.txt": "@Refund:73 please"})
    await app.drain()

    document = await app.document("a.txt")
    assert document is not None
    assert document.waiting
    assert await app.jobs() == []
    assert await app.jobs(JobKind.REGISTER) == []


async def test_what_waited_for_labels_is_labeled_when_there_are_some(app: App) -> None:
    await app.create()
    await app.upload({"a.txt": "@Refund:73 please"})
    await app.drain()
    await app.define("Refund")

    await app.container.maintenance.reconcile()
    await app.drain()

    document = await app.document("a.txt")
    assert document is not None
    assert document.suggestions is not None


@pytest.mark.parametrize("seed", range(8))
async def test_events_five_times_and_shuffled_give_the_state_of_the_listing(app: App, seed: int) -> None:
    await app.create()
    await app.define("Refund")
    stays, goes = "stays.txt", "goes.txt"
    await app.upload({stays: "@Refund:73 please", goes: "@Refund:50 no"}, events=False)
    await app.blobs.delete(app.documents, goes)
    events = [stays, goes] * 5
    random.Random(seed).shuffle(events)

    for number, name in enumerate(events):
        await app.container.uploads.seen(app.documents, name)
        if number % 4 == seed % 4:
            await app.drain()
    await app.drain()

    assert await app.document(goes) is None
    document = await app.document(stays)
    assert document is not None
    assert (
        document.status(0, (await app.container.projects.get("p")).active_studio)
        is DocumentStatus.AUTO_LABELED
    )
    counts = [result_json(job)["outcomes"] for job in await app.jobs()]
    assert sum(c["suggested"] for c in counts) == 1


async def test_an_event_for_content_that_was_planned_makes_no_second_job(app: App) -> None:
    await app.create()
    await app.define("Refund")
    await app.upload({"a.txt": "@Refund:73 please"})
    await app.drain()
    before = await app.rows()

    await app.container.uploads.seen(app.documents, "a.txt")
    await app.drain()

    assert await app.rows() == before


async def test_an_upload_job_that_planned_nothing_is_never_shown(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if its worker crashes before removing it: the next reader removes it."""
    await app.create()
    await app.define("Refund")
    await app.upload({"a.txt": "@Refund:73"})
    await app.drain()
    shown = await app.container.autolabel.list(app.name)

    async def dies(job: Job) -> Job:
        return job

    with monkeypatch.context() as patch:
        patch.setattr(app.container.jobs, "settle", dies)
        await app.container.uploads.seen(app.documents, "a.txt")
        await app.drain()
    [hidden] = {job.id for job in await app.jobs()} - {job.id for job in shown}

    assert await app.container.autolabel.list(app.name) == shown
    with pytest.raises(JobNotFound):
        await app.container.autolabel.get(app.name, hidden)


async def test_new_content_drops_suggestions_and_flags_labels(app: App) -> None:
    await app.create()
    await app.define("Refund", "Login")
    await app.upload({"a.txt": "@Refund:73 please", "b.txt": "mine"})
    await app.drain()
    await app.label("b.txt", "Refund")

    await app.upload({"a.txt": "@Login:40 now", "b.txt": "@Login:40 other"})
    await app.drain()

    a, b = await app.document("a.txt"), await app.document("b.txt")
    assert a is not None
    assert a.suggestions is not None
    assert [s.category for s in a.suggestions.items] == ["Login"]
    assert b is not None
    assert b.labels is not None
    assert b.labels.categories == ("Refund",)
    assert b.content_changed


async def test_labels_of_a_document_without_its_blob_stay(app: App) -> None:
    await app.create()
    await app.upload({"a.txt": "text"})
    await app.drain()
    document = await app.label("a.txt", "Refund")

    await app.blobs.delete(app.documents, "a.txt")
    await app.container.uploads.seen(app.documents, "a.txt")
    await app.drain()

    kept = await app.document("a.txt")
    assert kept is not None
    assert (kept.missing, kept.labels) == (True, Labels(("Refund",)))
    history = await app.container.documents.history("p", document.id)
    assert [change.entry.action for change in history] == ["labelsSet"]


async def test_two_projects_of_one_container_get_every_event(app: App) -> None:
    await app.create()
    app.name = "other"
    await app.create()

    await app.upload({"a.txt": "text"})
    await app.drain()

    for name in ("p", "other"):
        app.name = name
        assert await app.document("a.txt") is not None


async def test_events_of_containers_without_a_project_and_of_our_own_leave_nothing(app: App) -> None:
    await app.create()
    before = await app.rows()
    app.sent.waiting.clear()

    for container in ("elsewhere", "labelbridge", "labelbridge-tombstones", "azure-webjobs-hosts", "$logs"):
        await app.container.uploads.seen(container, "a.txt")

    assert await app.rows() == before
    assert not app.sent.waiting


async def test_a_lost_event_is_repaired_by_reconcile(app: App) -> None:
    await app.create()
    await app.upload({"gone.txt": "text", "changed.txt": "old"})
    await app.drain()
    await app.upload({"lost.txt": "text", "changed.txt": "new"}, events=False)
    await app.blobs.delete(app.documents, "gone.txt")
    before = await app.document("changed.txt")

    await app.container.maintenance.reconcile()
    await app.drain()

    assert await app.document("lost.txt") is not None
    assert await app.document("gone.txt") is None
    after = await app.document("changed.txt")
    assert before is not None
    assert after is not None
    assert after.content != before.content


async def test_a_lost_plan_is_made_up_for_by_the_sweep(app: App, clock: Clock) -> None:
    await app.create()
    await app.drain()
    await app.upload({"a.txt": "text"})
    app.sent.waiting.clear()

    await app.container.maintenance.sweep()
    assert not app.sent.waiting, "the upload is young: its plan may be on its way"
    clock.move(60)
    await app.container.maintenance.sweep()
    await app.drain()

    assert await app.document("a.txt") is not None


async def test_a_failing_engine_fails_its_documents_and_registers_them(app: App) -> None:
    await app.create()
    await app.define("Refund")
    await app.fit()
    await app.upload({"bad.txt": "@fail"})

    for queue, body in await _until_batches(app):
        await app.fail_five_times(queue, body)
    await app.drain()

    [job] = await app.jobs()
    [outcome] = await app.container.stores.jobs.outcomes(job)
    assert outcome.outcome is Outcome.FAILED
    assert outcome.error is not None
    assert outcome.error.code == "BatchFailed"
    document = await app.document("bad.txt")
    assert document is not None
    before = await app.rows()
    await app.container.maintenance.reconcile()
    await app.drain()
    assert await app.rows() == before, "what failed is not planned again by itself"


async def _until_batches(app: App) -> list[tuple[str, str]]:
    """Deliver plans; the messages of batches that then wait."""
    while app.sent.waiting and app.sent.waiting[0][0] == WORK_QUEUE:
        await app.deliver(*app.sent.waiting.popleft())
    waiting = list(app.sent.waiting)
    app.sent.waiting.clear()
    return waiting
