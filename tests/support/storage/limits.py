"""A storage account with the limits that Azure publishes: what exceeds them is answered 503, and repeated by the app.

    limits = Limits()
    stores = build(names, limits.table(table), limits.blobs(blobs), limits.queues(queues), virtual_now)

For a `VirtualLoop`. Each call goes through the retry policies that the app's clients have.
"""

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, override

from azure.core.pipeline import AsyncPipeline
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import HttpRequest
from azure.storage.queue._shared.policies_async import ExponentialRetry

from shared.storage.gateways import clients
from shared.storage.gateways.azure_errors import refused
from shared.storage.gateways.ports import Row, Table
from shared.storage.gateways.rest_pipeline import Service
from tests.support.storage import counting
from tests.support.storage.faults import Faults, _FaultyTable

ENTITIES = 2_000
"""Of one partition of a table, a second."""
REQUESTS = 20_000
"""To the account, a second."""
MESSAGES = 2_000
"""Of one queue, a second."""
BURST_SECONDS = 0.1
"""What was not used of a limit may be used for so long; Azure does not say how it counts."""
LATENCY_SECONDS = 0.005
"""Of a call without a limit."""
RETRIES = 3
"""Of a queue: the SDK repeats a refused call no more than that, also if it is given a larger `retry_total`."""
PAGE = 1_000


@dataclass(slots=True)
class Limit:
    """So many units a second: a call is admitted while there are any, and then takes what it needs."""

    rate: float
    left: float = 0.0
    at: float = 0.0

    def admits(self, now: float) -> bool:
        self.left = min(self.left + (now - self.at) * self.rate, BURST_SECONDS * self.rate)
        self.at = now
        return self.left > 0


@dataclass(slots=True)
class _Call:
    action: Callable[[], Awaitable[Any]]
    service: counting.Service
    target: str
    result: Any = None
    error: Exception | None = None


@dataclass(slots=True)
class Served:
    """By service: calls that were answered and that were refused; `failed` were given up. By target: units taken."""

    calls: Counter[str] = field(default_factory=Counter[str])
    refused: Counter[str] = field(default_factory=Counter[str])
    failed: Counter[str] = field(default_factory=Counter[str])
    units: Counter[str] = field(default_factory=Counter[str])


class Limits(Faults):
    """The limits of one account, which several instances of the app may share."""

    def __init__(self) -> None:
        super().__init__()
        self.served = Served()
        self._account = Limit(REQUESTS)
        self._partitions: defaultdict[str, Limit] = defaultdict(lambda: Limit(ENTITIES))
        self._queues: defaultdict[str, Limit] = defaultdict(lambda: Limit(MESSAGES))
        self._numbers = itertools.count()
        self._open: dict[str, _Call] = {}
        account = clients.Account("http://table", "http://blob", "http://queue", name="limited", key="")
        transport = _Transport(self)
        self._tables = Service(account, transport, tables=True)
        self._blobs = Service(account, transport, tables=False)
        backoff: dict[str, Any] = {**clients._BACKOFF}
        sdk: list[Any] = [ExponentialRetry(retry_total=RETRIES, **backoff)]
        self._sdk: AsyncPipeline[HttpRequest, Any] = AsyncPipeline(transport, sdk)

    @override
    def table(self, inner: Table) -> Table:
        return _Paged(inner, self)

    @override
    async def around[T](
        self, service: counting.Service, operation: str, target: str, action: Callable[[], Awaitable[T]]
    ) -> T:
        call, number = _Call(action, service, target), str(next(self._numbers))
        self._open[number] = call
        method = "GET" if operation in {"get", "query", "read"} else "POST"
        headers = {"x-ms-client-request-id": number}
        if service == "table" or operation == "read":
            through = self._tables if service == "table" else self._blobs
            answer = await through.send(method, operation, headers=headers)
        else:
            request = HttpRequest(method, f"http://{service}/{operation}", headers=headers)
            answer = (await self._sdk.run(request)).http_response
        del self._open[number]
        if answer.status_code != 200:
            self.served.failed[service] += 1
            raise refused(answer.status_code, "ServerBusy", "The server is busy.")
        if call.error is not None:
            raise call.error
        return call.result

    @override
    async def each[T](
        self, service: counting.Service, operation: str, target: str, pages: AsyncIterator[T]
    ) -> AsyncIterator[T]:
        end: Any = object()
        while (page := await self.around(service, operation, target, lambda: anext(pages, end))) is not end:
            yield page

    async def answer(self, number: str) -> int:
        """The status: 503 where a limit is used up, else 200 and the call has had its effect."""
        call, now = self._open[number], asyncio.get_running_loop().time()
        limits = [self._account, *self._limits_of(call)]
        admitted = [limit.admits(now) for limit in limits]
        if not all(admitted):
            self.served.refused[call.service] += 1
            return 503
        self.served.calls[call.service] += 1
        try:
            call.result = await call.action()
        except Exception as error:  # noqa: BLE001 - the caller raises it
            call.error = error
        units = max(1, len(call.result)) if isinstance(call.result, list) else 1
        self._account.left -= 1
        for limit in limits[1:]:
            limit.left -= units
            self.served.units[call.target] += units
        return 200

    def _limits_of(self, call: _Call) -> list[Limit]:
        if call.service == "table":
            return [self._partitions[call.target]]
        return [self._queues[call.target]] if call.service == "queue" else []


class _Transport(AsyncHttpTransport[HttpRequest, Any]):
    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    @override
    async def send(self, request: HttpRequest, **_: Any) -> Any:
        await asyncio.sleep(LATENCY_SECONDS)
        status = await self._limits.answer(request.headers["x-ms-client-request-id"])
        return SimpleNamespace(status_code=status, headers={}, body=b"")

    @override
    async def open(self) -> None: ...
    @override
    async def close(self) -> None: ...
    @override
    async def __aexit__(self, *_: object) -> None: ...


class _Paged(_FaultyTable):
    """A long query takes several calls, each of which may be refused."""

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
        if limit is not None and limit <= PAGE:
            return await super().query(partition, low, high, select=select, limit=limit)
        found = list[Row]()
        async for rows in self.pages(partition, low, high, select=select):
            found += rows
            if limit is not None and len(found) >= limit:
                return found[:limit]
        return found
