"""Rows, transactions and queries."""

from datetime import UTC, datetime, timedelta, timezone
from math import inf, isnan, nan

import pytest

from shared.storage.gateways.ports import (
    Delete,
    Insert,
    Merge,
    Operation,
    Replace,
    Row,
    RowChanged,
    RowExists,
    RowMissing,
    StorageError,
    Table,
    UpsertMerge,
    UpsertReplace,
    Value,
)

VALUES: dict[str, Value] = {
    "text": "déjà vu 😀 \u2028 \"quoted\" 'single' \\ {brace}",
    "empty": "",
    "small": -7,
    "largest32": 2**31 - 1,
    "large": 2**31,
    "largest": 2**63 - 1,
    "least": -(2**63),
    "whole": 3.0,
    "share": 0.1,
    "yes": True,
    "no": False,
    "data": bytes(range(256)),
    "nothing": b"",
    "when": datetime(2026, 11, 24, 19, 30, 1, 234567, tzinfo=UTC),
}
AWKWARD_KEYS = [
    "a'b",
    "a|b",
    "a b",
    "100%",
    "%27",
    "a+b&c=d",
    "é😀",
    "~",
    "(x,y)",
    "'",
    "..",
    '"',
    "{}",
    "ü" * 512,
]


async def test_every_type_of_value_comes_back_as_it_was(table: Table) -> None:
    [etag] = await table.commit("p", [Insert("k", VALUES)])

    row = await table.get("p", "k")

    assert row
    assert row == Row("p", "k", etag, VALUES)
    assert {name: type(value) for name, value in row.values.items()} == {
        n: type(v) for n, v in VALUES.items()
    }


async def test_a_transaction_stores_the_same_as_a_single_operation(table: Table) -> None:
    etags = await table.commit("p", [Insert("a", VALUES), Insert("b", VALUES)])

    assert await table.query("p") == [Row("p", "a", etags[0], VALUES), Row("p", "b", etags[1], VALUES)]


async def test_floats_that_are_no_numbers_come_back(table: Table) -> None:
    await table.commit("p", [Insert("k", {"nan": nan, "up": inf, "down": -inf})])

    row = await table.get("p", "k")

    assert row
    assert isinstance(row.values["nan"], float)
    assert isnan(row.values["nan"])
    assert (row.values["up"], row.values["down"]) == (inf, -inf)


async def test_times_come_back_in_utc(table: Table) -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    await table.commit("p", [Insert("k", {"t": datetime(2026, 1, 1, 2, tzinfo=zone)})])

    row = await table.get("p", "k")

    assert row
    assert row.values["t"] == datetime(2025, 12, 31, 20, 30, tzinfo=UTC)
    assert isinstance(row.values["t"], datetime)
    assert row.values["t"].tzinfo is UTC


@pytest.mark.parametrize("key", AWKWARD_KEYS)
async def test_awkward_keys_work_alone_and_in_transactions(table: Table, key: str) -> None:
    [etag] = await table.commit(key, [Insert(key, {"n": 1})])
    [etag, _] = await table.commit(key, [Replace(key, {"n": 2}, etag), Insert("other", {})])
    [etag] = await table.commit(key, [Merge(key, {"m": 3}, etag)])

    assert await table.get(key, key) == Row(key, key, etag, {"n": 2, "m": 3})
    assert await table.query(key, key, key + "\x00") == [Row(key, key, etag, {"n": 2, "m": 3})]
    await table.commit(key, [Delete(key, etag), Delete("other")])
    assert await table.query(key) == []


async def test_a_missing_row_or_table_reads_as_none_and_empty(table: Table) -> None:
    assert await table.get("p", "k") is None
    assert await table.query("p") == []
    await table.create()
    assert await table.get("p", "k") is None
    assert await table.query("p") == []


async def test_insert_of_a_row_that_exists(table: Table) -> None:
    [etag] = await table.commit("p", [Insert("k", {"n": 1})])

    with pytest.raises(RowExists) as caught:
        await table.commit("p", [Insert("k", {"n": 2})])

    assert (caught.value.key, caught.value.index) == ("k", 0)
    assert await table.get("p", "k") == Row("p", "k", etag, {"n": 1})


@pytest.mark.parametrize("operation", [Replace, Merge])
async def test_if_match_on_a_changed_and_on_a_missing_row(
    table: Table, operation: type[Replace] | type[Merge]
) -> None:
    [old] = await table.commit("p", [Insert("k", {"n": 1})])
    [new] = await table.commit("p", [operation("k", {"n": 2}, old)])

    with pytest.raises(RowChanged) as changed:
        await table.commit("p", [operation("k", {"n": 3}, old)])
    with pytest.raises(RowMissing) as missing:
        await table.commit("p", [operation("absent", {"n": 3}, old)])

    assert new != old
    assert (changed.value.key, changed.value.index) == ("k", 0)
    assert (missing.value.key, missing.value.index) == ("absent", 0)
    assert await table.get("p", "k") == Row("p", "k", new, {"n": 2})


async def test_replace_drops_what_it_does_not_name_and_merge_keeps_it(table: Table) -> None:
    [etag] = await table.commit("p", [Insert("k", {"a": 1, "b": 2})])
    [etag] = await table.commit("p", [Merge("k", {"b": "two", "c": 3}, etag)])
    assert await table.get("p", "k") == Row("p", "k", etag, {"a": 1, "b": "two", "c": 3})
    [etag] = await table.commit("p", [Replace("k", {"d": 4}, etag)])
    assert await table.get("p", "k") == Row("p", "k", etag, {"d": 4})


async def test_upserts_ask_for_no_etag(table: Table) -> None:
    await table.commit("p", [UpsertMerge("m", {"g3": 5}), UpsertReplace("r", {"a": 1})])
    merged, replaced = await table.commit("p", [UpsertMerge("m", {"g4": 6}), UpsertReplace("r", {"b": 2})])

    assert await table.query("p") == [
        Row("p", "m", merged, {"g3": 5, "g4": 6}),
        Row("p", "r", replaced, {"b": 2}),
    ]


async def test_every_write_of_the_same_values_is_a_new_version(table: Table) -> None:
    etags = [(await table.commit("p", [UpsertMerge("k", {"n": 1})]))[0] for _ in range(5)]

    assert len(set(etags)) == 5


async def test_delete_at_an_etag_at_any_version_and_of_nothing(table: Table) -> None:
    [old] = await table.commit("p", [Insert("k", {})])
    [new] = await table.commit("p", [UpsertMerge("k", {})])

    with pytest.raises(RowChanged):
        await table.commit("p", [Delete("k", old)])
    assert await table.commit("p", [Delete("k", new)]) == [""]
    with pytest.raises(RowMissing) as alone:
        await table.commit("p", [Delete("k")])
    with pytest.raises(RowMissing) as together:
        await table.commit("p", [Insert("j", {}), Delete("k")])

    assert (alone.value.key, alone.value.index) == ("k", 0)
    assert (together.value.key, together.value.index) == ("k", 1)
    assert await table.query("p") == []


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (Insert("a", {}), RowExists),
        (Replace("a", {}, "W/\"datetime'2020-01-01T00%3A00%3A00.0000000Z'\""), RowChanged),
        (Delete("absent"), RowMissing),
    ],
)
async def test_a_transaction_with_one_failure_changes_nothing(
    table: Table, last: Operation, error: type[StorageError]
) -> None:
    await table.commit("p", [Insert("a", {"n": 1}), Insert("b", {"n": 1}), Insert("c", {"n": 1})])
    before = await table.query("p")
    others: list[Operation] = [
        Insert("new", {}),
        UpsertReplace("b", {"n": 2}),
        UpsertMerge("c", {"m": 2}),
        UpsertMerge("d", {}),
    ]

    with pytest.raises(error) as caught:
        await table.commit("p", [*others, last, Insert("later", {})])

    assert (caught.value.key, caught.value.index) == (last.key, 4)
    assert await table.query("p") == before


async def test_the_etags_of_a_transaction_are_those_of_its_rows(table: Table) -> None:
    [old] = await table.commit("p", [Insert("r", {})])
    await table.commit("p", [Insert("gone", {})])

    etags = await table.commit(
        "p",
        [
            Insert("i", {}),
            Replace("r", {}, old),
            Delete("gone"),
            UpsertMerge("m", {}),
            UpsertReplace("u", {}),
        ],
    )

    rows = {row.key: row.etag for row in await table.query("p")}
    assert etags == [rows["i"], rows["r"], "", rows["m"], rows["u"]]


async def test_no_operations_cost_nothing(table: Table) -> None:
    assert await table.commit("p", []) == []


async def test_a_table_can_be_created_again_and_dropped(table: Table) -> None:
    await table.create()
    await table.create()
    await table.commit("p", [Insert("k", {})])
    await table.drop()
    await table.drop()

    assert await table.query("p") == []
    await table.commit("p", [Insert("k", {}), Insert("l", {})])
    assert [row.key for row in await table.query("p")] == ["k", "l"]


@pytest.mark.parametrize("operation", [Replace("k", {}, 'W/"x"'), Delete("k"), Merge("k", {}, 'W/"x"')])
async def test_a_missing_table_holds_no_row_to_change(table: Table, operation: Operation) -> None:
    with pytest.raises(RowMissing) as caught:
        await table.commit("p", [operation])

    assert caught.value.key == "k"
