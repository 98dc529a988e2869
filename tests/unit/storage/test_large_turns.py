"""How many large transactions are under way while storage is slow, for all projects or for one; in virtual time."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import override

import pytest

from shared.storage.gateways import azure_tables
from shared.storage.gateways.azure_tables import (
    KNOWN_SECONDS,
    LARGE,
    LARGE_AT_ONCE,
    LARGE_OF_PROJECT,
    AzureTable,
    Turns,
)
from shared.storage.gateways.ports import Operation, UpsertReplace
from tests.support.virtual_time import VirtualLoop

OPERATIONS = [UpsertReplace(f"page|{number}", {"v": 1}) for number in range(LARGE)]

type Run = Callable[[Awaitable[None]], None]


@pytest.fixture(name="run")
def run_in_virtual_time(monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(scenario: Awaitable[None]) -> None:
        async def awaited() -> None:
            await scenario

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            monkeypatch.setattr(azure_tables, "monotonic", runner.get_loop().time)
            runner.run(awaited())

    return run


class Partitions(AzureTable):
    """Answers the transactions of a project after so many seconds, or all one after the other with `one_by_one`."""

    def __init__(self, seconds: Mapping[str, float], *, one_by_one: bool = False) -> None:
        super().__init__(lambda: None)
        self.seconds = dict(seconds)
        self.service = asyncio.Semaphore(1 if one_by_one else 1_000)
        self.under_way = Counter[str]()
        self.seen: list[int] = []
        """How many were under way when each was sent, with itself."""

    @override
    async def _send(self, partition: str, operations: Sequence[Operation]) -> list[str]:
        self.under_way[partition] += 1
        self.seen.append(self.under_way.total())
        async with self.service:
            await asyncio.sleep(self.seconds[partition])
        self.under_way[partition] -= 1
        return [""] * len(operations)

    async def commits(self, project: str, count: int) -> float:
        """When the last of them was done."""
        await asyncio.gather(*(self.commit(project, OPERATIONS) for _ in range(count)))
        return asyncio.get_running_loop().time()


@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
def test_a_project_whose_partition_is_slow_does_not_hold_back_others(run: Run, *, known: bool) -> None:
    async def scenario() -> None:
        table = Partitions({"slow": 10, "fast": 0.1})
        slow = asyncio.create_task(table.commits("slow", 24))
        await asyncio.sleep(35)  # by now it is known to be slow
        if known:
            await table.commits("fast", 1)
        before = asyncio.get_running_loop().time()
        ended = await table.commits("fast", 3 * LARGE_OF_PROJECT)
        assert ended - before < 0.5, "four at a time; of a project that is new, the first alone"
        assert table.under_way["slow"] > 0
        await slow

    run(scenario())


def test_fewer_are_under_way_while_storage_is_slow_for_every_project(run: Run) -> None:
    async def scenario() -> None:
        table = Partitions(dict.fromkeys("abc", 2.0), one_by_one=True)
        await asyncio.gather(*(table.commits(project, 20) for project in "abc"))
        assert max(table.seen) == LARGE_AT_ONCE, "before anything is known"
        assert max(table.seen[LARGE_AT_ONCE * 2 :]) <= LARGE_AT_ONCE / 2

    run(scenario())


def test_projects_that_were_fast_long_ago_are_not_exempt_while_storage_is_slow_for_all(run: Run) -> None:
    async def scenario() -> None:
        table = Partitions(dict.fromkeys("abcd", 0.05), one_by_one=True)
        for project in "abc":
            await table.commits(project, 1)
        await asyncio.sleep(KNOWN_SECONDS)
        table.seconds = dict.fromkeys("abcd", 4.0)
        await table.commits("d", 4)  # by now storage is known to be slow
        table.seen.clear()
        await asyncio.gather(*(table.commits(project, 12) for project in "abc"))
        assert max(table.seen) <= len("abc"), "of each the first, as nothing is known of it"

    run(scenario())


def test_after_one_slow_transaction_a_project_soon_has_as_many_under_way_as_before(run: Run) -> None:
    async def scenario() -> None:
        table = Partitions({"a": 60})
        await table.commits("a", 1)
        table.seconds["a"] = 0.1
        await table.commits("a", 24)
        assert table.seen[1] == 1
        assert max(table.seen[:4]) == 1
        assert max(table.seen[12:]) == LARGE_OF_PROJECT

    run(scenario())


@pytest.mark.parametrize("admitted", [False, True], ids=["while it waits", "when its turn has come"])
def test_one_that_is_canceled_leaves_its_turn_to_the_next(run: Run, *, admitted: bool) -> None:
    async def scenario() -> None:
        turns = Turns()
        for number in range(LARGE_AT_ONCE):
            await turns.begin(f"{number}")
        canceled, following = (asyncio.create_task(turns.begin(project)) for project in "ab")
        await asyncio.sleep(1)
        assert not canceled.done()
        assert not following.done()
        if admitted:
            turns.end("0", 0.1)
            canceled.cancel()
        else:
            canceled.cancel()
            await asyncio.wait([canceled])
            turns.end("0", 0.1)
        await asyncio.wait([canceled])
        assert canceled.cancelled()
        await following
        assert turns.under_way == LARGE_AT_ONCE
        for project in ["b", *(f"{number}" for number in range(1, LARGE_AT_ONCE))]:
            turns.end(project, 0.1)
        assert turns.under_way == 0

    run(scenario())


def test_a_save_does_not_wait_behind_batches(run: Run) -> None:
    async def scenario() -> None:
        table = Partitions({"a": 10})
        batches = asyncio.create_task(table.commits("a", 2 * LARGE_OF_PROJECT))
        await asyncio.sleep(1)
        table.seconds["a"] = 0.1
        await table.commit("a", OPERATIONS, at_once=True)
        assert asyncio.get_running_loop().time() == pytest.approx(1.1)
        await batches

    run(scenario())
