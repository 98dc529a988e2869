"""The sweep costs nothing for projects without work, and misses no work."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared import telemetry
from shared.connection.binding import Binding, StudioKind
from shared.connection.state import Connection
from shared.domain.autolabel import plan_pause
from shared.domain.document import ANY_VERSION, document_id
from shared.domain.jobs import AutolabelParameters, Batch, Job, JobKind, JobSource, JobStatus
from shared.domain.names import Studio
from shared.services.jobs.dispatch import PAUSES, TOO_OFTEN
from shared.services.jobs.lifecycle import PlanMessage, Work, parse
from shared.services.projects.maintenance import PartsFailed
from shared.services.review.documents import DocumentPatch
from shared.storage.gateways.ports import StorageUnavailable
from tests.support.lives import living
from tests.support.services import App, Clock, in_process, logged
from tests.support.storage.faults import Faults
from tests.support.storage.memory import MemoryStorage


async def projects(app: App, count: int) -> None:
    for number in range(count):
        app.name, app.documents = f"p{number}", f"docs{number}"
        await app.create()
    await app.drain()


async def sweep_calls(app: App, faults: Faults) -> int:
    before = len(faults.calls)
    await app.container.maintenance.sweep()
    return len(faults.calls) - before


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_projects_without_work_cost_no_call(clock: Clock) -> None:
    costs: list[int] = []
    for count in (1, 30):
        faults, storage = Faults(), MemoryStorage()
        app = in_process(storage, clock, table=faults.table(storage.table("projects")))
        await projects(app, count)
        clock.move(200)
        await app.container.maintenance.sweep()  # the first of a process looks at all projects
        costs.append(await sweep_calls(app, faults))
    assert costs[0] == costs[1] <= 6


async def test_work_of_any_process_is_found_by_a_sweep_that_has_seen_the_project_idle(clock: Clock) -> None:
    storage = MemoryStorage()
    sweeper, worker = in_process(storage, clock), in_process(storage, clock)
    await sweeper.create()
    await sweeper.drain()
    for _ in range(3):
        clock.move(200)
        await sweeper.container.maintenance.sweep()
    assert not await sweeper.container.stores.active.all(), "idle"

    await worker.upload({"a.txt": "text"})  # its plan is lost
    clock.move(60)
    await sweeper.container.maintenance.sweep()
    await sweeper.drain()

    assert await sweeper.document("a.txt") is not None


async def test_a_mark_stays_while_there_is_work(clock: Clock) -> None:
    app = in_process(MemoryStorage(), clock)
    await app.create()
    await app.drain()
    await app.upload({"a.txt": "text"})
    app.sent.waiting.clear()
    for _ in range(5):
        clock.move(200)
        await app.container.maintenance.sweep()
        app.sent.waiting.clear()  # all plans are lost
        assert await app.container.stores.active.all()
    clock.move(200)
    await app.container.maintenance.sweep()
    await app.drain()
    assert await app.document("a.txt") is not None
    for _ in range(2):
        clock.move(200)
        await app.container.maintenance.sweep()
    assert not await app.container.stores.active.all()


async def test_documents_whose_plan_was_lost_are_planned_before_a_project_counts_as_idle(
    clock: Clock,
) -> None:
    app = in_process(MemoryStorage(), clock)
    await app.create()
    await app.upload({"a.txt": "@Refund:73 please"})
    await app.drain()  # without a category, no suggestion
    await app.define("Refund")
    app.sent.waiting.clear()
    document = await app.document("a.txt")
    assert document is not None
    assert document.waiting

    clock.move(200)
    await app.container.maintenance.sweep()
    await app.drain()

    document = await app.document("a.txt")
    assert document is not None
    assert document.suggestions is not None
    clock.move(200)
    await app.container.maintenance.sweep()
    await app.drain()
    clock.move(200)
    await app.container.maintenance.sweep()
    assert not await app.container.stores.active.all()


async def waits_for_a_plan(app: App) -> PlanMessage:
    """a.txt, which could get a suggestion, and a plan, which was not delivered."""
    project = await app.create()
    await app.upload({"a.txt": "@Refund:73 please"})
    await app.drain()  # without a category, no suggestion
    await app.define("Refund")
    app.sent.waiting.clear()
    return PlanMessage(project=project.name, incarnation=project.incarnation, id="plan")


async def test_documents_whose_plan_is_given_up_in_an_outage_are_planned_after_it(clock: Clock) -> None:
    down = False
    faults = Faults(lambda call: StorageUnavailable("busy") if down and call.service == "table" else None)
    app = living(MemoryStorage(clock=clock), clock, faults=faults)
    plan: Work = await waits_for_a_plan(app)
    dispatcher, sweep = app.container.dispatcher, app.container.maintenance.sweep
    for tries in range(3):
        down = True
        for _ in PAUSES:
            await dispatcher.run_or_retry(plan)
            plan = parse(app.sent.waiting.pop()[1])
        for _ in range(2):  # the host delivers it again, and moves it to the poison queue in the end
            with pytest.raises(StorageUnavailable):
                await dispatcher.run_or_retry(plan)
        down = False
        for _ in range(2):
            await app.container.stores.queues.send("work-poison", plan.model_dump_json())
            app.sent.waiting.clear()
            await app.container.queue_sweep.run("document_uploaded")

        clock.move(plan_pause(tries).total_seconds() - 1)
        await sweep()
        assert not app.sent.waiting, "too early"
        clock.move(2)
        for _ in range(2):
            await sweep()
        [(_, body)] = app.sent.waiting
        app.sent.waiting.clear()
        plan = parse(body)
    assert await app.pending("a.txt") == []
    for _ in range(2):
        await dispatcher.run_or_retry(plan)
    await app.drain()
    assert await app.pending("a.txt") == ["Refund"]

    for _ in range(2):
        clock.move(200)
        await sweep()
        await app.drain()
    assert not await app.container.stores.active.all()


async def test_a_plan_that_always_fails_is_tried_about_once_an_hour(app: App, clock: Clock) -> None:
    plan: Work = await waits_for_a_plan(app)
    await app.container.dispatcher.give_up(plan, TOO_OFTEN)
    plans = 0
    for _ in range(24 * 60):
        clock.move(60)
        await app.container.maintenance.sweep()
        while app.sent.waiting:
            plans += 1
            await app.container.dispatcher.give_up(parse(app.sent.waiting.popleft()[1]), TOO_OFTEN)
    assert 24 <= plans <= 30


async def test_a_mark_that_is_renewed_still_asks_for_a_plan(clock: Clock) -> None:
    storage = MemoryStorage()
    app, other = in_process(storage, clock), in_process(storage, clock)
    await app.container.stores.active.plan_again("i", 3)
    again = (await app.container.stores.active.all())["i"].again
    clock.move(60)
    await other.container.stores.active.mark("i")
    mark = (await app.container.stores.active.all())["i"]
    assert (mark.again, mark.tries) == (again, 3)
    assert mark.at > clock.now - timedelta(seconds=1)


async def test_documents_that_began_to_wait_on_pages_of_a_job_are_planned_after_it(clock: Clock) -> None:
    app = in_process(MemoryStorage(), clock)
    project = await app.create()
    await app.upload({"a.txt": "@Refund:73 please"})
    await app.drain()  # without a category, no suggestion
    await app.define("Refund")
    app.sent.waiting.clear()
    jobs = app.container.stores.jobs
    asked = AutolabelParameters(None, JobSource.HTTP)
    job = Job.new(JobKind.AUTOLABEL, "job", project, clock(), asked)
    batches = (Batch(0, project.pages, 1),)
    job, _ = await jobs.create(replace(job, status=JobStatus.RUNNING, batches=batches))

    async def waits() -> bool:
        document = await app.document("a.txt")
        assert document is not None
        return document.waiting

    await app.container.dispatcher.run(
        PlanMessage(project=project.name, incarnation=project.incarnation, id="plan")
    )
    await app.drain()
    assert await waits(), "the job may be reading it"

    await jobs.save(replace(job, status=JobStatus.SUCCEEDED, updated=clock()))
    clock.move(200)
    await app.container.maintenance.sweep()
    await app.drain()
    assert not await waits()


@pytest.mark.parametrize("flagged", [False, True])
async def test_documents_that_wait_without_a_blob_are_not_planned_indefinitely(
    clock: Clock, flagged: bool
) -> None:
    app = in_process(MemoryStorage(), clock)
    await app.create()
    await app.upload({"a.txt": "@Refund:73 please", "b.txt": "@Refund:60 too"})
    await app.drain()
    await app.define("Refund")
    app.sent.waiting.clear()
    if flagged:
        patch = DocumentPatch(flagged=True)
        await app.container.documents.patch(app.name, document_id("a.txt"), ANY_VERSION, patch, "ana")
    for location in ("a.txt", "b.txt"):
        await app.blobs.delete(app.documents, location)

    for _ in range(3):
        clock.move(200)
        await app.container.maintenance.sweep()
        await app.drain()

    assert not await app.container.stores.active.all()
    for _ in range(3):
        clock.move(200)
        await app.container.maintenance.sweep()
        assert not app.sent.waiting
    assert await app.document("a.txt") is not None


async def test_a_mark_that_was_renewed_meanwhile_is_not_deleted(clock: Clock) -> None:
    storage = MemoryStorage()
    app, other = in_process(storage, clock), in_process(storage, clock)
    await app.create()
    [(incarnation, mark)] = (await app.container.stores.active.all()).items()
    clock.move(200)
    await other.container.stores.active.mark(incarnation)
    await app.container.stores.active.unmark(incarnation, mark)
    assert incarnation in await app.container.stores.active.all()


async def test_a_process_writes_a_mark_once_in_30_seconds(clock: Clock) -> None:
    faults, storage = Faults(), MemoryStorage()
    app = in_process(storage, clock, table=faults.table(storage.table("projects")))
    for seconds, calls in ((0, 1), (10, 1), (15, 1), (10, 2), (31, 3)):
        clock.move(seconds)
        await app.container.stores.active.mark("i")
        assert len(faults.calls) == calls


async def test_the_sweep_after_a_reconcile_looks_at_projects_without_a_mark(clock: Clock) -> None:
    app = in_process(MemoryStorage(), clock)
    await app.create()
    await app.drain()
    await app.container.maintenance.sweep()
    await app.upload({"a.txt": "text"})
    app.sent.waiting.clear()
    for incarnation, mark in (await app.container.stores.active.all()).items():
        await app.container.stores.active.unmark(incarnation, mark)  # as if its writer had paused for minutes
    clock.move(200)
    await app.container.maintenance.sweep()
    assert not app.sent.waiting
    await app.container.maintenance.sweep(everything=True)
    await app.drain()
    assert await app.document("a.txt") is not None


async def test_marks_of_projects_that_are_gone_are_deleted(clock: Clock) -> None:
    app = in_process(MemoryStorage(), clock)
    await app.container.stores.active.mark("gone")
    await app.container.maintenance.sweep()
    assert await app.container.stores.active.all()
    clock.move(200)
    await app.container.maintenance.sweep()
    assert not await app.container.stores.active.all()


class Broken(Exception):
    """Quotes what must not be logged."""


def fails(quoted: str = "secret words") -> Callable[..., Awaitable[None]]:
    async def failing(*_: object, **__: object) -> None:
        raise Broken(quoted)

    return failing


@pytest.fixture
def sweep_of_app(app: App, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Awaitable[None]]:
    """The function of the timer, over the services of the app."""
    monkeypatch.setenv("AzureWebJobsStorage", "UseDevelopmentStorage=true")
    monkeypatch.setenv("AUTH_MODE", "local")
    from functions import background

    monkeypatch.setattr(background, "container", lambda: app.container)
    monkeypatch.setattr(background, "STACKS", telemetry.Stacks())
    timer: Any = None
    return lambda: background.sweep_jobs(timer)


@pytest.fixture
def app(clock: Clock) -> App:
    return in_process(MemoryStorage(), clock)


PARTS = [
    ("maintenance", "reconcile_if_due"),
    ("connection", "sweep"),
    ("events", "sweep"),
    ("queue_sweep", "run"),
    ("maintenance", "sweep"),
]


@pytest.mark.parametrize("broken", PARTS, ids=".".join)
async def test_a_part_of_the_sweep_that_fails_skips_no_other(
    app: App,
    sweep_of_app: Callable[[], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    broken: tuple[str, str],
) -> None:
    ran: list[tuple[str, str]] = []

    def recorded(part: tuple[str, str]) -> Callable[..., Awaitable[bool]]:
        async def run(*_: object, **__: object) -> bool:
            ran.append(part)
            return False

        return run

    for service, method in PARTS:
        part = recorded((service, method)) if (service, method) != broken else fails()
        monkeypatch.setattr(getattr(app.container, service), method, part)

    for _ in range(2):
        with pytest.raises(PartsFailed, match="1 parts of the timer failed"):
            await sweep_of_app()

    assert ran == [part for part in PARTS if part != broken] * 2
    assert [bool(record.exc_info) for record in logged(caplog)] == [True, False], "the stack once"
    assert "secret" not in caplog.text
    assert all(
        record.getMessage().endswith("and continues with the others: Broken") for record in logged(caplog)
    )


async def test_a_sweep_whose_parts_succeed_raises_nothing(
    sweep_of_app: Callable[[], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await sweep_of_app()
    assert not logged(caplog)


async def test_a_project_that_fails_in_every_sweep_shows_its_stack_once(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await projects(app, 3)
    monkeypatch.setattr(app.container.maintenance, "_free", fails())
    for _ in range(2):
        await app.container.maintenance.sweep()
    assert [bool(record.exc_info) for record in logged(caplog)] == [True] + [False] * 5
    assert "secret" not in caplog.text


async def test_a_project_whose_labels_cannot_be_imported_keeps_no_other_waiting(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    storage = MemoryStorage(clock=clock)
    app = in_process(storage, clock, auth_mode="local")
    await storage.blobs.create_container("labeling")
    connection = app.container.connection
    for number in range(2):
        app.name, app.documents = f"p{number}", f"docs{number}"
        await app.create(on_upload=False)
        await app.define("Refund", "Login")
        binding = Binding(StudioKind.WORKSPACE, "labeling", f"news{number}")
        await connection.connect(app.name, binding, "lead", f"connect{number}")
        await app.drain()
        await connection.switch(app.name, Studio.AZURE_ML, "lead", f"switch{number}")
        await app.drain()
    asked: list[str] = []
    broken = fails()

    async def ask(connection: Connection) -> bool:
        asked.append(connection.project)
        if connection.project == "p0":
            await broken()
        return False

    monkeypatch.setattr(connection, "_may_have_new", ask)
    with pytest.raises(PartsFailed, match="project p0"):
        await connection.sync_all()

    assert sorted(asked) == ["p0", "p1"]
    assert "secret" not in caplog.text
