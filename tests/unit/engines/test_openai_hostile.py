"""The engine azure-openai against a server that means harm: each failure is one document's, and has an end."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from shared.domain.names import ProjectKind
from shared.domain.project import Category
from shared.engines import Task, responses
from shared.engines.azure_openai import answers, client
from shared.engines.azure_openai.answers import DEFAULT_CONFIDENCE, Token
from shared.engines.azure_openai.engine import AzureOpenAIEngine, OpenAIOptions
from shared.engines.base import Answer, redacted
from tests.fakes.server import serve

TASK = Task(ProjectKind.SINGLE_LABEL, (Category("Refund"), Category("Login")), (), "en-us")
KEY = "the-key-of-the-app"

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
type Ask = Callable[..., Awaitable[Answer]]


def completion(content: Any = '{"category": "Refund"}', **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice | more]}


@pytest.fixture
async def ask(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ask]:
    """Asks about one document; the server answers every request with the handler."""
    monkeypatch.setattr(client, "FIRST_PAUSE", 0.001)
    engines: list[AzureOpenAIEngine] = []

    async def asks(handler: Handler, azure: bool = False, seconds: float = 30) -> Answer:
        app = web.Application()
        app.router.add_post("/{path:.*}", handler)
        async with serve(app) as url:
            other = OpenAIOptions(f"{url}/v1", KEY, "m", timeout=seconds)
            own = OpenAIOptions(azure_endpoint=url, azure_deployment="m", azure_key=KEY,
                                azure_api_version="2024-10-21", timeout=seconds)  # fmt: skip
            engine = AzureOpenAIEngine(own if azure else other, lambda: None)  # type: ignore[arg-type,return-value]
            engines.append(engine)
            model = await engine.load(await engine.prepare(TASK))
            [answer] = await model.answer(["I want my money back."])
            return answer

    yield asks
    for engine in engines:
        await engine.aclose()


def code(answer: Answer) -> str:
    assert answer.failure is not None
    assert answer.predictions == ()
    assert KEY not in answer.failure.message
    return answer.failure.code


@pytest.mark.parametrize("azure", [False, True])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_takes_neither_document_nor_key_elsewhere(
    ask: Ask, azure: bool, status: int
) -> None:
    stolen: list[Any] = []

    async def thief(request: web.Request) -> web.StreamResponse:
        stolen.append((dict(request.headers), await request.text()))
        return web.json_response(completion())

    elsewhere = web.Application()
    elsewhere.router.add_route("*", "/{path:.*}", thief)
    async with serve(elsewhere) as other:

        async def redirect(_request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, headers={"Location": f"{other}/v1/chat/completions"})

        assert code(await ask(redirect, azure)) == "EngineRefused"
    assert stolen == []


@pytest.mark.parametrize(
    ("status", "said", "tries"),
    [
        (200, "InvalidAnswer", 1),
        (400, "EngineRefused", 1),
        (401, "EngineAccessDenied", 1),
        (429, "EngineThrottled", client.TRIES["busy"]),
        (502, "EngineUnavailable", client.TRIES["unavailable"]),
    ],
)
async def test_a_response_without_end_is_not_read_to_its_end(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, status: int, said: str, tries: int
) -> None:
    """That of an error, as the page of a proxy, is what its status says: what may pass is tried again."""
    monkeypatch.setattr(responses, "MAX_RESPONSE", 10_000)
    requests = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal requests
        requests += 1
        response = web.StreamResponse(status=status, headers={"Content-Type": "text/html"})
        await response.prepare(request)
        while True:
            await response.write(b" " * 1_000)

    answer = await ask(endless)
    assert code(answer) == said
    assert answer.failure is not None
    assert ("larger than 10,000 bytes" in answer.failure.message) == (status == 200)
    assert requests == tries


async def test_a_response_that_would_expand_is_not_read(ask: Ask) -> None:
    asked: list[str] = []

    async def bomb(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers["Accept-Encoding"])
        body = gzip.compress(json.dumps(completion()).encode())
        return web.Response(body=body, headers={"Content-Encoding": "gzip"}, content_type="application/json")

    answer = await ask(bomb)
    assert code(answer) == "InvalidAnswer"
    assert answer.failure is not None
    assert "turn off compression" in answer.failure.message
    assert asked == ["identity"]


async def test_a_compressed_error_is_what_its_status_says(ask: Ask) -> None:
    async def refused(_request: web.Request) -> web.StreamResponse:
        body = gzip.compress(b'{"error": {"message": "No such key."}}')
        return web.Response(status=401, body=body, headers={"Content-Encoding": "gzip"})

    assert code(await ask(refused)) == "EngineAccessDenied"


async def test_a_response_that_comes_byte_by_byte_has_the_time_of_one_response(ask: Ask) -> None:
    requests = 0

    async def drip(request: web.Request) -> web.StreamResponse:
        nonlocal requests
        requests += 1
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    assert code(await ask(drip, seconds=0.3)) == "EngineTimeout"
    assert requests <= client.TRIES["timeout"]


@pytest.mark.parametrize(
    "body",
    [
        [],
        "text",
        None,
        7,
        {},
        {"choices": "Refund"},
        {"choices": [None]},
        {"choices": ["Refund"]},
        {"choices": [{"message": "Refund"}]},
        {"choices": [{"message": {"content": {"category": "Refund"}}}]},
        completion(["Refund"]),
        completion(7),
        completion('{"category": 7}'),
        completion('{"category": NaN}'),
        completion("[" * 50_000),
        completion('{"category": "Refund"}') | {"usage": "much", "choices": [{"finish_reason": ["stop"]}]},
    ],
)
async def test_json_of_other_types_is_no_answer(ask: Ask, body: Any) -> None:
    async def answers_so(_request: web.Request) -> web.StreamResponse:
        return web.json_response(body)

    assert code(await ask(answers_so)) == "InvalidAnswer"


async def test_json_that_is_too_deep_is_no_answer(ask: Ask) -> None:
    async def deep(_request: web.Request) -> web.StreamResponse:
        return web.Response(text="[" * 500_000, content_type="application/json")

    assert code(await ask(deep)) == "InvalidAnswer"


async def test_an_answer_longer_than_any_is_no_answer(ask: Ask) -> None:
    async def long(_request: web.Request) -> web.StreamResponse:
        return web.json_response(completion('{"category": "Refund", "more": "%s"}' % ("x" * 200_000)))

    assert code(await ask(long)) == "AnswerTruncated"


@pytest.mark.parametrize(
    "error",
    [
        {"code": ["content_filter"], "message": "No."},
        {"code": {"content_filter": 1}, "param": {"logprobs": 1}, "message": ["logprobs"]},
        {"code": 7, "innererror": {"code": ["ResponsibleAIPolicyViolation"]}},
        {"message": "eyJ-" * 300_000},
        {"message": {"text": "No."}},
        ["No."],
        "No.",
        None,
    ],
)
async def test_an_error_of_other_types_is_a_refusal(ask: Ask, error: Any) -> None:
    async def refuses(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": error}, status=400)

    assert code(await ask(refuses)) == "EngineRefused"


@pytest.mark.parametrize(
    "wait",
    ["31536000", "1e400", "-1", "Wed, 21 Oct 2126 07:28:00 -0000", "Wed, 21 Oct 2026 07:28:00 +99999999999999999999"],
)  # fmt: skip
async def test_however_long_a_server_asks_to_wait_the_tries_end(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, wait: str
) -> None:
    monkeypatch.setattr(client, "LONGEST_PAUSE", 0.01)
    requests = 0

    async def busy(_request: web.Request) -> web.StreamResponse:
        nonlocal requests
        requests += 1
        body = {"error": {"message": f"Rate limit of the key {KEY}.", "code": "rate_limit_exceeded"}}
        return web.json_response(body, status=429, headers={"Retry-After": wait})

    assert code(await ask(busy)) == "EngineThrottled"
    assert requests == client.TRIES["busy"]


async def test_log_probabilities_out_of_range_give_no_confidence(ask: Ask) -> None:
    async def improbable(_request: web.Request) -> web.StreamResponse:
        tokens = [{"token": '{"category": "', "logprob": 0}, {"token": "Refund", "logprob": 0}]
        text = json.dumps(completion(logprobs={"content": tokens, "refusal": None}))
        text = text.replace('"Refund", "logprob": 0', f'"Refund", "logprob": -1{"0" * 400}')
        return web.Response(text=text, content_type="application/json")

    [found] = (await ask(improbable)).predictions
    assert (found.category, found.confidence) == ("Refund", DEFAULT_CONFIDENCE)


def test_a_long_answer_of_many_tokens_has_the_confidence_of_each_name() -> None:
    count = 5_000
    content = json.dumps({"entities": [{"text": "é", "category": "Login"}] * count}, ensure_ascii=False)
    pieces = content.replace("Login", "\0Log\0in\0").replace("é", "\0é\0").split("\0")
    tokens = [Token(piece.encode(), -0.5 if piece in {"Log", "in"} else 0.0) for piece in pieces]
    assert len(tokens) > 4 * count

    task = Task(ProjectKind.ENTITIES, TASK.categories)
    found = answers.read(task, "é" * count, content, tokens, lambda value: value)
    assert {round(prediction.confidence, 4) for prediction in found.predictions} == {0.3679}
    assert len(found.predictions) == count


def test_of_a_long_reason_no_part_of_a_key_is_shown() -> None:
    client.keep_secret(KEY)
    said = redacted(f"{KEY} " * 3_000)
    assert len(said) < 4_000
    assert set(said.split()) == {"[redacted]"}


@pytest.mark.parametrize("body", ["<html>Sign in to the network</html>", '{"ok": true}', ""])
async def test_a_page_of_a_proxy_is_said_to_be_no_chat_completion(ask: Ask, body: str) -> None:
    async def page(_request: web.Request) -> web.StreamResponse:
        content_type = "text/html" if body.startswith("<") else "application/json"
        return web.Response(text=body, content_type=content_type)

    answer = await ask(page)
    assert code(answer) == "InvalidAnswer"
    assert answer.failure is not None
    assert "not a chat completion; check its address" in answer.failure.message
