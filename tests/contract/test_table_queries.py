"""Queries of tables: ranges, limits and pages."""

from shared.storage.gateways.ports import (
    Insert,
    Row,
    Table,
)


async def keys_of(table: Table, partition: str, low: str = "", high: str | None = None) -> list[str]:
    return [row.key for row in await table.query(partition, low, high)]


async def fill(table: Table, keys: list[str]) -> None:
    for start in range(0, len(keys), 100):
        await table.commit("p", [Insert(key, {"k": key, "n": 1}) for key in keys[start : start + 100]])


async def test_a_quote_in_a_partition_cannot_widen_a_query(table: Table) -> None:
    await table.commit("secret", [Insert("k", {})])

    assert await table.query("x' or PartitionKey ne 'x") == []
    assert await table.query("x", "' or PartitionKey ne '", "z' or '1' eq '1") == []


async def test_select_gives_these_properties_and_the_etag(table: Table) -> None:
    [etag] = await table.commit("p", [Insert("k", {"a": 1, "b": 2, "c": b"x"})])
    expected = Row("p", "k", etag, {"a": 1, "c": b"x"})

    assert await table.get("p", "k", select=["a", "c", "absent"]) == expected
    assert await table.query("p", select=["a", "c", "absent"]) == [expected]
    assert [row async for page in table.pages("p", select=["a", "c"]) for row in page] == [expected]


async def test_ranges_are_half_open_and_in_ordinal_order(table: Table) -> None:
    keys = ["B", "a", "a|1", "a|10", "a|2", "a~", "b", "é", "\ue000", "😀"]
    await fill(table, list(reversed(keys)))
    ordinal = ["B", "a", "a|1", "a|10", "a|2", "a~", "b", "é", "😀", "\ue000"]  # by UTF-16 code unit

    assert await keys_of(table, "p") == ordinal
    assert await keys_of(table, "p", "a|", "a}") == ["a|1", "a|10", "a|2"]
    assert await keys_of(table, "p", "a", "a|2") == ["a", "a|1", "a|10"]
    assert await keys_of(table, "p", "b") == ["b", "é", "😀", "\ue000"]
    assert await keys_of(table, "p", "a|3", "a|3") == []
    assert await keys_of(table, "other") == []


async def test_a_query_follows_the_continuation_to_the_end_or_its_limit(table: Table) -> None:
    keys = [f"{n:04d}" for n in range(1200)]
    await fill(table, keys)

    assert await keys_of(table, "p") == keys
    assert [row.key for row in await table.query("p", "0010", limit=7)] == keys[10:17]
    assert [row.key for row in await table.query("p", limit=1100)] == keys[:1100]
    assert [row.key for row in await table.query("p", "1195", limit=50)] == keys[1195:]
    assert await table.query("p", "2", limit=5) == []


async def test_pages_together_are_the_query(table: Table) -> None:
    await fill(table, [f"{n:02d}" for n in range(30)])

    pages = [page async for page in table.pages("p", "05", "25")]

    assert [row for page in pages for row in page] == await table.query("p", "05", "25")


async def test_pages_may_be_left_before_the_end(table: Table) -> None:
    await fill(table, ["a", "b", "c", "d", "e"])

    async for page in table.pages("p"):
        assert page[0].key == "a"
        break

    assert len(await table.query("p")) == 5


async def test_partitions_do_not_meet(table: Table) -> None:
    await table.commit("p", [Insert("k", {"n": 1})])
    await table.commit("p|todo", [Insert("k", {"n": 2})])

    assert [row.values["n"] for row in await table.query("p")] == [1]
    assert [row.values["n"] for row in await table.query("p|todo")] == [2]
