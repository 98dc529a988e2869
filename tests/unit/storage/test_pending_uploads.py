"""Pending uploads: one that a later event renewed is not removed by the batch that inspected before (rule A6)."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.domain.document import document_id
from shared.domain.project import Scope
from shared.storage.gateways.ports import Operation, Row, RowChanged, StorageUnavailable, Table
from shared.storage.uploads import PendingUpload, PendingUploads
from tests.support.storage.memory import FULL_PAGES, MemoryStorage

SCOPE = Scope("p", "incarnation", "edition", 1_024)


def _store(table: Table | None = None) -> PendingUploads:
    return PendingUploads(
        table or MemoryStorage().table("projects"), lambda: datetime(2030, 1, 1, tzinfo=UTC)
    )


async def _with_uploads(count: int) -> tuple[Table, PendingUploads]:
    table = MemoryStorage().table("projects")
    store = _store(table)
    await store.add_many(SCOPE.incarnation, [f"{n}.txt" for n in range(count)])
    return table, store


async def _left(store: PendingUploads) -> list[str]:
    return sorted(upload.location for upload in (await store.first(SCOPE, 1_000))[0])


async def test_a_row_renewed_by_a_later_event_stays_and_the_others_of_its_group_go() -> None:
    store = _store()
    await store.add_many(SCOPE.incarnation, ["a.txt", "b.txt", "c.txt"])
    looked_at = (await store.first(SCOPE, 1_000))[0]

    await store.add(SCOPE.incarnation, "b.txt")
    await store.remove(SCOPE, looked_at)

    assert await _left(store) == ["b.txt"]


async def test_uploads_of_which_some_are_pending_are_recorded_with_one_call_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An upload that is new is inserted; one that is pending gets another version, and stays requested by a listing."""
    storage = MemoryStorage()
    table = storage.table("projects")
    store, sent, commit = _store(table), list[set[str]](), table.commit

    async def recorded(partition: str, operations: Sequence[Operation], **more: Any) -> list[str]:
        sent.append({type(operation).__name__ for operation in operations})
        return await commit(partition, operations, **more)

    monkeypatch.setattr(table, "commit", recorded)
    await store.add_many(SCOPE.incarnation, ["a.txt", "b.txt"])
    [before] = [u for u in (await store.first(SCOPE, 1_000))[0] if u.location == "b.txt"]
    assert sent == [{"Insert"}]

    names = ("b.txt", "c.txt", "b.txt", "d.txt")
    for _ in range(2):  # an event may come again
        sent.clear()
        await asyncio.gather(*(store.add(SCOPE.incarnation, name) for name in names))
        assert sent == [{"Insert"}, {"UpsertMerge"}]

    await store.remove(SCOPE, [before])
    found, _ = await store.first(SCOPE, 1_000)
    assert sorted(upload.location for upload in found) == ["a.txt", "b.txt", "c.txt", "d.txt"]
    await store.remove(SCOPE, [upload for upload in found if upload.location != "b.txt"])
    assert await store.any_requested(SCOPE.incarnation)


async def test_removing_again_changes_nothing() -> None:
    store = _store()
    await store.add_many(SCOPE.incarnation, [f"{n}.txt" for n in range(150)])
    looked_at = (await store.first(SCOPE, 1_000))[0]
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
    inspected = [upload for upload in (await store.first(SCOPE, 1_000))[0] if upload.location != "7.txt"]

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
        assert [upload.location for upload in (await store.first(SCOPE, 1))[0]] == ["7.txt"], (
            "others are behind them"
        )
    await store.add(SCOPE.incarnation, "9.txt")
    assert await _left(store) == ["7.txt", "9.txt"], "a later event asks for another inspection"

    fails.set()
    with pytest.raises(StorageUnavailable):
        await removal
    assert await _left(store) == sorted(names)


async def test_rows_whose_deletion_ends_while_they_are_read_are_not_inspected_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, store = await _with_uploads(6)
    query, commit, deleted = table.query, table.commit, asyncio.Event()

    async def deletes(partition: str, operations: Sequence[Operation]) -> list[str]:
        await deleted.wait()
        return await commit(partition, operations)

    async def ends(*given: Any, **more: Any) -> list[Row]:
        rows = await query(*given, **more)
        deleted.set()
        await removal
        return rows

    async def all_of(inspected: Sequence[PendingUpload]) -> asyncio.Task[None]:
        deleted.clear()
        task = asyncio.create_task(store.remove(SCOPE, inspected))
        await asyncio.sleep(0)
        return task

    found, _ = await store.first(SCOPE, 10)
    monkeypatch.setattr(table, "commit", deletes)
    removal = await all_of(found[:2])
    with monkeypatch.context() as patch:
        patch.setattr(table, "query", ends)
        assert await store.first(SCOPE, 2) == (found[2:4], True)
        removal = await all_of(found[2:4])
        assert await store.of_pages(SCOPE, 0, 1_024) == found[4:]


async def test_rows_whose_deletion_begins_while_they_are_read_are_not_taken_for_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, store = await _with_uploads(4)
    (found, more), query = await store.first(SCOPE, 10), table.query
    assert not more

    commit, read, removals = table.commit, asyncio.Event(), list[asyncio.Task[None]]()

    async def deletes(partition: str, operations: Sequence[Operation]) -> list[str]:
        await read.wait()
        return await commit(partition, operations)

    async def begins(*given: Any, **more: Any) -> list[Row]:
        rows = await query(*given, **more)
        removals.append(asyncio.create_task(store.remove(SCOPE, found[:1])))
        await asyncio.sleep(0)
        return rows

    with monkeypatch.context() as patch:
        patch.setattr(table, "commit", deletes)
        patch.setattr(table, "query", begins)
        assert await store.first(SCOPE, 2) == (found[1:2], True)
    read.set()
    await removals[0]


async def test_a_refusal_that_names_no_row_ends_the_deletion(monkeypatch: pytest.MonkeyPatch) -> None:
    table = MemoryStorage().table("projects")
    store = PendingUploads(table, lambda: datetime(2030, 1, 1, tzinfo=UTC))
    await store.add_many(SCOPE.incarnation, ["a.txt", "b.txt"])
    found, _ = await store.first(SCOPE, 10)

    calls: list[object] = []

    async def refuses(*given: object) -> list[str]:
        calls.append(given)
        assert len(calls) < 10, "it does not end"
        raise RowChanged

    with monkeypatch.context() as patch:
        patch.setattr(table, "commit", refuses)
        await store.remove(SCOPE, found)
    assert await _left(store) == ["a.txt", "b.txt"]


async def test_a_batch_that_ran_twice_finds_with_few_calls_that_its_rows_are_gone() -> None:
    storage = MemoryStorage(page_sizes=FULL_PAGES)
    store = PendingUploads(storage.table("projects"), lambda: datetime(2030, 1, 1, tzinfo=UTC))
    await store.add_many(SCOPE.incarnation, [f"{n}.txt" for n in range(100)])
    inspected = (await store.first(SCOPE, 1_000))[0]
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
