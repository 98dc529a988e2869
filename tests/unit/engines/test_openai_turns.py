"""How many requests of the engine azure-openai go together: fewer where a server answers them one after the other."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import override

import httpx
import pytest

from shared.domain.names import ProjectKind
from shared.domain.project import Category
from shared.engines import Task
from shared.engines.azure_openai import client
from shared.engines.azure_openai.engine import AzureOpenAIEngine, OpenAIOptions
from shared.engines.azure_openai.turns import GROWS_AFTER, Turn, Turns
from tests.fakes.openai import completion
from tests.support.waiting import eventually

TASK = Task(ProjectKind.SINGLE_LABEL, (Category("Refund"), Category("Login")), (), "en-us")


async def _together(turns: Turns, count: int) -> list[Turn]:
    async with AsyncExitStack() as taken:
        return [await taken.enter_async_context(turns.turn()) for _ in range(count)]


class OneAtATime(httpx.AsyncBaseTransport):
    """A server that has one request to answer until `released` is set; any other one times out, without taking time."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self._busy = False

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._busy:
            raise httpx.ReadTimeout("No answer in time.", request=request)
        self._busy = True
        try:
            await self.released.wait()
        finally:
            self._busy = False
        body = json.loads(request.content)
        return httpx.Response(200, json=completion(body, body["messages"][-1]["content"], body["model"]))


async def test_a_server_that_answers_one_request_at_a_time_answers_every_document(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A timeout of a request that waited for others does not count as a try of its document."""
    monkeypatch.setitem(client.TRIES, "timeout", 1)
    server = OneAtATime()
    monkeypatch.setattr(client, "_http_client", lambda: httpx.AsyncClient(transport=server))
    options = OpenAIOptions("http://server/v1", "secret", "fake-model")
    engine = AzureOpenAIEngine(options, lambda: None)  # type: ignore[arg-type,return-value]
    model = await engine.load(await engine.prepare(TASK))
    asking = asyncio.create_task(model.answer([f"@Login {n}" for n in range(10)]))

    async def one_goes_alone() -> bool:
        return asking.done() or engine._client._turns.limit == 1

    await eventually("one request at a time", one_goes_alone)
    server.released.set()
    found = await asking
    await engine.aclose()
    assert [answer.failure for answer in found] == [None] * 10
    assert {answer.predictions[0].category for answer in found} == {"Login"}


async def test_timeouts_of_requests_that_went_together_halve_their_number_once() -> None:
    turns = Turns(8)
    for expected in (4, 2, 1):
        for turn in await _together(turns, turns.limit):
            assert turns.timed_out(turn)
        assert turns.limit == expected
    [alone] = await _together(turns, 1)
    assert not turns.timed_out(alone), "the server is slow, or does not answer at all"
    assert turns.limit == 1


async def test_only_so_many_go_together() -> None:
    turns = Turns(2)
    order: list[str] = []

    async def waits() -> None:
        async with turns.turn():
            order.append("third")

    async with turns.turn():
        async with turns.turn():
            third = asyncio.create_task(waits())
            canceled = asyncio.create_task(waits())
            await asyncio.sleep(0)
            canceled.cancel()
            order.append("second ends")
        await third
    assert order == ["second ends", "third"]


async def test_answers_raise_the_number_again() -> None:
    turns = Turns(2)
    turns.timed_out((await _together(turns, 2))[0])
    for _ in range(GROWS_AFTER - 1):
        turns.answered()
    assert turns.limit == 1
    turns.answered()
    assert turns.limit == 2
    for _ in range(GROWS_AFTER):
        turns.answered()
    assert turns.limit == 2
