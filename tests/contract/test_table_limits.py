"""Limits that are checked before sending, and the largest values that fit."""

import os
from datetime import datetime

import pytest

from shared.storage.gateways import limits
from shared.storage.gateways.ports import (
    BadKey,
    Delete,
    Insert,
    Merge,
    Replace,
    Table,
    TooLarge,
    UpsertReplace,
    Value,
)
from tests.contract.storages import Storage

KIB = 1024
BAD_KEYS = ["", "a/b", "a\\b", "a#b", "a?b", "a\tb", "\x00", "a\x7f", "\x85", "\ud800", "x" * 513, "😀" * 257]


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_keys_that_the_service_cannot_hold(storage: Storage, key: str) -> None:
    table = storage.table("rows")

    with pytest.raises(BadKey) as row:
        await table.commit("p", [Insert("k", {}), Insert(key, {})])
    with pytest.raises(BadKey):
        await table.commit(key, [Insert("k", {})])
    with pytest.raises(BadKey):
        await table.get("p", key)
    with pytest.raises(BadKey):
        await table.get(key, "k")
    with pytest.raises(BadKey):
        await table.query(key)

    assert (row.value.key, row.value.index) == (key, 1)
    assert storage.counter.total == 0


async def test_bounds_that_cannot_be_sent(storage: Storage) -> None:
    with pytest.raises(BadKey):
        await storage.table("rows").query("p", "\ud800")
    with pytest.raises(BadKey):
        await storage.table("rows").query("p", "", "a\udfff")

    assert storage.counter.total == 0


async def test_more_than_a_hundred_operations(storage: Storage) -> None:
    table = storage.table("rows")
    operations = [Insert(f"{n:03d}", {"n": n}) for n in range(101)]

    with pytest.raises(TooLarge):
        await table.commit("p", operations)
    assert storage.counter.total == 0

    await table.commit("p", operations[:100])
    assert len(await table.query("p")) == 100


async def test_a_property_over_64_kib(storage: Storage) -> None:
    table = storage.table("rows")
    too_large: list[Value] = [b"x" * (64 * KIB + 1), "x" * (32 * KIB + 1), "😀" * (16 * KIB + 1)]
    for value in too_large:
        with pytest.raises(TooLarge) as caught:
            await table.commit("p", [Insert("j", {}), Insert("k", {"v": value})])
        assert (caught.value.key, caught.value.index) == ("k", 1)
    assert storage.counter.total == 0

    largest: dict[str, Value] = {"b": b"x" * (64 * KIB), "s": "x" * (32 * KIB), "e": "😀" * (16 * KIB)}
    await table.commit("p", [Insert("k", largest)])
    row = await table.get("p", "k")
    assert row
    assert row.values == largest


async def test_a_row_over_1_mib(storage: Storage) -> None:
    table = storage.table("rows")
    piece = os.urandom(60 * KIB)
    fits: dict[str, Value] = {f"b{n}": piece for n in range(17)}

    with pytest.raises(TooLarge) as caught:
        await table.commit("p", [Insert("k", fits | {"b17": piece})])
    assert (caught.value.key, caught.value.index, storage.counter.total) == ("k", 0, 0)

    await table.commit("p", [Insert("k", fits)])
    row = await table.get("p", "k")
    assert row
    assert row.values == fits


async def test_more_than_252_properties(storage: Storage) -> None:
    with pytest.raises(TooLarge):
        await storage.table("rows").commit("p", [Insert("k", {f"n{n}": n for n in range(253)})])

    assert storage.counter.total == 0


async def test_a_transaction_over_the_cap(storage: Storage) -> None:
    table = storage.table("rows")
    piece = os.urandom(29 * KIB)
    fits = [UpsertReplace(f"{n:03d}", {"b": piece}) for n in range(97)]

    with pytest.raises(TooLarge) as caught:
        await table.commit("p", [*fits, UpsertReplace("z", {"b": piece + piece})])
    assert (caught.value.key, caught.value.index, storage.counter.total) == (None, None, 0)

    await table.commit("p", fits)
    assert len(await table.query("p")) == 97


async def test_the_largest_transaction_that_is_let_through_is_taken(table: Table) -> None:
    """Text that JSON escapes travels six times as large; the estimate must know it."""
    worst: dict[str, Value] = {"s": "é" * (32 * KIB)}
    count = limits.MAX_TRANSACTION_BYTES // limits.weight(Insert("000", worst))
    operations = [Insert(f"{n:03d}", worst) for n in range(count)]

    await table.commit("p", operations)

    assert count == 19
    with pytest.raises(TooLarge):
        await table.commit("p", [*operations, Insert("one more", worst)])


@pytest.mark.parametrize(
    "values",
    [
        {"PartitionKey": "x"},
        {"Timestamp": "x"},
        {"with-dash": 1},
        {"1st": 1},
        {"": 1},
        {"n": 2**63},
        {"n": -(2**63) - 1},
        {"t": datetime(2026, 1, 1)},  # noqa: DTZ001  # the point
        {"s": "\ud800"},
        {"n": None},
        {"n": [1]},
    ],
)
async def test_what_no_row_can_hold_is_a_mistake_of_the_caller(storage: Storage, values: dict) -> None:
    with pytest.raises(ValueError, match=r".+"):
        await storage.table("rows").commit("p", [Insert("k", values)])

    assert storage.counter.total == 0


@pytest.mark.parametrize("etag", ["", "*"])
@pytest.mark.parametrize("kind", [Replace, Merge, None])
async def test_what_is_no_etag_never_matches_everything(
    storage: Storage, kind: type[Replace] | type[Merge] | None, etag: str
) -> None:
    """A delete answers with "" for its etag; handed back by mistake it must not mean any version."""
    operation = kind("k", {}, etag) if kind else Delete("k", etag)

    with pytest.raises(ValueError, match="etag"):
        await storage.table("rows").commit("p", [operation])

    assert storage.counter.total == 0


async def test_the_same_row_twice_is_a_mistake_of_the_caller(storage: Storage) -> None:
    with pytest.raises(ValueError, match="twice"):
        await storage.table("rows").commit("p", [Insert("k", {}), Delete("k")])

    assert storage.counter.total == 0
