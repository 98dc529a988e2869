"""Table `connections`, one partition, so that both sides of a connection change in one transaction.

    project|{incarnation}   the connection: state, due step, and the lease of the worker that runs it
    studio|{key}            the labeling project: bound, free, or tombstoned
    log|{incarnation}|{n}   one row per transition

    connect       project| none/disconnected -> connecting,  studio| absent/free -> bound
    undo connect  project| -> none,                          studio| bound -> free
    disconnect    blob {key} (create only), then
                  project| next step,                        studio| bound -> tombstoned

Nothing else ever happens to a `studio|` row: no call deletes one or removes a tombstone. Connecting checks both
the blob and the row, so that losing or restoring the table removes no tombstone.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, astuple, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared.connection.binding import Binding, StudioKind
from shared.connection.state import (
    BindingStatus,
    Connection,
    LogEntry,
    Progress,
    Saga,
    State,
    Step,
    Transition,
)
from shared.domain.errors import Conflict
from shared.domain.jobs import JobError
from shared.domain.names import EventType, Studio, derived_job_id, random_id
from shared.storage.gateways.ports import (
    BlobExists,
    Blobs,
    ContainerMissing,
    Insert,
    Merge,
    Operation,
    Replace,
    Row,
    RowChanged,
    RowExists,
    RowMissing,
    Table,
    Value,
)
from shared.storage.outbox import Outbox
from shared.storage.rows import key_range, packed_values, str_of, to_json, unpacked_values
from shared.wire import json_codec
from shared.wire.events import Event

#: Attributes stored as they are (text, numbers, lists of text), by their stored names.
_PLAIN = {
    "project": "project",
    "job_id": "job_id",
    "actor": "actor",
    "turn": "sequence",
    "closed": "closed_sequence",
    "reclosed": "previous_closed_sequence",
    "locked": "locked_sequence",
    "attempts": "attempts",
    "marker": "marker",
    "pinned": "snapshot",
    "imported": "imported",
    "waiting": "waiting",
    "log": "log",
    "superseded": "superseded",
}
_TIMES = ("started", "last_imported", "since")


def encode_connection(connection: Connection) -> dict[str, Value]:
    """`step` is a property of its own, so that a sweep finds unfinished operations."""
    data: dict[str, Any] = {key: getattr(connection, name) for key, name in _PLAIN.items()}
    data |= {name: _time(getattr(connection, name)) for name in _TIMES}
    data["facts"] = _encode_progress(connection.progress)
    data["active"] = connection.active
    data["course"] = connection.saga
    data["bond"] = asdict(connection.binding) if connection.binding else None
    data["error"] = asdict(connection.error) if connection.error else None
    data["warnings"] = [asdict(warning) for warning in connection.warnings]
    return {
        "v": 1,
        "state": connection.state.value,
        "step": connection.step or "",
        **packed_values(data),
    }


def decode_connection(incarnation: str, values: Mapping[str, Value]) -> Connection:
    data = unpacked_values(values)
    step = str_of(values, "step")
    plain: dict[str, Any] = {name: data[key] for key, name in _PLAIN.items()}
    times: dict[str, Any] = {n: datetime.fromisoformat(data[n]) if data[n] else None for n in _TIMES}
    plain["superseded"] = tuple(data["superseded"])
    return Connection(
        incarnation=incarnation,
        state=State(str_of(values, "state")),
        step=Step(step) if step else None,
        active=Studio(data["active"]),
        saga=Saga(data["course"]) if data["course"] else None,
        binding=_decode_binding(data["bond"]),
        progress=_decode_progress(data["facts"]),
        error=JobError(**data["error"]) if data["error"] else None,
        warnings=tuple(JobError(**warning) for warning in data["warnings"]),
        **times,
        **plain,
    )


def _encode_progress(progress: Progress) -> dict[str, str]:
    """Only what is set, each as text."""
    facts: dict[str, str] = {}
    if progress.export:
        facts["ticket"] = progress.export
    if progress.snapshot:
        facts |= {"pinned": progress.snapshot, "marker": progress.marker}
    if progress.imported is not None:
        facts |= {"imported": str(progress.imported), "bad": str(progress.bad_lines)}
    if progress.imported is not None or progress.errors:
        facts["errors"] = json.dumps([astuple(error) for error in progress.errors])
    return facts


def _decode_progress(facts: Mapping[str, str]) -> Progress:
    return Progress(
        export=facts.get("ticket", ""),
        snapshot=facts.get("pinned", ""),
        marker=facts.get("marker", ""),
        imported=int(facts["imported"]) if "imported" in facts else None,
        bad_lines=int(facts.get("bad", "0")),
        errors=tuple(JobError(*error) for error in json.loads(facts.get("errors", "[]"))),
    )


def _decode_binding(data: dict[str, Any] | None) -> Binding | None:
    return Binding(**{**data, "studio": StudioKind(data["studio"])}) if data else None


def _time(value: datetime | None) -> str | None:
    return value.isoformat() if value else None


PARTITION = "connections"
LEASE_DURATION = timedelta(seconds=20)


class ConnectionChanged(Exception):
    """Another worker changed the connection: read it again."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A connection as it was read. `etag` None: no row yet. `token`, `until`: the lease on its step."""

    connection: Connection
    etag: str | None = None
    token: str = ""
    until: datetime | None = None

    def leased(self, now: datetime) -> bool:
        return bool(self.token) and self.until is not None and self.until > now


class ConnectionStore:
    def __init__(self, table: Table, blobs: Blobs, tombstones: str, outbox: Outbox | None = None) -> None:
        self._table = table
        self._blobs = blobs
        self._tombstones = tombstones
        self._outbox = outbox or Outbox(table)

    # Reading

    async def get(self, project: str, incarnation: str) -> Stored:
        row = await self._table.get(PARTITION, _project(incarnation))
        return _decode(row) if row else Stored(Connection(project, incarnation))

    async def all(self) -> list[Stored]:
        """Every connection, past ones too."""
        rows = await self._table.query(PARTITION, *key_range(_project("")))
        return [_decode(row) for row in rows]

    async def log(self, incarnation: str) -> list[LogEntry]:
        """Oldest first."""
        rows = await self._table.query(PARTITION, *key_range(f"log|{incarnation}|"))
        return [_entry(row) for row in rows]

    async def binding_status(self, binding: Binding) -> BindingStatus:
        """Of a labeling project: the blob of its tombstone counts even when its row is lost."""
        if await self._blobs.stat(self._tombstones, binding.key) is not None:
            return BindingStatus.TOMBSTONED
        row = await self._table.get(PARTITION, _studio(binding.key))
        return _status(row)

    # Writing

    async def transition(
        self, before: Stored, after: Connection, entry: LogEntry, *, keep_lease: bool = False
    ) -> Stored:
        """Write a transition, its log row, and the new status of the labeling project in one transaction.

        Raises Conflict when the labeling project is bound or tombstoned, ConnectionChanged when another
        worker was first.
        """
        after = replace(after, log=before.connection.log + 1)
        revision = random_id()
        values = encode_connection(after) | {"rev": revision}
        until = before.until if keep_lease and not after.idle else None
        if until is not None:
            values |= {"token": before.token, "until": until}
        operations = [
            _put(_project(after.incarnation), values, before.etag),
            Insert(_log(after.incarnation, after.log), _encode_entry(entry)),
            *await self._studio_operations(before.connection, after),
        ]
        prepared = await self._outbox.prepare(PARTITION, _events(before.connection, after, entry.at))
        try:
            etags = await self._table.commit(PARTITION, [*operations, *prepared])
        except (RowExists, RowChanged, RowMissing) as error:
            row = await self._table.get(PARTITION, _project(after.incarnation))
            if row is None or row.values.get("rev") != revision:
                raise ConnectionChanged from error
            await self._outbox.announce(PARTITION, prepared)
            return _decode(row)
        await self._outbox.announce(PARTITION, prepared)
        return Stored(after, etags[0], before.token if until else "", until)

    async def update(self, before: Stored, after: Connection, *, release: bool) -> Stored:
        """Write a change that is no transition, such as a step that must wait. `release` ends the lease."""
        values = encode_connection(after)
        if not release and before.until is not None:
            values |= {"token": before.token, "until": before.until}
        etag = await self._commit(Replace(_key(before), values, before.etag or ""))
        if release:
            return Stored(after, etag)
        return replace(before, connection=after, etag=etag)

    async def acquire_lease(self, before: Stored, token: str, now: datetime) -> Stored | None:
        """Acquire or renew the lease on the due step; None: another worker holds it."""
        if before.token != token and before.leased(now):
            return None
        until = now + LEASE_DURATION
        try:
            operation = Merge(_key(before), {"token": token, "until": until}, before.etag or "")
            etag = await self._commit(operation)
        except ConnectionChanged:
            return None
        return replace(before, etag=etag, token=token, until=until)

    async def _commit(self, operation: Operation) -> str:
        try:
            return (await self._table.commit(PARTITION, [operation]))[0]
        except (RowChanged, RowMissing) as error:
            raise ConnectionChanged from error

    # The labeling project

    async def _studio_operations(self, before: Connection, after: Connection) -> list[Operation]:
        """What a transition writes to the row of the labeling project: nothing, unless its status changes."""
        binding = after.binding or before.binding
        status = after.binding_status
        if binding is None or (before.binding_status is status and before.binding == after.binding):
            return []
        if status is BindingStatus.TOMBSTONED:
            await self._write_tombstone(binding, after)
        blob = await self._blobs.stat(self._tombstones, binding.key)
        row = await self._table.get(PARTITION, _studio(binding.key))
        current = _status(row)
        ours = row is None or str_of(row.values, "incarnation") == after.incarnation
        if status is BindingStatus.BOUND and blob is not None:
            current = BindingStatus.TOMBSTONED
        if not _may_become(current, status, ours=ours):
            raise _unavailable(binding, current)
        if current is status and row is not None:
            return []
        values: dict[str, Value] = {
            "v": 1,
            "holds": status.value,
            "incarnation": after.incarnation,
            "project": after.project,
            "path": binding.path,
        }
        return [_put(_studio(binding.key), values, row.etag if row else None)]

    async def _write_tombstone(self, binding: Binding, connection: Connection) -> None:
        """Create only: a repeat keeps the first one."""
        content = {
            "studio": binding.studio,
            "workspaceId": binding.workspace,
            "amlProjectName": binding.name,
            "projectName": connection.project,
            "incarnation": connection.incarnation,
            "by": connection.actor,
        }
        data = to_json(content).encode()
        try:
            await self._create_blob(binding.key, data)
        except ContainerMissing:
            await self._blobs.create_container(self._tombstones)
            await self._create_blob(binding.key, data)

    async def _create_blob(self, key: str, data: bytes) -> None:
        try:
            await self._blobs.write(
                self._tombstones, key, data, create_only=True, content_type="application/json"
            )
        except BlobExists:
            return


async def write_transition(
    connections: ConnectionStore,
    now: datetime,
    before: Stored,
    after: Connection,
    *,
    keep_lease: bool = False,
) -> Stored:
    """Write a transition with its log entry."""
    binding = after.binding or before.connection.binding
    transition = Transition(
        before.connection.state,
        after.state,
        after.active,
        operation=after.saga or before.connection.saga,
        next_step=after.step,
        aml_project_name=binding.name if binding else None,
        error=after.error.message if after.error else None,
    )
    entry = LogEntry(now, after.actor, transition)
    after = replace(after, since=None if after.idle else now)
    return await connections.transition(before, after, entry, keep_lease=keep_lease)


def _events(before: Connection, after: Connection, at: datetime) -> Iterator[Event]:
    """The event of a transition: a change of the state or of the active studio, or a failure."""
    failed = after.error is not None and after.error != before.error
    if (before.state, before.active) == (after.state, after.active) and not failed:
        return
    binding, operation = after.binding or before.binding, after.saga or before.saga
    data: dict[str, Any] = {
        "state": after.state.value,
        "previousState": before.state.value,
        "activeStudio": after.active.value,
        "operation": operation.value if operation else None,
        "amlProjectName": binding.name if binding else None,
        "errorCode": after.error.code if after.error else None,
    }
    kind = EventType.CONNECTION_CHANGED
    key = derived_job_id(kind, after.incarnation, str(after.log))
    yield Event(key, kind, after.project, "connection", at, data)


def _status(row: Row | None) -> BindingStatus:
    return BindingStatus(str_of(row.values, "holds")) if row else BindingStatus.FREE


def _may_become(current: BindingStatus, new: BindingStatus, *, ours: bool) -> bool:
    """Free to bound; bound to free or tombstoned, by its owner; tombstoned never changes."""
    match current, new:
        case BindingStatus.FREE, BindingStatus.BOUND:
            return True
        case BindingStatus.TOMBSTONED, BindingStatus.TOMBSTONED:
            return True
        case BindingStatus.TOMBSTONED, _:
            return False
        case _, _:
            return ours


def _unavailable(binding: Binding, status: BindingStatus) -> Conflict:
    text, code = "is already connected to a project", "Bound"
    if status is BindingStatus.TOMBSTONED:
        text, code = "was disconnected and can never be connected again; choose another name", "Tombstoned"
    return Conflict(
        f"The labeling project '{binding.name}' {text}.", target="amlProjectName", inner_code=code
    )


def _key(stored: Stored) -> str:
    return _project(stored.connection.incarnation)


def _project(incarnation: str) -> str:
    return f"project|{incarnation}"


def _studio(key: str) -> str:
    return f"studio|{key}"


def _log(incarnation: str, number: int) -> str:
    return f"log|{incarnation}|{number:08d}"


def _put(key: str, values: dict[str, Value], etag: str | None) -> Operation:
    return Insert(key, values) if etag is None else Replace(key, values, etag)


def _decode(row: Row) -> Stored:
    until = row.values.get("until")
    return Stored(
        decode_connection(row.key.split("|", 1)[1], row.values),
        row.etag,
        str_of(row.values, "token"),
        until if isinstance(until, datetime) else None,
    )


def _encode_entry(entry: LogEntry) -> dict[str, Value]:
    return {
        "v": 1,
        "at": entry.at,
        "actor": entry.actor,
        **packed_values(json_codec.to_json(entry.transition)),
    }


def _entry(row: Row) -> LogEntry:
    at = row.values["at"]
    if not isinstance(at, datetime):
        raise TypeError(f"The row {row.key} has no time.")
    transition = json_codec.from_json(Transition, unpacked_values(row.values))
    return LogEntry(at, str_of(row.values, "actor"), transition)
