"""A fit that is given up again and again, as one for which there is not enough memory."""

from collections.abc import Sequence
from typing import Any, ClassVar, override

import pytest

from shared.domain.autolabel import MAX_GIVEN_UP, fit_pause
from shared.domain.jobs import FitParameters, JobKind, JobStatus
from shared.domain.labels import Example
from shared.domain.names import FIT_QUEUE, ProjectKind
from shared.engines.base import EngineUnavailable
from shared.services.autolabel.service import AutolabelRequest
from shared.services.jobs.dispatch import GIVEN_UP, OUTAGE, PAUSES
from shared.services.jobs.lifecycle import JobMessage, parse
from shared.storage.gateways.ports import StorageUnavailable
from tests.support.engines import ScriptedEngine
from tests.support.lives import Life, living
from tests.support.services import Clock, pass_minutes
from tests.support.storage.faults import Crash, Faults
from tests.support.storage.memory import MemoryStorage

DAY = 24 * 60
ATTEMPTS = len(PAUSES) + 1


class Large(ScriptedEngine):
    """Counts its fits, for which there is not enough memory while the test says so."""

    fits: ClassVar[int] = 0
    raises: ClassVar[Exception | None] = None

    @override
    async def fit(self, kind: ProjectKind, examples: Sequence[Example], **more: Any) -> bytes:
        Large.fits += 1
        if self.raises is not None:
            raise self.raises
        return await super().fit(kind, examples, **more)


@pytest.fixture
def app(storage: MemoryStorage, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Life:
    monkeypatch.setattr(Large, "fits", 0)
    monkeypatch.setattr(Large, "raises", EngineUnavailable("There is not enough memory to learn."))
    return living(storage, clock, engine=Large)


async def test_a_fit_for_which_there_is_not_enough_memory_fails_in_the_end(
    app: Life, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await app.create()
    await app.define("Refund")
    await app.upload({"a.txt": "@Refund:73"})
    await pass_minutes(app, DAY)
    assert Large.fits == MAX_GIVEN_UP * ATTEMPTS
    fits = await app.container.autolabel.fits(app.name)
    assert [fit.errors[0].code for fit in fits] == ["FitFailed", *["JobFailed"] * (MAX_GIVEN_UP - 1)]
    [job] = await app.container.autolabel.list(app.name)
    assert (job.status, job.errors[0].code) == (JobStatus.FAILED, "FitFailed")
    assert job.errors[0].message == (
        "Fitting failed 4 times on these labels. The last reason: There is not enough memory to learn. It is tried "
        "again when labels change or someone starts a job."
    )
    assert "Fitting the engine 'scripted' for the project 'p' failed" in caplog.text

    await app.upload({"b.txt": "@Refund:73"})
    await pass_minutes(app, DAY)
    assert Large.fits == MAX_GIVEN_UP * ATTEMPTS, "no upload begins it again"
    document = await app.document("b.txt")
    assert document is not None
    assert document.waiting

    before = Large.fits
    await app.container.autolabel.start(app.name, AutolabelRequest(), "asked")
    await pass_minutes(app, 60)
    asked = await app.job(JobKind.AUTOLABEL, "asked")
    assert (asked.status, asked.errors[0].code) == (JobStatus.FAILED, "FitFailed")
    assert "There is not enough memory to learn." in asked.errors[0].message
    assert len(await app.container.autolabel.fits(app.name)) == MAX_GIVEN_UP + 2
    assert before < Large.fits <= before + 3 * ATTEMPTS, "two fits, of which a sweep sends one again"

    monkeypatch.setattr(Large, "raises", None)
    await app.label("a.txt", "Refund")
    await app.upload({"c.txt": "@Refund:73"})
    await pass_minutes(app, 2)
    assert await app.pending("c.txt") == ["Refund"]


async def test_fits_that_were_given_up_in_an_outage_of_storage_do_not_count(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fits are tried for as long as it lasts, after longer and longer pauses; failures before and after do count."""
    monkeypatch.setattr(Large, "fits", 0)
    monkeypatch.setattr(Large, "raises", None)
    down = False
    faults = Faults(lambda call: StorageUnavailable("busy") if down and call.service == "blob" else None)
    app = living(MemoryStorage(clock=clock), clock, engine=Large, faults=faults)
    await app.create()
    await app.define("Refund")
    await app.upload({"a.txt": "@Refund:73"})
    while app.sent.waiting[0][0] != FIT_QUEUE:
        await app.deliver(*app.sent.waiting.popleft())
    _, body = app.sent.waiting.popleft()
    await app.drain()
    outages, failures = [None] * MAX_GIVEN_UP, [EngineUnavailable("busy")] * (MAX_GIVEN_UP - 1)
    for tries, reason in enumerate([*outages, *failures, *outages]):
        down = reason is None
        monkeypatch.setattr(Large, "raises", reason)
        for _ in PAUSES:
            await app.container.dispatcher.run_or_retry(parse(body))
            _, body = app.sent.waiting.pop()
        await app.container.dispatcher.run_or_retry(parse(body))
        [(_, plan)] = app.sent.waiting  # sent with the end of the fit
        app.sent.waiting.clear()
        down = False
        clock.move(fit_pause(tries).total_seconds())
        await app.container.dispatcher.run(parse(plan))
        _, body = app.sent.waiting.popleft()
    fits = await app.container.autolabel.fits(app.name)
    assert {fit.errors[0].code for fit in fits if fit.status.ended} == {OUTAGE, GIVEN_UP}
    assert not await app.container.autolabel.list(app.name)

    monkeypatch.setattr(Large, "raises", None)
    app.sent.waiting.append((FIT_QUEUE, body))
    await app.drain()
    assert await app.pending("a.txt") == ["Refund"]


async def test_the_last_model_serves_after_a_fit_that_was_given_up_too_often(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.create()
    with monkeypatch.context() as patch:
        patch.setattr(Large, "raises", None)
        await app.define("Refund")
        await app.fit()
    await app.define("Login")
    fits = Large.fits
    for hour in range(24):
        await app.upload({f"{hour}.txt": "@Refund:73"})
        await pass_minutes(app, 60)
        assert await app.pending(f"{hour}.txt") == ["Refund"]
    assert Large.fits == fits + MAX_GIVEN_UP * ATTEMPTS


async def test_labels_that_change_meanwhile_are_fitted_as_if_none_had_failed(app: Life) -> None:
    await app.create()
    await app.define("Refund")
    await app.upload({"a.txt": "@Refund:73"})
    await _until_the_last_try(app)
    await app.define("Login")
    await pass_minutes(app, 1)
    [last, *_] = await app.container.autolabel.fits(app.name)
    assert last.parameters_as(FitParameters).tries < MAX_GIVEN_UP - 1
    assert not await app.container.autolabel.list(app.name)


async def test_giving_up_for_the_last_time_can_be_repeated(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = await app.create()
    await app.define("Refund")
    await app.upload({"a.txt": "@Refund:73"})
    message = await _until_the_last_try(app)

    async def dies(*_: Any, **__: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(app.container.planner.fits._jobs, "end", dies)
        with pytest.raises(Crash):
            await app.container.dispatcher.give_up(message, "It failed five times.")
    for _ in range(2):
        await app.container.dispatcher.give_up(message, "It failed five times.")
    ended = await app.job(JobKind.FIT, message.job)
    assert (ended.status, [error.code for error in ended.errors]) == (JobStatus.FAILED, ["FitFailed"])
    assert len(await app.container.autolabel.list(app.name)) == 1
    last = await app.container.stores.fits.last(project.incarnation, "scripted")
    assert last is not None
    assert "It failed five times." in last.failure


async def _until_the_last_try(app: Life) -> JobMessage:
    """The message of the fit that is given up for the last time, undelivered."""
    while True:
        for waiting in [*app.sent.waiting]:
            message = parse(waiting[1])
            if isinstance(message, JobMessage) and message.kind == JobKind.FIT:
                fit = await app.job(JobKind.FIT, message.job)
                if fit.parameters_as(FitParameters).tries == MAX_GIVEN_UP - 1:
                    app.sent.waiting.remove(waiting)
                    return message
        if app.sent.waiting:
            await app.container.dispatcher.run_or_retry(parse(app.sent.waiting.popleft()[1]))
        else:
            clock: Any = app.container.stores.clock
            clock.move(60 * 60)
            await app.container.maintenance.reconcile()
