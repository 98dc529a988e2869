"""Answers to requests that carried an `Idempotency-Key`, kept for 24 hours in one partition a day.

An answer belongs to the project that it tells of. When that was deleted, the key begins again, with a salt.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.storage.gateways.ports import (
    Delete,
    Insert,
    Row,
    RowExists,
    RowMissing,
    Table,
    UpsertReplace,
    Value,
)
from shared.storage.rows import IDEMPOTENCY, from_json, from_parts, str_of, to_json, to_parts

KEPT_FOR = timedelta(hours=24)
MAX_ANSWER = 600 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is known of a key: the hash of the body it came with, and the answer when there was one.

    `project`: the incarnation that the project of the request had after it, "" where there was none. `salt` tells
    the uses of a key for one deleted project after the other apart; ids that derive from the key derive from it too.
    """

    body_hash: str
    answer: Answer | None = None
    project: str = ""
    salt: str = ""


class IdempotencyStore:
    def __init__(self, table: Table, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._clock = clock

    async def begin(self, key: str, body_hash: str) -> Remembered | None:
        """None: the key is new, and is now reserved."""
        now = self._clock()
        earlier = await self._table.get(_partition(now - timedelta(days=1)), key)
        if earlier is not None and _age(earlier, now) < KEPT_FOR:
            return _decode(earlier)
        try:
            await self._table.commit(_partition(now), [Insert(key, {"v": 1, "hash": body_hash, "at": now})])
        except RowExists:
            row = await self._table.get(_partition(now), key)
            return _decode(row) if row else None
        return None

    async def begin_again(self, key: str, body_hash: str, salt: str) -> None:
        """Reserve a key again whose response belongs to a deleted project."""
        now = self._clock()
        values: dict[str, Value] = {"v": 1, "hash": body_hash, "at": now, "salt": salt}
        await self._table.commit(_partition(now), [UpsertReplace(key, values)])
        try:
            await self._table.commit(_partition(now - timedelta(days=1)), [Delete(key)])
        except RowMissing:
            return  # it was of today

    async def finish(self, key: str, known: Remembered) -> None:
        """Store the response. One that is too large for a row is not stored: a repeat then does the same work again."""
        answer = known.answer
        if answer is None or len(answer.body) > MAX_ANSWER:
            return
        now = self._clock()
        values: dict[str, Value] = {
            "v": 1,
            "hash": known.body_hash,
            "at": now,
            "project": known.project,
            "salt": known.salt,
            "status": answer.status,
            "headers": to_json(answer.headers),
            "type": answer.content_type,
            **to_parts(answer.body),
        }
        await self._table.commit(_partition(now), [UpsertReplace(key, values)])

    async def purge(self) -> int:
        """Delete the keys of the day before yesterday; return how many."""
        partition = _partition(self._clock() - timedelta(days=2))
        rows = await self._table.query(partition, select=["v"])
        for start in range(0, len(rows), 100):
            try:
                await self._table.commit(partition, [Delete(row.key) for row in rows[start : start + 100]])
            except RowMissing:
                continue  # another instance purges too
        return len(rows)


def _partition(day: datetime) -> str:
    return f"{IDEMPOTENCY}|{day:%Y-%m-%d}"


def _age(row: Row, now: datetime) -> timedelta:
    at = row.values.get("at")
    return now - at if isinstance(at, datetime) else KEPT_FOR


def _decode(row: Row) -> Remembered:
    values = row.values
    status, answer = values.get("status"), None
    if isinstance(status, int):
        headers = from_json(str_of(values, "headers"))
        answer = Answer(status, headers, from_parts(values), str_of(values, "type"))
    return Remembered(
        str_of(values, "hash"),
        answer,
        str_of(values, "project"),
        str_of(values, "salt"),
    )
