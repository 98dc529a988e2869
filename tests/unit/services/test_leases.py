"""Work that outlasts its safety message or a sweep holds a lease, so that nobody begins it a second time (rule A6)."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest

from shared.domain.jobs import Job, JobError, JobKind, JobStatus
from shared.domain.transfers import ImportParameters
from shared.engines.base import EngineError
from shared.services.autolabel.batches import BatchRunner
from shared.services.autolabel.registering import RegisterService
from shared.services.jobs import dispatch, lifecycle
from shared.services.jobs.dispatch import heartbeat, run_undivided
from shared.services.jobs.lifecycle import parse
from shared.services.project_files.exports import ExportService
from shared.services.project_files.imports import ImportService
from shared.storage.gateways.ports import StorageUnavailable
from shared.storage.leases import LEASE_FOR, Lease, LeaseExpired, LeaseLost
from tests.support.services import App, Clock, logged
from tests.support.waiting import eventually
from tests.unit.wire.project_files import SINGLE, file_of

FILE = json.dumps(file_of(SINGLE, [])).encode()


async def _export(app: App) -> Job:
    return await app.container.exports.start(app.name, "job")


async def _import(app: App) -> Job:
    return await app.container.imports.start("other", FILE, "tester", "job")


async def _scan(app: App) -> Job:
    return await app.container.registering.scan(app.name, "job")


WORK: list[tuple[Callable[[App], Awaitable[Job]], type, str]] = [
    (_export, ExportService, "_write"),
    (_import, ImportService, "_land"),
    (_scan, RegisterService, "_compare"),
]


#: After which a test that waits for nothing fails.
SECONDS = 30


class Held:
    """In place of a method: the first call waits until `free`, and all are counted."""

    def __init__(self, method: Callable[..., Awaitable[Any]]) -> None:
        self.calls = 0
        self.free = asyncio.Event()
        self._method = method

    def method(self) -> Callable[..., Awaitable[Any]]:
        async def held(*arguments: Any, **more: Any) -> Any:
            self.calls += 1
            await self.free.wait()
            return await self._method(*arguments, **more)

        return held


async def _deliver(app: App) -> None:
    async with asyncio.timeout(SECONDS):
        while app.sent.waiting:
            await app.deliver(*app.sent.waiting.popleft())


@pytest.mark.parametrize(("start", "service", "name"), WORK, ids=["export", "import", "scan"])
async def test_no_message_and_no_sweep_begins_work_that_runs(
    app: App,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    start: Callable[[App], Awaitable[Job]],
    service: type,
    name: str,
) -> None:
    await app.create(on_upload=False)
    await app.drain()
    held = Held(getattr(service, name))
    monkeypatch.setattr(service, name, held.method())
    monkeypatch.setattr(lifecycle, "SECONDS", 0)
    monkeypatch.setattr(dispatch, "RENEW_SECONDS", 0.01)
    job = await start(app)

    async def begun() -> bool:
        return held.calls > 0

    async def renewed() -> bool:
        [state] = await app.container.stores.jobs.states(job)
        return state.until is not None and state.until > clock() + LEASE_FOR / 2

    await eventually("the work begins", begun)
    for _ in range(3):
        await _deliver(app)  # the safety message, and those of sweeps
        clock.move(LEASE_FOR.total_seconds() - 2)
        await eventually("the lease is renewed", renewed)
        await app.container.maintenance.sweep()
    assert app.sent.waiting, "the sweep asks"
    await _deliver(app)
    assert held.calls == 1
    held.free.set()
    await app.drain()
    ended = await app.container.stores.jobs.get(job.incarnation, job.kind, "job")
    assert (ended.status, held.calls) == (JobStatus.SUCCEEDED, 1)


async def test_an_import_that_waits_for_another_is_asked_for_once(app: App, clock: Clock) -> None:
    """Each sweep sends a message: they do not add up to as many messages that wait for the turn."""
    stores = app.container.stores
    await app.container.imports.start("other", FILE, "tester", "ended")
    await app.drain()
    waits = Job.of_name(JobKind.IMPORT, "waits", "other", "-", stores.clock(), ImportParameters("tester"))
    waits, _ = await stores.jobs.create(waits)
    async with app.container.imports.reading:
        for _ in range(3):
            clock.move(1)
            await app.container.jobs.send(waits)
            await app.deliver(*app.sent.waiting.pop())
        assert len(app.sent.waiting) == 1


async def test_the_message_of_a_job_comes_when_the_lease_of_a_process_that_died_has_run_out(
    app: App, clock: Clock
) -> None:
    """The message is sent first, and the lease is taken a moment later."""
    project = await app.create()
    await app.drain()
    jobs = app.container.stores.jobs
    job, _ = await jobs.create(Job.new(JobKind.EXPORT, "job", project, clock()))
    await app.container.jobs.send(job, delay=lifecycle.SAFETY_SECONDS)
    clock.move(1)
    assert await jobs.acquire(job, 0, "of a process that dies", clock()) is not None

    clock.move(lifecycle.SAFETY_SECONDS - 1)
    await _deliver(app)

    assert (await jobs.get(job.incarnation, job.kind, "job")).status is JobStatus.SUCCEEDED


async def test_a_job_that_cannot_be_ended_now_is_free_for_another_try(app: App, clock: Clock) -> None:
    project = await app.create()
    stores = app.container.stores
    job, _ = await stores.jobs.create(Job.new(JobKind.EVALUATE, "job", project, clock()))

    async def breaks(_job: Job) -> None:
        raise EngineError("a reason that stays")

    async def fails(_job: Job, _reason: JobError) -> None:
        raise StorageUnavailable("busy")

    with pytest.raises(StorageUnavailable):
        await run_undivided(stores, app.container.jobs, job, breaks, fails)

    assert await stores.jobs.acquire(job, 0, "next", clock()) is not None


@pytest.mark.parametrize("cause", [None, ValueError("secret words")])
async def test_an_error_of_an_engine_that_ends_a_job_shows_the_stack_of_what_caused_it(
    app: App, clock: Clock, caplog: pytest.LogCaptureFixture, cause: Exception | None
) -> None:
    stores = app.container.stores
    job, _ = await stores.jobs.create(Job.new(JobKind.EVALUATE, "job", await app.create(), clock()))
    ended: list[JobError] = []

    async def breaks(_job: Job) -> None:
        raise EngineError("a reason that stays") from cause

    async def fail(_job: Job, reason: JobError) -> None:
        ended.append(reason)

    await run_undivided(stores, app.container.jobs, job, breaks, fail)

    assert ended == [JobError("EngineError", "a reason that stays")]
    assert len(logged(caplog)) == (cause is not None)
    assert cause is None or "ValueError" in caplog.text
    assert "secret" not in caplog.text


async def test_a_lease_whose_renewal_had_no_answer_is_released(app: App, clock: Clock) -> None:
    project = await app.create()
    jobs = app.container.stores.jobs
    job, _ = await jobs.create(Job.new(JobKind.EXPORT, "job", project, clock()))
    lease = await jobs.acquire(job, 0, "one", clock())
    unanswered = await jobs.acquire(job, 0, "one", clock())  # the same lease: it has the row's version before
    assert lease is not None
    assert unanswered is not None
    await lease.renew(clock())

    await unanswered.release(clock(), "")

    assert await jobs.acquire(job, 0, "two", clock()) is not None


async def _begin_upload(app: App) -> None:
    await app.blobs.write(app.documents, "new.txt", b"A text.")
    await app.container.uploads.seen(app.documents, "new.txt")
    queue, body = app.sent.waiting.popleft()
    await app.deliver(queue, body)


async def _begin_export(app: App) -> None:
    job = Job.new(
        JobKind.EXPORT, "job", await app.container.projects.get(app.name), app.container.stores.clock()
    )
    await app.container.jobs.send((await app.container.stores.jobs.create(job))[0])


@pytest.mark.parametrize(
    ("begin", "service", "name"),
    [(_begin_upload, BatchRunner, "_inspect"), (_begin_export, ExportService, "_write")],
    ids=["batch", "job"],
)
async def test_work_whose_lease_ran_out_is_asked_for_again_without_a_sweep(
    app: App, clock: Clock, monkeypatch: pytest.MonkeyPatch,
    begin: Callable[[App], Awaitable[None]], service: type, name: str,
) -> None:  # fmt: skip
    """Nobody else need have taken it: storage answered no renewal in time."""
    await app.create(on_upload=False)
    await app.drain()
    await begin(app)
    [(queue, body)] = app.sent.waiting
    app.sent.waiting.clear()

    async def unanswered(_lease: Lease, _now: object) -> None:
        clock.move(LEASE_FOR.total_seconds())
        raise StorageUnavailable("silent")

    with monkeypatch.context() as patch:
        patch.setattr(service, name, Held(getattr(service, name)).method())
        patch.setattr(Lease, "renew", unanswered)
        patch.setattr(dispatch, "RENEW_SECONDS", 0.01)
        async with asyncio.timeout(SECONDS):
            await app.container.dispatcher.run_or_retry(parse(body))

    [(again, body)] = app.sent.waiting
    assert (again, parse(body).attempt) == (queue, 2)
    await app.drain()
    stores = app.container.stores
    assert not await stores.jobs.open_jobs((await app.container.projects.get(app.name)).incarnation)


class Lasting:
    """A lease whose renewals fail as planned, with the time that passes before each; then they succeed."""

    def __init__(self, clock: Clock, *failures: Exception, seconds: float) -> None:
        self.renewals = 0
        self.succeeded = asyncio.Event()
        self._clock, self._failures, self._seconds = clock, list(failures), seconds

    async def renew(self, _now: object) -> None:
        self.renewals += 1
        self._clock.move(self._seconds)
        if self._failures:
            raise self._failures.pop(0)
        self.succeeded.set()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "RENEW_SECONDS", 0.01)
    monkeypatch.setattr(dispatch, "RETRY_SECONDS", 0.01)


class TestHeartbeat:
    OUTAGES: ClassVar = [StorageUnavailable("silent"), TimeoutError(), RuntimeError("broken")]

    @pytest.mark.usefixtures("at_once")
    async def test_an_outage_that_is_over_in_time_costs_no_lease(self, clock: Clock) -> None:
        lease = Lasting(clock, *self.OUTAGES, seconds=6)
        async with heartbeat(_as_lease(lease), clock):
            await asyncio.wait_for(lease.succeeded.wait(), SECONDS)
        assert lease.renewals == 4

    @pytest.mark.usefixtures("at_once")
    async def test_work_ends_when_its_lease_has_run_out(
        self, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        lease = Lasting(clock, *(StorageUnavailable("si\nlent") for _ in range(9)), seconds=6)
        with pytest.raises(LeaseExpired):
            async with heartbeat(_as_lease(lease), clock):
                await asyncio.wait_for(asyncio.Event().wait(), SECONDS)
        assert lease.renewals == 4, "the last of them after 24 of 20 seconds"
        assert [bool(record.exc_info) for record in logged(caplog)] == [False, False, False, True]
        assert all("StorageUnavailable: si lent" in record.getMessage() for record in logged(caplog))

    @pytest.mark.usefixtures("at_once")
    async def test_a_lease_that_someone_else_has_ends_the_work_at_once(self, clock: Clock) -> None:
        lease = Lasting(clock, LeaseLost(), seconds=0)
        with pytest.raises(LeaseLost):
            async with heartbeat(_as_lease(lease), clock):
                await asyncio.wait_for(asyncio.Event().wait(), SECONDS)


def _as_lease(lease: Any) -> Lease:
    return lease
