"""Events to be sent, and dead letters.

The row `outbox|{id}` lies in the partition of the row that changed and is committed with it: an event exists if, and
only if, what it tells of happened. A message asks for each row to be sent; the sweep finds rows whose message was lost.

    commit: what changed, outbox|{id}  ->  message  ->  every receiver has them: row deleted
                                                    ->  one has not: row postponed, message with a delay
                                                    ->  one has not, last attempt: deadletter|{id}, row deleted
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import batched
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared import telemetry
from shared.domain.errors import BadMessage
from shared.domain.names import EVENT_QUEUE, EventType
from shared.storage.gateways.limits import MAX_OPERATIONS
from shared.storage.gateways.ports import (
    Delete,
    Operation,
    Queues,
    Replace,
    Row,
    RowChanged,
    RowMissing,
    StorageUnavailable,
    Table,
    UpsertReplace,
    Value,
)
from shared.storage.rows import (
    INDEX,
    dead_letter_key,
    int_of,
    key_range,
    outbox_key,
    packed_values,
    str_of,
    unpacked_values,
)
from shared.wire import json_codec
from shared.wire.events import Event

log = logging.getLogger("labelbridge.events")

#: Rows of a partition that one sweep reads, and those of them for which it sends a message.
MAX_SWEPT = 5_000
MAX_ANNOUNCED = 100


type Mark = Callable[[str], Awaitable[None]]
"""Notes that there may be work in the partition of a project."""
type Announce = Callable[[str, str, int], Awaitable[None]]
"""Sends the message for a row: its partition, its id, and after how many seconds."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row of the outbox as it was read. `due`: not before then.

    `left`: how many of the events a receiver has had, by its name, of the receivers that have not had all; None
    before the first attempt, when nobody has had any.
    """

    partition: str
    id: str
    events: tuple[Event, ...]
    attempts: int
    due: datetime
    etag: str
    left: Mapping[str, int] | None = None


class Outbox:
    """The outbox in the partitions of one table. Without `wanted` types of events nothing is ever written.

    `mark` is called before a row is written to the partition of a project, for the sweep to look there.
    """

    def __init__(
        self,
        table: Table,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        wanted: Collection[EventType] = (),
        announce: Announce | None = None,
        mark: Mark | None = None,
    ) -> None:
        self._table = table
        self._clock = clock
        self._wanted = frozenset(wanted)
        self._announce = announce
        self._mark = mark

    @property
    def enabled(self) -> bool:
        return bool(self._wanted)

    def wants(self, kind: EventType) -> bool:
        return kind in self._wanted

    async def prepare(self, partition: str, events: Iterable[Event]) -> list[Operation]:
        """What to commit together with the reported change: one row, or nothing if no receiver wants the events."""
        if not self._wanted:
            return []
        wanted = [event for event in events if event.type in self._wanted]
        if not wanted:
            return []
        if self._mark is not None and partition != INDEX:
            await self._mark(partition)
        return [_put(wanted[0].id, wanted, self._clock())]

    async def announce(self, partition: str, prepared: Sequence[Operation], delay: int = 0) -> None:
        """Have rows sent that were committed. If the message cannot be sent, the sweep sends it."""
        for operation in prepared:
            try:
                await self.ask(partition, operation.key.removeprefix(outbox_key()), delay)
            except StorageUnavailable as error:
                log.warning("An event waits for the next sweep: its message was not sent (%s).", error)

    async def ask(self, partition: str, event_id: str, delay: int = 0) -> None:
        """Send the message for a row."""
        if self._announce is not None:
            await self._announce(partition, event_id, delay)

    async def find(self, partition: str, event_id: str) -> Waiting | None:
        row = await self._table.get(partition, outbox_key(event_id))
        return _decode(row) if row else None

    async def any(self, partition: str) -> bool:
        """Whether events of the partition wait."""
        low, high = key_range(outbox_key())
        return bool(self._wanted) and bool(
            await self._table.query(partition, low, high, select=["v"], limit=1)
        )

    async def stalled(self, partition: str, until: datetime) -> list[str]:
        """Ids of rows that should have been sent by `until`, at most 100."""
        low, high = key_range(outbox_key())
        rows = await self._table.query(partition, low, high, select=["due"], limit=MAX_SWEPT)
        due = ((row.key, row.values.get("due")) for row in rows)
        late = [key for key, at in due if isinstance(at, datetime) and at <= until]
        return [key.removeprefix(outbox_key()) for key in late[:MAX_ANNOUNCED]]

    async def delete(self, waiting: Waiting) -> None:
        """The row is finished; a missing one was finished by another worker."""
        try:
            await self._table.commit(waiting.partition, [Delete(outbox_key(waiting.id))])
        except RowMissing:
            return

    async def postpone(self, waiting: Waiting, left: Mapping[str, int], due: datetime) -> bool:
        """Note a failed attempt; False: another worker has the row."""
        values = _values(waiting.events, left, waiting.attempts + 1, due)
        try:
            await self._table.commit(
                waiting.partition, [Replace(outbox_key(waiting.id), values, waiting.etag)]
            )
        except (RowChanged, RowMissing):
            return False
        return True


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One event that one receiver did not accept in `attempts` attempts, and the reason of the last one."""

    id: str
    receiver: str
    event: Event
    attempts: int
    reason: str
    at: datetime
    etag: str = field(default="", compare=False)


class DeadLetters:
    """Rows `deadletter|{id}` of the index, for all projects; they outlive theirs, up to `KEPT_FOR`."""

    KEPT_FOR = timedelta(days=30)
    MOST = 10_000

    def __init__(self, table: Table, outbox: Outbox) -> None:
        self._table = table
        self._outbox = outbox

    async def add(self, letters: Sequence[DeadLetter]) -> None:
        """Adding one again changes nothing."""
        operations = [UpsertReplace(dead_letter_key(letter.id), _of_letter(letter)) for letter in letters]
        for group in batched(operations, MAX_OPERATIONS, strict=False):
            await self._table.commit(INDEX, group)

    async def list(self, after: str, limit: int) -> "list[DeadLetter]":
        """By id, after an id."""
        _, high = key_range(dead_letter_key())
        start = f"{dead_letter_key(after)} " if after else dead_letter_key()
        rows = await self._table.query(INDEX, start, high, limit=limit)
        return [_letter(row) for row in rows]

    async def find(self, letter_id: str) -> DeadLetter | None:
        row = await self._table.get(INDEX, dead_letter_key(letter_id))
        return _letter(row) if row else None

    async def resend(self, letter: DeadLetter, now: datetime) -> bool:
        """Queue the event again for its receiver only; False: another caller was first."""
        again = _put(letter.id, [letter.event], now, {letter.receiver: 0})
        try:
            await self._table.commit(INDEX, [again, Delete(dead_letter_key(letter.id), letter.etag)])
        except (RowChanged, RowMissing):
            return False
        await self._outbox.announce(INDEX, [again])
        return True

    async def expire(self, now: datetime) -> None:
        """Delete those that are too old, and of too many the oldest."""
        low, high = key_range(dead_letter_key())
        rows = await self._table.query(INDEX, low, high, select=["at"])
        dated = ((row.values.get("at"), row.key) for row in rows)
        found = sorted((at, key) for at, key in dated if isinstance(at, datetime))
        extra = max(0, len(found) - self.MOST)
        old = [key for place, (at, key) in enumerate(found) if place < extra or now - at > self.KEPT_FOR]
        for key in old:
            try:
                await self._table.commit(INDEX, [Delete(key)])
            except RowMissing:
                continue


def _put(
    event_id: str, events: Sequence[Event], now: datetime, left: Mapping[str, int] | None = None
) -> UpsertReplace:
    return UpsertReplace(outbox_key(event_id), _values(events, left, 0, now))


def _values(
    events: Sequence[Event], left: Mapping[str, int] | None, attempts: int, due: datetime
) -> dict[str, Value]:
    data: dict[str, Any] = {"events": [json_codec.to_json(event) for event in events], "left": left}
    return {"v": 1, "attempts": attempts, "due": due, **packed_values(data)}


def _decode(row: Row) -> Waiting:
    data, due = unpacked_values(row.values), row.values["due"]
    if not isinstance(due, datetime):
        raise TypeError(f"The row {row.key} has no time.")
    events = tuple(json_codec.from_json(Event, event) for event in data["events"])
    event_id = row.key.removeprefix(outbox_key())
    return Waiting(
        row.partition, event_id, events, int_of(row.values, "attempts"), due, row.etag, data["left"]
    )


def _of_letter(letter: DeadLetter) -> dict[str, Value]:
    return {
        "v": 1,
        "receiver": letter.receiver,
        "attempts": letter.attempts,
        "reason": letter.reason,
        "at": letter.at,
        **packed_values(json_codec.to_json(letter.event)),
    }


def _letter(row: Row) -> DeadLetter:
    values, at = row.values, row.values["at"]
    if not isinstance(at, datetime):
        raise TypeError(f"The row {row.key} has no time.")
    return DeadLetter(
        row.key.removeprefix(dead_letter_key()),
        str_of(values, "receiver"),
        json_codec.from_json(Event, unpacked_values(values)),
        int_of(values, "attempts"),
        str_of(values, "reason"),
        at,
        row.etag,
    )


type EventTable = Literal["projects", "connections"]


class EventMessage(BaseModel):
    """Send the events of one row of an outbox."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    v: Literal[1] = 1
    table: EventTable
    partition: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[$A-Za-z0-9_.-]+$")]
    id: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.-]+$")]
    trace: str = Field(default_factory=telemetry.trace, max_length=100)


def parse_event(body: str) -> EventMessage:
    """Raises BadMessage."""
    try:
        return EventMessage.model_validate_json(body)
    except ValidationError as error:
        raise BadMessage(
            f"The message was not created by Labelbridge ({error.error_count()} validation errors)."
        ) from error


@dataclass(frozen=True, slots=True)
class Outboxes:
    """The outboxes by table. `wanted`: the types of events that receivers want; none: no event is written."""

    queues: Queues
    clock: Callable[[], datetime]
    wanted: frozenset[EventType]
    mark: Mark
    projects: Table

    @property
    def enabled(self) -> bool:
        return bool(self.wanted)

    def of_projects(self) -> Outbox:
        return Outbox(self.projects, self.clock, self.wanted, partial(self._announce, "projects"), self.mark)

    def of_connections(self, table: Table) -> Outbox:
        return Outbox(table, self.clock, self.wanted, partial(self._announce, "connections"))

    async def _announce(self, table: EventTable, partition: str, event_id: str, delay: int) -> None:
        message = EventMessage(table=table, partition=partition, id=event_id)
        await self.queues.send(EVENT_QUEUE, message.model_dump_json(), delay=delay)
