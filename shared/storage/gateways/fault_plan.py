"""When storage calls are to fail: plans, and what carries them out around a call."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from shared.storage.gateways.counter import Service
from shared.storage.gateways.errors import StorageUnavailable

type Moment = Literal["before", "after"]


class Crash(Exception):
    """The process died here. No StorageError: no code may recover from it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call at a port: `number` counts all calls from 0, `nth` those of the same service and operation."""

    number: int
    nth: int
    service: Service
    operation: str
    target: str  # the partition, `container/name` or queue


@dataclass(frozen=True, slots=True)
class LostAnswer:
    """The call takes effect and then fails with `error`: the caller cannot know."""

    error: Exception = field(default_factory=lambda: StorageUnavailable("The answer was lost."))


type Verdict = Moment | Exception | LostAnswer | None
"""Crash before or after the effect; fail without effect; fail with effect; or let it pass."""
type Plan = Callable[[Call], Verdict]


def crash_at(number: int, moment: Moment) -> Plan:
    """The plan to die before or after the effect of call `number` (from 0)."""
    return lambda call: moment if call.number == number else None


def crash_points(calls: int) -> Iterator[Plan]:
    """The plans to die before and after each of so many calls."""
    for number in range(calls):
        yield crash_at(number, "before")
        yield crash_at(number, "after")


class Injector:
    """Asks the plan about each call and records it; after a crash every call crashes: the process is dead."""

    def __init__(self, plan: Plan | None = None) -> None:
        self.calls: list[Call] = []
        self.crashed = False
        self._plan: Plan = plan or (lambda call: None)
        self._seen: Counter[tuple[Service, str]] = Counter()

    async def around[T](
        self, service: Service, operation: str, target: str, action: Callable[[], Awaitable[T]]
    ) -> T:
        """Do `action` unless the plan has it fail."""
        if self.crashed:
            raise Crash("The process is dead already.")
        call = Call(len(self.calls), self._seen[service, operation], service, operation, target)
        self.calls.append(call)
        self._seen[service, operation] += 1
        verdict = self._plan(call)
        if verdict == "before":
            self.crashed = True
            raise Crash(f"Before {call}.")
        if isinstance(verdict, Exception):
            raise verdict
        result = await action()
        if verdict == "after":
            self.crashed = True
            raise Crash(f"After {call}.")
        if isinstance(verdict, LostAnswer):
            raise verdict.error
        return result

    async def each[T](
        self, service: Service, operation: str, target: str, pages: AsyncIterator[T]
    ) -> AsyncIterator[T]:
        """Each page is a call of its own, and so is finding that there is none left."""
        while True:
            try:
                page = await self.around(service, operation, target, lambda: anext(pages))
            except StopAsyncIteration:
                return
            yield page
