"""A server with fault injection: calls can be delayed, refused, throttled, or cut off before or after they act."""

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Fault:
    """What happens to the next `times` calls whose "METHOD path" matches `calls`.

    `status` answers at once without acting; `cut` "before" or "after" acting gives no answer at all; `late`
    waits for the event, then acts.
    """

    calls: str
    status: int = 0
    retry_after: int | None = None
    cut: str = ""
    late: asyncio.Event | None = None
    times: int = 1
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])


class FaultyServer:
    """`address` is set by the server; `calls` counts "METHOD path"."""

    def __init__(self) -> None:
        self.address = ""
        self.faults: list[Fault] = []
        self.calls: Counter[str] = Counter()

    async def act(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError

    def note(self, request: web.Request) -> None:
        """Called with each request, before a fault applies."""

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        call = f"{request.method} {request.path}"
        self.calls[call] += 1
        self.note(request)
        fault = next((f for f in self.faults if f.times and re.search(f.calls, call)), None)
        if fault is None:
            return await self.act(request)
        fault.times -= 1
        if fault.late is not None:
            await fault.late.wait()
        if fault.status:
            headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            body = fault.body or {"error": {"code": "Fault", "message": "as the test asked"}}
            return web.json_response(body, status=fault.status, headers=headers)
        if fault.cut == "before":
            return _hang_up(request)
        answer = await self.act(request)
        return _hang_up(request) if fault.cut == "after" else answer


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
