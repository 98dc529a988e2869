"""The table `connections` in memory and on Azurite: pairs in one transaction, permanent tombstones."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from shared.connection.binding import Binding, StudioKind
from shared.connection.state import (
    BindingStatus,
    Command,
    Connection,
    DisconnectRequest,
    LogEntry,
    Progress,
    Saga,
    State,
    Step,
    Transition,
    connect,
    disconnect,
    done,
    fail,
)
from shared.connection.store import (
    PARTITION,
    ConnectionChanged,
    ConnectionStore,
    Stored,
    decode_connection,
    encode_connection,
)
from shared.connection.wire import event_json
from shared.domain.errors import Conflict
from shared.domain.jobs import JobError
from shared.domain.names import Studio
from shared.storage.gateways.ports import Insert, RowExists
from shared.storage.rows import packed_values, unpacked_values
from tests.contract.storages import Storage
from tests.support.azurite import QUIET
from tests.support.storage.faults import Faults, LostAnswer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BINDING = Binding(StudioKind.WORKSPACE, "labeling", "news", "vendor", "instructions")
COMMAND = Command("job", "lead", NOW)
ENTRY = LogEntry(NOW, "lead", Transition(State.NONE, State.CONNECTING, Studio.LANGUAGE_STUDIO))


@pytest.fixture
def make(storage: Storage) -> Callable[..., ConnectionStore]:
    container = f"{QUIET}{uuid4().hex}"

    def build(faults: Faults | None = None) -> ConnectionStore:
        faults = faults or Faults()
        return ConnectionStore(
            faults.table(storage.table("connections")), faults.blobs(storage.blobs), container
        )

    return build


@pytest.fixture
def store(make: Callable[..., ConnectionStore]) -> ConnectionStore:
    return make()


async def bound(store: ConnectionStore, incarnation: str = "i1", binding: Binding = BINDING) -> Stored:
    before = await store.get("p", incarnation)
    return await store.transition(before, connect(before.connection, binding, COMMAND), ENTRY)


async def run(store: ConnectionStore, stored: Stored) -> Stored:
    while (step := stored.connection.step) is not None:
        stored = await store.transition(stored, done(stored.connection, step), ENTRY)
    return stored


async def leave(store: ConnectionStore, stored: Stored) -> Stored:
    request = DisconnectRequest("news", discard=True, unsynced=0)
    return await store.transition(stored, disconnect(stored.connection, request, COMMAND), ENTRY)


async def test_a_project_without_a_row_is_not_connected(store: ConnectionStore) -> None:
    stored = await store.get("p", "i1")
    assert (stored.connection, stored.etag) == (Connection("p", "i1"), None)
    assert await store.binding_status(BINDING) is BindingStatus.FREE
    assert await store.all() == []


async def test_everything_of_a_connection_is_stored(store: ConnectionStore) -> None:
    before = await store.get("p", "i1")
    full = replace(
        connect(before.connection, BINDING, COMMAND),
        last_imported=NOW,
        since=NOW,
        marker="m",
        snapshot="x/y",
        imported=7,
        error=JobError("Code", "why", "field"),
        warnings=(JobError("W", "careful"),),
        superseded=("j1",),
        progress=Progress("e", "i1/connection/1.jsonl", "m", 0, 1, (JobError("C", "why", "line 1"),)),
        waiting="AML",
        closed_sequence=3,
        previous_closed_sequence=2,
        locked_sequence=1,
    )
    await store.transition(before, full, ENTRY)
    again = (await store.get("p", "i1")).connection
    assert again == replace(full, log=1)
    assert decode_connection("i1", encode_connection(full)) == full
    assert [stored.connection for stored in await store.all()] == [again]
    assert await store.log("i1") == [ENTRY]


async def test_rows_of_earlier_versions_can_be_read(store: ConnectionStore) -> None:
    """Names in code change, stored names do not."""
    connection = Connection(
        *("p", "i1", State.SWITCHING, Studio.AZURE_ML, BINDING, Saga.TO_LANGUAGE_STUDIO, Step.ADOPT),
        sequence=4,
        closed_sequence=3,
        previous_closed_sequence=2,
        locked_sequence=1,
        progress=Progress("-", "i1/connection/4.jsonl", "m", 3, 1, (JobError("InvalidLine", "x", "line 2"),)),
        snapshot="i1/connection/2.jsonl",
    )
    encoded = encode_connection(connection)
    stored = unpacked_values(encoded)
    assert (encoded["v"], encoded["state"], encoded["step"]) == (1, "switching", "adoptLabels")
    assert (stored["turn"], stored["closed"], stored["reclosed"], stored["locked"]) == (4, 3, 2, 1)
    assert (stored["course"], stored["pinned"]) == ("switch to languageStudio", "i1/connection/2.jsonl")
    assert stored["bond"] == {
        "studio": "workspace",
        "workspace_id": "labeling",
        "name": "news",
        "vendor": "vendor",
        "instructions": "instructions",
    }
    assert stored["facts"] == {
        "ticket": "-",
        "pinned": "i1/connection/4.jsonl",
        "marker": "m",
        "imported": "3",
        "bad": "1",
        "errors": '[["InvalidLine", "x", "line 2"]]',
    }
    assert set(stored) == {
        *("project", "job_id", "actor", "turn", "closed", "reclosed", "locked", "attempts"),
        *("marker", "pinned", "imported", "waiting", "log", "facts", "superseded"),
        *("started", "last_imported", "since", "active", "course", "bond", "error", "warnings"),
    }
    assert decode_connection("i1", encoded) == connection


STORED_TRANSITION = {
    "from": "switching", "to": "connected", "activeStudio": "languageStudio",
    "operation": "undo switch to azureMachineLearning", "nextStep": "unlockLabels", "amlProjectName": "news",
    "error": "why",
}  # fmt: skip


@pytest.mark.parametrize(
    ("transition", "details"),
    [
        (
            Transition(
                State.SWITCHING,
                State.CONNECTED,
                Studio.LANGUAGE_STUDIO,
                Saga.UNDO_TO_AML,
                Step.UNLOCK,
                "news",
                "why",
            ),
            STORED_TRANSITION,
        ),
        (
            Transition(State.CONNECTED, State.NONE, Studio.AZURE_ML),
            {"from": "connected", "to": "none", "activeStudio": "azureMachineLearning"},
        ),
    ],
)
async def test_the_log_keeps_its_stored_names(
    storage: Storage, make: Callable[..., ConnectionStore], transition: Transition, details: dict[str, str]
) -> None:
    table = storage.table("connections")
    values = {"v": 1, "at": NOW, "actor": "lead", **packed_values(details)}
    await table.commit(PARTITION, [Insert("log|old|00000001", values)])
    store = make()
    entry = LogEntry(NOW, "lead", transition)
    assert await store.log("old") == [entry]
    assert event_json(entry)["details"] == details
    before = await bound(store)
    await store.transition(before, done(before.connection, Step.LOCK), entry)
    rows = await table.query(PARTITION, "log|i1|", "log|i1~")
    assert unpacked_values(rows[-1].values) == details


async def test_a_labeling_project_has_one_project_whatever_its_spelling(store: ConnectionStore) -> None:
    await bound(store, "i1")
    with pytest.raises(Conflict, match="already connected to a project"):
        await bound(store, "i2", replace(BINDING, name="NEWS"))
    assert (await store.get("q", "i2")).etag is None, "nothing of the pair was written"
    await bound(store, "i2", replace(BINDING, name="other"))


async def test_of_two_who_read_the_same_row_one_writes(store: ConnectionStore) -> None:
    stored = await bound(store)
    after = done(stored.connection, Step.LOCK)
    await store.transition(stored, after, ENTRY)
    with pytest.raises(ConnectionChanged):
        await store.transition(stored, after, ENTRY)


async def test_a_failed_connect_frees_the_aml_project(store: ConnectionStore) -> None:
    stored = await bound(store)
    failed = await store.transition(stored, fail(stored.connection, Step.LOCK, JobError("C", "why")), ENTRY)
    assert await store.binding_status(BINDING) is BindingStatus.BOUND
    rest = await run(store, failed)
    assert rest.connection.state is State.NONE
    assert await store.binding_status(BINDING) is BindingStatus.FREE
    await bound(store, "i2")
    assert await store.binding_status(BINDING) is BindingStatus.BOUND


async def test_the_blob_is_written_before_the_row_and_both_stay(
    make: Callable[..., ConnectionStore], storage: Storage
) -> None:
    store = make()
    stored = await leave(store, await run(store, await bound(store)))
    assert await store.binding_status(BINDING) is BindingStatus.BOUND, "requested, not yet done"
    faults = Faults()
    tombstoned = await make(faults).transition(stored, done(stored.connection, Step.TOMBSTONE), ENTRY)
    writes = [(c.service, c.operation) for c in faults.calls if c.operation in {"write", "commit"}]
    assert writes[0] == ("blob", "write")
    assert writes[-1] == ("table", "commit")
    assert await store.binding_status(BINDING) is BindingStatus.TOMBSTONED
    await run(store, tombstoned)
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
    other = replace(BINDING, name="other")
    await run(store, await leave_as(store, await run(store, await bound(store, "i3", other)), "other"))
    async for page in storage.blobs.list(store._tombstones):
        for blob in page:
            await storage.blobs.delete(store._tombstones, blob.name)
    with pytest.raises(Conflict, match="never be connected again"):
        await bound(store, "i4", other)


async def leave_as(store: ConnectionStore, stored: Stored, name: str) -> Stored:
    request = DisconnectRequest(name, discard=True, unsynced=0)
    return await store.transition(stored, disconnect(stored.connection, request, COMMAND), ENTRY)


async def test_a_tombstone_that_is_written_again_stays_the_first(
    make: Callable[..., ConnectionStore], storage: Storage
) -> None:
    store = make()
    stored = await leave(store, await run(store, await bound(store)))
    after = done(stored.connection, Step.TOMBSTONE)
    await store._write_tombstone(BINDING, replace(after, actor="first"))
    await store.transition(stored, after, ENTRY)
    content = await storage.blobs.read(store._tombstones, BINDING.key)
    assert content is not None
    assert b'"by":"first"' in content.data


async def test_a_restored_table_removes_no_tombstone(
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
    assert await store.binding_status(BINDING) is BindingStatus.TOMBSTONED
    with pytest.raises(Conflict):
        await bound(store, "i2")
    again = await run(store, await leave(store, await store.get("p", "i1")))
    assert again.connection.state is State.DISCONNECTED


async def test_a_lease_keeps_others_out_until_it_expires(store: ConnectionStore) -> None:
    stored = await bound(store)
    mine = await store.acquire_lease(stored, "me", NOW)
    assert mine is not None
    fresh = await store.get("p", "i1")
    assert await store.acquire_lease(fresh, "you", NOW + timedelta(seconds=19)) is None
    renewed = await store.acquire_lease(mine, "me", NOW + timedelta(seconds=10))
    assert renewed is not None
    assert await store.acquire_lease(await store.get("p", "i1"), "you", NOW + timedelta(seconds=25)) is None
    yours = await store.acquire_lease(await store.get("p", "i1"), "you", NOW + timedelta(seconds=31))
    assert yours is not None
    with pytest.raises(ConnectionChanged):
        await store.transition(renewed, done(renewed.connection, Step.LOCK), ENTRY, keep_lease=True)
    moved = await store.transition(yours, done(yours.connection, Step.LOCK), ENTRY, keep_lease=True)
    assert (await store.get("p", "i1")).token == "you"
    noted = await store.update(moved, moved.connection, release=True)
    assert noted.token == "" == (await store.get("p", "i1")).token


async def test_a_lost_answer_is_recognized_as_ones_own(make: Callable[..., ConnectionStore]) -> None:
    def lose(call: object) -> LostAnswer | None:

        return LostAnswer(RowExists()) if getattr(call, "operation", "") == "commit" else None

    landed = await bound(make(Faults(lose)))
    assert landed.connection.state is State.CONNECTING
    assert landed == await make().get("p", "i1")
