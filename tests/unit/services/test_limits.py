"""All work has its own time limit, far below the one at which the host kills the worker with all its invocations."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions as func
import pytest

from functions import http
from functions.call import Reply
from shared.connection import service
from shared.domain.jobs import Job, JobKind, JobStatus
from shared.domain.names import ProjectKind
from shared.domain.project import Project
from shared.engines import worker
from shared.engines.embedded import engine as embedded
from shared.engines.worker import FitRequest, Worker
from shared.events import receivers
from shared.runtime.auth import Access
from shared.services.jobs import dispatch, lifecycle
from shared.services.jobs.dispatch import Dispatcher, TookTooLong
from shared.services.jobs.lifecycle import (
    BATCH_SECONDS,
    BatchMessage,
    JobMessage,
    JobService,
    KindOfJob,
    KindsOfJobs,
    PlanMessage,
    Work,
)
from shared.services.projects import maintenance
from shared.services.projects.maintenance import MaintenanceService
from shared.storage.outbox import EventMessage
from tests.support.services import App, in_process
from tests.support.storage.memory import MemoryStorage

OF = {"project": "p", "incarnation": "i"}
KINDS = [*JobKind, "reconcile"]
MESSAGES: list[Work] = [
    PlanMessage.model_validate(OF | {"id": "plan"}),
    *(JobMessage.model_validate(OF | {"kind": kind, "job": "j"}) for kind in KINDS),
    *(
        BatchMessage.model_validate(OF | {"kind": kind, "job": "j", "number": 0})
        for kind in ("autolabel", "register", "review", "undo")
    ),
]


class Limits:
    """In place of the clock: every limit is over at the first wait, but for those that `spare` says."""

    def __init__(self, spare: Callable[[int], bool] = lambda _: False) -> None:
        self.seconds: list[float] = []
        self._spare = spare

    def __call__(self, seconds: float) -> asyncio.Timeout:
        self.seconds.append(seconds)
        return asyncio.timeout(None if self._spare(len(self.seconds)) else 0)


async def forever(*_: object) -> None:
    await asyncio.Event().wait()


@pytest.fixture
def app() -> App:
    return in_process(MemoryStorage())


@pytest.fixture
def background(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The functions of events, queues and timers: the module reads the settings as it is imported."""
    monkeypatch.setenv("AzureWebJobsStorage", "UseDevelopmentStorage=true")
    monkeypatch.setenv("AUTH_MODE", "local")
    return import_module("functions.background")


def only(app: App, rows: Mapping[str, KindOfJob]) -> JobService:
    """The life cycle of jobs with these kinds."""
    return JobService(app.container.stores, app.container.budgets, KindsOfJobs(rows))


def job_message(kind: str) -> JobMessage:
    return JobMessage.model_validate(OF | {"kind": kind, "job": "j"})


def test_every_limit_is_far_below_that_of_the_host(app: App, background: ModuleType) -> None:
    host = json.loads((Path(__file__).parents[3] / "host.json").read_text("utf-8"))
    hours, minutes, seconds = map(int, host["functionTimeout"].split(":"))
    most = timedelta(hours=hours, minutes=minutes, seconds=seconds).total_seconds() / 2
    limits = [
        *map(app.container.jobs.kinds.limit_of, MESSAGES),
        lifecycle.BACKGROUND_SECONDS,
        maintenance.ITEM_SECONDS,
        background.EVENT_SECONDS,
        background.TIMER_SECONDS,
        http.REQUEST_SECONDS,
    ]
    assert all(0 < limit <= most for limit in limits)
    assert http.REQUEST_SECONDS < 230, "at which Azure's load balancer gives up"
    assert maintenance.ITEM_SECONDS < background.TIMER_SECONDS
    assert service.SYNC_SECONDS < background.TIMER_SECONDS
    assert worker.FIT_SECONDS + 120 <= lifecycle.FIT_SECONDS, "the texts are read before"


def test_the_sweep_has_time_for_the_last_try_of_a_batch(background: ModuleType) -> None:
    """Cut off, it would begin anew with each sweep, pay a service again, and end never."""
    before = 3 * background.PART_SECONDS
    assert background.QUEUES_SECONDS >= BATCH_SECONDS
    assert before + background.QUEUES_SECONDS < background.TIMER_SECONDS


def test_the_documented_limits_are_the_limits(app: App, background: ModuleType) -> None:
    limit_of = app.container.jobs.kinds.limit_of
    text = (Path(__file__).parents[3] / "docs" / "deploy.md").read_text("utf-8")
    section = text.partition("\n## Time limits\n")[2].partition("\n## ")[0]
    found = {
        work: [
            int(count) * (60 if unit == "min" else 1) for count, unit in re.findall(r"(\d+) (min|s)\b", said)
        ]
        for work, said in re.findall(r"^\| (.+?) \| (.*\d.*) \|$", section, re.MULTILINE)
    }

    def of(*kinds: str) -> list[int]:
        """The limit of jobs of these kinds."""
        [limit] = {limit_of(job_message(kind)) for kind in kinds}
        return [limit]

    assert found == {
        "a request": [http.REQUEST_SECONDS, 230],
        "an upload event": [background.EVENT_SECONDS],
        "a plan, a step of a connection": of("connection"),
        "the events of one change": [lifecycle.STEP_SECONDS, receivers.SECONDS],
        "a batch, a scan, an import, an export, a step of a push": of("scan", "import", "export", "push"),
        "a fit, a training, an evaluation": [*of("fit", "train", "evaluate"), worker.FIT_SECONDS],
        "a timer": [
            background.TIMER_SECONDS,
            maintenance.ITEM_SECONDS,
            background.PART_SECONDS,
            background.QUEUES_SECONDS,
            service.SYNC_SECONDS,
        ],
    }
    assert of("connection") == [limit_of(MESSAGES[0])]
    assert of("scan") == [BATCH_SECONDS]


def test_work_on_a_whole_project_has_the_time_of_an_export(app: App) -> None:
    kinds = (JobKind.EXPORT, JobKind.IMPORT, JobKind.PUSH, JobKind.SCAN, "reconcile")
    export, *others = (app.container.jobs.kinds.limit_of(job_message(kind)) for kind in kinds)
    assert set(others) == {export}


@pytest.mark.parametrize(
    "message", MESSAGES, ids=lambda case: f"{type(case).__name__}-{getattr(case, 'kind', '')}"
)
async def test_work_that_waits_indefinitely_ends_at_its_limit(app: App, message: Work) -> None:
    limits, kinds = Limits(), app.container.jobs.kinds
    rows = {
        str(kind): replace(kinds.of(kind), run=lambda: forever, run_batch=lambda: forever) for kind in KINDS
    }
    dispatcher = Dispatcher(app.container.stores, only(app, rows), forever, limits)
    limit = kinds.limit_of(message)
    with pytest.raises(TookTooLong, match=f"limit of {limit // 60} minutes"):
        await dispatcher.run(message)
    assert limits.seconds == [limit]


async def test_work_that_is_too_long_is_tried_again_and_then_its_job_ends_with_the_reason(app: App) -> None:
    project = await app.create()
    app.sent.waiting.clear()
    stores = app.container.stores
    job, _ = await stores.jobs.create(Job.new(JobKind.SCAN, "job", project, stores.clock()))
    scan = replace(app.container.jobs.kinds.of("scan"), run=lambda: forever)
    dispatcher = Dispatcher(stores, only(app, {"scan": scan}), forever, Limits())
    message: Work = JobMessage.of(job)
    for attempt in range(2, len(dispatch.PAUSES) + 2):
        await dispatcher.run_or_retry(message)
        message = message.model_copy(update={"attempt": attempt})
        assert app.sent.waiting.pop()[1] == message.model_dump_json()
    await dispatcher.run_or_retry(message)
    ended = await stores.jobs.get(job.incarnation, job.kind, job.id)
    assert ended.status is JobStatus.FAILED
    assert ended.errors[0].message == "The work took longer than its limit of 10 minutes."


async def test_a_timeout_of_the_work_itself_is_not_taken_for_the_limit(app: App) -> None:
    async def times_out(_: object) -> None:
        raise TimeoutError("storage")

    dispatcher = Dispatcher(app.container.stores, app.container.jobs, times_out)
    with pytest.raises(TimeoutError, match="storage"):
        await dispatcher.run(MESSAGES[0])


async def test_an_interrupted_batch_gives_its_lease_up(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    await app.create()
    await app.drain()
    await app.upload({"a.txt": "text"})
    queue, plan = app.sent.waiting.popleft()
    await app.deliver(queue, plan)
    [(_, body)] = [message for message in app.sent.waiting if '"number"' in message[1]][:1]
    dispatcher = app.container.dispatcher
    with monkeypatch.context() as patch:
        patch.setattr(app.container.stores.uploads, "inspect", forever)
        patch.setattr(dispatcher, "_timeout", lambda _: asyncio.timeout(0.05))
        with pytest.raises(TookTooLong):
            await dispatcher.run(lifecycle.parse(body))
    await dispatcher.run(lifecycle.parse(body))  # the lease is free at once
    assert await app.document("a.txt") is not None


async def test_an_interrupted_job_gives_its_lease_up(app: App) -> None:
    project = await app.create()
    stores = app.container.stores
    job, _ = await stores.jobs.create(Job.new(JobKind.EXPORT, "job", project, stores.clock()))
    tries: list[str] = []

    async def work(job: Job) -> None:
        tries.append(job.id)
        await forever()

    async def fail(job: Job, *errors: object) -> Job:
        raise AssertionError(errors)

    for _ in range(2):  # the second finds the lease free at once
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await dispatch.run_undivided(stores, app.container.jobs, job, work, fail)
    assert tries == ["job", "job"]


async def test_an_interrupted_fit_gives_its_lease_up(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    await app.create(on_upload=False)
    await app.upload({f"{n}.txt": f"text {n}" for n in range(12)})
    await app.drain()
    for n in range(12):
        await app.label(f"{n}.txt", "Refund" if n % 2 else "Login")
    cache, tries = app.container.model_cache, list[str]()

    async def fit(project: Project, *_: object) -> bytes:
        tries.append(project.name)
        await asyncio.Event().wait()
        return b""

    monkeypatch.setattr(cache, "_fit", fit)
    project = await app.container.projects.get("p")
    heads = await app.container.stores.pages.heads(project.scope)
    engine = app.container.engines.get("scripted")
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await cache.fit(project, engine, heads, retry=True)
    assert tries == ["p", "p"]


async def test_one_project_that_waits_indefinitely_does_not_keep_the_sweep_from_the_others(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    container, seen = app.container, list[str]()
    for name in ("a", "b"):
        app.name, app.documents = name, f"docs-{name}"
        await app.create()
    await app.drain()

    async def free(project: Project) -> None:
        seen.append(project.name)
        if project.name == "a":
            await forever()

    limits = Limits(spare=lambda number: number != 1)
    sweeper = MaintenanceService(
        container.stores, container.jobs, container.projects, container.categories, limits
    )
    monkeypatch.setattr(sweeper, "_free", free)
    await sweeper.sweep()
    assert seen == ["a", "b"]
    assert set(limits.seconds) == {maintenance.ITEM_SECONDS}


async def test_work_that_goes_on_after_its_request_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "BACKGROUND_SECONDS", 0)
    assert await lifecycle.for_a_moment(forever()) is None
    assert not lifecycle._running


@pytest.mark.parametrize("kind", ["timer", "blob", "event"])
async def test_a_trigger_has_a_limit(
    kind: str, background: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "EVENT_SECONDS", 0.01)
    monkeypatch.setattr(background, "TIMER_SECONDS", 0.01)
    made = background.Triggers()
    register = {
        "timer": lambda: made.timer("0 * * * * *"),
        "blob": lambda: made.blob("c/{name}"),
        "event": made.event,
    }[kind]()

    async def body(timer: Any) -> None:
        await forever()

    register(body)
    app = func.FunctionApp()
    app.register_functions(made.blueprint)
    [function] = app.get_functions()
    with pytest.raises(TimeoutError):
        await function.get_user_function()(timer=None)


async def test_the_delivery_of_events_has_a_limit(
    app: App, background: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "STEP_SECONDS", 0.01)
    monkeypatch.setattr(background, "container", lambda: app.container)
    monkeypatch.setattr(app.container.events, "run", forever)
    body = EventMessage(table="projects", partition="p", id="e").model_dump_json().encode()
    with pytest.raises(TimeoutError):
        await background.send_events(func.QueueMessage(body=body))


async def test_a_request_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def waits(_: object) -> Reply:
        await forever()
        raise AssertionError

    monkeypatch.setattr(http, "REQUEST_SECONDS", 0.01)
    monkeypatch.setattr(http, "container", in_process_container)
    operation = http.Operation(
        "waits", "GET", "x", waits, "", None, None, {}, Access.ANONYMOUS, False, 1, None, "any"
    )  # fmt: skip
    request = func.HttpRequest("GET", "http://host/x", headers={}, params={}, route_params={}, body=b"")
    answer = await http.serve(operation, request)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert b"took longer than" in answer.get_body()


def in_process_container() -> Any:
    return in_process(MemoryStorage()).container


async def test_the_process_of_a_fit_that_is_interrupted_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, given_up = asyncio.Event(), list[FitRequest]()
    loop = asyncio.get_running_loop()
    worker = Worker()
    monkeypatch.setattr(embedded, "_worker", lambda _long: worker)

    def fit(request: FitRequest) -> bytes:
        loop.call_soon_threadsafe(begun.set)
        while not request.canceled:
            pass
        return b""

    cancel = worker.cancel
    monkeypatch.setattr(worker, "fit", fit)
    monkeypatch.setattr(worker, "cancel", lambda request: (given_up.append(request), cancel(request)))
    task = asyncio.create_task(embedded._fit_in_process(ProjectKind.SINGLE_LABEL, [], [], 0, long=False))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(given_up) == 1
