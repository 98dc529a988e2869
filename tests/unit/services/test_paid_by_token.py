"""Jobs of an engine that is paid by the token: what is repeated is neither asked nor counted again."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from shared.domain.document import ANY_VERSION, document_id
from shared.domain.errors import InvalidArgument
from shared.domain.jobs import (
    AutolabelParameters,
    Batch,
    Job,
    JobKind,
    JobStatus,
    Outcome,
    RegisterParameters,
)
from shared.domain.labels import Labels
from shared.domain.names import Dataset, ProjectKind
from shared.domain.project import AutolabelSettings, ProjectSettings
from shared.domain.text import Prices
from shared.engines.azure_openai.engine import BATCH_DOCUMENTS, AzureOpenAIEngine, OpenAIOptions
from shared.runtime.container import service_engines
from shared.services.autolabel.service import AutolabelRequest
from shared.services.jobs.dispatch import Later, run_leased
from shared.services.jobs.lifecycle import BatchMessage, parse
from shared.services.projects.categories import CategoryChange
from shared.services.review.bulk import BulkRequest
from shared.services.review.documents import DocumentPatch
from shared.storage.gateways.ports import StorageUnavailable
from shared.storage.models import exchange_name
from tests.fakes.openai import FakeOpenAI
from tests.fakes.server import serve
from tests.support.services import App, Clock, in_process, result_json, settings
from tests.support.storage.memory import MemoryStorage

ENGINE = "azure-openai"


def no_identity() -> Any:
    raise AssertionError("A key is given.")


@pytest.fixture
def fake() -> FakeOpenAI:
    return FakeOpenAI()


@pytest.fixture
async def app(fake: FakeOpenAI) -> AsyncIterator[App]:
    async with serve(fake.app()) as url:
        options = OpenAIOptions(f"{url}/v1", "secret", "fake-model", prices=Prices(2, 8), timeout=60)
        engine = AzureOpenAIEngine(options, no_identity)
        made = in_process(MemoryStorage(), engines={ENGINE: lambda: engine})
        await made.create()
        changes = [CategoryChange("Refund"), CategoryChange("Login")]
        await made.container.categories.put("p", changes, "tester")
        yield made
        await engine.aclose()


async def test_a_batch_that_is_delivered_again_asks_and_counts_nothing(app: App, fake: FakeOpenAI) -> None:
    await app.upload({f"{n}.txt": f"@Login {n}" for n in range(3)})
    await app.drain()
    await app.autolabel(engine=ENGINE)
    rows, asked = await app.rows(), len(fake.requests)
    assert asked == 3
    for queue, body in list(app.delivered):
        await app.deliver(queue, body)
    await app.drain()
    job = await app.container.autolabel.get("p", "job")
    again = await app.container.autolabel.start("p", AutolabelRequest(ENGINE), "job")
    assert (job.status, again.id) == (JobStatus.SUCCEEDED, job.id)
    assert len(fake.requests) == asked
    assert await app.rows() == rows
    [figures] = [engine for engine in await app.container.autolabel.engines("p") if engine.engine == ENGINE]
    assert (figures.tokens.input, figures.tokens.output) == (300, 30)
    assert figures.cost == pytest.approx((300 * 2 + 30 * 8) / 1e6)


def _asked(fake: FakeOpenAI) -> list[str]:
    return sorted(request["messages"][-1]["content"] for request in fake.requests)


async def _outcomes(app: App, job_id: str = "job") -> dict[str, tuple[Outcome, str | None]]:
    found = await app.container.autolabel.outcomes(app.name, job_id)
    return {o.location: (o.outcome, o.error.code if o.error else None) for o in found}


ALREADY_LABELED = (Outcome.SKIPPED, "AlreadyLabeled")


async def test_a_named_document_with_a_label_is_not_sent_where_it_can_have_no_other(
    app: App, fake: FakeOpenAI
) -> None:
    await app.upload({"a.txt": "@Login a", "b.txt": "@Login b"})
    await app.drain()
    await app.label("a.txt", "Refund")
    named = tuple(map(document_id, ("a.txt", "b.txt")))
    estimate = await app.container.autolabel.estimate(app.name, AutolabelRequest(ENGINE, documents=named))
    only_b = AutolabelRequest(ENGINE, documents=named[1:])
    assert estimate == replace(await app.container.autolabel.estimate(app.name, only_b), documents=2)

    job = await app.autolabel(engine=ENGINE, documents=named)
    assert _asked(fake) == ["@Login b"]
    assert await _outcomes(app) == {"a.txt": ALREADY_LABELED, "b.txt": (Outcome.SUGGESTED, None)}
    assert (job.status, result_json(job)["textRecords"]) == (JobStatus.SUCCEEDED, 1)
    document = await app.document("a.txt")
    assert document is not None
    assert (document.labels, document.suggestions) == (Labels(categories=("Refund",)), None)
    assert not document.unplanned

    rows = await app.rows()
    for queue, body in list(app.delivered):
        await app.deliver(queue, body)
    await app.drain()
    assert (await app.rows(), len(fake.requests)) == (rows, 1)


async def test_where_documents_can_have_several_labels_labeled_ones_are_sent(fake: FakeOpenAI) -> None:
    async with serve(fake.app()) as url:
        engine = AzureOpenAIEngine(OpenAIOptions(f"{url}/v1", "secret", "fake-model"), no_identity)
        app = in_process(MemoryStorage(), engines={ENGINE: lambda: engine})
        await app.create(ProjectKind.MULTI_LABEL)
        changes = [CategoryChange("Refund"), CategoryChange("Login")]
        await app.container.categories.put(app.name, changes, "tester")
        await app.upload({"a.txt": "@Login a"})
        await app.drain()
        await app.label("a.txt", "Refund")
        await app.autolabel(engine=ENGINE, documents=(document_id("a.txt"),))
        await engine.aclose()
    assert _asked(fake) == ["@Login a"]
    assert await _outcomes(app) == {"a.txt": (Outcome.SUGGESTED, None)}


async def test_a_job_that_names_only_labeled_documents_fits_its_budget_and_asks_nothing(
    fake: FakeOpenAI,
) -> None:
    async with serve(fake.app()) as url:
        engine = AzureOpenAIEngine(OpenAIOptions(f"{url}/v1", "secret", "fake-model"), no_identity)
        app = in_process(
            MemoryStorage(), engines={ENGINE: lambda: engine}, engine_budgets=f'{{"{ENGINE}": 0}}'
        )
        await app.create()
        await app.container.categories.put(app.name, [CategoryChange("Refund")], "tester")
        await app.upload({"a.txt": "@Refund a"})
        await app.drain()
        await app.label("a.txt", "Refund")
        job = await app.autolabel(engine=ENGINE, documents=(document_id("a.txt"),))
        await engine.aclose()
    assert (job.status, job.errors, fake.requests) == (JobStatus.SUCCEEDED, (), [])
    assert await _outcomes(app) == {"a.txt": ALREADY_LABELED}


@pytest.mark.parametrize("labeled_first", [True, False])
async def test_a_label_that_changes_while_the_engine_is_asked_does_not_get_or_hide_a_suggestion(
    app: App, fake: FakeOpenAI, monkeypatch: pytest.MonkeyPatch, *, labeled_first: bool
) -> None:
    await app.upload({"a.txt": "@Login a", "b.txt": "@Login b"})
    await app.drain()
    if labeled_first:
        await app.label("a.txt", "Refund")
    batches = app.container.batches
    ask = batches._ask

    async def meanwhile(*args: Any) -> None:
        await ask(*args)
        labels = None if labeled_first else Labels(categories=("Refund",))
        await app.container.documents.set_labels(
            app.name, document_id("a.txt"), ANY_VERSION, labels, "tester"
        )

    monkeypatch.setattr(batches, "_ask", meanwhile)
    named = tuple(map(document_id, ("a.txt", "b.txt")))
    await app.autolabel(engine=ENGINE, documents=named)
    assert _asked(fake) == (["@Login b"] if labeled_first else ["@Login a", "@Login b"])
    assert await _outcomes(app) == {"a.txt": ALREADY_LABELED, "b.txt": (Outcome.SUGGESTED, None)}
    document = await app.document("a.txt")
    assert document is not None
    assert document.suggestions is None
    assert document.waiting is labeled_first, "its content is left to the next plan"


async def test_a_cancel_succeeds_if_the_stored_answers_cannot_be_deleted(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.upload({"a.txt": "@Login"})
    await app.drain()
    autolabel = app.container.autolabel

    async def fails(*_: object) -> None:
        raise StorageUnavailable("busy")

    async def planned_only(job: Job) -> Job:
        return await app.container.planner.plan_job(job)

    monkeypatch.setattr(autolabel, "_begin", planned_only)
    monkeypatch.setattr(app.container.stores.artifacts, "delete_exchanges", fails)
    await autolabel.start("p", AutolabelRequest(ENGINE), "job")
    assert (await autolabel.cancel("p", "job")).status is JobStatus.CANCELLED


async def test_answers_of_a_job_are_deleted_if_the_process_that_stopped_it_died(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.upload({"a.txt": "@Login"})
    await app.drain()
    autolabel, artifacts = app.container.autolabel, app.container.stores.artifacts

    async def planned_only(job: Job) -> Job:
        return await app.container.planner.plan_job(job)

    async def dies(*_: object, **more: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(autolabel, "_begin", planned_only)
    job = await autolabel.start("p", AutolabelRequest(ENGINE), "job")
    name = exchange_name(job.incarnation, job.id, 0)
    kept = {"paid": [100, 10], "records": 1, "answers": {}, "former": [100, 10]}
    await artifacts.write(name, json.dumps(kept).encode())
    with monkeypatch.context() as patch:
        patch.setattr(app.container.jobs, "end", dies)
        with pytest.raises(asyncio.CancelledError):
            await autolabel.cancel("p", "job")
    assert await artifacts.read(name) is not None

    await app.container.maintenance.sweep()
    job = await autolabel.get("p", "job")
    assert job.status.ended
    assert result_json(job)["tokens"] == {"input": 100, "output": 10}
    assert await artifacts.read(name) is None


async def test_batches_are_small(app: App, fake: FakeOpenAI) -> None:
    await app.upload({f"{n}.txt": f"@Login {n}" for n in range(100)})
    await app.drain()
    job = await app.autolabel(engine=ENGINE)
    assert len(job.batches) >= 100 / (BATCH_DOCUMENTS + 5)
    assert result_json(job)["outcomes"]["suggested"] == 100
    assert fake.most_at_once <= 8


def test_the_settings_of_the_app_reach_the_engine() -> None:
    given = settings(
        openai_base_url="http://localhost:9/v1", openai_model="m", openai_input_price=2, openai_output_price=8,
        openai_job_cost_limit=5, openai_requests_per_minute=30, openai_tokens_per_minute=400,
        openai_max_answer_tokens=300,
    )  # fmt: skip
    engine = service_engines(given)[ENGINE]()
    assert isinstance(engine, AzureOpenAIEngine)
    assert (engine.prices, engine.cost_limit, engine.limited) == (Prices(2, 8), 5, True)
    assert engine._most == 300
    assert engine._pace.minutes(60, 0) == 2
    assert engine._pace.minutes(0, 1_200) == 3


async def test_without_prices_a_cost_limit_is_refused_and_an_estimate_names_tokens(fake: FakeOpenAI) -> None:
    async with serve(fake.app()) as url:
        engine = AzureOpenAIEngine(
            OpenAIOptions(f"{url}/v1", "secret", "fake-model", timeout=60), no_identity
        )
        app = in_process(MemoryStorage(), engines={ENGINE: lambda: engine})
        await app.create()
        with pytest.raises(InvalidArgument, match="has no prices") as caught:
            await app.container.autolabel.start("p", AutolabelRequest(ENGINE, cost_limit=1.0), "job")
        estimate = await app.container.autolabel.estimate("p", AutolabelRequest(ENGINE))
        await engine.aclose()
    assert estimate.tokens is not None
    assert estimate.cost is None
    assert caught.value.target == "costLimit"
    assert fake.requests == []


async def test_an_estimate_says_why_the_job_would_fail(app: App) -> None:
    service = app.container.autolabel
    assert (await service.estimate("p", AutolabelRequest(ENGINE))).unavailable is None
    assert (await service.estimate("p", AutolabelRequest(ENGINE, categories=()))).unavailable
    await app.container.categories.remove("p", ["Refund", "Login"], "tester")

    estimate = await service.estimate("p", AutolabelRequest(ENGINE))
    job = await app.autolabel(engine=ENGINE)

    assert job.status is JobStatus.FAILED
    assert "needs categories" in job.errors[0].message
    assert estimate.unavailable == job.errors[0].message


def test_without_settings_nothing_is_limited() -> None:
    engine = service_engines(settings(openai_base_url="http://localhost:9/v1", openai_model="m"))[ENGINE]()
    assert isinstance(engine, AzureOpenAIEngine)
    assert (engine.limited, engine.cost_limit, engine.prices) == (False, None, Prices())


async def test_nothing_to_label_costs_nothing(fake: FakeOpenAI) -> None:
    async with serve(fake.app()) as url:
        options = OpenAIOptions(f"{url}/v1", "secret", "fake-model", prices=Prices(2, 8))
        engine = AzureOpenAIEngine(options, no_identity)
        app = in_process(MemoryStorage(), engines={ENGINE: lambda: engine})
        await app.create()
        estimate = await app.container.autolabel.estimate("p", AutolabelRequest(ENGINE))
        await engine.aclose()
    assert (estimate.documents, estimate.cost) == (0, 0)


@pytest.mark.parametrize(("asked", "limit"), [(1_000.0, 5.0), (2.0, 2.0), (None, 5.0)])
async def test_a_request_can_only_lower_the_cost_limit(
    fake: FakeOpenAI, asked: float | None, limit: float
) -> None:
    async with serve(fake.app()) as url:
        options = OpenAIOptions(
            f"{url}/v1", "secret", "fake-model", prices=Prices(2, 8), cost_limit=5.0, timeout=60
        )
        engine = AzureOpenAIEngine(options, no_identity)
        app = in_process(MemoryStorage(), engines={ENGINE: lambda: engine})
        await app.create()
        await app.container.categories.put("p", [CategoryChange("Refund")], "tester")
        await app.upload({"a.txt": "@Refund"})
        await app.drain()
        await app.container.autolabel.start("p", AutolabelRequest(ENGINE, cost_limit=asked), "job")
        await app.drain()
        job = await app.container.autolabel.get("p", "job")
        await engine.aclose()
    assert job.parameters_as(AutolabelParameters).cost_limit == limit


async def test_several_jobs_of_a_month_add_up(app: App) -> None:
    await app.upload({"a.txt": "@Login", "b.txt": "@Refund"})
    await app.drain()
    for job_id, name in (("first", "a.txt"), ("second", "b.txt"), ("third", "b.txt")):
        await app.autolabel(job_id, engine=ENGINE, documents=(document_id(name),))
    [figures] = [engine for engine in await app.container.autolabel.engines("p") if engine.engine == ENGINE]
    assert (figures.tokens.input, figures.tokens.output) == (300, 30)
    assert sum(band.suggested for band in figures.bands) == 3


async def test_limits_per_minute_hold_over_all_instances(
    fake: FakeOpenAI, storage: MemoryStorage, clock: Clock
) -> None:
    async with serve(fake.app()) as url:
        options = OpenAIOptions(f"{url}/v1", "secret", "fake-model", requests_per_minute=2, timeout=60)
        engines = [AzureOpenAIEngine(options, no_identity) for _ in range(2)]
        first, second = (in_process(storage, clock, engines={ENGINE: lambda e=e: e}) for e in engines)
        await first.create(on_upload=False)
        changes = [CategoryChange("Refund"), CategoryChange("Login")]
        await first.container.categories.put("p", changes, "tester")
        await first.upload({"a.txt": "@Login", "b.txt": "@Refund"})
        await first.drain()
        await first.autolabel("first", engine=ENGINE, documents=(document_id("a.txt"),))
        request = AutolabelRequest(ENGINE, documents=(document_id("b.txt"),))
        await second.container.autolabel.start("p", request, "second")
        waiting = await second.container.autolabel.get("p", "second")
        asked = len(fake.requests)
        clock.move(60)
        await second.drain()
        done = await second.container.autolabel.get("p", "second")
        for engine in engines:
            await engine.aclose()
    assert (waiting.status, asked) == (JobStatus.RUNNING, 1)
    assert (done.status, len(fake.requests)) == (JobStatus.SUCCEEDED, 2)


async def test_to_wait_is_no_try_and_undoes_none(app: App) -> None:
    await app.upload({"a.txt": "@Login"})
    await app.drain()
    stores, jobs = app.container.stores, app.container.jobs
    project = await app.container.projects.get("p")
    job = replace(
        Job.new(JobKind.REGISTER, "job", project, stores.clock(), RegisterParameters()),
        batches=(Batch(0, 1, 1),),
    )
    job, _ = await stores.jobs.create(job)

    async def waits(*_: object) -> None:
        raise Later(8)

    await run_leased(stores, jobs, BatchMessage.of(job, 0, attempt=3), waits)
    assert [parse(body).attempt for _, body in app.sent.waiting] == [3]


async def test_the_models_that_an_engine_had_are_counted_apart(app: App, fake: FakeOpenAI) -> None:
    await app.upload({"a.txt": "@Login", "b.txt": "@Refund"})
    await app.drain()
    await app.autolabel("first", engine=ENGINE, documents=(document_id("a.txt"),))
    app.container.engines.get(ENGINE).model_name = "next-model"  # pyright: ignore[reportAttributeAccessIssue]
    await app.autolabel("second", engine=ENGINE, documents=(document_id("b.txt"),))
    await app.container.bulk.start("p", BulkRequest(accept=True, job_id="second"), "tester", "bulk")
    await app.drain()
    [figures] = [engine for engine in await app.container.autolabel.engines("p") if engine.engine == ENGINE]
    assert figures.model == "next-model"
    assert [(model.model, model.suggested, model.accepted) for model in figures.models] == [
        ("fake-model", 1, 0),
        ("next-model", 1, 1),
    ]
    assert sum(band.suggested for band in figures.bands) == 2


async def test_the_model_of_the_settings_is_not_for_another_engine_that_is_asked_for(app: App) -> None:
    settings = ProjectSettings(autolabel=AutolabelSettings(model_label="gone"))
    await app.container.stores.directory.update("p", lambda project: replace(project, settings=settings))
    await app.upload({"a.txt": "@Login"})
    await app.drain()
    job = await app.autolabel(engine=ENGINE)
    assert job.status is JobStatus.SUCCEEDED
    estimate = await app.container.autolabel.estimate("p", AutolabelRequest())
    [error] = (await app.autolabel("second")).errors
    assert estimate.unavailable == error.message
    assert "'gone'" in error.message


async def test_documents_to_test_with_and_uncertain_labels_are_no_examples(
    app: App, fake: FakeOpenAI
) -> None:
    await app.upload({f"{n}.txt": f"@Login {n}" for n in range(4)})
    await app.drain()
    for name in ("0.txt", "1.txt", "2.txt"):
        await app.label(name, "Login")
    patch = DocumentPatch(dataset=Dataset.TEST)
    await app.container.documents.patch("p", document_id("0.txt"), ANY_VERSION, patch, "tester")
    await app.upload({"1.txt": "something else by now"})
    await app.drain()
    await app.autolabel(engine=ENGINE)
    [request] = fake.about("@Login 3")
    assert [message["content"] for message in request["messages"][1:-1]] == [
        "@Login 2",
        '{"category": "Login"}',
    ]


async def test_tasks_of_former_jobs_are_deleted(app: App) -> None:
    await app.upload({f"{n}.txt": f"@Login {n}" for n in range(6)})
    await app.drain()
    artifacts: list[str] = []
    for n in range(4):
        job = await app.autolabel(f"job{n}", engine=ENGINE, documents=(document_id(f"{n}.txt"),))
        artifacts.append(job.parameters_as(AutolabelParameters).artifact or "")
        await app.label(f"{n}.txt", "Login")
    assert len(set(artifacts)) == 4
    store = app.container.stores.artifacts
    assert [await store.exists(artifact) for artifact in artifacts] == [False, False, True, True]
