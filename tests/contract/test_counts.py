"""One count for each request, as Azure bills it."""

import pytest

from shared.storage.gateways.ports import Insert, RowExists, UpsertMerge
from tests.contract.storages import Storage
from tests.support.storage.counting import CallCounter, CountingClients
from tests.support.storage.memory import FULL_PAGES, HOSTILE_PAGES, MemoryStorage, MemoryTable


async def test_the_first_commit_creates_the_table_and_later_ones_are_one_call(storage: Storage) -> None:
    table = storage.table("rows")
    await table.commit("p", [Insert("a", {}), Insert("b", {})])
    assert storage.counter.snapshot() == {("table", "commit"): 2, ("table", "create"): 1}

    before = storage.counter.snapshot()
    await table.commit("p", [UpsertMerge("a", {})])
    await table.commit("p", [UpsertMerge("a", {}), UpsertMerge("b", {})])
    assert storage.counter.since(before) == {("table", "commit"): 2}


async def test_reading_a_missing_table_is_one_call_each(storage: Storage) -> None:
    table = storage.table("rows")
    await table.get("p", "k")
    await table.get("p", "k")
    await table.query("p")

    assert storage.counter.since({})[("table", "get")] == 2
    assert ("table", "create") not in storage.counter.snapshot()


async def test_a_refused_call_counts(storage: Storage) -> None:
    table = storage.table("rows")
    await table.commit("p", [Insert("a", {})])
    before = storage.counter.total
    with pytest.raises(RowExists):
        await table.commit("p", [Insert("a", {})])

    assert storage.counter.total == before + 1


async def test_blob_calls(storage: Storage, container: str) -> None:
    before = storage.counter.snapshot()
    blobs = storage.blobs
    await blobs.write(container, "x", b"data")
    await blobs.read(container, "x")
    await blobs.read(container, "x", max_bytes=2)
    await blobs.stat(container, "x")
    await blobs.delete(container, "x")

    assert storage.counter.since(before) == {
        ("blob", "write"): 1,
        ("blob", "read"): 2,
        ("blob", "stat"): 1,
        ("blob", "delete"): 1,
    }


@pytest.mark.parametrize("cap", [None, 5])
async def test_an_empty_blob_costs_a_second_call_when_a_range_is_read(
    storage: Storage, container: str, cap: int | None
) -> None:
    """An empty blob has no range; the SDK always reads one."""
    await storage.blobs.write(container, "x", b"")
    before = storage.counter.snapshot()
    await storage.blobs.read(container, "x", max_bytes=cap)

    by_sdk = isinstance(storage, CountingClients) and not storage.rest
    assert sum(storage.counter.since(before).values()) == (2 if cap or by_sdk else 1)


@pytest.mark.parametrize(("sizes", "calls"), [(FULL_PAGES, 2), (HOSTILE_PAGES, 7), ((1, 0), 2399)])
async def test_memory_pages_as_configured(sizes: tuple[int, ...], calls: int) -> None:
    table = MemoryTable(page_sizes=sizes)
    for start in range(0, 1200, 100):
        await table.commit("p", [Insert(f"{start + n:04d}", {}) for n in range(100)])
    before = table.counter.snapshot()

    rows = await table.query("p")

    assert len(rows) == 1200
    assert table.counter.since(before) == {("table", "query"): calls}


async def test_memory_sends_empty_and_short_pages_in_between() -> None:
    table = MemoryStorage().table("rows")
    await table.commit("p", [Insert(f"{n:02d}", {}) for n in range(10)])

    assert [len(page) async for page in table.pages("p")] == [3, 0, 7]


def test_a_memory_storage_that_never_sends_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="never ends"):
        MemoryTable(page_sizes=(0,))


def test_the_counter() -> None:
    counter = CallCounter()
    counter.add("table", "get")
    before = counter.snapshot()
    counter.add("table", "get")
    counter.add("blob", "read")

    assert counter.total == 3
    assert before == {("table", "get"): 1}
    assert counter.since(before) == {("table", "get"): 1, ("blob", "read"): 1}
