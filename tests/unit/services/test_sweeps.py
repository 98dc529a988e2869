"""The sweep costs nothing for projects without work, and misses no work."""

import pytest

from tests.support.services import App, Clock, in_process
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
