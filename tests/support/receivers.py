"""Receivers of events, for tests: one in memory that fails when asked to, and a webhook that keeps what it got."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from shared.events.delivery import EventDelivery, NotDelivered
from shared.wire.events import Event
from tests.support.services import App

SECRET = "0123456789abcdef0123456789abcdef"


@dataclass
class Collector:
    """Takes events, unless `refuses` says no. `got`: those that it took, in that order."""

    name: str = "hook"
    refuses: Callable[[Event], bool] = lambda event: False
    got: list[Event] = field(default_factory=list[Event])
    asked: int = 0

    def wants(self, event: Event) -> bool:
        return True

    async def send(self, event: Event) -> None:
        self.asked += 1
        if self.refuses(event):
            raise NotDelivered("The receiver answered 500.")
        self.got.append(event)

    def of(self, kind: str) -> list[Event]:
        """Those of one type."""
        return [event for event in self.got if event.type == f"Labelbridge.{kind}"]

    @property
    def repeats(self) -> int:
        return sum(Counter(event.id for event in self.got).values()) - len({event.id for event in self.got})


def report_to(app: App, *receivers: Collector) -> None:
    """Have the app tell these receivers. Its settings decide which types of events it writes."""
    stores = app.container.stores
    connections = stores.outboxes.of_connections(stores.table)
    app.container.events = EventDelivery(stores, connections, receivers)


def webhook_settings(url: str = "http://127.0.0.1:9/", name: str = "hook", **more: Any) -> dict[str, Any]:
    """The settings with one webhook on this machine."""
    return {
        "auth_mode": "local",
        "webhooks": json.dumps([{"name": name, "url": url, "secret": "s", **more}]),
        "webhook_secrets": json.dumps({"s": SECRET}),
    }


@dataclass
class Posted:
    """An application that keeps the requests that it got, and answers as `answer` says."""

    answer: Callable[[], web.StreamResponse] = web.Response
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list[tuple[dict[str, str], bytes]])

    def app(self) -> web.Application:
        made = web.Application()
        made.router.add_route("*", "/{path:.*}", self._take)
        return made

    async def _take(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((dict(request.headers), await request.read()))
        return self.answer()
