"""What a service was paid for is kept: batches that take long, that fail later, and the limit on a job's cost."""

import asyncio
import json
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from shared.domain.jobs import Job, JobStatus, Outcome
from shared.domain.text import Prices
from shared.engines.azure_openai.engine import BATCH_DOCUMENTS, AzureOpenAIEngine, OpenAIOptions
from shared.engines.azure_openai.turns import AT_ONCE
from shared.engines.base import EngineNotConfigured
from shared.services.autolabel import exchanges
from shared.services.autolabel.service import AutolabelRequest
from shared.services.jobs import lifecycle
from shared.services.jobs.dispatch import run_leased
from shared.services.jobs.lifecycle import BatchMessage, parse
from shared.services.projects.categories import CategoryChange
from shared.storage.gateways.ports import StorageUnavailable
from shared.storage.leases import LEASE_FOR, Lease, LeaseLost
from shared.storage.models import exchange_name
from tests.fakes.openai import FakeOpenAI
from tests.fakes.server import serve
from tests.support.services import App, Clock, in_process, result_json
from tests.support.storage.memory import MemoryStorage
from tests.support.waiting import eventually

ENGINE = "azure-openai"
PRICES = Prices(2, 8)
TAKES = 1_500
"""Tokens of a long answer; 12 are estimated."""
LONG = PRICES.input * 100 / 1e6 + PRICES.output * TAKES / 1e6


@pytest.fixture
def fake() -> FakeOpenAI:
    return FakeOpenAI()


@pytest.fixture
async def app(fake: FakeOpenAI, storage: MemoryStorage, clock: Clock) -> AsyncIterator[App]:
    async with serve(fake.app()) as url:
        options = OpenAIOptions(f"{url}/v1", "secret", "fake-model", prices=PRICES, timeout=30)
        engine = AzureOpenAIEngine(options, lambda: None)  # type: ignore[arg-type,return-value]
        made = in_process(storage, clock, engines={ENGINE: lambda: engine})
        await made.create(on_upload=False)
        await made.container.categories.put("p", [CategoryChange("Refund"), CategoryChange("Login")], "me")
        yield made
        fake.released.set()
        await engine.aclose()


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time pass for the deadline of a batch."""
    now = [0.0]
    monkeypatch.setattr(exchanges, "monotonic", lambda: now[0])

    def pass_by(more: float) -> None:
        now[0] += more

    return pass_by


async def upload(app: App, texts: dict[str, str]) -> None:
    await app.upload(texts)
    await app.drain()


async def until_asked(fake: FakeOpenAI, count: int) -> None:
    async def look() -> bool:
        return fake.at_once == count

    await eventually(f"{count} requests under way", look)


def asked(fake: FakeOpenAI) -> Counter[str]:
    return Counter(request["messages"][-1]["content"] for request in fake.requests)


async def kept(app: App) -> list[str]:
    container = app.container.stores.names.container
    return [
        blob.name async for page in app.blobs.list(container) for blob in page if "/exchanges/" in blob.name
    ]


async def begin_slowly(app: App, fake: FakeOpenAI, seconds: Callable[[float], None], more: str = "") -> int:
    """A job of 20 documents, of which the first are asked for when the time to begin others is over."""
    await upload(app, {f"{n}.txt": f"@Login {n} #held {more}" for n in range(20)})
    starting = asyncio.create_task(app.container.autolabel.start("p", AutolabelRequest(ENGINE), "job"))
    await until_asked(fake, 8)
    seconds(exchanges.BEGIN_SECONDS + 1)
    fake.released.set()
    await starting

    async def look() -> bool:
        return any(isinstance(parse(body), BatchMessage) for _, body in app.sent.waiting)

    await eventually("the message that goes on", look)
    return sum(asked(fake).values())


async def test_a_batch_without_time_for_the_rest_goes_on_with_another_message(
    app: App, fake: FakeOpenAI, clock: Clock, seconds: Callable[[float], None]
) -> None:
    first = await begin_slowly(app, fake, seconds)
    assert first < 20
    assert (await app.container.autolabel.get("p", "job")).status is JobStatus.RUNNING
    clock.move(30)
    await app.drain()
    job = await app.container.autolabel.get("p", "job")
    assert job.status is JobStatus.SUCCEEDED
    assert result_json(job)["outcomes"]["suggested"] == 20
    assert set(asked(fake).values()) == {1}
    assert result_json(job)["tokens"] == {"input": 2_000, "output": 200}
    assert await kept(app) == []


async def test_an_answer_that_cannot_be_stored_at_once_is_not_paid_again(
    app: App, fake: FakeOpenAI, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upload(app, {f"{n}.txt": f"@Login {n}" for n in range(20)})
    artifacts = app.container.stores.artifacts
    write, failed = artifacts.write, list[str]()

    async def fails(name: str, *given: Any, **more: Any) -> None:
        if "/exchanges/" in name and len(failed) < 3:
            failed.append(name)
            raise StorageUnavailable("busy")
        await write(name, *given, **more)

    monkeypatch.setattr(artifacts, "write", fails)
    await app.container.autolabel.start("p", AutolabelRequest(ENGINE), "job")
    clock.move(30)
    await app.drain()

    job = await app.container.autolabel.get("p", "job")
    assert len(failed) == 3
    assert result_json(job)["outcomes"]["suggested"] == 20
    assert set(asked(fake).values()) == {1}
    assert result_json(job)["tokens"] == {"input": 2_000, "output": 200}


async def test_the_last_answers_are_stored_before_the_batch_goes_on(
    app: App, fake: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write after the last answer fails; else no later one would make up for it."""
    await upload(app, {f"{n}.txt": f"@Login {n}" for n in range(5)})
    artifacts = app.container.stores.artifacts
    write, failed, stored = artifacts.write, list[int](), list[int]()

    async def fails(name: str, data: bytes, **more: Any) -> None:
        if "/exchanges/" in name:
            count = len(json.loads(data)["answers"])
            if count == 5 and not failed:
                failed.append(count)
                raise StorageUnavailable("busy")
            stored.append(count)
        await write(name, data, **more)

    monkeypatch.setattr(artifacts, "write", fails)
    await app.container.autolabel.start("p", AutolabelRequest(ENGINE), "job")
    await app.drain()

    assert (failed, stored[-1]) == ([5], 5)
    assert set(asked(fake).values()) == {1}


async def test_what_was_paid_for_a_text_that_changed_is_counted(
    app: App, fake: FakeOpenAI, clock: Clock, seconds: Callable[[float], None]
) -> None:
    await begin_slowly(app, fake, seconds)
    text = fake.requests[0]["messages"][-1]["content"]
    await app.upload({f"{text.split()[1]}.txt": "@Refund instead"}, events=False)
    clock.move(30)
    await app.drain()
    job = await app.container.autolabel.get("p", "job")
    assert result_json(job)["outcomes"]["suggested"] == 20
    assert result_json(job)["tokens"] == {"input": 2_100, "output": 210}
    assert asked(fake)["@Refund instead"] == 1


async def test_a_cancelled_job_leaves_nothing_but_what_it_paid(
    app: App, fake: FakeOpenAI, clock: Clock, seconds: Callable[[float], None]
) -> None:
    first = await begin_slowly(app, fake, seconds)
    job = await app.container.autolabel.cancel("p", "job")
    assert result_json(job)["tokens"] == {"input": 100 * first, "output": 10 * first}
    assert result_json(job)["outcomes"]["skipped"] == 20
    [usage] = await app.container.stores.usage.all(job.incarnation)
    assert usage.tokens.input == 100 * first
    assert result_json(job)["textRecords"] == first
    assert await kept(app) == []
    before = sum(asked(fake).values())
    clock.move(30)
    await app.drain()
    assert await kept(app) == []
    assert sum(asked(fake).values()) == before


async def test_a_process_that_dies_repeats_the_requests_under_way_and_no_others(
    app: App, fake: FakeOpenAI, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"@Login {n}" + " #held" * (n < 5) for n in range(16)]
    await upload(app, {f"{n}.txt": text for n, text in enumerate(texts)})
    starting = asyncio.create_task(app.container.autolabel.start("p", AutolabelRequest(ENGINE), "job"))

    name = exchange_name((await app.container.projects.get("p")).incarnation, "job", 0)

    async def stored() -> bool:
        data = await app.container.stores.artifacts.read(name)
        return len(json.loads(data or "{}").get("answers", ())) == 11

    await eventually("all answers but those that are held", stored)
    monkeypatch.setattr(Lease, "release_soon", lambda *_: asyncio.sleep(0))  # nobody releases it
    for task in lifecycle._running:
        task.cancel()
    await asyncio.wait({starting, *lifecycle._running})
    fake.released.set()
    clock.move(301)
    await app.container.maintenance.sweep()
    await app.drain()

    job = await app.container.autolabel.get("p", "job")
    assert job.status is JobStatus.SUCCEEDED
    assert asked(fake) == {text: 1 + ("#held" in text) for text in texts}
    assert result_json(job)["tokens"] == {"input": 1_600, "output": 160}
    assert result_json(job)["textRecords"] == 16


@pytest.mark.parametrize("finished", [False, True])
async def test_a_worker_that_lost_its_batch_leaves_no_answers_once_another_finished_it(
    app: App, fake: FakeOpenAI, clock: Clock, seconds: Callable[[float], None], finished: bool
) -> None:
    await begin_slowly(app, fake, seconds)
    stores, batches = app.container.stores, app.container.batches
    job = await app.container.autolabel.get("p", "job")
    clock.move(30)

    async def lose(*_: Any) -> None:
        if finished:
            other = await stores.jobs.acquire(job, 0, "other", clock() + LEASE_FOR)
            assert other is not None
            await stores.table.commit(job.incarnation, [other.operation()])
        raise LeaseLost

    await run_leased(stores, app.container.jobs, BatchMessage.of(job, 0), lose, over=batches._clear)
    assert bool(await kept(app)) is not finished


async def test_answers_stored_while_a_job_is_stopped_are_counted_before_they_are_deleted(
    app: App,
    fake: FakeOpenAI,
    clock: Clock,
    seconds: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await begin_slowly(app, fake, seconds)
    stores, batches = app.container.stores, app.container.batches
    job, [name] = await app.container.autolabel.get("p", "job"), await kept(app)
    clock.move(30)
    settled, lost, finish = asyncio.Event(), asyncio.Event(), stores.jobs.finish
    stopping: list[asyncio.Task[Job]] = []

    async def wait(*given: Any, **more: Any) -> None:
        await finish(*given, **more)
        settled.set()
        await lost.wait()

    async def lose(*_: Any) -> None:
        stopping.append(asyncio.create_task(app.container.autolabel.cancel("p", "job")))
        await asyncio.wait_for(settled.wait(), 30)
        stored = json.loads(await stores.artifacts.read(name) or b"") | {"paid": [9_007, 901]}
        await stores.artifacts.write(name, json.dumps(stored).encode())
        raise LeaseLost

    monkeypatch.setattr(stores.jobs, "finish", wait)
    await run_leased(stores, app.container.jobs, BatchMessage.of(job, 0), lose, over=batches._clear)
    lost.set()
    assert result_json(await stopping[0])["tokens"] == {"input": 9_007, "output": 901}
    assert await kept(app) == []


async def test_a_batch_that_is_given_up_after_its_job_ended_leaves_no_answers(
    app: App, fake: FakeOpenAI, seconds: Callable[[float], None]
) -> None:
    await begin_slowly(app, fake, seconds)
    [name] = await kept(app)
    stored = await app.container.stores.artifacts.read(name)
    job = await app.container.autolabel.cancel("p", "job")
    await app.container.stores.artifacts.write(name, stored or b"")
    await app.container.dispatcher.give_up(BatchMessage.of(job, 0), "It failed five times.")
    assert await kept(app) == []


@pytest.mark.parametrize("former", [False, True])
async def test_a_cancelled_job_counts_answers_that_are_stored_while_it_is_stopped(
    app: App,
    fake: FakeOpenAI,
    seconds: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
    former: bool,
) -> None:
    """`former`: as the version before stored them, without a sum."""
    first = await begin_slowly(app, fake, seconds)
    [name] = await kept(app)
    artifacts, jobs = app.container.stores.artifacts, app.container.stores.jobs
    finish = jobs.finish

    async def store_more(*given: Any, **more: Any) -> None:
        stored = json.loads(await artifacts.read(name) or b"")
        stored["former"], stored["paid"] = [7, 1], [100 * first + 7, 10 * first + 1]
        if former:
            del stored["paid"]
        await artifacts.write(name, json.dumps(stored).encode())
        await finish(*given, **more)

    monkeypatch.setattr(jobs, "finish", store_more)
    job = await app.container.autolabel.cancel("p", "job")
    assert result_json(job)["tokens"] == {"input": 100 * first + 7, "output": 10 * first + 1}
    assert result_json(job)["outcomes"]["skipped"] == 20
    [usage] = await app.container.stores.usage.all(job.incarnation)
    assert usage.tokens.input == 100 * first + 7


async def test_a_worker_whose_job_is_cancelled_asks_for_no_more_and_leaves_no_answers(
    app: App, fake: FakeOpenAI
) -> None:
    await upload(app, {f"{n}.txt": f"@Login {n} #held" for n in range(BATCH_DOCUMENTS)})
    starting = asyncio.create_task(app.container.autolabel.start("p", AutolabelRequest(ENGINE), "job"))
    await until_asked(fake, AT_ONCE)
    job = await app.container.autolabel.cancel("p", "job")
    fake.released.set()
    await starting
    if lifecycle._running:  # what goes on after the request
        await asyncio.wait(lifecycle._running)

    assert (await app.container.autolabel.get("p", "job")).status is JobStatus.CANCELLED
    assert job.status is JobStatus.CANCELLED
    assert len(fake.requests) < 2 * AT_ONCE + 1 < BATCH_DOCUMENTS  # the first answer shows it
    assert await kept(app) == []


async def test_a_batch_that_fails_after_its_answers_pays_nothing_again(
    app: App, fake: FakeOpenAI, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upload(app, {f"{n}.txt": f"@Login {n}" for n in range(5)})
    write, failures = (
        app.container.stores.pages.write,
        [OSError("The storage is away."), OSError("It still is.")],
    )

    async def fails(*args: Any, **more: Any) -> Any:
        if failures:
            raise failures.pop()
        return await write(*args, **more)

    monkeypatch.setattr(app.container.stores.pages, "write", fails)
    await app.container.autolabel.start("p", AutolabelRequest(ENGINE), "job")
    if lifecycle._running:  # what goes on after the request
        await asyncio.wait(lifecycle._running)
    while app.sent.waiting:
        clock.move(30)
        for _ in range(len(app.sent.waiting)):
            await app.container.dispatcher.run_or_retry(parse(app.sent.waiting.popleft()[1]))
    job = await app.container.autolabel.get("p", "job")
    assert (job.status, failures) == (JobStatus.SUCCEEDED, [])
    assert set(asked(fake).values()) == {1}
    assert result_json(job)["tokens"] == {"input": 500, "output": 50}


async def test_a_batch_that_fails_too_often_keeps_the_answers_it_has(
    app: App,
    fake: FakeOpenAI,
    clock: Clock,
    seconds: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = await begin_slowly(app, fake, seconds)

    async def gone(*_: Any) -> Any:
        raise RuntimeError("The settings of the engine were removed.")

    monkeypatch.setattr(app.container.model_cache, "load", gone)
    [message] = {body for _, body in app.sent.waiting if isinstance(parse(body), BatchMessage)}
    app.sent.waiting.clear()
    clock.move(30)
    await app.container.dispatcher.give_up(parse(message), "It failed five times.")
    job = await app.container.autolabel.get("p", "job")
    assert result_json(job)["outcomes"]["suggested"] >= min(first, 8)
    assert sum(asked(fake).values()) == first
    assert result_json(job)["tokens"]["input"] == 100 * first


async def test_answers_are_kept_where_the_engine_is_no_longer_configured(
    app: App, fake: FakeOpenAI, storage: MemoryStorage, clock: Clock, seconds: Callable[[float], None]
) -> None:
    first = await begin_slowly(app, fake, seconds)

    def unset() -> Any:
        raise EngineNotConfigured("Set OPENAI_BASE_URL.")

    other = in_process(storage, clock, engines={ENGINE: unset})
    other.sent.waiting.extend(app.sent.waiting)
    clock.move(30)
    while other.sent.waiting:
        clock.move(301)
        _, body = other.sent.waiting.popleft()
        await other.container.dispatcher.run_or_retry(parse(body))

    job = await other.container.autolabel.get("p", "job")
    assert job.status is JobStatus.PARTIALLY_COMPLETED
    assert "Set OPENAI_BASE_URL." in job.errors[0].message
    assert result_json(job)["outcomes"]["suggested"] == first
    assert result_json(job)["tokens"]["input"] == 100 * first
    assert await kept(app) == []


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6])
async def test_a_job_exceeds_its_cost_limit_by_one_document_at_most(
    app: App, fake: FakeOpenAI, clock: Clock, share: float
) -> None:
    """Each answer is a hundred times longer than estimated; the job has several batches."""
    texts = {f"{n}.txt": f"@Login {n} #takes:{TAKES}" for n in range(70)}
    await upload(app, texts)
    limit = share * len(texts) * LONG
    job = await app.autolabel(engine=ENGINE, cost_limit=limit)
    assert len(job.batches) > 1
    assert job.status is JobStatus.PARTIALLY_COMPLETED
    cost = result_json(job)["cost"]
    assert cost < limit + LONG
    assert cost > limit - 2 * LONG, "the limit is used"
    assert len(fake.requests) == math.floor(cost / LONG + 0.5)
    outcomes = await app.container.autolabel.outcomes("p", "job")
    codes = Counter(outcome.error.code for outcome in outcomes if outcome.error)
    assert codes == {"CostLimitReached": 70 - len(fake.requests)}


async def test_answers_of_any_length_exceed_the_limit_by_one_document_at_most(
    app: App, fake: FakeOpenAI
) -> None:
    """Short answers first teach nothing about the long ones that come when the limit is near."""
    texts = {f"{n}.txt": f"@Login {n} #takes:{5 if n % 3 else TAKES}" for n in range(60)}
    await upload(app, texts)
    limit = 7.5 * LONG
    job = await app.autolabel(engine=ENGINE, cost_limit=limit)
    assert result_json(job)["cost"] < limit + LONG
    assert fake.most_at_once > 1, "far from the limit, several are under way"


async def test_with_a_cost_limit_batches_run_one_after_the_other(
    app: App, fake: FakeOpenAI, clock: Clock
) -> None:
    await upload(app, {f"{n}.txt": f"@Login {n} #held" for n in range(70)})
    starting = asyncio.create_task(
        app.container.autolabel.start("p", AutolabelRequest(ENGINE, cost_limit=100.0), "job")
    )
    await until_asked(fake, 1)  # until it is known what a document takes
    job = await app.container.autolabel.get("p", "job")
    await app.container.batches.run(BatchMessage.of(job, 1))
    assert len(fake.requests) == 1
    assert await app.container.stores.jobs.outcomes(job) == []
    fake.released.set()
    await starting
    await app.drain()
    job = await app.container.autolabel.get("p", "job")
    assert job.status is JobStatus.SUCCEEDED
    assert set(asked(fake).values()) == {1}


async def test_a_job_whose_documents_are_all_filtered_is_completed_in_part(app: App) -> None:
    await upload(app, {"a.txt": "@Login #filter", "b.txt": "#stopped @Login"})
    job = await app.autolabel(engine=ENGINE)
    assert job.status is JobStatus.PARTIALLY_COMPLETED
    assert {error.code for error in job.errors} == {"ContentFiltered"}
    outcomes = await app.container.autolabel.outcomes("p", "job")
    assert {outcome.outcome for outcome in outcomes} == {Outcome.FAILED}


async def test_a_key_that_a_server_repeats_is_in_no_outcome(fake: FakeOpenAI, storage: MemoryStorage) -> None:
    fake.key = "sk-0123456789abcdef"
    async with serve(fake.app()) as url:
        options = OpenAIOptions(f"{url}/v1", fake.key, "fake-model", timeout=30)
        engine = AzureOpenAIEngine(options, lambda: None)  # type: ignore[arg-type,return-value]
        app = in_process(storage, engines={ENGINE: lambda: engine})
        await app.create(on_upload=False)
        await app.container.categories.put("p", [CategoryChange("Login")], "me")
        await upload(app, {"a.txt": "@Login #echo"})
        job = await app.autolabel(engine=ENGINE)
        await engine.aclose()
    [outcome] = await app.container.autolabel.outcomes("p", "job")
    assert outcome.error is not None
    assert "Unexpected headers" in outcome.error.message
    assert "[redacted]" in outcome.error.message
    assert fake.key not in f"{outcome} {job} {await app.rows()}"
