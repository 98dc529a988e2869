"""Batches of an engine that answers later: nothing waits in a function, nothing is sent twice, nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from shared.domain.jobs import Job, JobStatus, Outcome
from shared.domain.project import DeployedModel, Project
from shared.engines.azure_language.engine import NAME, AzureLanguageEngine, LanguageModel
from shared.engines.azure_language.service import LanguageOptions
from shared.engines.base import ArtifactError, EngineNotConfigured
from shared.runtime.container import ExtraEngine, service_engines
from shared.services.autolabel import exchanges
from shared.services.autolabel.service import AutolabelRequest
from shared.services.jobs.lifecycle import parse
from shared.storage.usage import WINDOWS, CallRates
from tests.fakes.faults import Fault
from tests.fakes.language import KEY, RUNTIME, FakeLanguage
from tests.fakes.server import serve
from tests.support.services import App, Clock, in_process, result_json, settings
from tests.support.storage.memory import MemoryStorage

TEXTS = {f"{n}.txt": f"@Refund:{50 + n} number {n}" for n in range(30)}
POST = f"POST {RUNTIME}"


@pytest.fixture
async def service() -> AsyncIterator[FakeLanguage]:
    """It answers questions by asking to come again in a minute, so that no test waits for it."""
    fake = FakeLanguage()
    fake.retry_after = 60
    async with serve(fake.app()) as fake.address:
        yield fake


@pytest.fixture
async def engine(service: FakeLanguage) -> AsyncIterator[AzureLanguageEngine]:
    made = AzureLanguageEngine(LanguageOptions(service.address, KEY, "support", "production"))
    yield made
    await made.close()


@pytest.fixture
async def app(engine: AzureLanguageEngine, storage: MemoryStorage, clock: Clock) -> App:
    """A project with documents and categories, none of which has a suggestion."""
    app = in_process(storage, clock, engines={NAME: lambda: engine}, engine_budgets=f'{{"{NAME}": 1000}}')
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    await app.upload(TEXTS)
    await app.drain()
    return app


async def start(app: App, job_id: str = "job") -> Job:
    await app.container.autolabel.start(app.name, AutolabelRequest(NAME), job_id)
    return await app.container.autolabel.get(app.name, job_id)


async def deliver(app: App, clock: Clock) -> None:
    """Deliver the next message when its time has come, as the queue functions do."""
    clock.move(301)
    queue, body = app.sent.waiting.popleft()
    app.delivered.append((queue, body))
    await app.container.dispatcher.run_or_retry(parse(body))


async def to_end(app: App, clock: Clock, job_id: str = "job") -> Job:
    while app.sent.waiting:
        await deliver(app, clock)
    return await app.container.autolabel.get(app.name, job_id)


async def suggested(app: App) -> dict[str, Any]:
    found = {location: await app.document(location) for location in TEXTS}
    return {
        location: [(s.category, s.confidence) for s in document.suggestions.items]
        for location, document in found.items()
        if document is not None and document.suggestions is not None
    }


async def kept(app: App) -> list[str]:
    container = app.container.stores.names.container
    return [
        blob.name async for page in app.blobs.list(container) for blob in page if "/exchanges/" in blob.name
    ]


EVERY = {f"{n}.txt": [("Refund", 50 + n)] for n in range(30)}


async def test_a_job_whose_answers_come_soon_has_ended_with_its_request(app, service):
    job = await start(app)

    assert job.status is JobStatus.SUCCEEDED
    assert result_json(job)["outcomes"]["suggested"] == 30
    assert await suggested(app) == EVERY
    assert await kept(app) == []


async def test_what_takes_long_is_asked_for_by_later_messages(app, service, clock):
    service.polls = 3

    job = await start(app)
    assert job.status is JobStatus.RUNNING
    assert await kept(app)
    job = await to_end(app, clock)

    assert job.status is JobStatus.SUCCEEDED
    assert await suggested(app) == EVERY
    assert (len(service.texts), len(set(service.texts))) == (30, 30)
    assert await kept(app) == []


async def test_documents_are_not_read_again_to_ask(app, service, clock, monkeypatch):
    service.polls = 5
    await start(app)
    reads: list[str] = []
    inspect = app.container.stores.uploads.inspect

    async def counted(container: str, name: str) -> Any:
        reads.append(name)
        return await inspect(container, name)

    monkeypatch.setattr(type(app.container.stores.uploads), "inspect", staticmethod(counted))
    for _ in range(3):
        await deliver(app, clock)
    assert reads == []

    await to_end(app, clock)
    assert sorted(reads) == sorted(TEXTS)


async def test_every_message_twice_gives_the_state_of_once(app, service, clock):
    service.polls = 3
    await start(app)
    before = len(app.delivered)
    while app.sent.waiting:
        clock.move(301)
        queue, body = app.sent.waiting.popleft()
        app.delivered.append((queue, body))
        for _ in range(2):
            await app.container.dispatcher.run_or_retry(parse(body))

    assert (await app.container.autolabel.get("p", "job")).status is JobStatus.SUCCEEDED
    assert await suggested(app) == EVERY
    assert len(service.texts) == 30
    assert len(app.delivered) - before < 10  # a doubled message does not go on by itself


async def test_two_instances_send_every_document_once(app, service, engine, storage, clock):
    service.polls = 2
    other = in_process(storage, clock, engines={NAME: lambda: engine})
    await start(app)
    while app.sent.waiting or other.sent.waiting:
        clock.move(301)
        messages = [*app.sent.waiting, *other.sent.waiting]
        app.sent.waiting.clear()
        other.sent.waiting.clear()
        for _, body in messages:
            await asyncio.gather(
                *(process.container.dispatcher.run_or_retry(parse(body)) for process in (app, other))
            )

    assert (await app.container.autolabel.get("p", "job")).status is JobStatus.SUCCEEDED
    assert len(service.texts) == 30


async def test_no_instance_calls_more_often_than_the_service_allows_them_all(
    app, service, engine, storage, clock, monkeypatch
):
    passed = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    monkeypatch.setattr(exchanges, "asyncio", SimpleNamespace(**vars(asyncio) | {"sleep": sleep}))
    monkeypatch.setattr(exchanges, "monotonic", lambda: passed)
    monkeypatch.setattr(LanguageModel, "calls_per_minute", WINDOWS)  # one in each window
    other = in_process(storage, clock, engines={NAME: lambda: engine})
    await start(app)
    for instance in (other, app):
        for _, body in [*app.sent.waiting]:
            await instance.container.dispatcher.run_or_retry(parse(body))
    assert sum(service.calls.values()) == 1

    assert (await to_end(app, clock)).status is JobStatus.SUCCEEDED
    assert len(service.texts) == 30
    assert passed > 0, "a function asks again a few seconds later"


async def test_a_lost_message_is_sent_again_by_the_sweep(app, service, clock):
    service.polls = 2
    await start(app)
    app.sent.waiting.clear()
    clock.move(301)

    await app.container.maintenance.sweep()

    assert (await to_end(app, clock)).status is JobStatus.SUCCEEDED
    assert len(service.texts) == 30


async def test_a_document_error_fails_the_document_alone_with_the_services_reason(app, service, clock):
    await app.upload({"bad.txt": "@reject", "long.txt": "@refuse"})
    await app.drain()

    job = await start(app)

    assert job.status is JobStatus.PARTIALLY_COMPLETED
    outcomes = {o.location: o for o in await app.container.autolabel.outcomes("p", "job")}
    assert outcomes["bad.txt"].outcome is Outcome.FAILED
    assert outcomes["bad.txt"].error.code == "InvalidDocument"
    assert outcomes["long.txt"].error.message == "A document is refused."
    assert result_json(job)["textRecords"] == 30
    assert await suggested(app) == EVERY


async def test_throttling_is_waited_for_and_is_no_failure(app, service, clock):
    service.faults = [Fault(POST, status=429, retry_after=45, times=7)]
    await start(app)

    job = await to_end(app, clock)

    assert job.status is JobStatus.SUCCEEDED
    assert await suggested(app) == EVERY


async def test_a_service_that_stays_away_fails_the_documents_with_the_reason(app, service, clock):
    service.faults = [Fault(POST, status=500, times=1_000)]
    await start(app)

    job = await to_end(app, clock)

    assert job.status is JobStatus.FAILED
    assert "answered 500" in job.errors[0].message
    assert {o.outcome for o in await app.container.autolabel.outcomes("p", "job")} == {Outcome.FAILED}
    assert await kept(app) == []


async def test_what_was_answered_before_the_service_went_away_is_kept(app, service, clock):
    await with_some_answers(app, service, clock)
    service.faults = [Fault("GET ", status=500, times=1_000)]

    job = await to_end(app, clock)

    assert job.status is JobStatus.PARTIALLY_COMPLETED
    assert 0 < len(await suggested(app)) < 30


async def with_some_answers(app: App, service: FakeLanguage, clock: Clock) -> None:
    """A job of which one request of several is answered: the largest, whichever came first."""
    service.polls = 3
    await start(app)
    answered = max(
        service.operations.values(), key=lambda operation: len(operation.body["analysisInput"]["documents"])
    )
    answered.polls = 0
    for _ in range(len(app.sent.waiting)):
        await deliver(app, clock)


async def test_what_was_answered_is_kept_where_the_model_cannot_be_loaded(app, service, clock, monkeypatch):
    await with_some_answers(app, service, clock)

    async def gone(*_: Any) -> Any:
        raise ArtifactError("The model is gone.")

    monkeypatch.setattr(app.container.model_cache, "load", gone)
    job = await to_end(app, clock)

    assert job.status is JobStatus.PARTIALLY_COMPLETED
    assert 0 < len(await suggested(app)) < 30
    assert "The model is gone." in job.errors[0].message
    assert await kept(app) == []


class OwnEngine(AzureLanguageEngine):
    """An engine of EXTRA_ENGINES whose settings were removed."""

    def __init__(self) -> None:
        raise EngineNotConfigured("Set OWN_ENDPOINT.")


UNSET = {
    "LANGUAGE_ENDPOINT": service_engines(settings())[NAME],
    "OWN_ENDPOINT": ExtraEngine(f"{__name__}:OwnEngine"),
}


@pytest.mark.parametrize("cancels", [False, True])
@pytest.mark.parametrize("setting", UNSET)
async def test_a_job_whose_engine_is_no_longer_configured_ends(
    app, service, clock, storage, cancels, setting
):
    """With the answers that it has, if it was not canceled; its messages are not retried endlessly."""
    await with_some_answers(app, service, clock)

    other = in_process(storage, clock, engines={NAME: UNSET[setting]})
    other.sent.waiting.extend(app.sent.waiting)
    if cancels:
        await other.container.autolabel.cancel("p", "job")
    job = await to_end(other, clock)

    assert job.status is (JobStatus.CANCELLED if cancels else JobStatus.PARTIALLY_COMPLETED)
    assert cancels or f"et {setting}" in job.errors[0].message
    assert len(await suggested(app)) == (0 if cancels else 25)
    assert await kept(app) == []


async def test_after_a_day_documents_without_an_answer_fail(app, service, clock):
    service.polls = 1_000_000
    await start(app)
    while (await app.container.autolabel.get("p", "job")).status is JobStatus.RUNNING:
        clock.move(3_600)
        await deliver(app, clock)

    job = await app.container.autolabel.get("p", "job")
    assert (job.status, job.errors[0].code) == (JobStatus.FAILED, "Timeout")
    assert timedelta(hours=24) < job.updated - job.created < timedelta(hours=30)


async def test_nothing_of_a_cancelled_job_appears_or_is_left(app, service, clock):
    service.polls = 3
    await start(app)
    await app.container.autolabel.cancel("p", "job")

    assert (await to_end(app, clock)).status is JobStatus.CANCELLED
    assert await suggested(app) == {}
    assert await kept(app) == []


async def test_a_cancelled_job_counts_the_text_records_that_the_service_has(app, service):
    """Of its two requests one is refused as too many."""
    service.polls = 3
    service.faults = [Fault(POST, status=429, retry_after=45)]
    await start(app)

    job = await app.container.autolabel.cancel("p", "job")

    taken = len(service.texts)
    assert taken in {5, 25}
    assert result_json(job)["textRecords"] == taken
    [usage] = await app.container.stores.usage.all(job.incarnation)
    assert (usage.used, usage.reserved) == (taken, 0)


async def test_documents_that_are_given_up_count_if_the_service_has_taken_them(app, service, clock):
    service.polls = 1_000_000
    await start(app)
    service.faults = [Fault(f"GET {RUNTIME}", status=500, times=1_000)]

    job = await to_end(app, clock)

    assert (job.status, result_json(job)["textRecords"]) == (JobStatus.FAILED, 30)


async def test_what_a_job_left_goes_with_it(app, service, clock):
    """A worker may die after the job has ended, and messages may be lost."""
    service.polls = 3
    await start(app)
    [name] = await kept(app)
    artifacts = app.container.stores.artifacts
    state = await artifacts.read(name)
    await app.container.autolabel.cancel("p", "job")
    assert await kept(app) == []
    await artifacts.write(name, state)
    app.sent.waiting.clear()

    clock.move(8 * 24 * 3600)
    await app.container.maintenance.reconcile()
    await to_end_of_messages(app, clock)

    assert await kept(app) == []


async def to_end_of_messages(app: App, clock: Clock) -> None:
    while app.sent.waiting:
        await deliver(app, clock)


async def test_a_document_that_changes_meanwhile_is_labeled_by_its_new_text(app, service, clock):
    service.polls = 1
    await start(app)
    await app.upload({"7.txt": "@Login:91 instead"}, events=False)

    await to_end(app, clock)

    assert await suggested(app) == EVERY | {"7.txt": [("Login", 91)]}


async def test_a_category_that_the_project_does_not_have_is_dropped(app, service):
    await app.upload({"other.txt": "@Unknown:99"})
    await app.drain()

    job = await start(app)

    outcomes = {o.location: o.outcome for o in await app.container.autolabel.outcomes("p", "job")}
    assert job.status is JobStatus.SUCCEEDED
    assert outcomes["other.txt"] is Outcome.NOTHING_FOUND
    assert set((await app.container.projects.get("p")).category_names) == {"Refund", "Login"}


async def test_the_language_of_each_document_is_sent(app, service):
    await start(app)

    sent = {
        document["language"] for body in service.requests for document in body["analysisInput"]["documents"]
    }
    assert sent == {"en-us"}


async def test_a_pushed_project_is_asked_by_its_own_deployment(app, service):
    def push(project: Project) -> Project:
        return replace(project, deployed=DeployedModel("mine", "live"))

    await app.container.stores.directory.update("p", push)
    await start(app)

    [parameters] = {str(body["tasks"][0]["parameters"]) for body in service.requests}
    assert "'projectName': 'mine', 'deploymentName': 'live'" in parameters


async def test_suggestions_name_the_deployment_that_made_them(app, service):
    job = await start(app)
    first = await app.document("0.txt")
    [figures] = [row for row in await app.container.autolabel.engines("p") if row.engine == "azure-language"]

    assert result_json(job)["model"] == "support/production"
    assert first is not None
    assert first.suggestions is not None
    assert first.suggestions.model == "support/production"
    assert figures.model == "support/production"
    assert [(model.model, model.suggested) for model in figures.models] == [("support/production", 30)]


async def test_a_service_is_offered_only_to_projects_that_it_has_a_model_for(service, storage, clock):
    engine = AzureLanguageEngine(LanguageOptions(service.address, KEY))
    app = in_process(storage, clock, engines={NAME: lambda: engine})
    await app.create(on_upload=False)
    await app.upload({"a.txt": "text"})
    await app.drain()
    [without] = (await app.autolabel("first")).errors

    def push(project: Project) -> Project:
        return replace(project, deployed=DeployedModel("mine", "live"))

    await app.container.stores.directory.update("p", push)
    [pushed] = (await app.autolabel("second")).errors
    estimate = await app.container.autolabel.estimate("p", AutolabelRequest())
    await engine.close()

    assert without.code == pushed.code == "NotEnoughLabels"
    assert NAME not in without.message
    assert f"The engine '{NAME}' needs no labels" in pushed.message
    assert estimate.unavailable == pushed.message


async def test_instances_share_the_calls_of_a_minute():
    rates = CallRates(MemoryStorage().table("projects"))
    start = datetime(2030, 1, 1, tzinfo=UTC)
    granted: list[int] = []
    for second in range(0, 60, 2):
        now = start + timedelta(seconds=second + 5)
        taken = await asyncio.gather(*(rates.take("s", 1_000, 4, now) for _ in range(25)))
        granted += [calls for calls, _ in taken]

    assert 800 <= sum(granted) <= 1_000


async def test_batches_take_turns_over_all_instances():
    table = MemoryStorage().table("projects")
    first, second = CallRates(table), CallRates(table)
    now = datetime(2030, 1, 1, tzinfo=UTC)

    taken = await asyncio.gather(*(rates.reserve("s", 0.5, now) for rates in (first, second, first, second)))
    assert sorted(taken) == [0.0, 27.5, 27.5, 27.5]
    assert await second.until_free("s", now + timedelta(seconds=20)) == 7.5
    assert await second.reserve("s", 0.5, now + timedelta(seconds=27.5)) == 0.0
    assert await first.reserve("s", 0.5, now + timedelta(seconds=60)) == 0.0
    assert await first.reserve("s", 0.5, now + timedelta(seconds=61)) == 31.5
    assert await first.reserve("another", 0.5, now) == 0.0


async def test_a_caller_without_a_call_is_given_the_time_until_there_are_more():
    rates = CallRates(MemoryStorage().table("projects"))
    now = datetime(2030, 1, 1, 0, 0, 4, tzinfo=UTC)

    assert await rates.take("s", 70, 8, now) == (8, 0.0)
    assert await rates.take("s", 70, 8, now) == (2, 6.0)
    assert await rates.take("s", 70, 8, now) == (0, 6.0)
    assert await rates.take("s", 70, 8, now + timedelta(seconds=6)) == (8, 0.0)
    assert await rates.take("another", 70, 8, now) == (8, 0.0)
