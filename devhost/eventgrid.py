"""Webhooks of the Event Grid protocol: the handshake and the notifications."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast
from urllib.parse import urlsplit

from devhost.http import Request, Response, Webhook, json_response
from devhost.protos import TypedData
from devhost.worker import Function, InvocationFailed, Worker

type Events = list[dict[str, Any]]
type Deliver = Callable[[str, Events], Awaitable[Response]]

DEFAULT_ORIGIN = "eventgrid.azure.net"


def webhook(deliver: Deliver) -> Webhook:
    """A webhook that gives the `functionName` of the query and the events to `deliver`."""

    async def handle(request: Request) -> Response:
        if request.method == "OPTIONS":
            return _options(request)
        kind = request.headers.get("aeg-event-type", "").lower()
        if kind == "unsubscribe":
            return Response(202)
        if kind not in {"subscriptionvalidation", "notification"}:
            return Response(400)
        try:
            payload: Any = json.loads(request.body)
            if kind == "subscriptionvalidation":
                return json_response(200, {"validationResponse": _validation_code(payload)})
        except (ValueError, LookupError, TypeError):
            return Response(500)
        events = cast("list[Any]", payload) if isinstance(payload, list) else [payload]
        if not all(isinstance(event, dict) for event in events):
            return Response(500)
        return await deliver(request.query.get("functionName", ""), events)

    return handle


def _options(request: Request) -> Response:
    """The handshake of CloudEvents; only Azure's origins are echoed."""
    origin = request.headers.get("webhook-request-origin", "")
    host = urlsplit(origin if "//" in origin else f"//{origin}").hostname or ""
    known = host == DEFAULT_ORIGIN or host.endswith(f".{DEFAULT_ORIGIN}")
    return Response(200, headers=(("WebHook-Allowed-Origin", origin if known else DEFAULT_ORIGIN),))


def _validation_code(payload: Any) -> str:
    if isinstance(payload, list):
        return str(cast("Events", payload)[0]["data"]["validationCode"])
    data: Any = payload["data"]
    # A CloudEvent carries its data as text.
    return str((json.loads(data) if isinstance(data, str) else data)["validationCode"])


def event_grid_deliver(worker: Worker, functions: Iterable[Function]) -> Deliver:
    """One invocation for each event, side by side; 500 when one failed, so that all are sent again."""
    by_name = {function.name.lower(): function for function in functions}

    async def deliver(name: str, events: Events) -> Response:
        function = by_name.get(name.lower())
        if function is None:
            return Response(404)

        async def invoke(event: dict[str, Any]) -> bool:
            try:
                await worker.invoke(function, TypedData(json=json.dumps(event)))
            except InvocationFailed:
                return False
            return True

        done = await asyncio.gather(*(invoke(event) for event in events))
        return Response(202 if all(done) else 500)

    return deliver
