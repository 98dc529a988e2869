"""Fault injection around the in-memory storage and Azurite: only the intended calls fail, with the intended effect."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from shared.storage.gateways.ports import (
    Insert,
    Replace,
    RowChanged,
    RowExists,
    StorageError,
    StorageUnavailable,
    UpsertReplace,
)
from tests.contract.storages import Storage
from tests.support.storage.faults import (
    Call,
    Crash,
    Faults,
    LostAnswer,
    Plan,
    Verdict,
    crash_at,
    crash_points,
)


async def transfer(storage: Storage, faults: Faults, container: str) -> None:
    """A use case over all three ports: blob, rows, message."""
    table, blobs, queues = (
        faults.table(storage.table("rows")),
        faults.blobs(storage.blobs),
        faults.queues(storage.queues),
    )
    await blobs.write(container, "spill", b"data")
    await table.commit("p", [Insert("a", {}), Insert("b", {})])
    row = await table.get("p", "a")
    assert row
    await table.commit("p", [Replace("a", {"n": 1}, row.etag)])
    await queues.send("done", "a")


async def effects(storage: Storage, container: str) -> tuple[int, int, int]:
    rows = await storage.table("rows").query("p")
    content = await storage.blobs.read(container, "spill")
    return int(content is not None), len(rows), sum(row.values.get("n") == 1 for row in rows)


async def test_without_a_plan_nothing_fails_and_calls_are_recorded(storage: Storage, container: str) -> None:
    faults = Faults()

    await transfer(storage, faults, container)

    assert await effects(storage, container) == (1, 2, 1)
    assert [(call.number, call.nth, call.service, call.operation) for call in faults.calls] == [
        (0, 0, "blob", "write"),
        (1, 0, "table", "commit"),
        (2, 0, "table", "get"),
        (3, 1, "table", "commit"),
        (4, 0, "queue", "send"),
    ]
    assert [call.target for call in faults.calls] == [f"{container}/spill", "p", "p", "p", "done"]


@pytest.mark.parametrize(
    ("number", "before", "after"),
    [
        (0, (0, 0, 0), (1, 0, 0)),
        (1, (1, 0, 0), (1, 2, 0)),
        (2, (1, 2, 0), (1, 2, 0)),
        (3, (1, 2, 0), (1, 2, 1)),
        (4, (1, 2, 1), (1, 2, 1)),
    ],
)
async def test_a_crash_before_and_after_each_call(
    storage: Storage, container: str, number: int, before: tuple[int, ...], after: tuple[int, ...]
) -> None:
    with pytest.raises(Crash):
        await transfer(storage, Faults(crash_at(number, "before")), container)
    assert await effects(storage, container) == before

    await storage.table("rows").drop()
    await storage.blobs.delete(container, "spill")
    with pytest.raises(Crash):
        await transfer(storage, Faults(crash_at(number, "after")), container)
    assert await effects(storage, container) == after


async def test_a_dead_process_does_nothing_more(storage: Storage, container: str) -> None:
    faults = Faults(crash_at(0, "before"))
    table, blobs = faults.table(storage.table("rows")), faults.blobs(storage.blobs)
    with pytest.raises(Crash):
        await table.commit("p", [Insert("a", {})])

    with pytest.raises(Crash):
        await table.commit("p", [Insert("failed", {})])
    with pytest.raises(Crash):
        await blobs.write(container, "x", b"")

    assert faults.crashed
    assert await storage.table("rows").query("p") == []
    assert await storage.blobs.read(container, "x") is None


async def test_a_campaign_finds_every_point(storage: Storage, container: str) -> None:
    counted = Faults()
    await transfer(storage, counted, container)
    points = list(crash_points(len(counted.calls)))
    assert len(points) == 10

    for plan in points:
        await storage.table("rows").drop()
        faults = Faults(plan)
        with pytest.raises(Crash):
            await transfer(storage, faults, container)
        assert faults.crashed


def on(operation: str, nth: int, verdict: Verdict) -> Plan:
    def plan(call: Call) -> Verdict:
        return verdict if (call.operation, call.nth) == (operation, nth) else None

    return plan


async def test_an_error_of_choice_without_effect(storage: Storage) -> None:
    faults = Faults(on("commit", 1, RowChanged(key="a", index=0)))
    table = faults.table(storage.table("rows"))
    await table.commit("p", [UpsertReplace("a", {"n": 1})])

    with pytest.raises(RowChanged):
        await table.commit("p", [UpsertReplace("a", {"n": 2})])

    row = await table.get("p", "a")
    assert row
    assert row.values == {"n": 1}


async def test_a_lost_answer_has_its_effect(storage: Storage) -> None:
    faults = Faults(on("commit", 0, LostAnswer()))
    table = faults.table(storage.table("rows"))

    with pytest.raises(StorageUnavailable) as caught:
        await table.commit("p", [Insert("a", {})])
    with pytest.raises(RowExists):
        await table.commit("p", [Insert("a", {})])

    assert caught.value.retryable


async def test_errors_of_the_store_pass_through(storage: Storage) -> None:
    table = Faults().table(storage.table("rows"))
    await table.commit("p", [Insert("a", {})])

    with pytest.raises(StorageError) as caught:
        await table.commit("p", [Insert("a", {})])

    assert type(caught.value) is RowExists


async def test_each_page_and_each_deletion_can_crash(storage: Storage, container: str) -> None:
    for n in range(4):
        await storage.blobs.write(container, f"x/{n}", b"")
    faults = Faults(on("delete", 2, "before"))

    with pytest.raises(Crash):
        await faults.blobs(storage.blobs).delete_prefix(container, "x/")

    left = [info.name async for page in storage.blobs.list(container) for info in page]
    assert "x/2" in left
    assert {call.operation for call in faults.calls} == {"list", "delete"}


async def test_pages_and_streams_pass_through_unharmed(storage: Storage, container: str) -> None:
    faults = Faults()
    table, blobs = faults.table(storage.table("rows")), faults.blobs(storage.blobs)
    await table.create()
    await table.commit("p", [Insert(f"{n}", {}) for n in range(9)])

    async def pieces() -> AsyncIterator[bytes]:
        yield b"abc"
        yield b"def"

    await blobs.stream_write(container, "s", pieces())
    lease = str(uuid4())

    assert [row.key async for page in table.pages("p") for row in page] == [f"{n}" for n in range(9)]
    assert await table.query("p", "3", "5") == await storage.table("rows").query("p", "3", "5")
    assert b"".join([piece async for piece in blobs.stream_read(container, "s", 2)]) == b"abcdef"
    assert [info.name async for page in blobs.list(container) for info in page] == ["s"]
    assert await blobs.container_exists(container)
    assert await blobs.create_container(container) is False
    assert container in await blobs.list_containers(container)
    assert await blobs.acquire_lease(container, "s", lease)
    info = await blobs.stat(container, "s")
    assert info
    assert info.leased
    await blobs.release_lease(container, "s", lease)
    assert await blobs.delete(container, "s")
    assert await blobs.read(container, "s") is None
    await table.drop()
    assert await table.query("p") == []
