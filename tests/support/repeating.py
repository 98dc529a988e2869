"""A table whose every commit is sent twice, as the SDK does when an answer is lost; the second answer counts."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import override

from shared.storage.gateways.ports import Operation, Row, Table


class Repeating(Table):
    """Repeats the commits that `when` chooses by their operations."""

    def __init__(
        self, inner: Table, when: Callable[[Sequence[Operation]], bool] = lambda operations: True
    ) -> None:
        self._inner = inner
        self._when = when

    @override
    async def commit(
        self, partition: str, operations: Sequence[Operation], *, at_once: bool = False
    ) -> list[str]:
        if self._when(operations):
            await self._inner.commit(partition, operations, at_once=at_once)
        return await self._inner.commit(partition, operations, at_once=at_once)

    @override
    async def get(self, partition: str, key: str, *, select: Sequence[str] | None = None) -> Row | None:
        return await self._inner.get(partition, key, select=select)

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
        return await self._inner.query(partition, low, high, select=select, limit=limit)

    @override
    def pages(
        self, partition: str, low: str = "", high: str | None = None, *, select: Sequence[str] | None = None
    ) -> AsyncIterator[list[Row]]:
        return self._inner.pages(partition, low, high, select=select)

    @override
    async def create(self) -> None:
        await self._inner.create()

    @override
    async def drop(self) -> None:
        await self._inner.drop()
