"""Pending uploads: one that a later event renewed is not removed by the batch that inspected before (rule A6)."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from shared.domain.document import document_id
from shared.domain.project import Scope
from shared.storage.gateways.ports import Operation, StorageUnavailable
from shared.storage.uploads import PendingUploads
from tests.support.storage.memory import FULL_PAGES, MemoryStorage

SCOPE = Scope("p", "incarnation", "edition", 1_024)


def _store() -> PendingUploads:
    return PendingUploads(MemoryStorage().table("projects"), lambda: datetime(2030, 1, 1, tzinfo=UTC))


async def _left(store: PendingUploads) -> list[str]:
    return sorted(upload.location for upload in await store.all(SCOPE, 1_000))


async def test_a_row_renewed_by_a_later_event_stays_and_the_others_of_its_group_go() -> None:
    store = _store()
    await store.add_many(SCOPE.incarnation, ["a.txt", "b.txt", "c.txt"])
    looked_at = await store.all(SCOPE, 1_000)

    await store.add(SCOPE.incarnation, "b.txt")
    await store.remove(SCOPE, looked_at)

    assert await _left(store) == ["b.txt"]


async def test_removing_again_changes_nothing() -> None:
    store = _store()
    await store.add_many(SCOPE.incarnation, [f"{n}.txt" for n in range(150)])
    looked_at = await store.all(SCOPE, 1_000)
    await store.remove(SCOPE, looked_at)
    await store.add(SCOPE.incarnation, "new.txt")

    await store.remove(SCOPE, looked_at)

    assert await _left(store) == ["new.txt"]


async def test_rows_that_are_being_deleted_are_not_inspected_again_unless_that_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, held, fails = MemoryStorage().table("projects"), asyncio.Event(), asyncio.Event()
    store = PendingUploads(table, lambda: datetime(2030, 1, 1, tzinfo=UTC))
    names = [f"{n}.txt" for n in range(250)]
    await store.add_many(SCOPE.incarnation, names)
    inspected = [upload for upload in await store.all(SCOPE, 1_000) if upload.location != "7.txt"]

    async def slow(partition: str, operations: Sequence[Operation]) -> list[str]:
        held.set()
        await fails.wait()
        raise StorageUnavailable("silent")

    with monkeypatch.context() as patch:
        patch.setattr(table, "commit", slow)
        removal = asyncio.create_task(store.remove(SCOPE, inspected))
        await held.wait()
        assert await _left(store) == ["7.txt"]
        assert [upload.location for upload in await store.of_pages(SCOPE, 0, 1_024)] == ["7.txt"]
        assert [upload.location for upload in await store.all(SCOPE, 1)] == ["7.txt"], (
            "others are behind them"
        )
    await store.add(SCOPE.incarnation, "9.txt")
    assert await _left(store) == ["7.txt", "9.txt"], "a later event asks for another inspection"

    fails.set()
    with pytest.raises(StorageUnavailable):
        await removal
    assert await _left(store) == sorted(names)


async def test_a_batch_that_ran_twice_finds_with_few_calls_that_its_rows_are_gone() -> None:
    storage = MemoryStorage(page_sizes=FULL_PAGES)
    store = PendingUploads(storage.table("projects"), lambda: datetime(2030, 1, 1, tzinfo=UTC))
    await store.add_many(SCOPE.incarnation, [f"{n}.txt" for n in range(100)])
    inspected = await store.all(SCOPE, 1_000)
    kept = [upload for upload in inspected if upload.location.startswith("1")]
    await store.remove(SCOPE, [upload for upload in inspected if upload not in kept])
    before = storage.counter.total

    await store.remove(SCOPE, inspected)

    assert storage.counter.total - before == 3
    assert await _left(store) == []


async def test_rows_of_a_range_of_pages_are_those_of_its_documents() -> None:
    store = _store()
    names = [f"{n}.txt" for n in range(200)]
    await store.add_many(SCOPE.incarnation, names)

    parts = [await store.of_pages(SCOPE, low, low + 256) for low in range(0, 1_024, 256)]

    assert sorted(t.document_id for part in parts for t in part) == sorted(map(document_id, names))
    assert all(parts)
