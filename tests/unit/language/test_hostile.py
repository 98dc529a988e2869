"""The engine azure-language against a server that means harm, or is broken: every call ends."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web

from shared.domain.jobs import JobError
from shared.domain.labels import hundredths
from shared.domain.names import ProjectKind
from shared.engines import responses
from shared.engines.azure_language import service
from shared.engines.azure_language.authoring import LanguageAuthoring
from shared.engines.azure_language.engine import AzureLanguageEngine, LanguageModel
from shared.engines.azure_language.service import LanguageOptions
from shared.engines.base import EngineUnavailable, Task
from tests.fakes.language import KEY, RUNTIME
from tests.fakes.server import serve

TEXT = "I want my money back."

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answered_by(
    handler: Handler, kind: ProjectKind = ProjectKind.SINGLE_LABEL
) -> AsyncIterator[tuple[LanguageModel, LanguageAuthoring]]:
    """The engine's model, and a push, with a server that answers every call with the handler."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with serve(app) as address:
        options = LanguageOptions(address, KEY, "support", "production")
        engine, authoring = AzureLanguageEngine(options), LanguageAuthoring(options)
        try:
            yield await engine.load(await engine.prepare(Task(kind, ()))), authoring
        finally:
            await engine.close()
            await authoring.close()


def results(documents: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    item = {"kind": "CustomEntityRecognitionLROResults", "taskName": "labelbridge", "status": "succeeded",
            "results": {"documents": documents, "errors": []}}  # fmt: skip
    return {"jobId": "1", "status": "succeeded", "tasks": {"items": [item]}} | more


async def test_a_call_waits_10_s_for_a_connection_and_100_for_each_part_of_a_response() -> None:
    transport = LanguageOptions("https://x.cognitiveservices.azure.com", KEY, "p", "d").client_options[
        "transport"
    ]
    try:
        limits = transport.connection_config
        assert (limits.timeout, limits.read_timeout) == (10, 100)
    finally:
        await transport.close()


async def test_a_redirect_takes_neither_documents_nor_the_key_elsewhere() -> None:
    stolen: list[str] = []

    async def thief(request: web.Request) -> web.StreamResponse:
        stolen.append(request.path)
        return web.json_response({}, status=202, headers={"operation-location": f"{RUNTIME}/1"})

    elsewhere = web.Application()
    elsewhere.router.add_route("*", "/{path:.*}", thief)
    async with serve(elsewhere) as other:

        async def redirect(request: web.Request) -> web.StreamResponse:
            return web.Response(status=307, headers={"Location": f"{other}{request.path_qs}"})

        async with answered_by(redirect) as (model, authoring):
            for call in (
                model.start([{"id": "0", "text": TEXT}]),
                model.state("1"),
                authoring.has_project("support"),
                authoring.begin_import("support", b"{}"),
            ):
                with pytest.raises(EngineUnavailable, match="307"):
                    await call
    assert stolen == []


async def test_a_response_that_comes_byte_by_byte_has_the_time_of_one_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "CALL_SECONDS", 0.3)

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=202, headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    async with answered_by(drip) as (model, authoring):
        for call in (model.start([{"id": "0", "text": TEXT}]), model.state("1"), authoring.has_project("p")):
            with pytest.raises(EngineUnavailable, match="in time"):
                await call


async def test_a_response_without_end_is_not_read_to_its_end() -> None:
    """Nor are its documents sent again: they were taken, and may be charged."""
    sent = 0
    methods: list[str] = []

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        methods.append(request.method)
        location = {"operation-location": f"{RUNTIME}/1"}
        if request.method == "POST" and "jobs" in request.path:
            return web.Response(status=202, headers=location)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with suppress(ConnectionError):
            while sent < 20 * responses.MAX_RESPONSE:
                await response.write(b" " * 100_000)
                sent += 100_000
        return response

    async with answered_by(endless) as (model, authoring):
        answers = await model.answer([TEXT, TEXT])
        with pytest.raises(service.Refused, match="larger than 4,000,000 bytes"):
            await authoring.training_state("support", "1")
    failures = {answer.failure for answer in answers}
    assert failures == {
        JobError("InvalidAnswer", "Azure Language sent a response that is larger than 4,000,000 bytes.")
    }
    assert sent < 10 * responses.MAX_RESPONSE
    assert methods == ["POST", "GET", "GET"]


async def test_a_request_that_was_taken_is_not_sent_again_in_halves() -> None:
    posts = 0

    async def takes(request: web.Request) -> web.StreamResponse:
        nonlocal posts
        posts += 1
        headers = {"operation-location": f"{RUNTIME}/1"}
        return web.Response(status=202, headers=headers, body=b" " * (responses.MAX_RESPONSE + 1))

    async with answered_by(takes) as (model, _):
        answers = await model.answer([TEXT, TEXT])
    assert [answer.failure.code for answer in answers if answer.failure] == ["InvalidAnswer"] * 2
    assert posts == 1


async def test_all_pages_of_a_result_have_the_bound_of_one_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "MAX_RESPONSE", 2_000)

    async def page(request: web.Request) -> web.StreamResponse:
        return web.json_response(
            results(
                [{"id": request.query["skip"], "class": [], "more": "x" * 400}], nextLink=str(request.url)
            )
        )

    async with answered_by(page) as (model, _):
        with pytest.raises(service.Refused, match="larger than"):
            await model.state("1")


async def test_a_response_that_would_expand_is_not_read() -> None:
    async def bomb(_request: web.Request) -> web.StreamResponse:
        body = gzip.compress(b" " * 10_000_000)
        return web.Response(body=body, headers={"Content-Encoding": "gzip"}, content_type="application/json")

    async with answered_by(bomb) as (model, _):
        with pytest.raises(service.Refused, match="compressed"):
            await model.state("1")


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}])
async def test_an_error_that_is_too_large_is_what_its_status_says(headers: dict[str, str]) -> None:
    async def fails(_request: web.Request) -> web.StreamResponse:
        return web.Response(
            status=429, body=b" " * (responses.MAX_RESPONSE + 1), headers=headers | {"Retry-After": "7"}
        )

    async with answered_by(fails) as (model, _):
        for call in (model.start([{"id": "0", "text": TEXT}]), model.state("1")):
            with pytest.raises(service.Busy) as raised:
                await call
            assert raised.value.seconds == 7


async def test_pages_without_end_are_not_read_without_end() -> None:
    pages = 0

    async def again(request: web.Request) -> web.StreamResponse:
        nonlocal pages
        pages += 1
        return web.json_response(results([{"id": "0", "class": []}], nextLink=str(request.url)))

    async with answered_by(again) as (model, _):
        state, _ = await model.state("1")
    assert state.documents == {"0": []}
    assert pages == 2


@pytest.mark.parametrize(
    "body",
    [
        "<html>proxy</html>",
        "[" * 500_000,
        "[]",
        "7",
        '{"status": "succeeded", "tasks": [7]}',
        '{"status": "succeeded", "tasks": {"items": [7]}}',
        '{"status": "succeeded", "tasks": {"items": [{"results": {"documents": [{"id": "0", "class": "x"}]}}]}}',
        json.dumps(results([{"id": "0", "entities": [{"category": "A", "offset": "x", "length": 1}]}])),
        json.dumps(results([{"id": "0", "entities": [{"category": "A", "confidenceScore": 1}]}])),
        json.dumps(
            results([{"id": "0", "entities": [{"category": "A", "confidenceScore": 1, "length": 1, "offset": "@"}]}])
        ).replace('"@"', "1e999"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("content_type", ["application/json", "text/html"])
async def test_what_is_no_state_cannot_be_read(body: str, content_type: str) -> None:
    async def answers_so(_request: web.Request) -> web.StreamResponse:
        return web.Response(text=body, content_type=content_type)

    async with answered_by(answers_so) as (model, _):
        with pytest.raises(EngineUnavailable, match="Azure Language"):
            await model.state("1")


NOT_A_JOB = [
    "<html>proxy</html>",
    "[" * 500_000,
    "[]",
    "7",
    '{"jobId": "1"}',
    '{"jobId": "1", "status": "running", "result": {"trainingStatus": {"percentComplete": 1e999}}}',
]


@pytest.mark.parametrize("body", NOT_A_JOB)
@pytest.mark.parametrize("content_type", ["application/json", "text/html"])
async def test_what_is_no_job_of_a_push_cannot_be_read(body: str, content_type: str) -> None:
    async def answers_so(_request: web.Request) -> web.StreamResponse:
        return web.Response(text=body, content_type=content_type)

    async with answered_by(answers_so) as (_, authoring):
        with pytest.raises(EngineUnavailable, match="Azure Language"):
            await authoring.training_state("support", "1")


async def test_a_refusal_that_cannot_be_read_is_a_refusal() -> None:
    async def refuses(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=400, text="[" * 500_000, content_type="text/plain")

    async with answered_by(refuses) as (model, _):
        with pytest.raises(service.Refused):
            await model.state("1")


async def test_a_time_to_wait_of_any_length_is_bounded() -> None:
    async def busy(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=429, headers={"Retry-After": "9" * 5_000})

    async with answered_by(busy) as (model, _):
        with pytest.raises(service.Busy) as raised:
            await model.state("1")
    assert raised.value.seconds == service.MAX_RETRY_AFTER


async def test_numbers_out_of_range_are_no_suggestion_and_no_confidence() -> None:
    def entity(score: str, offset: int, length: int) -> str:
        return f'{{"category": "A", "confidenceScore": {score}, "offset": {offset}, "length": {length}}}'

    entities = [entity("NaN", 0, 1), entity("1e999", 2, 4), entity("1", -1, 3), entity("1", 10**30, 3),
                entity("1", 0, 10**30), entity("1", 3, -2)]  # fmt: skip
    body = json.dumps(results([{"id": "0", "entities": "@"}])).replace('"@"', f"[{', '.join(entities)}]")

    async def answers_so(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            return web.json_response({}, status=202, headers={"operation-location": f"{RUNTIME}/1"})
        return web.Response(text=body, content_type="application/json")

    async with answered_by(answers_so, ProjectKind.ENTITIES) as (model, _):
        [answer] = await model.answer([TEXT])
    found = [
        (hundredths(prediction.confidence), prediction.offset, prediction.length)
        for prediction in answer.predictions
    ]
    assert (found, answer.left_out) == ([(0, 0, 1), (0, 2, 4)], 4)
