"""When the engine azure-openai sends a request, and when it sends no more: errors of the caller, and the deadline."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.domain.names import ProjectKind
from shared.domain.project import Category
from shared.engines import Task
from shared.engines.azure_openai import client
from shared.engines.azure_openai.engine import AzureOpenAIEngine, LanguageModel, OpenAIOptions
from shared.engines.azure_openai.turns import AT_ONCE
from shared.engines.base import Answer, Deadline
from tests.fakes.openai import FakeOpenAI
from tests.fakes.server import serve
from tests.support.waiting import eventually

TASK = Task(ProjectKind.SINGLE_LABEL, (Category("Refund"), Category("Login")), (), "en-us")
TIMEOUT = 5


@pytest.fixture
def fake() -> FakeOpenAI:
    return FakeOpenAI()


@pytest.fixture
async def model(fake: FakeOpenAI) -> AsyncIterator[LanguageModel]:
    async with serve(fake.app()) as url:
        options = OpenAIOptions(f"{url}/v1", "secret", "fake-model", timeout=TIMEOUT)
        engine = AzureOpenAIEngine(options, lambda: None)  # type: ignore[arg-type,return-value]
        yield await engine.load(await engine.prepare(TASK))
        fake.released.set()
        await engine.aclose()


async def test_after_an_error_of_the_caller_no_more_requests_are_sent(
    fake: FakeOpenAI, model: LanguageModel
) -> None:
    async def breaks(_place: int, _answer: Answer) -> None:
        raise ZeroDivisionError

    before = asyncio.all_tasks()
    with pytest.raises(ZeroDivisionError):
        await model.answer(["@Login first", *(f"@Login {n} #held" for n in range(30))], on_answer=breaks)

    async def ended() -> bool:
        return not any("in_turn" in repr(task) for task in asyncio.all_tasks() - before)

    fake.released.set()
    await eventually("the end of what was under way", ended)
    assert len(fake.requests) <= AT_ONCE + 1


async def test_a_request_is_sent_again_only_with_time_for_an_answer(
    fake: FakeOpenAI, model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time passes in the pause before it: waiting for a turn, say."""
    now = [0.0]
    paused = client.Client._pause_or_raise

    async def passes(*arguments: Any) -> Any:
        failure = await paused(*arguments)
        now[0] = 100 - TIMEOUT
        return failure

    monkeypatch.setattr(client.Client, "_pause_or_raise", passes)
    [answer] = await model.answer(["@Login #500"], deadline=Deadline(50, 100, lambda: now[0]))

    assert answer.failure is not None
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("kind", "setting", "most"),
    [
        (ProjectKind.SINGLE_LABEL, 0, 2_000),
        (ProjectKind.MULTI_LABEL, 0, 4_000),
        (ProjectKind.ENTITIES, 0, 8_000),
        (ProjectKind.ENTITIES, 300, 300),
    ],
)
async def test_the_longest_answer_is_that_of_the_kind_or_of_the_settings(
    fake: FakeOpenAI, kind: ProjectKind, setting: int, most: int
) -> None:
    async with serve(fake.app()) as url:
        options = OpenAIOptions(f"{url}/v1", "secret", "fake-model", max_answer_tokens=setting)
        engine = AzureOpenAIEngine(options, lambda: None)  # type: ignore[arg-type,return-value]
        model = await engine.load(await engine.prepare(Task(kind, TASK.categories)))
        await model.answer(["@Login"])
        await engine.aclose()
    assert [request["max_completion_tokens"] for request in fake.requests] == [most]
