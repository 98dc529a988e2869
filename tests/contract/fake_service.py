"""A storage service with scripted answers, for what Azurite cannot be made to do."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar

from aiohttp import web

from shared.storage.gateways.clients import Account, StorageClients, StorageNames

HANG_UP = "hang up"
"""Instead of an answer: the connection is closed after the request was read."""


@dataclass(frozen=True)
class Scripted:
    """One answer."""

    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeService:
    """Gives the answers one after another, the last one repeatedly, and keeps what it received."""

    answers: Sequence[Scripted | str]
    received: list[Received] = field(default_factory=list)
    #: Gives the answers instead, when they depend on the request.
    answer: Callable[[Received], Awaitable[Scripted | str]] | None = None
    #: Whether the frequent calls are made by REST; set by the fixture `client`.
    rest: ClassVar[bool] = True

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        query, headers = dict(request.query), dict(request.headers)
        self.received.append(Received(request.method, request.path, query, headers, body))
        if self.answer is not None:
            answer = await self.answer(self.received[-1])
        else:
            answer = self.answers[min(len(self.received), len(self.answers)) - 1]
        if isinstance(answer, str):
            assert request.transport
            request.transport.close()
            return web.Response()
        headers = _content_type(answer.body) | answer.headers
        return web.Response(status=answer.status, body=answer.body.encode(), headers=headers)


def _content_type(body: str) -> dict[str, str]:
    """As the services name what they send."""
    kinds = {"{": "application/json;odata=minimalmetadata", "<": "application/xml"}
    return {"Content-Type": kinds.get(body[:1], "text/plain")} if body else {}


@asynccontextmanager
async def fake_service(
    *answers: Scripted | str, retries: int = 4
) -> AsyncIterator[tuple[StorageClients, FakeService]]:
    """Gateways whose three services are all one fake, on a free port."""
    service = FakeService(answers)
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{tail:.*}", service.handle)
    # A test that failed may still hold requests back; none is answered after its end.
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    endpoint = f"http://{host}:{port}/account"
    account = Account(endpoint, endpoint, endpoint, name="account", key="a2V5")
    clients = StorageClients(account, names=StorageNames("lb"), retries=retries, rest=FakeService.rest)
    try:
        yield clients, service
    finally:
        await clients.close()
        await runner.cleanup()
