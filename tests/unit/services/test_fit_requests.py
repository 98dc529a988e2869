"""Fits that a request runs itself, and jobs that wait for a fit."""

import asyncio
from datetime import datetime
from typing import Any

import pytest

from shared.domain.jobs import AutolabelParameters, FitResult, Job, JobKind, JobStatus
from shared.domain.names import FIT_QUEUE
from shared.services.autolabel import fits
from shared.services.autolabel.service import AutolabelRequest
from shared.services.jobs import lifecycle
from shared.services.jobs.lifecycle import JobMessage, parse
from shared.services.training.service import TrainRequest
from shared.storage.gateways.ports import RowChanged, StorageUnavailable
from tests.support.engines import Counted
from tests.support.lives import Life, living
from tests.support.services import Clock, result_json
from tests.support.storage.faults import Crash
from tests.support.storage.memory import MemoryStorage
from tests.support.waiting import eventually


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Life:
    monkeypatch.setattr(Counted, "fits", [])
    clock = Clock()
    return living(MemoryStorage(clock=clock), clock, engine=Counted)


@pytest.fixture
def long_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fit is too long for a request."""
    monkeypatch.setattr(fits, "FEW_TEXTS", 0)


async def one_document(app: Life, text: str = "@Refund:73") -> None:
    """a.txt without a suggestion, in a project that could make one."""
    await app.create(on_upload=False)
    await app.define("Refund")
    await app.upload({"a.txt": text}, events=False)
    await app.container.registering.scan(app.name, "scan")
    await app.drain()


def fit_messages(app: Life) -> list[tuple[str, str]]:
    return [message for message in app.sent.waiting if message[0] == FIT_QUEUE]


async def fitting() -> bool:
    return bool(Counted.fits)


async def test_a_request_runs_a_short_fit_itself(app: Life) -> None:
    """The queue of fits is polled every two seconds, and so is that of batches: a person waits for neither."""
    await one_document(app)
    job = await app.container.autolabel.start(app.name, AutolabelRequest(), "job")
    assert (job.status, await app.pending("a.txt"), Counted.fits) == (JobStatus.SUCCEEDED, ["Refund"], [1])
    [fit] = await app.container.autolabel.fits(app.name)
    assert (fit.status, result_json(fit)["labeledDocuments"]) == (JobStatus.SUCCEEDED, 1)

    for message in [*app.sent.waiting, *fit_messages(app)]:  # those that would do it if the request had died
        await app.deliver(*message)
    await app.drain()
    assert Counted.fits == [1]
    assert len(await app.container.autolabel.fits(app.name)) == 1


@pytest.mark.parametrize("early", [False, True])
async def test_a_fit_whose_request_dies_is_made_by_its_message_or_the_sweep(
    app: Life, monkeypatch: pytest.MonkeyPatch, *, early: bool
) -> None:
    """`early`: the message came while the request was fitting."""
    await one_document(app)
    with monkeypatch.context() as patch:
        patch.setattr(Counted, "held", asyncio.Event())
        request = asyncio.create_task(app.container.autolabel.start(app.name, AutolabelRequest(), "job"))
        await eventually("a fit begins", fitting)
        if early:
            while app.sent.waiting:
                await app.deliver(*app.sent.waiting.popleft())
        for task in (request, *(t for t in lifecycle._running if t.get_loop() is asyncio.get_running_loop())):
            task.cancel()
        await asyncio.gather(request, return_exceptions=True)
    if early:
        clock: Any = app.container.stores.clock
        clock.move(60)
        await app.container.maintenance.sweep()
    await app.drain()
    assert (await app.job(JobKind.AUTOLABEL, "job")).status is JobStatus.SUCCEEDED
    assert (await app.pending("a.txt"), Counted.fits) == (["Refund"], [1, 1])


async def test_a_request_runs_its_batches_before_other_jobs_are_planned_and_though_that_fails(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_document(app)
    hold, planner = asyncio.Event(), app.container.planner
    wake, fit = planner._wake, Counted.fit

    async def fails(*_: Any, **__: Any) -> list[Job]:
        await hold.wait()
        raise StorageUnavailable("busy")

    async def before_an_outage(engine: Counted, *args: Any, **more: Any) -> bytes:
        fitted = await fit(engine, *args, **more)
        monkeypatch.setattr(planner, "_wake", fails)
        return fitted

    monkeypatch.setattr(Counted, "fit", before_an_outage)
    job = await app.container.autolabel.start(app.name, AutolabelRequest(), "job")
    assert (job.status, await app.pending("a.txt")) == (JobStatus.SUCCEEDED, ["Refund"])
    hold.set()
    monkeypatch.setattr(planner, "_wake", wake)
    await app.drain()
    assert Counted.fits == [1]


@pytest.mark.usefixtures("long_fits")
async def test_a_job_whose_fit_ends_as_its_process_dies_is_planned_by_a_repeat_of_the_fit(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_document(app)
    await app.container.autolabel.start(app.name, AutolabelRequest(), "job")
    [message] = fit_messages(app)
    app.sent.waiting.clear()

    async def dies(*_: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(app.container.planner, "_wake", dies)
        with pytest.raises(Crash):
            await app.deliver(*message)
    assert (await app.job(JobKind.AUTOLABEL, "job")).status is JobStatus.NOT_STARTED
    for _ in range(2):
        await app.deliver(*message)
        assert (await app.job(JobKind.AUTOLABEL, "job")).status is JobStatus.RUNNING
    await app.drain()
    assert (await app.pending("a.txt"), Counted.fits) == (["Refund"], [1])


@pytest.mark.usefixtures("long_fits")
async def test_a_job_that_a_conflict_keeps_from_being_planned_is_planned_by_a_repeat_of_its_message(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_document(app)
    await app.fit()
    jobs, asked = app.container.stores.jobs, 0
    save = jobs.save

    async def beside_another(job: Job, *more: Any) -> Job:
        nonlocal asked
        if job.id == "job" and job.status is JobStatus.RUNNING:
            asked += 1
            raise RowChanged(key="usage")
        return await save(job, *more)

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "save", beside_another)
        job = await app.container.autolabel.start(app.name, AutolabelRequest(), "job")
        [(_, body)] = app.sent.waiting
        app.sent.waiting.clear()
        await app.container.dispatcher.run_or_retry(parse(body))
    assert (job.status, asked) == (JobStatus.NOT_STARTED, 2)
    [again] = app.sent.waiting
    for _ in range(2):
        await app.deliver(*again)
    await app.drain()
    assert (await app.job(JobKind.AUTOLABEL, "job")).status is JobStatus.SUCCEEDED


async def test_a_request_whose_labels_change_during_its_fit_uses_them_as_they_then_are(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_document(app)
    await app.upload({"b.txt": "@Refund:73"}, events=False)
    await app.container.registering.scan(app.name, "again")
    await app.drain()
    monkeypatch.setattr(Counted, "held", asyncio.Event())
    request = asyncio.create_task(app.container.autolabel.start(app.name, AutolabelRequest(), "job"))
    await eventually("a fit begins", fitting)
    await app.label("b.txt", "Refund")
    assert Counted.held is not None
    Counted.held.set()
    await request
    await app.drain()
    assert (await app.job(JobKind.AUTOLABEL, "job")).status is JobStatus.SUCCEEDED
    assert (await app.pending("a.txt"), Counted.fits) == (["Refund"], [1, 2])


@pytest.mark.parametrize("few", [500, 0])
@pytest.mark.parametrize("fails", [False, True])
async def test_a_request_does_not_wait_until_people_stop_labeling(
    app: Life, monkeypatch: pytest.MonkeyPatch, few: int, *, fails: bool
) -> None:
    monkeypatch.setattr(fits, "FEW_TEXTS", few)
    await one_document(app)
    names = [f"{number}.txt" for number in range(6)]
    await app.upload(dict.fromkeys(names, "text"), events=False)
    await app.container.registering.scan(app.name, "again")
    await app.drain()
    fit = Counted.fit

    async def while_someone_labels(engine: Counted, *args: Any, **more: Any) -> bytes:
        if names:
            await app.label(names.pop(), "Refund")
        return await fit(engine, *args, **more)

    monkeypatch.setattr(Counted, "fit", while_someone_labels)
    monkeypatch.setattr(Counted, "fails", fails)
    for count in (2, 4):
        job = await app.autolabel(f"job-{count}")
        assert job.status is (JobStatus.FAILED if fails else JobStatus.SUCCEEDED)
        assert len(Counted.fits) == count
    assert await app.pending("a.txt") == ([] if fails else ["Refund"])


async def test_while_a_fit_runs_one_more_waits_however_often_it_is_due(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would fit again if labels had changed since the one before."""
    monkeypatch.setattr(fits, "FEW_TEXTS", 0)
    await one_document(app)
    names = [f"{number}.txt" for number in range(5)]
    await app.upload(dict.fromkeys(names, "text"), events=False)
    await app.container.registering.scan(app.name, "again")
    await app.drain()
    monkeypatch.setattr(Counted, "held", asyncio.Event())
    await app.container.autolabel.start(app.name, AutolabelRequest(), "job")
    [fit] = fit_messages(app)
    running = asyncio.create_task(app.deliver(*fit))
    await eventually("a fit begins", fitting)
    for name in names:
        await app.label(name, "Refund")
        for message in [*app.sent.waiting]:  # what a sweep would send
            await app.deliver(*message)
    open_fits = [job for job in await app.container.autolabel.fits(app.name) if not job.status.ended]
    assert len(open_fits) == 2
    assert Counted.held is not None
    Counted.held.set()
    await running
    await app.drain()
    assert {job.status for job in await app.container.autolabel.fits(app.name)} == {JobStatus.SUCCEEDED}
    assert (await app.job(JobKind.AUTOLABEL, "job")).status is JobStatus.SUCCEEDED
    assert Counted.fits == [1, 6]


@pytest.mark.usefixtures("long_fits")
@pytest.mark.parametrize("given_up", [False, True])
async def test_a_fit_that_waits_for_another_one_has_not_started(
    app: Life, monkeypatch: pytest.MonkeyPatch, *, given_up: bool
) -> None:
    await one_document(app)
    await app.upload({"b.txt": "text"}, events=False)
    await app.container.registering.scan(app.name, "again")
    await app.drain()
    monkeypatch.setattr(Counted, "held", asyncio.Event())
    await app.container.autolabel.start(app.name, AutolabelRequest(), "first")
    [fit] = fit_messages(app)
    app.sent.waiting.clear()
    running = asyncio.create_task(app.deliver(*fit))
    await eventually("a fit begins", fitting)
    await app.label("b.txt", "Refund")
    await app.container.autolabel.start(app.name, AutolabelRequest(), "second")
    [message] = fit_messages(app)

    async def states() -> list[tuple[JobStatus, JobStatus, int]]:
        """Of the fits, the newest first."""
        found = [
            (job.status, job.result_as(FitResult)) for job in await app.container.autolabel.fits(app.name)
        ]
        return [
            (status, result.training_status.status, result.training_status.percent_complete)
            for status, result in found
            if result is not None
        ]

    for _ in range(2):
        await app.deliver(*message)
        assert await states() == [
            (JobStatus.NOT_STARTED, JobStatus.NOT_STARTED, 0),
            (JobStatus.RUNNING, JobStatus.RUNNING, 50),
        ]
    if given_up:
        for _ in range(2):
            await app.container.dispatcher.give_up(parse(message[1]), "The work failed five times.")
        assert (await states())[0] == (JobStatus.FAILED, JobStatus.FAILED, 0)
    assert Counted.held is not None
    Counted.held.set()
    await running
    first_ended = app.container.stores.clock()
    await app.drain()
    assert Counted.fits == [1, 2]
    waited, *_ = await app.container.autolabel.fits(app.name)
    result = waited.result_as(FitResult)
    assert (waited.status, result and result.labeled_documents) == (JobStatus.SUCCEEDED, 2)
    assert result is not None
    assert (result.training_status.start_date_time or first_ended) > first_ended
    for job_id in ("first", "second"):
        assert (await app.job(JobKind.AUTOLABEL, job_id)).status is JobStatus.SUCCEEDED


@pytest.mark.usefixtures("long_fits")
async def test_a_job_that_waits_for_a_fit_uses_the_model_of_a_training_that_succeeds_first(app: Life) -> None:
    await one_document(app)
    await app.upload({"b.txt": "text"}, events=False)
    await app.container.registering.scan(app.name, "again")
    await app.drain()
    await app.label("b.txt", "Login")
    await app.container.autolabel.start(app.name, AutolabelRequest(), "job")
    [fit] = fit_messages(app)
    app.sent.waiting.clear()
    await app.container.training.start(app.name, TrainRequest("m1"), "training")
    [train] = app.sent.waiting
    for _ in range(2):
        await app.deliver(*train)
    assert (await app.job(JobKind.TRAIN, "training")).status is JobStatus.SUCCEEDED
    await app.drain()
    job = await app.job(JobKind.AUTOLABEL, "job")
    assert (job.status, job.parameters_as(AutolabelParameters).model_label) == (JobStatus.SUCCEEDED, "m1")
    await app.deliver(*fit)
    await app.drain()
    assert await app.pending("a.txt") == ["Refund"]


async def test_two_workers_that_note_the_progress_of_a_fit_do_not_stop_it(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_document(app)
    jobs = app.container.stores.jobs
    save, others = jobs.save, 0

    async def beside_another(job: Job, *more: Any) -> Job:
        nonlocal others
        if job.kind is JobKind.FIT and not job.status.ended:
            others += 1
            await save(await jobs.get(job.incarnation, job.kind, job.id))
        return await save(job, *more)

    monkeypatch.setattr(jobs, "save", beside_another)
    job = await app.container.autolabel.start(app.name, AutolabelRequest(), "job")
    [fit] = await app.container.autolabel.fits(app.name)
    assert (job.status, fit.status, fit.errors, Counted.fits) == (
        JobStatus.SUCCEEDED,
        JobStatus.SUCCEEDED,
        (),
        [1],
    )
    assert others == 2 * fits.TRIES


@pytest.mark.parametrize("short", [True, False])
async def test_one_fit_serves_all_who_wait_for_it(
    app: Life, monkeypatch: pytest.MonkeyPatch, *, short: bool
) -> None:
    await one_document(app)
    monkeypatch.setattr(fits, "FEW_TEXTS", 500 if short else 0)
    monkeypatch.setattr(Counted, "held", asyncio.Event())
    start = app.container.autolabel.start
    first = asyncio.create_task(start(app.name, AutolabelRequest(), "first"))
    if not short:
        await first
        [fit] = fit_messages(app)
        first = asyncio.create_task(app.deliver(*fit))
    await eventually("a fit begins", fitting)
    await start(app.name, AutolabelRequest(), "second")
    for message in [*app.sent.waiting]:  # what a sweep would send, and the message of the fit
        await app.deliver(*message)
    assert (await app.job(JobKind.AUTOLABEL, "second")).status is JobStatus.NOT_STARTED
    [job] = await app.container.autolabel.fits(app.name)
    assert (job.status, result_json(job)["labeledDocuments"]) == (JobStatus.RUNNING, 1)
    assert result_json(job)["trainingStatus"]["percentComplete"] == 50

    assert Counted.held is not None
    Counted.held.set()
    await first
    for job_id in ("first", "second"):
        planned = JobStatus.SUCCEEDED if short and job_id == "first" else JobStatus.RUNNING
        assert (await app.job(JobKind.AUTOLABEL, job_id)).status is planned, "planned without a message"
    await app.drain()
    assert Counted.fits == [1]
    for job_id in ("first", "second"):
        assert (await app.job(JobKind.AUTOLABEL, job_id)).status is JobStatus.SUCCEEDED
    ended = await app.container.autolabel.get_fit(app.name, job.id)
    state = result_json(ended)["trainingStatus"]
    assert (ended.status, state["status"], state["percentComplete"]) == (
        JobStatus.SUCCEEDED,
        "succeeded",
        100,
    )
    assert state["startDateTime"] < state["endDateTime"]


@pytest.mark.usefixtures("long_fits")
async def test_a_job_that_cannot_be_planned_after_a_fit_is_planned_by_its_message(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_document(app)
    await app.container.autolabel.start(app.name, AutolabelRequest(), "job")
    [(_, fit)] = fit_messages(app)

    async def fails(*_: Any) -> Job:
        raise StorageUnavailable("busy")

    with monkeypatch.context() as patch:
        patch.setattr(app.container.planner, "plan_job", fails)
        await app.container.dispatcher.run(parse(fit))
    await app.drain()
    assert (await app.job(JobKind.AUTOLABEL, "job")).status is JobStatus.SUCCEEDED


@pytest.mark.usefixtures("long_fits")
async def test_a_fit_that_is_given_up_fails_the_job_that_waits_for_it(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_document(app)
    await app.container.autolabel.start(app.name, AutolabelRequest(), "first")
    for _ in range(2):  # the request asks for one more fit
        [fit] = fit_messages(app)
        app.sent.waiting.remove(fit)
        await app.container.dispatcher.give_up(parse(fit[1]), "The work failed five times.")
        job = await app.job(JobKind.AUTOLABEL, "first")
        await app.container.autolabel.plan(JobMessage.of(job))
    ended = await app.job(JobKind.AUTOLABEL, "first")
    assert (ended.status, ended.errors[0].code) == (JobStatus.FAILED, "FitFailed")
    assert ended.errors[0].message == "The work failed five times."
    assert Counted.fits == []

    assert (await app.autolabel("second")).status is JobStatus.SUCCEEDED


@pytest.mark.usefixtures("long_fits")
async def test_a_job_whose_fits_are_given_up_fails_though_labels_change_before_each(app: Life) -> None:
    await one_document(app)
    names = [f"{number}.txt" for number in range(4)]
    await app.upload(dict.fromkeys(names, "text"), events=False)
    await app.container.registering.scan(app.name, "again")
    await app.drain()
    await app.container.autolabel.start(app.name, AutolabelRequest(), "first")
    for name in names[:2]:
        [fit] = fit_messages(app)
        app.sent.waiting.clear()
        await app.container.dispatcher.give_up(parse(fit[1]), "The work failed five times.")
        assert (await app.job(JobKind.AUTOLABEL, "first")).status is JobStatus.NOT_STARTED
        await app.label(name, "Refund")
        await app.container.autolabel.plan(JobMessage.of(await app.job(JobKind.AUTOLABEL, "first")))
    ended = await app.job(JobKind.AUTOLABEL, "first")
    assert (ended.status, ended.errors[0].code) == (JobStatus.FAILED, "FitFailed")
    assert ended.errors[0].message == "The work failed five times."
    assert len(await app.container.autolabel.fits(app.name)) == 2

    assert (await app.autolabel("second")).status is JobStatus.SUCCEEDED


@pytest.mark.usefixtures("long_fits")
async def test_a_fit_that_is_given_up_has_the_time_of_its_end(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_document(app)
    await app.container.autolabel.start(app.name, AutolabelRequest(), "first")
    [message] = [parse(body) for _, body in fit_messages(app)]

    async def fails(*_: Any, **__: Any) -> None:
        raise StorageUnavailable("busy")

    monkeypatch.setattr(app.container.model_cache, "_fit", fails)
    with pytest.raises(StorageUnavailable):
        await app.container.dispatcher.run(message)
    ends: list[datetime | None] = []
    for _ in range(2):
        await app.container.dispatcher.give_up(message, "The work failed five times.")
        [fit] = await app.container.autolabel.fits(app.name)
        result = fit.result_as(FitResult)
        assert result is not None
        state = result.training_status
        assert (fit.status, state.status, state.percent_complete) == (JobStatus.FAILED, JobStatus.FAILED, 10)
        assert (state.start_date_time or fit.updated) < fit.updated
        ends.append(state.end_date_time)
    assert ends == [fit.updated, fit.updated]


@pytest.mark.usefixtures("long_fits")
async def test_a_job_whose_fit_is_given_up_is_planned_by_the_next_sweep(app: Life) -> None:
    """Before the pause of the fit is over: the job asks for one more."""
    await one_document(app)
    await app.container.autolabel.start(app.name, AutolabelRequest(), "job")
    [(_, fit)] = fit_messages(app)
    app.sent.waiting.clear()
    for _ in range(2):
        await app.container.dispatcher.give_up(parse(fit), "The work failed five times.")
    app.sent.waiting.clear()
    clock: Any = app.container.stores.clock
    clock.move(30)
    await app.container.maintenance.sweep()
    await app.drain()
    assert (await app.job(JobKind.AUTOLABEL, "job")).status is JobStatus.SUCCEEDED
    assert Counted.fits == [1]
