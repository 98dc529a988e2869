"""When an engine is fitted, how often, and what happens when it fails."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from shared.domain.autolabel import fit_pause
from shared.domain.document import Reading
from shared.domain.jobs import FitParameters, Job, JobError, JobKind, JobStatus
from shared.domain.names import FIT_QUEUE
from shared.domain.training import SplitOptions
from shared.services.jobs.dispatch import PAUSES, TOO_OFTEN
from shared.services.jobs.lifecycle import parse
from shared.services.training import model_cache
from shared.services.training.evaluating import WrittenEvaluation
from shared.services.training.model_cache import READS_AT_ONCE
from shared.storage.gateways.ports import StorageUnavailable
from shared.storage.uploads import READERS_EACH
from tests.support.engines import Counted
from tests.support.lives import Life, living
from tests.support.services import App, Clock
from tests.support.storage.faults import Crash, Faults
from tests.support.storage.memory import MemoryStorage
from tests.support.waiting import eventually


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Life:
    monkeypatch.setattr(Counted, "fits", [])
    clock = Clock()
    return living(MemoryStorage(clock=clock), clock, engine=Counted)


async def label_more(app: Life, count: int, start: int = 0) -> None:
    names = [f"more/{number}.txt" for number in range(start, start + count)]
    await app.upload(dict.fromkeys(names, "text"), events=False)
    await app.container.registering.scan(app.name, f"scan-{start}")
    await app.drain()
    for name in names:
        await app.label(name, "Refund")
    await app.drain()


async def _upload_until_the_fit(app: Life) -> tuple[str, str]:
    """Upload a.txt and do all that does not wait for a model; the message of the fit, which was not delivered."""
    await app.upload({"a.txt": "@Refund:73"})
    while app.sent.waiting[0][0] != FIT_QUEUE:
        await app.deliver(*app.sent.waiting.popleft())
    fit = app.sent.waiting.popleft()
    await app.drain()
    return fit


async def test_uploads_are_registered_before_a_model_is_fitted(app: Life) -> None:
    await app.create()
    await app.define("Refund")
    fit = await _upload_until_the_fit(app)
    document = await app.document("a.txt")
    assert document is not None
    assert document.waiting
    assert Counted.fits == []

    await app.deliver(*fit)
    await app.drain()
    assert await app.pending("a.txt") == ["Refund"]
    assert Counted.fits == [1]


def _count_reads(app: App, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many texts were being read at a time, at the most."""
    uploads = app.container.stores.uploads
    inspect, under_way, most = uploads.inspect, 0, 0

    async def counted(container: str, location: str) -> Reading | None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return await inspect(container, location)

    monkeypatch.setattr(uploads, "inspect", counted)
    return lambda: most


@pytest.mark.parametrize(("few", "at_once"), [(20, READS_AT_ONCE), (21, READERS_EACH)])
async def test_a_long_fit_reads_few_texts_at_a_time(
    app: Life, monkeypatch: pytest.MonkeyPatch, few: int, at_once: int
) -> None:
    """So that saves, which share the account with it, wait behind few."""
    monkeypatch.setattr(model_cache, "FEW_TEXTS", few)
    await app.create(on_upload=False)
    await app.define("Refund")
    await label_more(app, 20)
    await app.upload({"other.txt": "text"}, events=False)  # read, too, but not counted
    await app.container.registering.scan(app.name, "others")
    await app.drain()
    most = _count_reads(app, monkeypatch)
    await app.fit()
    assert (Counted.fits, most()) == ([21], at_once)


async def test_a_training_and_an_evaluation_read_as_many_texts_at_a_time_as_any_caller(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person waits for them, and a function ends after 15 minutes: 100,000 texts could not be read two at a time."""
    monkeypatch.setattr(model_cache, "FEW_TEXTS", 5)
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    await label_more(app, 20)
    most = _count_reads(app, monkeypatch)
    await app.train("m1")
    assert most() == READERS_EACH

    most = _count_reads(app, monkeypatch)
    await app.container.trained_models.evaluate(app.name, "m1", SplitOptions(testing=50), "evaluation")
    await app.drain()
    assert (await app.job(JobKind.EVALUATE, "evaluation")).status is JobStatus.SUCCEEDED
    assert most() == READERS_EACH


@pytest.mark.parametrize("location", ["b.txt", "README.md"])
async def test_content_that_waited_for_a_fit_is_planned_though_uploads_come_in_between(
    app: Life, location: str
) -> None:
    project = await app.create()
    await app.define("Refund")
    fit = await _upload_until_the_fit(app)

    # The plan of another event is still to come, or was this one: its upload is pending.
    await app.upload({location: "@Refund:80"}, events=False)
    await app.container.stores.pending.add(project.incarnation, location)
    await app.deliver(*fit)
    await app.drain()

    assert await app.pending("a.txt") == ["Refund"]


async def test_uploads_that_can_get_no_suggestion_fit_nothing(app: Life) -> None:
    await app.create()
    await app.define("Refund")
    await label_more(app, 5)
    Counted.fits.clear()

    await app.upload({f"more/{number}.txt": "text" for number in range(5)} | {"README.md": "text"})
    await app.drain()

    assert Counted.fits == []
    rejected = await app.document("README.md")
    assert rejected is not None
    assert rejected.rejection is not None


async def test_between_fits_the_last_model_serves(app: Life) -> None:
    await app.create()
    await app.define("Refund")
    await app.fit()
    await label_more(app, 9)
    await app.upload({"a.txt": "@Refund:73"})
    await app.drain()
    assert (await app.pending("a.txt"), len(Counted.fits)) == (["Refund"], 1)

    await label_more(app, 1, start=9)
    await app.upload({"b.txt": "@Refund:73"})
    await app.drain()
    assert (await app.pending("b.txt"), Counted.fits) == (["Refund"], [1, 11])


async def test_after_some_time_any_change_suffices(app: Life) -> None:
    await app.create()
    await app.define("Refund")
    await app.fit()
    await label_more(app, 1)
    clock: Any = app.container.stores.clock
    clock.move(16 * 60)
    await app.upload({"a.txt": "@Refund:73"})
    await app.drain()
    assert Counted.fits == [1, 2]


async def test_a_request_always_uses_the_labels_as_they_are(app: Life) -> None:
    await app.create(on_upload=False)
    await app.define("Refund")
    await app.autolabel("first")
    await label_more(app, 1)
    await app.autolabel("second")
    await app.autolabel("third")
    assert Counted.fits == [1, 2]


async def test_a_fit_that_fails_is_reported_once_and_not_tried_again_by_itself(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.create()
    await app.define("Refund")
    monkeypatch.setattr(Counted, "fails", True)
    for name in ("a.txt", "b.txt", "c.txt"):
        await app.upload({name: "@Refund:73"})
        await app.drain()
        await app.container.maintenance.sweep()
        await app.drain()

    assert Counted.fits == [1]
    [job] = await app.container.autolabel.list(app.name)
    assert (job.status, job.errors[0].code) == (JobStatus.FAILED, "FitFailed")
    assert "FloatingPointError" in job.errors[0].message
    document = await app.document("c.txt")
    assert document is not None
    assert document.waiting


async def test_a_fit_that_ended_with_a_failure_is_reported_also_when_its_process_dies_meanwhile(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.create()
    await app.define("Refund")
    monkeypatch.setattr(Counted, "fails", True)
    await app.upload({"a.txt": "@Refund:73"})
    jobs, queue = app.container.stores.jobs, app.sent.waiting
    while queue[0][0] != FIT_QUEUE:
        await app.deliver(*queue.popleft())
    create = jobs.create

    async def dies(job: Job, *more: Any) -> tuple[Job, bool]:
        if job.kind is JobKind.AUTOLABEL:
            raise Crash
        return await create(job, *more)

    monkeypatch.setattr(jobs, "create", dies)
    message = queue.popleft()
    with pytest.raises(Crash):
        await app.deliver(*message)
    [fit] = await app.container.autolabel.fits(app.name)
    assert not fit.status.ended
    monkeypatch.setattr(jobs, "create", create)
    for _ in range(2):
        await app.deliver(*message)
    await app.drain()
    [fit] = await app.container.autolabel.fits(app.name)
    [job] = await app.container.autolabel.list(app.name)
    assert (fit.status, job.status, job.errors[0].code) == (JobStatus.FAILED, JobStatus.FAILED, "FitFailed")


async def test_a_fit_that_is_given_up_in_an_outage_is_tried_again_after_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Counted, "fits", [])
    down, clock = False, Clock()
    faults = Faults(lambda call: StorageUnavailable("busy") if down and call.service == "blob" else None)
    app = living(MemoryStorage(clock=clock), clock, engine=Counted, faults=faults)
    await app.create()
    await app.define("Refund")
    fit = parse((await _upload_until_the_fit(app))[1])
    down = True
    for tries in range(3):
        for _ in PAUSES:
            await app.container.dispatcher.run_or_retry(fit)
            fit = parse(app.sent.waiting.pop()[1])
        await app.container.dispatcher.run_or_retry(fit)
        for _ in range(2):  # the host delivers the last message again
            await app.container.dispatcher.give_up(fit, TOO_OFTEN)
        [ended, *_] = await app.container.autolabel.fits(app.name)
        assert (ended.status, ended.errors[0].message) == (JobStatus.FAILED, TOO_OFTEN)
        assert len(await app.container.autolabel.fits(app.name)) == tries + 1

        [plan] = [parse(body) for _, body in app.sent.waiting]  # sent with the end of the fit
        app.sent.waiting.clear()
        await app.container.dispatcher.run(plan)  # too early
        assert not app.sent.waiting
        assert await app.pending("a.txt") == []
        clock.move(fit_pause(tries).total_seconds())
        await app.container.dispatcher.run(plan)
        fit = parse(app.sent.waiting.popleft()[1])
    down = False
    await app.container.dispatcher.run_or_retry(fit)
    await app.drain()
    assert await app.pending("a.txt") == ["Refund"]
    assert Counted.fits == [1]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (JobStatus.CANCELLED, "ProjectReplaced"),
        (JobStatus.FAILED, "NotEnoughLabels"),
        (JobStatus.FAILED, "FitFailed"),
        (JobStatus.SUCCEEDED, ""),
    ],
)
async def test_a_fit_that_ended_without_a_model_is_made_at_once_unless_it_was_given_up(
    app: Life, status: JobStatus, code: str
) -> None:
    project = await app.create()
    await app.define("Refund")
    message = parse((await _upload_until_the_fit(app))[1])
    [fit] = await app.container.autolabel.fits(app.name)
    errors = (JobError(code, "It ended."),) if code else ()
    await app.container.planner.fits._jobs.end(fit, status, errors=errors)

    await app.container.planner.plan_soon(app.name, project.incarnation, "plan")
    await app.drain()
    assert (await app.pending("a.txt"), Counted.fits) == (["Refund"], [1])
    made, _ = await app.container.autolabel.fits(app.name)
    assert made.parameters_as(FitParameters).tries == 0

    await app.container.dispatcher.run(message)  # that of the fit that ended
    await app.drain()
    assert (len(await app.container.autolabel.fits(app.name)), Counted.fits) == (2, [1])


async def test_a_fit_that_ends_before_it_has_the_lease_fits_nothing(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = await app.create()
    await app.define("Refund")
    queue, body = await _upload_until_the_fit(app)
    jobs = app.container.stores.jobs
    acquire = jobs.acquire

    async def after_its_end(*args: Any) -> Any:
        await app.container.dispatcher.give_up(parse(body), TOO_OFTEN)
        return await acquire(*args)

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "acquire", after_its_end)
        for _ in range(2):
            await app.deliver(queue, body)
    [fit] = await app.container.autolabel.fits(app.name)
    assert (fit.status, Counted.fits) == (JobStatus.FAILED, [])

    clock: Any = app.container.stores.clock
    clock.move(fit_pause(0).total_seconds())
    await app.container.planner.plan_soon(app.name, project.incarnation, "plan")
    await app.drain()
    assert (await app.pending("a.txt"), Counted.fits) == (["Refund"], [1]), "the lease was released"


async def test_what_waits_for_a_fit_is_planned_although_its_process_dies_at_its_end(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.create()
    await app.define("Refund")
    message = await _upload_until_the_fit(app)
    jobs = app.container.planner.fits._jobs
    end = jobs.end

    async def dies_after_it(*args: Any, **more: Any) -> None:
        await end(*args, **more)
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "end", dies_after_it)
        with pytest.raises(Crash):
            await app.deliver(*message)
    [fit] = await app.container.autolabel.fits(app.name)
    assert fit.status is JobStatus.SUCCEEDED
    await app.drain()
    assert await app.pending("a.txt") == ["Refund"]

    rows = await app.rows()
    for _ in range(2):
        await app.deliver(*message)
        await app.drain()
    assert (await app.rows(), Counted.fits) == (rows, [1])


async def test_a_fit_that_failed_is_tried_again_when_labels_change_or_a_person_asks(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.create()
    await app.define("Refund")
    monkeypatch.setattr(Counted, "fails", True)
    await app.upload({"a.txt": "@Refund:73"})
    await app.drain()
    asked = await app.autolabel("asked")
    assert (asked.status, asked.errors[0].code, len(Counted.fits)) == (JobStatus.FAILED, "FitFailed", 2)

    monkeypatch.setattr(Counted, "fails", False)
    await app.label("a.txt", "Refund")
    await app.upload({"b.txt": "@Refund:73"})
    await app.drain()
    assert (await app.pending("b.txt"), len(Counted.fits)) == (["Refund"], 3)


async def test_the_last_model_serves_after_a_fit_that_failed(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.create()
    await app.define("Refund")
    await app.fit()
    await label_more(app, 10)
    monkeypatch.setattr(Counted, "fails", True)
    for number, name in enumerate(("a.txt", "b.txt", "c.txt")):
        for upload in (name, f"later-{name}"):  # the second after the fit failed, with the same labels
            await app.upload({upload: "@Refund:73"})
            await app.drain()
            assert await app.pending(upload) == ["Refund"]
        await label_more(app, 1, start=10 + number)  # too few since the fit that failed
    assert Counted.fits == [1, 11]
    assert (await app.autolabel("asked")).errors[0].code == "FitFailed"

    monkeypatch.setattr(Counted, "fails", False)
    await label_more(app, 10, start=13)
    await app.upload({"d.txt": "@Refund:73"})
    await app.drain()
    assert (await app.pending("d.txt"), Counted.fits) == (["Refund"], [1, 11, 14, 24])


async def test_an_evaluation_runs_once_however_often_it_is_asked_for(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    await label_more(app, 4)
    await app.train("m1")
    runs, hold = 0, asyncio.Event()
    write = app.container.evaluator.write

    async def slow(*args: Any) -> WrittenEvaluation:
        nonlocal runs
        runs += 1
        await hold.wait()
        return await write(*args)

    monkeypatch.setattr(app.container.evaluator, "write", slow)
    await app.container.trained_models.evaluate(app.name, "m1", SplitOptions(testing=50), "evaluation")
    [message] = app.sent.waiting
    app.sent.waiting.clear()
    first = asyncio.create_task(app.deliver(*message))

    async def begun() -> bool:
        return runs > 0

    await eventually("the evaluation begins", begun)
    await app.deliver(*message)
    hold.set()
    await first
    assert runs == 1
    assert (await app.job(JobKind.EVALUATE, "evaluation")).status is JobStatus.SUCCEEDED
