"""HTTP: the functions' routes, the extensions' webhooks and the host's own paths under /admin."""

import asyncio
import json
import os
from collections.abc import Iterable
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

from devhost.answers import TEXT, Answers
from devhost.keys import Keys
from devhost.protos import RpcHttp, RpcHttpCookie, TypedData
from devhost.routes import Route, Router
from devhost.server import Handler, Request, Response
from devhost.timers import timer_info
from devhost.worker import Function, InvocationFailed, Worker, reported

WEBHOOKS, ADMIN = "/runtime/webhooks/", "/admin/"
VERSION = "4.1037.0.0"  # the host whose answers the tests replay
PING = (("Cache-Control", "no-store,no-cache"), ("Pragma", "no-cache"))
HOME_PAGE_SETTING = "AzureWebJobsDisableHomepage"
HOME_PAGE = b"<!DOCTYPE html><title>Functions</title><p>Your Functions app is up and running.\n"


def text_response(status: int, text: str) -> Response:
    """A text that the host itself answers."""
    return Response(status, text.encode(), TEXT)


def _json(value: object) -> Response:
    body = json.dumps(value).encode()
    return Response(200, body, (("Content-Type", "application/json; charset=utf-8"),))


def build_router(functions: Iterable[Function], prefix: str) -> Router:
    """Routes of the HTTP functions; a function with a route that is not valid gets an error and none."""
    routes: list[Route] = []
    for function in functions:
        with reported(function):
            routes.append(Route(function.name, function.path(prefix), function.trigger.get("methods")))
    return Router(routes)


class HttpApp:
    """Answers requests. `functions` are all of the app, `http` the HTTP functions that it serves."""

    def __init__(
        self,
        worker: Worker,
        functions: list[Function],
        http: list[Function],
        prefix: str,
        host_id: str,
        keys: Keys | None,
        answers: Answers,
    ) -> None:
        self.webhooks: dict[str, Handler] = {}
        self._worker, self._prefix, self._host_id = worker, prefix, host_id
        self._functions = {f.name.lower(): f for f in sorted(functions, key=lambda f: f.name.lower())}
        self._router = build_router(http, prefix)
        self._keys, self._answers = keys, answers
        self._started: set[asyncio.Future[Any]] = set()

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        path = request.path.lower()
        if (answer := self._answers.find(request)) is not None:
            return answer
        if path.startswith(ADMIN):
            return self._admin(request, path.removeprefix(ADMIN).split("/"))
        if path.startswith(WEBHOOKS):
            return await self._webhook(path.removeprefix(WEBHOOKS).partition("/")[0], request)
        found = self._router.find(request.method, request.path)
        if found is not None:
            return await self._call(self._functions[found[0].lower()], request, found[1])
        return self._home_page(request) if path == "/" else Response(404)

    async def _webhook(self, extension: str, request: Request) -> Response:
        if not extension or request.method.upper() not in {"GET", "PUT", "POST", "DELETE", "OPTIONS"}:
            return Response(404)
        refusal = self._keys.refusal(extension, request) if self._keys else None
        if refusal is None and extension in self.webhooks:
            return await self.webhooks[extension](request)
        return refusal or Response(404)

    def _home_page(self, request: Request) -> Response:
        """Microsoft's page, which the host answers to every method until a function takes the route `/`."""
        if request.method == "CONNECT":
            return Response(500)
        if os.environ.get(HOME_PAGE_SETTING, "").lower() == "true":
            return Response(204)
        return Response(200, HOME_PAGE, (("Content-Type", "text/html"),))

    async def _call(self, function: Function, request: Request, values: dict[str, str]) -> Response:
        level = str(function.trigger.get("authLevel", "function")).lower()
        if self._keys is not None and not self._keys.opens_function(level, request):
            return Response(401)
        try:
            http = _to_worker(request, values)
            return _from_worker(await self._worker.invoke(function, TypedData(http=http), names=values))
        except InvocationFailed:
            return Response(500)

    def _admin(self, request: Request, parts: list[str]) -> Response:
        """The host's own paths, as far as tools and tests need them; the master key is valid for all of them."""
        refusal = self._keys.refusal(None, request) if self._keys else None
        match (request.method.upper(), *parts):
            case ("GET", "host", "ping"):
                return Response(200, headers=PING)
            case ("GET", "host", "status"):
                return refusal or _json({"id": self._host_id, "state": "Running", "version": VERSION})
            case ("GET", "functions"):
                base = f"https://{os.environ.get('WEBSITE_HOSTNAME') or request.headers.get('host')}"
                return refusal or _json([self._shown(f, base) for f in self._functions.values()])
            case (("GET" | "POST"), "functions", name, *rest) if name and rest in ([], ["status"]):
                function = self._functions.get(name)
                if refusal is not None or function is None:
                    return refusal or Response(404)
                if request.method.upper() == "POST":
                    return Response(404) if rest else self._start(function, request)
                if rest:
                    return _json({"errors": [function.error]} if function.error else {})
                address = urlsplit(request.url)
                return _json(self._shown(function, f"{address.scheme}://{address.netloc}"))
            case _:
                return Response(404)

    def _shown(self, function: Function, base: str) -> dict[str, Any]:
        is_http = function.trigger.get("type") == "httpTrigger"
        names = {"name": function.name, "language": "python"}
        files = {"entryPoint": function.entry_point, "scriptFile": function.script_file}
        unused = {"script_root_path_href": None, "config_href": None, "files": None, "test_data": ""}
        return (
            names
            | unused
            | {
                "href": f"{base}/admin/functions/{function.name}",
                "invoke_url_template": f"{base}/{function.path(self._prefix).lower()}" if is_http else None,
                "config": names | files | {"bindings": function.bindings},
                "isDisabled": function.disabled,
                "isDirect": False,
                "isProxy": False,
            }
        )

    def _start(self, function: Function, request: Request) -> Response:
        """Run a function on `{"input": text}`; the answer does not wait for it."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return Response(415)
        try:
            text = str(json.loads(request.body).get("input") or "")
        except (ValueError, AttributeError):
            return Response(400)
        data = {
            "timerTrigger": TypedData(json=timer_info()),
            "eventGridTrigger": TypedData(json=text),
            "httpTrigger": TypedData(http=RpcHttp(method="POST")),
        }
        given = data.get(str(function.trigger.get("type")), TypedData(string=text))
        started = asyncio.ensure_future(self._worker.invoke(function, given))
        self._started.add(started)
        started.add_done_callback(self._finished)
        return Response(202)

    def _finished(self, started: asyncio.Future[Any]) -> None:
        self._started.discard(started)
        _ = started.cancelled() or started.exception()


def _to_worker(request: Request, values: dict[str, str]) -> RpcHttp:
    """The message for a function: no body without Content-Length, no empty values in the query."""
    joined = {name: ",".join(filter(None, found)) for name, found in request.query.items()}
    body = request.body if "content-length" in request.headers else b""
    return RpcHttp(
        method=request.method.upper(),
        url=request.url,
        headers=request.headers,
        query={name: value for name, value in joined.items() if value},
        params=values,
        body=TypedData(bytes=body) if body else TypedData(),
    )


def _from_worker(value: TypedData | None) -> Response:
    if value is None:
        return Response(200)
    if value.http is None:
        return Response(200, value.encoded(), TEXT, chunked=True)
    http = value.http
    own = {"content-length", "transfer-encoding", "connection"}
    headers = [(name, text) for name, text in http.headers.items() if name.lower() not in own]
    headers += [("set-cookie", _cookie(cookie)) for cookie in http.cookies or ()]
    body = http.body.encoded() if http.body is not None else b""
    return Response(int(http.status_code), body, tuple(headers), chunked=True)


def _cookie(cookie: RpcHttpCookie) -> str:
    """A cookie as ASP.NET writes it."""
    parts = [f"{cookie.name}={cookie.value}"]
    if cookie.expires is not None:
        parts.append(f"expires={formatdate(cookie.expires.value.seconds, usegmt=True)}")
    if cookie.max_age is not None:
        parts.append(f"max-age={cookie.max_age.value:g}")
    for attribute, nullable in (("domain", cookie.domain), ("path", cookie.path)):
        if nullable is not None:
            parts.append(f"{attribute}={nullable.value}")
    if cookie.secure and cookie.secure.value:
        parts.append("secure")
    if cookie.same_site:
        parts.append(f"samesite={('', 'lax', 'strict', 'none')[cookie.same_site]}")
    if cookie.http_only and cookie.http_only.value:
        parts.append("httponly")
    return "; ".join(parts)
