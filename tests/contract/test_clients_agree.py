"""The frequent calls by REST and by the SDK give the same answers to random inputs, down to types and ETags.

Both work on one account of Azurite: each writes, and both read. `make compare-storage` tries many more inputs.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, timedelta, timezone
from typing import Any
from uuid import uuid4

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shared.storage.gateways.ports import Blobs, Insert, Row, Table
from tests.contract.test_memory_agrees import new_side as side_of
from tests.contract.test_memory_agrees import outcome, ranges, transactions
from tests.support.azurite import QUIET, Azurite

EXAMPLES = int(os.environ.get("COMPARE_EXAMPLES", "20"))
many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    phases=(
        Phase.explicit,
        Phase.reuse,
        Phase.generate,
    ),  # shrinking takes minutes, for each example takes many calls
)

any_key = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\#?"), min_size=1, max_size=12
).filter(lambda key: "'," not in f"'{key}")  # of which Azurite's transactions mistake the partition
any_value = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([2**31, 2**31 - 1, -(2**31), -(2**31) - 1]),
    st.booleans(),
    st.floats(allow_nan=False),
    st.binary(max_size=3000),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=200),
    st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])).filter(
        lambda t: 1602 <= t.year <= 9998
    ),
)
any_values = st.dictionaries(
    st.from_regex("[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True), any_value, max_size=8
)
any_name = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    lambda name: not {".", ".."} & set(name.replace("\\", "/").split("/")) and name[-1] not in "./\\"
)


def typed(answer: Any) -> Any:
    """With the types of values, which `==` does not compare: 1 == 1.0 == True."""
    if isinstance(answer, Row):
        return answer, {name: type(value) for name, value in answer.values.items()}
    return [typed(item) for item in answer] if isinstance(answer, list) else answer


async def same[T](sides: Sequence[T], call: Callable[[T], Awaitable[Any]]) -> Any:
    """What both answer, however they fail."""
    answers = [typed(await outcome(call(side))) for side in sides]
    assert answers[0] == answers[1]
    return answers[0]


async def compare(azurite: Azurite, program: Callable[[Sequence[Any]], Awaitable[None]]) -> None:
    prefix = f"t{uuid4().hex[:16]}"
    async with azurite.storage(prefix) as rest, azurite.storage(prefix, rest=False) as sdk:
        await program((rest, sdk))


@many
@given(
    keys=st.lists(any_key, min_size=1, max_size=5, unique=True),
    partition=any_key,
    contents=st.lists(any_values, min_size=5, max_size=5),
)
def test_rows_of_any_keys_and_values(
    azurite: Azurite, keys: list[str], partition: str, contents: list[dict[str, Any]]
) -> None:
    async def program(clients: Sequence[Any]) -> None:
        tables: list[Table] = [client.table("rows") for client in clients]
        for number, writer in enumerate(tables):
            operations = [
                Insert(f"{key}{number}", values) for key, values in zip(keys, contents, strict=False)
            ]
            await writer.commit(partition, operations)
            await writer.commit(partition, [Insert(f"alone{number}", contents[-1])])
        rows = await same(tables, lambda table: table.query(partition))
        stored = {row.key: row.values for row, _ in rows}
        for key in stored:
            await same(tables, lambda table, key=key: table.get(partition, key))
            await same(tables, lambda table, key=key: table.query(partition, key, limit=1))
        for key, values in zip(keys, contents, strict=False):
            assert stored[f"{key}0"] == stored[f"{key}1"] == values
        await same(tables, lambda table: table.query(partition, select=list(contents[0])))
        for table in tables:
            assert typed([row async for page in table.pages(partition) for row in page]) == rows

    asyncio.run(compare(azurite, program))


@many
@given(steps=st.lists(transactions, min_size=2, max_size=6), asked=st.lists(ranges, max_size=3))
def test_transactions_and_single_operations(azurite: Azurite, steps: list[Any], asked: list[Any]) -> None:
    """The same operations on two tables: the same outcomes; each table reads the same by both."""

    async def program(clients: Sequence[Any]) -> None:
        sides = [await side_of(client) for client in clients]
        for number, side in enumerate(sides):
            side.table = clients[number].table(f"rows{number}")
        for step in steps:
            answers = [
                await side.commit("p", [side.operation(key, words) for key, words in step.items()])
                for side in sides
            ]
            assert answers[0] == answers[1], step
        for name in ("rows0", "rows1"):
            tables: list[Table] = [client.table(name) for client in clients]
            for low, high, limit in asked:
                await same(
                    tables, lambda t, low=low, high=high, limit=limit: t.query("p", low, high, limit=limit)
                )
            await same(tables, lambda table: table.query("p"))

    asyncio.run(compare(azurite, program))


@many
@given(name=any_name, data=st.binary(max_size=200), cap=st.sampled_from([None, 1, 5, 1000]), other=any_name)
def test_blobs_of_any_name(azurite: Azurite, name: str, data: bytes, cap: int | None, other: str) -> None:
    container = f"{QUIET}{uuid4().hex}"

    async def program(clients: Sequence[Any]) -> None:
        blobs: list[Blobs] = [client.blobs for client in clients]
        await same(blobs, lambda client: client.read(container, name, max_bytes=cap))
        await blobs[0].create_container(container)
        await blobs[0].write(container, name, data, content_type="text/plain; charset=utf-8")
        await same(blobs, lambda client: client.read(container, name, max_bytes=cap))
        await same(blobs, lambda client: client.read(container, other, max_bytes=cap))
        await same(blobs, lambda client: client.read("no container", name))

    asyncio.run(compare(azurite, program))
