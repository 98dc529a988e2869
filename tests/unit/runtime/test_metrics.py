"""The values of metrics, each at the place where the app records it; `test_telemetry.py` has those of an upload."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, override

import aiohttp
import azure.functions as func
import pytest
from aiohttp import web

from shared import telemetry
from shared.connection.binding import Binding, StudioKind
from shared.connection.state import Step
from shared.connection.store import Stored
from shared.domain.jobs import JobKind
from shared.domain.names import Studio
from shared.engines.azure_openai.engine import AzureOpenAIEngine, OpenAIOptions
from shared.events.delivery import MAX_ATTEMPTS, PAUSES
from shared.runtime.settings import load_settings
from shared.services.jobs.lifecycle import JobMessage
from shared.services.projects.categories import CategoryChange
from shared.storage.gateways.clients import _counted
from shared.storage.outbox import parse_event
from shared.telemetry import Attribute, Kind
from tests.fakes.openai import FakeOpenAI
from tests.fakes.server import serve
from tests.support.engines import NAME
from tests.support.receivers import Collector, report_to, webhook_settings
from tests.support.services import Clock, in_process
from tests.support.storage.memory import MemoryStorage

with pytest.MonkeyPatch.context() as patched:  # the bindings take names from the settings
    patched.setenv("AzureWebJobsStorage", "UseDevelopmentStorage=true")
    from functions import background
load_settings.cache_clear()


class Values:
    """A recorder that keeps what is counted and measured."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, float, dict[str, Attribute]]] = []

    def span(self, name: str, kind: Kind, parent: str, attributes: Any) -> AbstractContextManager[None]:
        return nullcontext()

    def annotate(self, attributes: dict[str, Attribute]) -> None: ...

    def trace(self) -> str:
        return ""

    def count(self, name: str, value: float, attributes: dict[str, Attribute]) -> None:
        self.seen.append((name, value, attributes))

    def measure(self, name: str, value: float, unit: str, attributes: dict[str, Attribute]) -> None:
        self.seen.append((name, value, attributes))

    def of(self, metric: str) -> list[tuple[float, dict[str, Attribute]]]:
        return [
            (value, attributes) for name, value, attributes in self.seen if name == f"labelbridge.{metric}"
        ]


@pytest.fixture
def values() -> Iterator[Values]:
    made = Values()
    telemetry.install(made)
    yield made
    telemetry.install(None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_the_age_of_a_message(values: Values, monkeypatch: pytest.MonkeyPatch) -> None:
    app = in_process(MemoryStorage())
    monkeypatch.setattr(background, "container", lambda: app.container)
    body = JobMessage(project="p", incarnation="i", kind=JobKind.FIT, job="j").model_dump_json()

    sent = datetime.now(UTC) - timedelta(hours=1)

    class Message(func.QueueMessage):
        @property
        @override
        def insertion_time(self) -> datetime:
            return sent

    await background.handle(Message(body=body))
    [(age, attributes)] = values.of("queue.age")
    assert attributes == {"queue": "fit"}
    assert 3_600 <= age < 7_200


async def test_work_that_is_given_up(values: Values) -> None:
    app = in_process(MemoryStorage())
    message = JobMessage(project="p", incarnation="i", kind=JobKind.FIT, job="j")
    await app.container.dispatcher.give_up(message, "It failed five times.")
    assert values.of("work.given_up") == [(1, {"kind": "fit"})]


async def test_a_job_over_the_budget(values: Values) -> None:
    app = in_process(MemoryStorage(), engine_budgets=f'{{"{NAME}": 1}}')
    await app.create(on_upload=False)
    await app.upload({"a.txt": "@Refund:50", "b.txt": "@Refund:50"})
    await app.define("Refund")
    assert values.of("budget.exceeded") == []
    await app.autolabel()
    assert values.of("budget.exceeded") == [(1, {"engine": NAME})]


async def test_tokens_of_a_language_model(values: Values) -> None:
    async with serve(FakeOpenAI().app()) as url:
        engine = AzureOpenAIEngine(
            OpenAIOptions(f"{url}/v1", "secret", "fake-model", timeout=60), _no_identity
        )
        app = in_process(MemoryStorage(), engines={"azure-openai": lambda: engine})
        await app.create()
        await app.container.categories.put("p", [CategoryChange("Refund"), CategoryChange("Login")], "tester")
        await app.upload({f"{n}.txt": f"@Login {n}" for n in range(3)})
        await app.drain()
        await app.autolabel(engine="azure-openai")
        [figures] = [
            row for row in await app.container.autolabel.engines("p") if row.engine == "azure-openai"
        ]
        await engine.aclose()
    assert figures.tokens.input > figures.tokens.output > 0
    by_type = {
        kind: sum(value for value, attributes in values.of("tokens") if attributes["type"] == kind)
        for kind in ("input", "output")
    }
    assert by_type == {"input": figures.tokens.input, "output": figures.tokens.output}
    assert {attributes["engine"] for _, attributes in values.of("tokens")} == {"azure-openai"}


def _no_identity() -> Any:
    raise AssertionError("A key is given.")


async def test_calls_of_storage_and_those_without_a_response(values: Values) -> None:
    async def busy(_: web.Request) -> web.Response:
        return web.Response(status=503)

    served = web.Application()
    served.router.add_get("/", busy)
    async with aiohttp.ClientSession(trace_configs=[_counted()]) as session:
        async with serve(served) as url, session.get(url) as response:
            assert response.status == 503
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(url)
    host = {"host": "127.0.0.1", "method": "GET"}
    assert values.of("storage.calls") == [(1, {**host, "status": 503}), (1, {**host, "status": 0})]


async def test_events_that_are_sent_and_that_are_given_up(values: Values, clock: Clock) -> None:
    app = in_process(MemoryStorage(clock=clock), clock, **webhook_settings())
    report_to(app)
    await app.create(on_upload=False)
    await app.upload({"a.txt": "text"})
    await app.drain()
    await app.label("a.txt", "Refund")
    report_to(app, Collector("well"), Collector("ill", refuses=lambda event: True))
    while app.sent.waiting:
        await app.container.events.run(parse_event(app.sent.waiting.popleft()[1]))
        clock.move(max(PAUSES))
    assert values.of("events").count((1, {"receiver": "well", "outcome": "sent"})) == 1
    assert values.of("events").count((1, {"receiver": "ill", "outcome": "failed"})) == MAX_ATTEMPTS
    assert values.of("events.dead_lettered") == [(1, {"receiver": "ill"})]


async def test_connections_their_running_step_and_labels_that_wait(
    values: Values, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = MemoryStorage(clock=clock)
    app = in_process(storage, clock, auth_mode="local")
    await storage.blobs.create_container("labeling")
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    connection = app.container.connection
    await connection.connect("p", Binding(StudioKind.WORKSPACE, "labeling", "news"), "lead", "connect")
    await app.drain()
    [idle] = await connection._connections.all()
    since = clock() - timedelta(seconds=90)
    running = replace(idle, connection=replace(idle.connection, step=Step.LOCK, since=since))

    async def leased() -> list[Stored]:
        return [replace(running, token="other", until=clock() + timedelta(minutes=1))]

    with monkeypatch.context() as patched:
        patched.setattr(connection._connections, "all", leased)
        await connection.sweep()
    assert values.of("connections") == [(1, {"state": "connected"})]
    [(age, attributes)] = values.of("connection.step.age")
    assert attributes == {"project": "p"}
    assert 90 <= age < 100

    await connection.switch("p", Studio.AZURE_ML, "lead", "switch")
    await app.drain()
    clock.move(5_000)
    await connection.sync_all()
    assert values.of("sync.lag") == [(0, {"project": "p"})], "no label is new"
    [synced] = await connection._connections.all()

    async def changed() -> list[Stored]:
        return [replace(synced, connection=replace(synced.connection, marker="of other labels"))]

    monkeypatch.setattr(connection._connections, "all", changed)
    await connection.sync_all()
    [_, (lag, attributes)] = values.of("sync.lag")
    assert attributes == {"project": "p"}
    assert 5_000 <= lag < 5_100
