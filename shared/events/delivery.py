"""Delivery of events: each row of an outbox to every receiver that wants it, at least once, in no particular order.

An attempt sends a receiver the events of a row one by one, starting with the first that it has not received. After the
last attempt, events that it did not accept become dead letters, which an administrator can resend.
"""

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from shared import telemetry
from shared.domain.errors import InvalidArgument, NotFound
from shared.domain.names import derived_job_id
from shared.services.jobs.stores import Stores
from shared.storage.outbox import DeadLetter, DeadLetters, EventMessage, Outbox, Waiting
from shared.storage.rows import INDEX
from shared.wire.events import Event

log = logging.getLogger("labelbridge.events")

#: Seconds between one attempt and the next; after the last attempt an event is a dead letter.
PAUSES: Final = (10, 30, 60, 300, 600, 1_800, 3_600, 7_200, 14_400)
MAX_ATTEMPTS: Final = len(PAUSES) + 1
#: The sweep sends another message for a row that is this much overdue.
STALE: Final = timedelta(seconds=25)
#: A message that arrives earlier than the row is due, by more than clock differences, is not the row's last one.
EARLY: Final = timedelta(seconds=5)
CONNECTIONS: Final = "connections"
_ID: Final = re.compile("[A-Za-z0-9-]{1,64}")


class NotDelivered(Exception):
    """A receiver did not accept an event. The message says why, without addresses and secrets."""


class Receiver(Protocol):
    @property
    def name(self) -> str: ...

    def wants(self, event: Event) -> bool: ...

    async def send(self, event: Event) -> None:
        """Raises NotDelivered."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """What a receiver has not received: the events from `index` on."""

    receiver: Receiver
    index: int
    reason: str


class EventDelivery:
    def __init__(
        self,
        stores: Stores,
        connections: Outbox,
        receivers: Sequence[Receiver],
    ) -> None:
        self._stores = stores
        self._outboxes: Mapping[str, Outbox] = {"projects": stores.outbox, "connections": connections}
        self._receivers = receivers
        self._letters = DeadLetters(stores.table, stores.outbox)

    async def run(self, message: EventMessage) -> None:
        """Make one attempt for a row. The host retries it after a storage error."""
        with telemetry.span("events", kind="consumer", parent=message.trace):
            outbox = self._outboxes[message.table]
            waiting = await outbox.find(message.partition, message.id)
            if waiting is None or waiting.due - self._stores.clock() > EARLY:
                return
            failures = await self._attempt(waiting)
            if not failures:
                await outbox.delete(waiting)
            elif waiting.attempts + 1 < MAX_ATTEMPTS:
                await self._postpone(outbox, waiting, failures)
            else:
                await self._give_up(outbox, waiting, failures)

    async def _attempt(self, waiting: Waiting) -> list[Failure]:
        """Send concurrently to all receivers that have not received everything; return those that failed."""
        left = waiting.left
        due = [r for r in self._receivers if left is None or r.name in left]
        tries = (self._send(receiver, waiting, (left or {}).get(receiver.name, 0)) for receiver in due)
        return [failure for failure in await asyncio.gather(*tries) if failure is not None]

    async def _send(self, receiver: Receiver, waiting: Waiting, start: int) -> Failure | None:
        for index, event in enumerate(waiting.events[start:], start):
            if not receiver.wants(event):
                continue
            try:
                await receiver.send(event)
            except Exception as error:
                # Any exception is this receiver's failure: if raised, the event would be sent again to all others.
                if not isinstance(error, NotDelivered) and waiting.attempts + 1 >= MAX_ATTEMPTS:
                    stack, name = telemetry.without_message(error), receiver.name
                    log.error("The last attempt to send to '%s' failed.", name, exc_info=stack)  # noqa: TRY400 - no text
                telemetry.count("labelbridge.events", receiver=receiver.name, outcome="failed")
                reason = str(error) if isinstance(error, NotDelivered) else type(error).__name__
                return Failure(receiver, index, reason)
            telemetry.count("labelbridge.events", receiver=receiver.name, outcome="sent")
        return None

    async def _postpone(self, outbox: Outbox, waiting: Waiting, failures: Sequence[Failure]) -> None:
        pause = PAUSES[waiting.attempts]
        for failure in failures:
            log.warning(
                "Attempt %d of %d to send the event %s to '%s' failed: %s",
                waiting.attempts + 1,
                MAX_ATTEMPTS,
                waiting.id,
                failure.receiver.name,
                failure.reason,
            )
        due = self._stores.clock() + timedelta(seconds=pause)
        left = {failure.receiver.name: failure.index for failure in failures}
        if await outbox.postpone(waiting, left, due):
            await outbox.ask(waiting.partition, waiting.id, pause)

    async def _give_up(self, outbox: Outbox, waiting: Waiting, failures: Sequence[Failure]) -> None:
        now, attempts = self._stores.clock(), waiting.attempts + 1
        letters = [
            DeadLetter(
                derived_job_id(failure.receiver.name, event.id),
                failure.receiver.name,
                event,
                attempts,
                failure.reason,
                now,
            )
            for failure in failures
            for event in waiting.events[failure.index :]
            if failure.receiver.wants(event)
        ]
        await self._letters.add(letters)  # first, so that a crash here loses nothing
        await outbox.delete(waiting)
        for letter in letters:
            telemetry.count("labelbridge.events.dead_lettered", receiver=letter.receiver)
            log.error(
                "The event %s was not sent to '%s' in %d attempts: %s",
                letter.event.id,
                letter.receiver,
                attempts,
                letter.reason,
            )

    # Upkeep

    async def sweep(self, *, everything: bool = False) -> None:
        """Send the message again for rows that should have been sent; `everything`: also expire dead letters."""
        if not self._stores.outbox.enabled:
            return
        purged = [purge.incarnation for purge in await self._stores.projects.purges()]
        marked = list(await self._stores.active.all())
        if everything:
            marked += [project.incarnation for project in await self._stores.projects.all()]
            await self._letters.expire(self._stores.clock())
        for partition in dict.fromkeys((INDEX, *purged, *marked)):
            await self._revive(self._stores.outbox, partition)
        await self._revive(self._outboxes["connections"], CONNECTIONS)

    async def _revive(self, outbox: Outbox, partition: str) -> None:
        for event_id in await outbox.stalled(partition, self._stores.clock() - STALE):
            await outbox.ask(partition, event_id)

    # Dead letters

    async def dead_letters(self, after: str, limit: int) -> list[DeadLetter]:
        """By id, after an id."""
        return await self._letters.list(after, limit)

    async def resend(self, ids: Sequence[str] | None, limit: int) -> int:
        """Send dead letters again, from the first attempt on; None: all, at most `limit`. How many they were.

        Raises NotFound, or InvalidArgument for a receiver that the settings do not name any more.
        """
        names = {receiver.name for receiver in self._receivers}
        if ids is None:
            every = await self._letters.list("", DeadLetters.MOST)
            letters = [letter for letter in every if letter.receiver in names][:limit]
        else:
            letters = [await self._letter(letter_id) for letter_id in ids]
            for index, letter in enumerate(letters):
                if letter.receiver not in names:
                    text = f"The receiver '{letter.receiver}' is no longer configured."
                    raise InvalidArgument(text, target=f"ids[{index}]")
        now = self._stores.clock()
        return sum([await self._letters.resend(letter, now) for letter in letters])

    async def _letter(self, letter_id: str) -> DeadLetter:
        letter = await self._letters.find(letter_id) if _ID.fullmatch(letter_id) else None
        if letter is None:
            raise NotFound(f"The dead letter '{letter_id[:60]}' does not exist.", target="ids")
        return letter
