"""HTTP: the functions' routes, the extensions' webhooks and the host's own path, as one ASGI app."""

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

from devhost.protos import RpcHttp, RpcHttpCookie, TypedData
from devhost.routes import Route, Router, decode_path
from devhost.worker import Function, InvocationFailed, Worker

type Scope = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
type Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

WEBHOOKS = "/runtime/webhooks/"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the real host sees it: header names in lower case, query values never empty."""

    method: str
    path: str
    url: str
    headers: dict[str, str]
    query: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """Status, headers in order (names may repeat) and body."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


type Webhook = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Keys:
    """Access keys; without them (as Core Tools do locally) every level is open."""

    master: str
    function: str
    system: str

    def allow(self, level: str, given: str | None) -> bool:
        """Whether a key opens a level: `anonymous`, `function`, `system` or `admin`."""
        accepted = {"function": {self.function, self.master}, "system": {self.system, self.master}}
        return level == "anonymous" or given in accepted.get(level, {self.master})


def json_response(status: int, value: object) -> Response:
    """A JSON answer of the host itself."""
    return Response(
        status, json.dumps(value).encode(), (("content-type", "application/json; charset=utf-8"),)
    )


def build_router(functions: Iterable[Function], prefix: str) -> Router:
    """Routes of the HTTP functions; the default route is the function's name."""
    routes: list[Route] = []
    for function in functions:
        template = str(function.trigger.get("route") or function.name).strip("/")
        full = f"{prefix}/{template}" if prefix else template
        routes.append(Route(function.name, full, function.trigger.get("methods")))
    return Router(routes)


class HttpApp:
    """The ASGI application. `max_body` in bytes; a longer body is answered 413."""

    def __init__(self, worker: Worker, functions: list[Function], prefix: str, max_body: int) -> None:
        http = [function for function in functions if function.trigger["type"] == "httpTrigger"]
        self.router = build_router(http, prefix)
        self.webhooks: dict[str, Webhook] = {}
        self.keys: Keys | None = None
        self._functions = {function.name: function for function in http}
        self._names = [{"name": f.name, "trigger": f.trigger["type"]} for f in functions]
        self._worker = worker
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        response = await self._respond(scope, receive)
        headers = [(name.encode("latin-1"), value.encode("utf-8")) for name, value in response.headers]
        empty = response.status in {204, 304} or response.status < 200
        if not empty:
            headers.append((b"content-length", str(len(response.body)).encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if empty else response.body})

    async def _respond(self, scope: Scope, receive: Receive) -> Response:
        path = decode_path(scope["raw_path"])
        if path is None:
            return Response(400)
        headers = _headers(scope["headers"])
        length = headers.get("content-length", "0")
        if not length.isdigit():
            return Response(400)
        if int(length) > self._max_body:
            return Response(413)
        body = await _read(receive) if int(length) > 0 else b""
        query, raw_query = scope["query_string"], scope["raw_path"].decode("latin-1")
        url = f"{scope['scheme']}://{headers.get('host', '')}{raw_query}"
        if query:
            url = f"{url}?{query.decode('latin-1')}"
        request = Request(scope["method"], path, url, headers, _query(query) if query else {}, body)
        if path.startswith(WEBHOOKS) or path == "/admin/functions":
            return await self._host_path(request)
        found = self.router.find(request.method, path)
        if found is None:
            return Response(404)
        return await self._call(self._functions[found[0]], request, found[1])

    def _allowed(self, level: str, request: Request) -> bool:
        given = request.headers.get("x-functions-key") or request.query.get("code")
        return self.keys is None or self.keys.allow(level, given)

    async def _host_path(self, request: Request) -> Response:
        if request.path == "/admin/functions":
            return json_response(200, self._names) if self._allowed("admin", request) else Response(401)
        webhook = self.webhooks.get(request.path.removeprefix(WEBHOOKS).strip("/").lower())
        if webhook is None or request.method not in {"GET", "PUT", "POST", "DELETE", "OPTIONS"}:
            return Response(404)
        if not self._allowed("system", request):
            return Response(401)
        return await webhook(request)

    async def _call(self, function: Function, request: Request, values: dict[str, str]) -> Response:
        if not self._allowed(str(function.trigger.get("authLevel", "function")).lower(), request):
            return Response(401)
        http = RpcHttp(
            method=request.method,
            url=request.url,
            headers=request.headers,
            query=request.query,
            params=values,
            body=TypedData(bytes=request.body) if request.body else TypedData(),
        )
        try:
            return _response(await self._worker.invoke(function, TypedData(http=http), names=values))
        except InvocationFailed:
            return Response(500)


async def _read(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    more = True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name_bytes, value_bytes in raw:
        name, value = name_bytes.decode("latin-1").lower(), value_bytes.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def _query(raw: bytes) -> dict[str, str]:
    """Values of one name joined by commas, names without case, empty values dropped."""
    spelling: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True):
        values.setdefault(spelling.setdefault(name.lower(), name), []).append(value)
    joined = {name: ",".join(found) for name, found in values.items()}
    return {name: value for name, value in joined.items() if value}


def _response(value: TypedData | None) -> Response:
    if value is None:
        return Response(200)
    if value.http is None:
        text = value.string if value.string is not None else value.json
        body = text.encode() if text is not None else value.bytes or b""
        return Response(200, body, (("content-type", "text/plain; charset=utf-8"),))
    http = value.http
    status = int(http.status_code)
    headers = [(name, text) for name, text in http.headers.items() if name.lower() != "content-length"]
    headers += [("set-cookie", _cookie(cookie)) for cookie in http.cookies or ()]
    content = http.body
    body = (content.bytes or (content.string or "").encode()) if content is not None else b""
    return Response(status, body, tuple(headers)) if status in HTTPStatus or status > 199 else Response(500)


def _cookie(cookie: RpcHttpCookie) -> str:
    jar: SimpleCookie = SimpleCookie()
    jar[cookie.name] = cookie.value
    morsel = jar[cookie.name]
    for attribute, nullable in (
        ("domain", cookie.domain),
        ("path", cookie.path),
        ("max-age", cookie.max_age),
    ):
        if nullable is not None and nullable.value != "":
            morsel[attribute] = f"{nullable.value:g}" if isinstance(nullable.value, float) else nullable.value
    if cookie.expires is not None:
        morsel["expires"] = _http_date(cookie.expires.value.seconds)
    morsel["secure"] = bool(cookie.secure and cookie.secure.value)
    morsel["httponly"] = bool(cookie.http_only and cookie.http_only.value)
    if cookie.same_site:
        morsel["samesite"] = ("", "Lax", "Strict", "None")[cookie.same_site]
    return morsel.OutputString()


def _http_date(seconds: int) -> str:
    from email.utils import formatdate

    return formatdate(seconds, usegmt=True)
