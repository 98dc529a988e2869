"""Pending uploads: one that a later event renewed is not removed by the batch that inspected before (rule A6)."""

from datetime import UTC, datetime

from shared.domain.document import document_id
from shared.domain.project import Scope
from shared.storage.uploads import PendingUploads
from tests.support.storage.memory import MemoryStorage

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


async def test_rows_of_a_range_of_pages_are_those_of_its_documents() -> None:
    store = _store()
    names = [f"{n}.txt" for n in range(200)]
    await store.add_many(SCOPE.incarnation, names)

    parts = [await store.of_pages(SCOPE, low, low + 256) for low in range(0, 1_024, 256)]

    assert sorted(t.document_id for part in parts for t in part) == sorted(map(document_id, names))
    assert all(parts)
