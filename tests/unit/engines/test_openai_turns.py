"""How many requests of the engine azure-openai go together: fewer where a server answers them one after the other."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from shared.domain.names import ProjectKind
from shared.domain.project import Category
from shared.engines import Task
from shared.engines.azure_openai.client import TRIES, Client
from shared.engines.azure_openai.engine import GIVES_UP_AFTER, AzureOpenAIEngine, OpenAIOptions
from shared.engines.azure_openai.turns import AT_ONCE, GROWS_AFTER, Turns
from shared.engines.base import Answer, Deadline
from tests.support.virtual_time import VirtualLoop

TASK = Task(ProjectKind.SINGLE_LABEL, (Category("Refund"), Category("Login")), (), "en-us")
ANSWER = SimpleNamespace(
    usage=None,
    choices=[
        SimpleNamespace(
            finish_reason="stop",
            logprobs=None,
            message=SimpleNamespace(content='{"category": "Login"}', refusal=None),
        )
    ],
)

type Works = Callable[[str], Awaitable[None]]
"""What a server does before it answers about a text; canceled when the client gives up."""


class Server:
    """In place of the network, in virtual time: `sent` counts the requests of each text."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, works: Works) -> None:
        self.sent = Counter[str]()

        async def send(_client: Client, _: object, messages: Sequence[Any], *_rest: object) -> object:
            text = messages[-1]["content"]
            self.sent[text] += 1
            await works(text)
            return ANSWER

        monkeypatch.setattr(Client, "_send", send)


def asked(texts: Sequence[str], timeout: float) -> tuple[list[list[Answer]], float]:
    """The answers of each message until all texts have one, with the time that a batch has; and the seconds in all."""

    async def ask() -> tuple[list[list[Answer]], float]:
        loop = asyncio.get_running_loop()
        options = OpenAIOptions("http://localhost/v1", "secret", "fake-model", timeout=timeout)
        engine = AzureOpenAIEngine(options, lambda: None)  # type: ignore[arg-type,return-value]
        model = await engine.load(await engine.prepare(TASK))
        rest, messages = list(texts), list[list[Answer]]()
        while rest:
            now = loop.time()
            answers = await model.answer(rest, deadline=Deadline(now + 120, now + 500, loop.time))
            messages.append([answer for answer in answers if not answer.unsent])
            rest = [text for text, answer in zip(rest, answers, strict=True) if answer.unsent]
            assert len(messages) <= len(texts), "it has no end"
        await engine.aclose()
        return messages, loop.time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(ask())


@pytest.mark.parametrize("seconds", [3, 8, 12, 18, 27])
def test_a_server_with_one_slot_answers_every_document(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """The first timeout of a document that waited for others does not count as a try."""
    slot: list[asyncio.Lock] = []

    async def one_by_one(_text: str) -> None:
        slot[:] = slot or [asyncio.Lock()]
        async with slot[0]:
            await asyncio.sleep(seconds)

    Server(monkeypatch, one_by_one)
    messages, took = asked([f"Login {number}" for number in range(25)], timeout=30)
    answers = [answer for message in messages for answer in message]
    assert [answer.failure for answer in answers] == [None] * 25
    assert took < 3 * 25 * seconds


def test_a_slow_document_among_quick_ones_costs_them_about_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def one_is_slow(text: str) -> None:
        await asyncio.sleep(1_000 if text == "slow" else 1)

    server = Server(monkeypatch, one_is_slow)
    limits: list[int] = []
    timed_out = Turns.timed_out

    def noted(turns: Turns, before: int) -> bool:
        others = timed_out(turns, before)
        limits.append(turns.limit)
        return others

    monkeypatch.setattr(Turns, "timed_out", noted)
    [answers], _ = asked(["slow", *(f"quick {number}" for number in range(700))], timeout=30)
    assert limits == [AT_ONCE] * 3
    assert server.sent.pop("slow") == TRIES["timeout"] + 1
    assert set(server.sent.values()) == {1}
    assert [answer.failure.code for answer in answers if answer.failure] == ["EngineTimeout"]


@pytest.mark.parametrize("timeout", [30, 300])
def test_a_server_that_hangs_fails_its_documents_soon(
    monkeypatch: pytest.MonkeyPatch, timeout: float
) -> None:
    async def hangs(_text: str) -> None:
        await asyncio.Event().wait()

    server = Server(monkeypatch, hangs)
    messages, took = asked([f"text {number}" for number in range(25)], timeout)
    answers = [answer for message in messages for answer in message]
    assert {answer.failure.code for answer in answers if answer.failure} == {"EngineTimeout"}
    assert len(answers) == 25
    assert len(messages) <= 2
    assert took < 5 * timeout
    # Others are sent until so many have failed in a row.
    assert server.sent.total() <= TRIES["timeout"] * (AT_ONCE + GIVES_UP_AFTER)


def test_a_document_that_times_out_while_others_are_answered_fails_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the time for another try, it is sent once more in a later message, and no more."""

    async def one_is_slow(text: str) -> None:
        await asyncio.sleep(1_000 if text == "slow" else 100)

    server = Server(monkeypatch, one_is_slow)
    messages, _ = asked(["slow", *(f"quick {number}" for number in range(7))], timeout=300)
    assert [len(message) for message in messages] == [7, 1]
    assert messages[1][0].failure is not None
    assert messages[1][0].failure.code == "EngineTimeout"
    assert server.sent["slow"] == 2


def test_a_message_without_an_answer_is_a_failure_whoever_else_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Other jobs share the server."""
    monkeypatch.setattr(Turns, "timed_out", lambda *_: True)

    async def hangs(_text: str) -> None:
        await asyncio.Event().wait()

    Server(monkeypatch, hangs)
    [[answer]], _ = asked(["text"], timeout=300)
    assert answer.failure is not None
    assert answer.failure.code == "EngineTimeout"


def test_timeouts_halve_the_number_if_others_were_answered_and_few_in_between() -> None:
    turns = Turns(8)
    assert not turns.timed_out(0), "nobody was answered: it is slow for all, or hangs"
    assert not turns.timed_out(0)
    assert turns.limit == 8
    turns.answered()
    for expected in (4, 2, 1, 1):
        assert turns.timed_out(0)
        assert turns.limit == expected


def test_one_timeout_among_many_answers_halves_nothing() -> None:
    turns = Turns(8)
    for _ in range(3):
        assert turns.timed_out(-1)
        assert turns.limit == 8
        for _ in range(9):
            turns.answered()


def test_answers_double_the_number_again() -> None:
    turns = Turns(8)
    turns.answered()
    for _ in range(4):
        turns.timed_out(0)
    assert turns.limit == 1
    for expected in (1, 2, 4, 8):
        assert turns.limit == expected
        for _ in range(GROWS_AFTER):
            turns.answered()
    assert turns.limit == 8


async def test_whoever_came_first_goes_first() -> None:
    turns = Turns(1)
    order: list[str] = []

    async def goes(name: str) -> None:
        async with turns.turn():
            order.append(name)

    async with turns.turn():
        waiting = [asyncio.create_task(goes(name)) for name in ("second", "canceled", "third")]
        await asyncio.sleep(0)
        waiting.pop(1).cancel()
    await goes("again")
    await asyncio.gather(*waiting)
    assert order == ["second", "third", "again"]


async def test_a_turn_that_comes_as_its_task_is_canceled_goes_to_the_next() -> None:
    turns = Turns(1)

    async def goes() -> None:
        async with turns.turn():
            pass

    async with turns.turn():
        canceled, following = asyncio.create_task(goes()), asyncio.create_task(goes())
        await asyncio.sleep(0)
    canceled.cancel()
    await following
    assert canceled.cancelled()


async def test_a_request_that_waited_in_vain_goes_before_all_who_wait() -> None:
    turns, order = Turns(1), list[str]()

    async def take(name: str, *, first: bool = False) -> None:
        async with turns.turn(first=first):
            order.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(take("running"), take("waiting"), take("again", first=True))
    assert order == ["running", "again", "waiting"]
