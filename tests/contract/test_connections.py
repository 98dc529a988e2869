"""The table `connections` on the twin and on Azurite: pairs in one transaction, tombstones that absorb."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from shared.domain.bond import Bond, StudioKind
from shared.domain.connection import Connection, Farewell, Holds, Order, connect, disconnect, done, fail
from shared.domain.connection_courses import State, Step
from shared.domain.errors import Conflict
from shared.domain.jobs import JobError
from shared.storage import connection_codec
from shared.storage.connections import (
    PARTITION,
    ConnectionChanged,
    ConnectionStore,
    LogEntry,
    Stored,
)
from shared.storage.gateways.faults import Faults, LostAnswer
from shared.storage.gateways.ports import Insert, RowExists
from tests.contract.storages import Storage

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BOND = Bond(StudioKind.WORKSPACE, "labeling", "news", "vendor", "instructions")
ORDER = Order("job", "lead", NOW)
ENTRY = LogEntry(NOW, "lead", {"to": "somewhere"})


@pytest.fixture
def make(storage: Storage) -> Callable[..., ConnectionStore]:
    container = f"t{uuid4().hex}"

    def build(faults: Faults | None = None) -> ConnectionStore:
        faults = faults or Faults()
        return ConnectionStore(
            faults.table(storage.table("connections")), faults.blobs(storage.blobs), container
        )

    return build


@pytest.fixture
def store(make: Callable[..., ConnectionStore]) -> ConnectionStore:
    return make()


async def bound(store: ConnectionStore, incarnation: str = "i1", bond: Bond = BOND) -> Stored:
    before = await store.get("p", incarnation)
    return await store.move(before, connect(before.connection, bond, ORDER), ENTRY)


async def run(store: ConnectionStore, stored: Stored) -> Stored:
    while (step := stored.connection.step) is not None:
        stored = await store.move(stored, done(stored.connection, step), ENTRY)
    return stored


async def leave(store: ConnectionStore, stored: Stored) -> Stored:
    farewell = Farewell("news", discard=True, unsynced=0)
    return await store.move(stored, disconnect(stored.connection, farewell, ORDER), ENTRY)


async def test_a_project_without_a_row_is_connected_with_nothing(store: ConnectionStore) -> None:
    stored = await store.get("p", "i1")
    assert (stored.connection, stored.etag) == (Connection("p", "i1"), None)
    assert await store.holds(BOND) is Holds.FREE
    assert await store.all() == []


async def test_everything_of_a_connection_is_stored(store: ConnectionStore) -> None:
    before = await store.get("p", "i1")
    full = replace(
        connect(before.connection, BOND, ORDER),
        last_imported=NOW,
        since=NOW,
        marker="m",
        pinned="x/y",
        imported=7,
        error=JobError("Code", "why", "field"),
        warnings=(JobError("W", "careful"),),
        superseded=("j1",),
        facts={"a": "b"},
        waiting="AML",
        closed=3,
        reclosed=2,
        locked=1,
    )
    await store.move(before, full, ENTRY)
    again = (await store.get("p", "i1")).connection
    assert again == replace(full, log=1)
    assert connection_codec.decode("i1", connection_codec.encode(full)) == full
    assert [one.connection for one in await store.all()] == [again]
    assert await store.log("i1") == [ENTRY]


async def test_one_project_an_aml_project_whatever_its_spelling(store: ConnectionStore) -> None:
    await bound(store, "i1")
    with pytest.raises(Conflict, match="connected with a project already"):
        await bound(store, "i2", replace(BOND, name="NEWS"))
    assert (await store.get("q", "i2")).etag is None, "nothing of the pair was written"
    await bound(store, "i2", replace(BOND, name="other"))


async def test_of_two_who_read_the_same_row_one_writes(store: ConnectionStore) -> None:
    stored = await bound(store)
    after = done(stored.connection, Step.LOCK)
    await store.move(stored, after, ENTRY)
    with pytest.raises(ConnectionChanged):
        await store.move(stored, after, ENTRY)


async def test_a_failed_connect_frees_the_aml_project(store: ConnectionStore) -> None:
    stored = await bound(store)
    failed = await store.move(stored, fail(stored.connection, Step.LOCK, JobError("C", "why")), ENTRY)
    assert await store.holds(BOND) is Holds.BOUND
    rest = await run(store, failed)
    assert rest.connection.state is State.NONE
    assert await store.holds(BOND) is Holds.FREE
    await bound(store, "i2")
    assert await store.holds(BOND) is Holds.BOUND


async def test_the_blob_is_written_before_the_row_and_both_stay(
    make: Callable[..., ConnectionStore], storage: Storage
) -> None:
    store = make()
    stored = await leave(store, await run(store, await bound(store)))
    assert await store.holds(BOND) is Holds.BOUND, "asked for, not yet done"
    faults = Faults()
    buried = await make(faults).move(stored, done(stored.connection, Step.TOMBSTONE), ENTRY)
    writes = [(c.service, c.operation) for c in faults.calls if c.operation in {"write", "commit"}]
    assert writes[0] == ("blob", "write")
    assert writes[-1] == ("table", "commit")
    assert await store.holds(BOND) is Holds.TOMBSTONED
    await run(store, buried)
    for incarnation in ("i1", "i2"):
        with pytest.raises(Conflict, match="never be connected again"):
            await bound(store, incarnation)


async def test_either_of_blob_and_row_is_enough(
    make: Callable[..., ConnectionStore], storage: Storage
) -> None:
    store = make()
    await run(store, await leave(store, await run(store, await bound(store))))
    await storage.table("connections").drop()
    await storage.table("connections").create()
    with pytest.raises(Conflict, match="never be connected again"):
        await bound(store, "i2")
    other = replace(BOND, name="other")
    await run(store, await leave_as(store, await run(store, await bound(store, "i3", other)), "other"))
    async for page in storage.blobs.list(store._tombstones):
        for blob in page:
            await storage.blobs.delete(store._tombstones, blob.name)
    with pytest.raises(Conflict, match="never be connected again"):
        await bound(store, "i4", other)


async def leave_as(store: ConnectionStore, stored: Stored, name: str) -> Stored:
    farewell = Farewell(name, discard=True, unsynced=0)
    return await store.move(stored, disconnect(stored.connection, farewell, ORDER), ENTRY)


async def test_a_tombstone_that_is_written_again_stays_the_first(
    make: Callable[..., ConnectionStore], storage: Storage
) -> None:
    store = make()
    stored = await leave(store, await run(store, await bound(store)))
    after = done(stored.connection, Step.TOMBSTONE)
    await store._write_tombstone(BOND, replace(after, actor="first"))
    await store.move(stored, after, ENTRY)
    content = await storage.blobs.read(store._tombstones, BOND.key)
    assert content is not None
    assert b'"by":"first"' in content.data


async def test_a_restored_table_revives_nothing(
    make: Callable[..., ConnectionStore], storage: Storage
) -> None:
    """The rows go back to a backup from before the disconnect: the project is bound again, and can only leave."""
    store = make()
    stored = await run(store, await bound(store))
    table = storage.table("connections")
    backup = await table.query(PARTITION)
    await run(store, await leave(store, stored))
    await table.drop()
    await table.create()
    for row in backup:
        await table.commit(PARTITION, [Insert(row.key, row.values)])
    assert await store.holds(BOND) is Holds.TOMBSTONED
    with pytest.raises(Conflict):
        await bound(store, "i2")
    again = await run(store, await leave(store, await store.get("p", "i1")))
    assert again.connection.state is State.DISCONNECTED


async def test_a_claim_keeps_others_out_until_it_is_over(store: ConnectionStore) -> None:
    stored = await bound(store)
    mine = await store.claim(stored, "me", NOW)
    assert mine is not None
    fresh = await store.get("p", "i1")
    assert await store.claim(fresh, "you", NOW + timedelta(seconds=19)) is None
    renewed = await store.claim(mine, "me", NOW + timedelta(seconds=10))
    assert renewed is not None
    assert await store.claim(await store.get("p", "i1"), "you", NOW + timedelta(seconds=25)) is None
    yours = await store.claim(await store.get("p", "i1"), "you", NOW + timedelta(seconds=31))
    assert yours is not None
    with pytest.raises(ConnectionChanged):
        await store.move(renewed, done(renewed.connection, Step.LOCK), ENTRY, keep=True)
    moved = await store.move(yours, done(yours.connection, Step.LOCK), ENTRY, keep=True)
    assert (await store.get("p", "i1")).token == "you"
    noted = await store.note(moved, moved.connection, release=True)
    assert noted.token == "" == (await store.get("p", "i1")).token


async def test_a_lost_answer_is_recognised_as_ones_own(make: Callable[..., ConnectionStore]) -> None:
    def lose(call: object) -> LostAnswer | None:

        return LostAnswer(RowExists()) if getattr(call, "operation", "") == "commit" else None

    landed = await bound(make(Faults(lose)))
    assert landed.connection.state is State.CONNECTING
    assert landed == await make().get("p", "i1")
