"""Failing storage, for tests: wraps any implementation of the ports and fails the calls that a plan names.

    faults = Faults(crash_at(7, "after"))
    repository = Repository(faults.table(table), faults.blobs(blobs))

A campaign over every point at which a process can die runs once with `Faults()` to count `faults.calls`, then
once more for each of `crash_points(len(faults.calls))`.
"""

from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, override

from shared.storage.gateways.ports import (
    CHUNK,
    LIST_PAGE,
    BlobContent,
    BlobInfo,
    BlobPage,
    Blobs,
    Names,
    Operation,
    Queues,
    Received,
    Row,
    StorageUnavailable,
    Table,
)
from tests.support.storage.counting import Service

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


__all__ = [
    "Call",
    "Crash",
    "Faults",
    "LostAnswer",
    "Moment",
    "Plan",
    "Verdict",
    "crash_at",
    "crash_points",
]


class Faults(Injector):
    """Wraps ports so that their calls fail as planned; `calls` lists all that were made through it."""

    def table(self, inner: Table) -> Table:
        """The same table, failing as planned."""
        return _FaultyTable(inner, self)

    def blobs(self, inner: Blobs) -> Blobs:
        """The same blobs, failing as planned."""
        return _FaultyBlobs(inner, self)

    def queues(self, inner: Queues) -> Queues:
        """The same queues, failing as planned."""
        return _FaultyQueues(inner, self)


class _FaultyTable(Table):
    def __init__(self, inner: Table, faults: Injector) -> None:
        self._inner = inner
        self._faults = faults

    @override
    async def get(self, partition: str, key: str, *, select: Sequence[str] | None = None) -> Row | None:
        return await self._call("get", partition, lambda: self._inner.get(partition, key, select=select))

    @override
    async def query(
        self,
        partition: str,
        low: str = "",
        high: str | None = None,
        *,
        select: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[Row]:
        return await self._call(
            "query", partition, lambda: self._inner.query(partition, low, high, select=select, limit=limit)
        )

    @override
    def pages(
        self, partition: str, low: str = "", high: str | None = None, *, select: Sequence[str] | None = None
    ) -> AsyncIterator[list[Row]]:
        pages = self._inner.pages(partition, low, high, select=select)
        return self._faults.each("table", "query", partition, pages)

    @override
    async def commit(
        self, partition: str, operations: Sequence[Operation], *, at_once: bool = False
    ) -> list[str]:
        return await self._call(
            "commit", partition, lambda: self._inner.commit(partition, operations, at_once=at_once)
        )

    @override
    async def create(self) -> None:
        await self._call("create", "", self._inner.create)

    @override
    async def drop(self) -> None:
        await self._call("drop", "", self._inner.drop)

    async def _call[T](self, operation: str, target: str, action: Callable[[], Awaitable[T]]) -> T:
        return await self._faults.around("table", operation, target, action)


class _FaultyBlobs(Blobs):
    def __init__(self, inner: Blobs, faults: Injector) -> None:
        self._inner = inner
        self._faults = faults

    @override
    async def read(self, container: str, name: str, *, max_bytes: int | None = None) -> BlobContent | None:
        return await self._call(
            "read", container, name, lambda: self._inner.read(container, name, max_bytes=max_bytes)
        )

    @override
    async def stat(self, container: str, name: str) -> BlobInfo | None:
        return await self._call("stat", container, name, lambda: self._inner.stat(container, name))

    @override
    def list(
        self, container: str, *, prefix: str = "", page_size: int = LIST_PAGE
    ) -> AsyncIterator[BlobPage]:
        pages = self._inner.list(container, prefix=prefix, page_size=page_size)
        return self._faults.each("blob", "list", container, pages)

    @override
    async def write(
        self,
        container: str,
        name: str,
        data: bytes,
        *,
        create_only: bool = False,
        etag: str | None = None,
        lease: str | None = None,
        content_type: str = "application/octet-stream",
    ) -> str:
        return await self._call(
            "write",
            container,
            name,
            lambda: self._inner.write(
                container,
                name,
                data,
                create_only=create_only,
                etag=etag,
                lease=lease,
                content_type=content_type,
            ),
        )

    @override
    async def delete(self, container: str, name: str, *, lease: str | None = None) -> bool:
        return await self._call(
            "delete", container, name, lambda: self._inner.delete(container, name, lease=lease)
        )

    @override
    def stream_read(self, container: str, name: str, chunk: int = CHUNK) -> AsyncIterator[bytes]:
        chunks = self._inner.stream_read(container, name, chunk)
        return self._faults.each("blob", "read", f"{container}/{name}", chunks)

    @override
    async def stream_write(
        self,
        container: str,
        name: str,
        chunks: AsyncIterable[bytes],
        *,
        content_type: str = "application/octet-stream",
    ) -> str:
        return await self._call(
            "write",
            container,
            name,
            lambda: self._inner.stream_write(container, name, chunks, content_type=content_type),
        )

    @override
    async def create_container(self, container: str) -> bool:
        return await self._call(
            "create_container", container, "", lambda: self._inner.create_container(container)
        )

    @override
    async def container_exists(self, container: str) -> bool:
        return await self._call(
            "container_exists", container, "", lambda: self._inner.container_exists(container)
        )

    @override
    async def list_containers(self, prefix: str = "") -> Names:
        return await self._call("list_containers", prefix, "", lambda: self._inner.list_containers(prefix))

    @override
    async def acquire_lease(self, container: str, name: str, lease_id: str, seconds: int = -1) -> bool:
        return await self._call(
            "acquire_lease",
            container,
            name,
            lambda: self._inner.acquire_lease(container, name, lease_id, seconds),
        )

    @override
    async def release_lease(self, container: str, name: str, lease_id: str) -> None:
        await self._call(
            "release_lease", container, name, lambda: self._inner.release_lease(container, name, lease_id)
        )

    async def _call[T](
        self, operation: str, container: str, name: str, action: Callable[[], Awaitable[T]]
    ) -> T:
        return await self._faults.around("blob", operation, f"{container}/{name}", action)


class _FaultyQueues(Queues):
    def __init__(self, inner: Queues, faults: Injector) -> None:
        self._inner = inner
        self._faults = faults

    @override
    async def send(self, queue: str, body: str, *, delay: int = 0) -> None:
        await self._faults.around("queue", "send", queue, lambda: self._inner.send(queue, body, delay=delay))

    @override
    async def create(self, queue: str) -> None:
        await self._faults.around("queue", "create", queue, lambda: self._inner.create(queue))

    @override
    async def receive(self, queue: str, seconds: int) -> list[Received]:
        return await self._faults.around(
            "queue", "receive", queue, lambda: self._inner.receive(queue, seconds)
        )

    @override
    async def delete(self, queue: str, message: Received) -> None:
        await self._faults.around("queue", "delete", queue, lambda: self._inner.delete(queue, message))
