"""Engines that raise anything outside of `fit` and `predict`: nothing is retried without end, and people see why."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, override

import pytest

from shared.domain.autolabel import plan_pause
from shared.domain.errors import InvalidArgument
from shared.domain.jobs import JobKind, JobStatus
from shared.domain.labels import Prediction
from shared.domain.names import ProjectKind
from shared.domain.project import AutolabelSettings, ProjectSettings
from shared.engines.base import Answer, Capabilities, ServiceEngine, ServiceModel, Task
from shared.services.autolabel.service import AutolabelRequest
from shared.services.jobs.dispatch import TOO_OFTEN
from shared.services.jobs.lifecycle import PlanMessage, parse
from shared.services.training.service import TrainRequest
from tests.support.engines import NAME, ScriptedEngine
from tests.support.lives import Life, living
from tests.support.services import App, Clock, in_process, logged, pass_minutes
from tests.support.storage.memory import MemoryStorage

TEXT = "a text of a document"

type Make = Callable[[type], Life]


class Odd:
    """Raises where the test says: in a method or for an attribute."""

    fails_in: ClassVar[str] = ""

    def __getattribute__(self, name: str) -> Any:
        if name == Odd.fails_in:
            raise ZeroDivisionError(TEXT)
        return super().__getattribute__(name)


class Fitted(Odd, ScriptedEngine):
    pass


class Mine(Fitted):
    name = "mine"


class WithoutSize:
    kinds = frozenset(ProjectKind)
    trainable = True

    @property
    def batch_documents(self) -> int:
        raise ZeroDivisionError(TEXT)


class Says(ServiceModel):
    categories = ("Refund",)

    @override
    async def answer(self, texts: Sequence[str], allowance: float | None = None, **_: Any) -> list[Answer]:
        return [Answer((Prediction("Refund", 0.73),)) for _ in texts]


class Service(Odd, ServiceEngine):
    name = NAME
    capabilities = Capabilities(frozenset(ProjectKind), trainable=False)

    @override
    async def prepare(self, task: Task) -> bytes:
        return b"task"

    @override
    async def load(self, artifact: bytes) -> ServiceModel:
        return Says()


def _no_engine() -> ScriptedEngine:
    raise ZeroDivisionError(TEXT)


@pytest.fixture
def make(storage: MemoryStorage, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(Odd, "fails_in", "")
    return lambda engine: living(storage, clock, engine=engine)


FITTED = ("capabilities", "missing_for")
SERVICE = (
    "capabilities", "max_examples", "model_of", "prepare", "prices", "cost_limit", "named_at",
)  # fmt: skip
ODD = [*((Fitted, name) for name in FITTED), *((Service, name) for name in SERVICE)]


@pytest.mark.parametrize(("engine", "fails_in"), ODD)
async def test_uploads_are_registered_and_wait_though_the_engine_raises(
    make: Make, caplog: pytest.LogCaptureFixture, engine: type, fails_in: str
) -> None:
    app = make(engine)
    await app.create()
    await app.define("Refund")
    Odd.fails_in = fails_in
    with caplog.at_level(logging.WARNING):
        await app.upload({"a.txt": "@Refund:73"}, events=False)
        await app.container.registering.scan(app.name, "scan")
        tries = await pass_minutes(app, 180)
    document = await app.document("a.txt")
    assert document is not None
    assert document.waiting
    assert (await app.container.registering.get(app.name, "scan")).status is JobStatus.SUCCEEDED
    assert tries < 20, "the scan, and comparisons once an hour with their plans"
    stacks = [record for record in logged(caplog) if record.exc_info]
    assert len(stacks) <= 1, "of the same place"
    assert TEXT not in caplog.text

    Odd.fails_in = ""
    await app.container.maintenance.reconcile()
    await app.drain()
    assert await app.pending("a.txt") == ["Refund"]


@pytest.mark.parametrize(("engine", "fails_in"), ODD)
async def test_a_job_that_a_person_requests_fails_with_the_reason(
    make: Make, engine: type, fails_in: str
) -> None:
    app = make(engine)
    await app.create(on_upload=False)
    await app.define("Refund")
    Odd.fails_in = fails_in
    job = await app.container.autolabel.start(app.name, AutolabelRequest(), "job")
    assert job.status is JobStatus.FAILED
    assert "ZeroDivisionError" in job.errors[0].message
    assert TEXT not in job.errors[0].message
    assert not app.sent.waiting or await pass_minutes(app, 5) < 5
    [shown] = [row for row in await app.container.autolabel.engines(app.name) if row.engine == NAME]
    if fails_in in {"capabilities", "model_of"}:
        assert "ZeroDivisionError" in (shown.unavailable or "")
    estimate = await app.container.autolabel.estimate(app.name, AutolabelRequest())
    if fails_in in {"capabilities", "missing_for", "max_examples", "model_of"}:
        assert "ZeroDivisionError" in (estimate.unavailable or "")


async def test_the_size_of_batches_may_be_what_fails(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make(Fitted)
    await app.create(on_upload=False)
    await app.define("Refund")
    monkeypatch.setattr(Fitted, "capabilities", WithoutSize())
    job = await app.container.autolabel.start(app.name, AutolabelRequest(), "job")
    assert job.status is JobStatus.FAILED
    assert "ZeroDivisionError" in job.errors[0].message


@pytest.mark.parametrize("fails_in", FITTED)
async def test_a_training_with_an_engine_that_raises_is_refused_with_the_reason(
    storage: MemoryStorage, clock: Clock, monkeypatch: pytest.MonkeyPatch, fails_in: str
) -> None:
    """It does not fall back to another engine, which would make another model than the project is set to."""
    monkeypatch.setattr(Odd, "fails_in", "")
    app = in_process(storage, clock, engines={"mine": Mine})
    await app.create(settings=ProjectSettings(autolabel=AutolabelSettings(on_upload=False, engine="mine")))
    await app.define("Refund", "Login")
    await app.upload({f"{n}.txt": f"text {n}" for n in range(20)})
    await app.drain()
    for n in range(20):
        await app.label(f"{n}.txt", "Refund" if n % 2 else "Login")
    Odd.fails_in = fails_in
    with pytest.raises(InvalidArgument, match="ZeroDivisionError"):
        await app.container.training.start(app.name, TrainRequest("m"), "refused")

    Odd.fails_in = ""
    await app.container.training.start(app.name, TrainRequest("m"), "training")
    Odd.fails_in = fails_in
    await app.drain()
    job = await app.container.training.get(app.name, "training")
    if fails_in == "missing_for":
        assert (job.status, job.errors[0].code) == (JobStatus.FAILED, "EngineError")
        assert "ZeroDivisionError" in job.errors[0].message


async def test_an_engine_that_cannot_be_made_is_a_reason(storage: MemoryStorage, clock: Clock) -> None:
    app = living(storage, clock, engine=_no_engine)  # type: ignore[arg-type]
    await app.create()
    await app.upload({"a.txt": "@Refund:73"})
    assert await pass_minutes(app, 60) < 10
    assert (await app.document("a.txt")) is not None
    [row] = [row for row in await app.container.autolabel.engines(app.name) if row.engine == NAME]
    assert "ZeroDivisionError" in (row.unavailable or "")
    with pytest.raises(InvalidArgument, match="ZeroDivisionError"):
        await app.container.autolabel.start(app.name, AutolabelRequest(NAME), "named")
    job = await app.container.autolabel.start(app.name, AutolabelRequest(), "job")
    assert (job.status, job.kind) == (JobStatus.FAILED, JobKind.AUTOLABEL)
    assert "ZeroDivisionError" in job.errors[0].message


@pytest.mark.parametrize("waits", ["an upload", "a document"])
async def test_a_plan_that_always_fails_is_tried_less_and_less_until_something_is_uploaded_or_requested(
    app: App, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, waits: str
) -> None:
    """For any reason: here, a row that cannot be read. The comparison plans once an hour, too."""
    project = await app.create()
    await app.upload({"a.txt": "@Refund:73"})
    if waits == "a document":
        await app.drain()  # without a category, no suggestion
        await app.define("Refund")
        app.sent.waiting.clear()
    plan, plans = app.container.planner._plan, 0

    async def fails(_: Any) -> None:
        nonlocal plans
        plans += 1
        raise TypeError(TEXT)

    async def is_planned() -> bool:
        document = await app.document("a.txt")
        return document is not None and not (waits == "a document" and document.waiting)

    monkeypatch.setattr(app.container.planner, "_plan", fails)
    for hour in range(6):
        before = plans
        await pass_minutes(app, 60)
        assert plans - before <= (7 if hour == 0 else 2) * 5
    assert "planned again in 60 minutes" in caplog.text

    monkeypatch.setattr(app.container.planner, "_plan", plan)
    await _minute(app, clock)
    assert not await is_planned(), "the pause lasts"
    await app.container.stores.active.mark(project.incarnation)  # as a request does
    for _ in range(5):
        await _minute(app, clock)
    assert await is_planned()
    for _ in range(10):
        await _minute(app, clock)
    assert not await app.container.stores.active.all()


async def test_plans_that_failed_long_ago_do_not_count(app: App, clock: Clock) -> None:
    project = await app.create()
    await app.drain()
    for tries in range(8):
        plan = PlanMessage(project=project.name, incarnation=project.incarnation, id="plan", tries=tries)
        await app.container.dispatcher.give_up(plan, TOO_OFTEN)
    for number in range(24 * 60):  # the project stays active, so its mark stays
        await app.upload({f"{number % 3}.txt": f"text {number}"})
        await _minute(app, clock)
    await app.upload({"a.txt": "text"})
    app.sent.waiting.clear()
    clock.move(60)
    await app.container.maintenance.sweep()
    [lost] = [parse(body) for _, body in app.sent.waiting]
    assert isinstance(lost, PlanMessage)
    assert lost.tries == 0
    await app.container.dispatcher.give_up(lost, TOO_OFTEN)
    mark = (await app.container.stores.active.all())[project.incarnation]
    assert (mark.tries, mark.again) == (1, clock.now + plan_pause(0))


async def _minute(app: App, clock: Clock) -> None:
    clock.move(60)
    await app.container.maintenance.sweep()
    while app.sent.waiting:
        await app.container.dispatcher.run_or_retry(parse(app.sent.waiting.popleft()[1]))
