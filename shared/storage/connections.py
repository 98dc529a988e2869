"""Table `connections`: who is bound to whom, one partition, so that both sides change in one transaction.

    project|{incarnation}   the connection: state, due step, and the claim of whoever works on it
    studio|{key}            the AML project: bound, free, or tombstoned
    log|{incarnation}|{n}   what happened, one row a transition

    connect      EGT: project| none/disconnected -> connecting, studio| absent/free -> bound
    a failed one EGT: project| -> none,                         studio| bound -> free
    disconnect   blob {key} (create only), then
                 EGT: project| goes on,                         studio| bound -> tombstoned

That is all that ever happens to a `studio|` row: no call here deletes one or takes a tombstone back. Connect
looks at the blob and at the row, so that a table that was lost or restored revives nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared.domain.bond import Bond
from shared.domain.connection import Connection, Holds
from shared.domain.errors import Conflict
from shared.domain.ids import random_id
from shared.storage import connection_codec, packing
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
from shared.storage.keys import prefix

PARTITION = "connections"
CLAIM_FOR = timedelta(seconds=20)


class ConnectionChanged(Exception):
    """Somebody else moved the connection on: read again."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A connection as it was read. `etag` None: no row yet. `token`, `until`: who works on its step."""

    connection: Connection
    etag: str | None = None
    token: str = ""
    until: datetime | None = None

    def taken(self, now: datetime) -> bool:
        return bool(self.token) and self.until is not None and self.until > now


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One transition, for people."""

    at: datetime
    actor: str
    facts: Mapping[str, Any]


class ConnectionStore:
    def __init__(self, table: Table, blobs: Blobs, tombstones: str) -> None:
        self._table = table
        self._blobs = blobs
        self._tombstones = tombstones

    # Reading

    async def get(self, project: str, incarnation: str) -> Stored:
        row = await self._table.get(PARTITION, _project(incarnation))
        return _decode(row) if row else Stored(Connection(project, incarnation))

    async def all(self) -> list[Stored]:
        """Every connection there is or was."""
        rows = await self._table.query(PARTITION, *prefix(_project("")))
        return [_decode(row) for row in rows]

    async def log(self, incarnation: str) -> list[LogEntry]:
        """Oldest first."""
        rows = await self._table.query(PARTITION, *prefix(f"log|{incarnation}|"))
        return [_entry(row) for row in rows]

    async def holds(self, bond: Bond) -> Holds:
        """What an AML project is: the tombstone's blob counts even when its row is lost."""
        if await self._blobs.stat(self._tombstones, bond.key) is not None:
            return Holds.TOMBSTONED
        row = await self._table.get(PARTITION, _studio(bond.key))
        return Holds(packing.string(row.values, "holds")) if row else Holds.FREE

    # Writing

    async def move(self, before: Stored, after: Connection, entry: LogEntry, keep: bool = False) -> Stored:
        """Write a transition, its log row, and what it means for the AML project, all or nothing.

        `keep`: the claim stays ours. Raises Conflict when the AML project is taken or tombstoned,
        ConnectionChanged when somebody else was first.
        """
        after = replace(after, log=before.connection.log + 1)
        revision = random_id()
        values = connection_codec.encode(after) | {"rev": revision}
        held = keep and after.step is not None and before.until is not None
        if held and before.until is not None:
            values |= {"token": before.token, "until": before.until}
        operations = [
            _put(_project(after.incarnation), values, before.etag),
            Insert(_log(after.incarnation, after.log), _encode_entry(entry)),
            *await self._studio_operations(before.connection, after),
        ]
        try:
            etags = await self._table.commit(PARTITION, operations)
        except (RowExists, RowChanged, RowMissing) as error:
            row = await self._table.get(PARTITION, _project(after.incarnation))
            if row is None or row.values.get("rev") != revision:
                raise ConnectionChanged from error
            return _decode(row)
        token, until = (before.token, before.until) if held else ("", None)
        return Stored(after, etags[0], token, until)

    async def note(self, before: Stored, after: Connection, *, release: bool) -> Stored:
        """Write what is no transition: a try that must be repeated. `release` gives the claim up."""
        values = connection_codec.encode(after)
        if not release and before.until is not None:
            values |= {"token": before.token, "until": before.until}
        etag = await self._replace(before, values)
        return replace(
            before, connection=after, etag=etag, **({"token": "", "until": None} if release else {})
        )

    async def claim(self, before: Stored, token: str, now: datetime) -> Stored | None:
        """The right to work on the due step; None: a live worker has it."""
        if before.token != token and before.taken(now):
            return None
        until = now + CLAIM_FOR
        try:
            etag = await self._merge(before, {"token": token, "until": until})
        except ConnectionChanged:
            return None
        return replace(before, etag=etag, token=token, until=until)

    async def _replace(self, before: Stored, values: dict[str, Value]) -> str:
        try:
            key = _project(before.connection.incarnation)
            return (await self._table.commit(PARTITION, [Replace(key, values, before.etag or "")]))[0]
        except (RowChanged, RowMissing) as error:
            raise ConnectionChanged from error

    async def _merge(self, before: Stored, values: dict[str, Value]) -> str:
        try:
            key = _project(before.connection.incarnation)
            return (await self._table.commit(PARTITION, [Merge(key, values, before.etag or "")]))[0]
        except (RowChanged, RowMissing) as error:
            raise ConnectionChanged from error

    # The AML project

    async def _studio_operations(self, before: Connection, after: Connection) -> list[Operation]:
        """What a transition writes to the AML project's row: nothing, unless it changes hands."""
        bond = after.bond or before.bond
        if bond is None or (before.holds is after.holds and before.bond == after.bond):
            return []
        if after.holds is Holds.TOMBSTONED:
            await self._write_tombstone(bond, after)
        blob = await self._blobs.stat(self._tombstones, bond.key)
        row = await self._table.get(PARTITION, _studio(bond.key))
        is_now = Holds(packing.string(row.values, "holds")) if row else Holds.FREE
        ours = row is not None and packing.string(row.values, "incarnation") == after.incarnation
        if after.holds is Holds.BOUND and blob is not None:
            is_now = Holds.TOMBSTONED
        if not _may_become(is_now, after.holds, ours=ours or row is None):
            raise _taken(bond, is_now)
        if is_now is after.holds and row is not None:
            return []
        values: dict[str, Value] = {
            "v": 1,
            "holds": after.holds.value,
            "incarnation": after.incarnation,
            "project": after.project,
            "path": bond.path,
        }
        return [_put(_studio(bond.key), values, row.etag if row else None)]

    async def _write_tombstone(self, bond: Bond, connection: Connection) -> None:
        """Create only: the first one stays, whoever comes after."""
        told = {
            "studio": bond.studio,
            "workspaceId": bond.workspace,
            "amlProjectName": bond.name,
            "projectName": connection.project,
            "incarnation": connection.incarnation,
            "by": connection.actor,
        }
        data = packing.to_text(told).encode()
        try:
            await self._create_blob(bond.key, data)
        except ContainerMissing:
            await self._blobs.create_container(self._tombstones)
            await self._create_blob(bond.key, data)

    async def _create_blob(self, key: str, data: bytes) -> None:
        try:
            await self._blobs.write(
                self._tombstones, key, data, create_only=True, content_type="application/json"
            )
        except BlobExists:
            return


def _may_become(now: Holds, then: Holds, *, ours: bool) -> bool:
    """Free to bound; bound to free or tombstoned, by its owner; tombstoned stays what it is."""
    match now, then:
        case Holds.FREE, Holds.BOUND:
            return True
        case Holds.TOMBSTONED, Holds.TOMBSTONED:
            return True
        case Holds.TOMBSTONED, _:
            return False
        case _, _:
            return ours


def _taken(bond: Bond, holds: Holds) -> Conflict:
    if holds is Holds.TOMBSTONED:
        text = "was disconnected once and can never be connected again; choose another name"
        return Conflict(
            f"The labeling project '{bond.name}' {text}.", target="amlProjectName", inner_code="Tombstoned"
        )
    text = "is connected with a project already"
    return Conflict(
        f"The labeling project '{bond.name}' {text}.", target="amlProjectName", inner_code="Bound"
    )


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
        connection_codec.decode(row.key.split("|", 1)[1], row.values),
        row.etag,
        packing.string(row.values, "token"),
        until if isinstance(until, datetime) else None,
    )


def _encode_entry(entry: LogEntry) -> dict[str, Value]:
    return {"v": 1, "at": entry.at, "actor": entry.actor, **packing.packed_values(dict(entry.facts))}


def _entry(row: Row) -> LogEntry:
    at = row.values["at"]
    if not isinstance(at, datetime):
        raise TypeError(f"The row {row.key} holds no time.")
    return LogEntry(at, packing.string(row.values, "actor"), packing.unpacked_values(row.values))
