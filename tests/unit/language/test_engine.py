"""The engine `azure-language` with the official client against the documented wire format."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from shared.domain.jobs import JobError
from shared.domain.labels import Prediction
from shared.domain.names import ProjectKind
from shared.domain.project import DeployedModel
from shared.engines.azure_language.engine import AzureLanguageEngine, LanguageModel
from shared.engines.azure_language.service import LanguageOptions
from shared.engines.base import Answer, EngineNotConfigured, EngineUnavailable, Task, Text
from tests.fakes.faults import Fault
from tests.fakes.language import KEY, RUNTIME, FakeLanguage
from tests.fakes.server import serve

SINGLE, MULTI, ENTITIES = ProjectKind.SINGLE_LABEL, ProjectKind.MULTI_LABEL, ProjectKind.ENTITIES


@pytest.fixture
async def service() -> AsyncIterator[FakeLanguage]:
    fake = FakeLanguage()
    async with serve(fake.app()) as fake.address:
        yield fake


@pytest.fixture
async def engine(service: FakeLanguage) -> AsyncIterator[AzureLanguageEngine]:
    made = AzureLanguageEngine(LanguageOptions(service.address, KEY, "support", "production"))
    yield made
    await made.close()


async def model(engine: AzureLanguageEngine, kind: ProjectKind = SINGLE) -> LanguageModel:
    return await engine.load(await engine.prepare(Task(kind, ())))


class Run:
    """An exchange that is taken down to its stored state before each step, as by one message after another."""

    def __init__(self, model: LanguageModel, texts: Mapping[str, str], language: str = "") -> None:
        self.model = model
        self.texts = {key: Text(text, language) for key, text in texts.items()}
        self.state: bytes | None = None
        self.allowed: int | None = None
        self.waits: list[float] = []

    async def keep(self, state: bytes) -> None:
        self.state = state

    async def permit(self, calls: int) -> tuple[int, float]:
        if self.allowed is None:
            return calls, 0.0
        granted = min(calls, self.allowed)
        self.allowed -= granted
        return granted, 0.0 if granted == calls else 7.0

    async def step(self) -> bool:
        """Whether answers are missing still."""
        exchange = self.model.exchange(self.state)
        exchange.plan(self.texts)
        try:
            await exchange.send(self.texts, self.keep, self.permit)
            if not exchange.unsent:
                await exchange.poll(self.keep, self.permit)
        finally:
            self.waits.append(exchange.wait)
            self.state = exchange.dump()
        return exchange.waiting

    async def to_end(self) -> dict[str, Answer]:
        for _ in range(100):
            if not await self.step():
                return self.model.exchange(self.state).answers(self.texts)
        raise AssertionError("The exchange does not end.")


def _failure(answer: Answer) -> JobError:
    assert answer.failure is not None
    return answer.failure


def _covered(text: str, prediction: Prediction) -> str:
    """The part of the text that an entity covers."""
    offset, length = prediction.offset, prediction.length
    assert offset is not None
    assert length is not None
    return text[offset : offset + length]


def shown(answer: Answer) -> list[tuple[Any, ...]]:
    return [(p.category, p.confidence, p.offset, p.length) for p in answer.predictions]


async def test_the_request_is_the_documented_one(service, engine):
    run = Run(await model(engine, ENTITIES), {"a": "@Order:90 came"}, "en-us")

    await run.to_end()

    [body] = service.requests
    assert body["analysisInput"] == {
        "documents": [{"id": "0", "language": "en-us", "text": "@Order:90 came"}]
    }
    [task] = body["tasks"]
    assert task["kind"] == "CustomEntityRecognition"
    assert task["parameters"] == {
        "projectName": "support",
        "deploymentName": "production",
        "loggingOptOut": True,
        "stringIndexType": "Utf16CodeUnit",
    }
    assert all(call.split(" ")[1].startswith(RUNTIME) for call in service.calls)


@pytest.mark.parametrize("kind", [SINGLE, MULTI])
async def test_classes_come_with_their_confidences(service, engine, kind):
    run = Run(await model(engine, kind), {"a": "@Refund:73 and @Login:40", "b": "nothing"})

    answers = await run.to_end()

    both = [("Refund", 0.73, None, None), ("Login", 0.4, None, None)]
    assert shown(answers["a"]) == (both[:1] if kind is SINGLE else both)
    assert answers["b"] == Answer()
    [task] = service.requests[0]["tasks"]
    assert task["kind"] == kind.value
    assert "stringIndexType" not in task["parameters"]


async def test_offsets_are_code_points_of_the_document(engine):
    text = "😀👩‍👩‍👧 e\u0301\r\n@Order:90 🇩🇪 @Item:80"

    answer = (await Run(await model(engine, ENTITIES), {"a": text}).to_end())["a"]

    assert [_covered(text, p) for p in answer.predictions] == ["@Order:90", "@Item:80"]


async def test_entities_of_a_long_document_map_back(service, engine):
    line = "a plain line of text 😀 with an @Order:90 in it\r\n"
    text = line * (127_000 // len(line))

    answer = (await Run(await model(engine, ENTITIES), {"a": text}).to_end())["a"]

    assert len(service.texts) == 2
    assert "".join(service.texts) == text
    assert len(answer.predictions) == text.count("@Order:90")
    assert {_covered(text, p) for p in answer.predictions} == {"@Order:90"}


async def test_entities_that_are_not_of_the_text_are_dropped_and_counted(engine):
    made = await model(engine, ENTITIES)
    run = Run(made, {"a": "@Order:90"})
    await run.to_end()
    assert run.state is not None
    state = run.state.replace(b'"Order",0.9,0,9', b'"Order",0.9,2,5')
    assert state != run.state

    answer = made.exchange(state).answers(run.texts)["a"]

    assert (answer.predictions, answer.left_out) == ((), 1)


async def test_packs_what_a_request_takes(service, engine):
    texts = {str(n): f"@Refund:{50 + n % 50} number {n}" for n in range(60)} | {"long": "x" * 120_000}

    answers = await Run(await model(engine), texts).to_end()

    sizes = [len(body["analysisInput"]["documents"]) for body in service.requests]
    assert sorted(sizes) == [11, 25, 25]
    assert [answers[str(n)].predictions[0].confidence for n in range(60)] == [
        (50 + n % 50) / 100 for n in range(60)
    ]


@pytest.mark.parametrize(
    ("sizes", "requests"),
    [([125_000], [1]), ([125_001], [1, 1]), ([62_500, 62_500], [2]), ([62_500, 62_501], [1, 1])],
)
async def test_a_request_has_125_000_characters_at_most(service, engine, sizes, requests):
    texts = {str(n): "x" * size for n, size in enumerate(sizes)}

    await Run(await model(engine), texts).to_end()

    assert [len(body["analysisInput"]["documents"]) for body in service.requests] == requests
    assert service.calls[f"POST {RUNTIME}"] == len(requests)  # none was refused


async def test_a_document_error_is_the_documents_with_the_services_reason(engine):
    texts = {"a": "@Refund:73", "b": "@reject", "c": "@Login:60", "d": "@lose"}

    answers = await Run(await model(engine), texts).to_end()

    assert answers["b"].failure == JobError("InvalidDocument", "Document 1 cannot be analyzed.")
    assert _failure(answers["d"]).code == "NoResult"
    assert [answers[key].predictions[0].category for key in ("a", "c")] == ["Refund", "Login"]


async def test_one_document_that_has_the_request_refused_does_not_fail_the_others(service, engine):
    texts = {str(n): f"@Refund:73 {n}" for n in range(20)} | {"bad": "@refuse"}

    answers = await Run(await model(engine), texts).to_end()

    assert answers.pop("bad").failure == JobError("InvalidDocument", "A document is refused.")
    assert all(answer.failure is None for answer in answers.values())
    assert service.calls[f"POST {RUNTIME}"] <= 11


async def test_white_space_is_not_sent(service, engine):
    answers = await Run(await model(engine), {"a": " \n\t", "b": "@Refund:73"}).to_end()

    assert answers["a"] == Answer()
    assert service.texts == ["@Refund:73"]


async def test_a_missing_deployment_fails_the_documents_without_asking_for_each(service, engine):
    service.deployed = set()
    texts = {str(n): f"number {n}" for n in range(150)}

    answers = await Run(await model(engine), texts).to_end()

    assert {_failure(a).message for a in answers.values()} == {
        "The deployment 'production' of 'support' was not found."
    }
    assert service.calls[f"POST {RUNTIME}"] <= 4


async def test_a_wrong_key_fails_the_documents_with_the_reason(service, engine):
    service.key = "another"

    answer = (await Run(await model(engine), {"a": "text"}).to_end())["a"]

    assert answer.failure == JobError("Unauthorized", "Access denied due to invalid subscription key.")


async def test_what_was_sent_is_not_sent_again_after_a_crash(service, engine):
    service.polls = 2
    run = Run(await model(engine), {str(n): f"@Refund:73 {n}" for n in range(250)})
    service.faults = [Fault(f"POST {RUNTIME}", cut="before", times=2)]

    with pytest.raises(EngineUnavailable):
        await run.step()
    before = len(service.requests)
    await run.to_end()

    assert before > 0
    assert len(service.requests) == 10
    assert len(set(service.texts)) == len(service.texts) == 250


async def test_text_records_are_those_that_the_service_has_and_does_not_refuse(service, engine):
    texts = {"long": "@Refund:73 " + "x" * 2_000, "short": "@Refund:73", "bad": "@reject", "blank": " \n"}
    run = Run(await model(engine), texts)
    service.polls = 1
    await run.step()
    sent = run.model.exchange(run.state)
    former = {field: value for field, value in json.loads(sent.dump()).items() if field != "records"}
    assert run.model.exchange(json.dumps(former).encode()).records == sent.records == 3 + 1 + 1
    sent.give_up(JobError("Timeout", "Too long."))
    assert sent.records == 5

    await run.to_end()

    ended = run.model.exchange(run.state)
    former = {field: value for field, value in json.loads(ended.dump()).items() if field != "records"}
    assert run.model.exchange(json.dumps(former).encode()).records == ended.records == 3 + 1


async def test_throttling_waits_for_as_long_as_the_service_asks(service, engine):
    service.faults = [Fault(f"POST {RUNTIME}", status=429, retry_after=17)]
    run = Run(await model(engine), {"a": "@Refund:73"})

    assert await run.step()
    assert run.waits == [17]
    assert service.calls.total() == 1
    assert (await run.to_end())["a"].predictions[0].category == "Refund"


async def test_results_are_not_asked_for_sooner_than_the_service_wants(service, engine):
    service.polls, service.retry_after = 1, 20
    run = Run(await model(engine), {"a": "@Refund:73"})

    assert await run.step()
    assert run.waits == [20]


async def test_the_pauses_between_questions_grow_to_half_a_minute(service, engine):
    service.polls = 12
    run = Run(await model(engine), {"a": "@Refund:73"})

    await run.to_end()

    pauses = run.waits[:-1]
    assert pauses == sorted(pauses)
    assert (pauses[0] < 1, pauses[-1]) == (True, 30)


async def test_without_a_permit_nothing_is_sent(service, engine):
    run = Run(await model(engine), {str(n): f"@Refund:73 {n}" for n in range(60)})
    run.allowed = 2

    assert await run.step()
    assert run.waits == [7]
    assert service.calls.total() == 2
    run.allowed = None
    assert len(await run.to_end()) == 60


async def test_a_job_that_fails_for_a_passing_reason_is_sent_once_more(service, engine):
    run = Run(await model(engine), {"a": "@Refund:73"})
    service.polls = 1
    await run.step()
    [operation] = service.operations.values()
    operation.status, operation.errors = "failed", [{"code": "InternalServerError", "message": "Try again."}]

    answers = await run.to_end()

    assert answers["a"].predictions[0].category == "Refund"
    assert len(service.requests) == 2
    assert run.model.exchange(run.state).records == 1


async def test_a_job_that_keeps_failing_fails_its_documents_with_the_reason(service, engine):
    run = Run(await model(engine), {"a": "@Refund:73", "b": "@Refund:73 too"})
    service.polls = 1

    async def fail() -> None:
        for operation in service.operations.values():
            operation.status, operation.errors = (
                "failed",
                [{"code": "InternalServerError", "message": "Broken."}],
            )

    for _ in range(20):
        waiting = await run.step()
        await fail()
        if not waiting:
            break
    answers = run.model.exchange(run.state).answers(run.texts)
    assert {answer.failure for answer in answers.values()} == {JobError("InternalServerError", "Broken.")}


async def test_results_come_in_pages(service, engine):
    service.page = 7
    texts = {str(n): f"@Refund:{50 + n}" for n in range(25)}

    answers = await Run(await model(engine), texts).to_end()

    assert [answers[str(n)].predictions[0].confidence for n in range(25)] == [
        (50 + n) / 100 for n in range(25)
    ]


async def test_a_changed_document_is_sent_again_and_the_old_answer_is_not_used(service, engine):
    service.polls = 1
    run = Run(await model(engine), {"a": "@Refund:73", "b": "@Refund:60"})
    await run.step()
    run.texts["a"] = Text("@Login:80 now")

    answers = await run.to_end()

    assert answers["a"].predictions[0].category == "Login"
    assert answers["b"].predictions[0].category == "Refund"
    assert service.texts == ["@Refund:73", "@Refund:60", "@Login:80 now"]


async def test_giving_up_fails_only_what_has_no_answer(service, engine):
    run = Run(await model(engine), {"a": "@Refund:73"})
    await run.to_end()
    service.polls = 50
    run.texts["b"] = Text("@Refund:60")
    await run.step()
    exchange = run.model.exchange(run.state)

    exchange.give_up(JobError("Timeout", "Too long."))

    answers = exchange.answers(run.texts)
    assert not exchange.waiting
    assert answers["a"].predictions
    assert answers["b"].failure == JobError("Timeout", "Too long.")


async def test_without_a_model_the_missing_settings_are_named():
    engine = AzureLanguageEngine(LanguageOptions("https://x.example", KEY, "", "production"))

    with pytest.raises(EngineNotConfigured, match="LANGUAGE_PROJECT"):
        await engine.prepare(Task(SINGLE, ()))
    pushed = Task(SINGLE, (), deployed=DeployedModel("mine", "live"))
    assert (await engine.load(await engine.prepare(pushed))).target == DeployedModel("mine", "live")


async def test_answer_waits_for_the_service(service, engine):
    service.polls = 1

    [first, second] = await (await model(engine)).answer(["@Refund:73", "@reject"])

    assert first.predictions[0].category == "Refund"
    assert _failure(second).code == "InvalidDocument"


@pytest.mark.parametrize("status", [400, 500])
async def test_a_key_that_the_service_repeats_is_redacted(service, engine, status):
    said = f"Ocp-Apim-Subscription-Key: {KEY}; Authorization: Bearer eyJhbGciOi.eyJzdWIi.c2ln was sent with {KEY}"
    inner = {"code": f"Bad{KEY}", "message": said}
    body = {"error": {"code": "InvalidRequest", "message": said, "innererror": inner}}
    service.faults = [Fault(f"POST {RUNTIME}", status=status, body=body, times=9)]
    try:
        found = str(await (await model(engine)).answer(["@Refund:73"]))
    except EngineUnavailable as error:
        found = str(error)
    assert "[redacted] was sent with [redacted]" in found
    assert KEY not in found
    assert "eyJ" not in found
