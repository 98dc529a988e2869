"""The one wrapper of all HTTP functions: it authenticates, authorizes, parses, calls, and answers in Azure's shapes.

A feature declares operations with `Routes`; the parameters `query` and `body` of a handler name the models that the
request is parsed into. The order of checks: 401, 403, api-version, names in the path, query, body. An error is
answered as `{"error": {code, message, target, details, innererror}}`.
"""

import asyncio
import hashlib
import html
import inspect
import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, get_type_hints
from urllib.parse import urlsplit

import azure.functions as func
from pydantic import BaseModel, ValidationError

from functions import container
from functions.call import (
    Call,
    ProjectNames,
    Reply,
    check_names,
    check_version,
    parse_body,
    parse_query,
    require_length,
)
from shared import telemetry
from shared.domain import errors
from shared.domain.errors import Conflict, Forbidden, InvalidArgument, LabelbridgeError, Unavailable
from shared.domain.names import derived_id, incarnation_of_import
from shared.runtime.auth import Access, Caller, Permission, allowed
from shared.runtime.settings import InvalidSettings
from shared.storage.gateways.ports import StorageUnavailable
from shared.storage.idempotency import Answer, Remembered
from shared.wire.documents import document_json
from shared.wire.json_codec import invalid

if TYPE_CHECKING:
    from shared.runtime.container import Container


log = logging.getLogger("labelbridge.http")
ALL_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
#: Seconds that a request may take. Azure's load balancer gives up after 230.
REQUEST_SECONDS = 200
SMALL_BODY = 4 * 1024 * 1024
ANONYMOUS_CALLER = Caller("anonymous", frozenset())


@dataclass(frozen=True, slots=True)
class Operation:
    """One HTTP operation: route, authorization, documentation and OpenAPI are made from it.

    `role`: what a caller needs. `body`: the model of the parsed body; `reads` describes one that the handler reads.
    """

    id: str
    method: str
    path: str
    handler: Callable[..., Awaitable[Reply]]
    summary: str
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    answers: Mapping[int, type[BaseModel] | str | None]
    role: Permission
    versioned: bool
    max_body: int
    reads: type[BaseModel] | None
    project_names: ProjectNames

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that the route takes; `*` stands for all. What anyone may get answers HEAD, too."""
        if self.method == "*":
            return ALL_METHODS
        return ("GET", "HEAD") if self.role is Access.ANONYMOUS and self.method == "GET" else (self.method,)

    @property
    def takes_key(self) -> bool:
        """Whether an `Idempotency-Key` is accepted: for a POST, and for a PUT that starts a long-running operation."""
        return self.method == "POST" or (self.method == "PUT" and 202 in self.answers)


OPERATIONS: list[Operation] = []


class Routes:
    """Declares the HTTP operations of one feature on a blueprint."""

    def __init__(self) -> None:
        self.blueprint = func.Blueprint()

    def add(
        self,
        method: str,
        path: str,
        answers: Mapping[int, type[BaseModel] | str | None],
        *,
        role: Permission,
        versioned: bool = True,
        max_body: int = SMALL_BODY,
        reads: type[BaseModel] | None = None,
        project_names: ProjectNames = "existing",
    ) -> Callable[[Callable[..., Awaitable[Reply]]], Callable[..., Awaitable[Reply]]]:
        """Register a handler; its name is the operation's id and its first docstring line the summary."""

        def register(handler: Callable[..., Awaitable[Reply]]) -> Callable[..., Awaitable[Reply]]:
            hints = get_type_hints(handler)
            summary = (inspect.getdoc(handler) or "").partition("\n")[0]
            name: str = handler.__name__
            operation = Operation(
                name, method, path, handler, summary, hints.get("query"), hints.get("body"), answers, role,
                versioned, max_body, reads, project_names,
            )  # fmt: skip
            OPERATIONS.append(operation)
            self._serve(operation)
            return handler

        return register

    def _serve(self, operation: Operation) -> None:
        async def main(req: func.HttpRequest) -> func.HttpResponse:
            return await serve(operation, req)

        main.__name__ = operation.id
        route = self.blueprint.route(
            route=operation.path, methods=operation.methods, auth_level=func.AuthLevel.ANONYMOUS
        )
        self.blueprint.function_name(operation.id)(route(main))


async def serve(operation: Operation, request: func.HttpRequest) -> func.HttpResponse:
    """Run one operation and answer, whatever happens."""
    request_id = str(uuid.uuid4())
    named: dict[str, telemetry.Attribute] = {"operation": operation.id, "request": request_id}
    if project := request.route_params.get("projectName"):
        named["project"] = project[:100]
    parent = cast("Mapping[str, str]", request.headers).get("traceparent", "")
    with telemetry.span(f"{operation.method} {operation.path}", kind="server", parent=parent, **named):
        reply = await _reply(operation, request, request_id)
        telemetry.annotate(status=reply.status)
    reply.headers.setdefault("apim-request-id", request_id)
    return reply.render()


async def _reply(operation: Operation, request: func.HttpRequest, request_id: str) -> Reply:
    limit = asyncio.timeout(REQUEST_SECONDS)
    try:
        async with limit:
            return await _run(operation, request, container())
    except InvalidSettings as error:
        return _settings_page(error) if _in_browser(request) else _refusal(error)
    except LabelbridgeError as error:
        return _refusal(error)
    except StorageUnavailable:
        log.warning("Storage unavailable in %s (%s)", operation.id, request_id)
        return _refusal(Unavailable("The storage account does not respond; try again.", retry_after=2))
    except Exception as error:
        if isinstance(error, TimeoutError) and limit.expired():
            log.warning("%s took longer than %d s (%s)", operation.id, REQUEST_SECONDS, request_id)
            text = f"The request took longer than {REQUEST_SECONDS} seconds and was stopped; try again."
            return _refusal(Unavailable(text, retry_after=10))
        stack = telemetry.without_message(error)  # its message may quote what the caller sent
        log.error("Unexpected error in %s (%s)", operation.id, request_id, exc_info=stack)  # noqa: TRY400
        defect = LabelbridgeError(f"An unexpected error occurred; the log has it under '{request_id}'.")
        return Reply(500, body_of(defect))


def _refusal(error: LabelbridgeError) -> Reply:
    return Reply(status_of(error), body_of(error), headers_of(error))


def _in_browser(request: func.HttpRequest) -> bool:
    """Whether a browser opens the address as a page. Clients of the API, also the review page, accept JSON."""
    return "text/html" in cast("Mapping[str, str]", request.headers).get("accept", "")


_SETTINGS_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Labelbridge cannot start</title>
<style>
:root {{ color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif;
  color: light-dark(#1d1f27, #e8e9ee); background: light-dark(#f5f5f8, #131419) }}
main {{ max-inline-size: 42rem; margin: 12vh auto; padding: 0 1.25rem; overflow-wrap: anywhere }}
h1 {{ font-size: 1.6rem; line-height: 1.2 }}
h2 {{ font-size: 1.05rem; margin-block-start: 1.5em }}
li {{ margin-block: .5em }}
</style>
</head>
<body>
<main>
<h1>Labelbridge cannot start</h1>
<p>Some of its settings are invalid:</p>
<ul>
{found}
</ul>
<h2>What to do</h2>
<p>If you administer this app, correct these settings, restart the app, and reload this page. On Azure, app settings are
in the portal under Settings, Environment variables.</p>
<p>Otherwise, send this page to your administrator. Saved labels are kept.</p>
</main>
</body>
</html>
"""


def _settings_page(error: InvalidSettings) -> Reply:
    found = "\n".join(f"<li>{html.escape(sentence)}</li>" for sentence in error.found)
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
    }
    page = _SETTINGS_PAGE.format(found=found).encode()
    return Reply(status_of(error), page, headers, "text/html; charset=utf-8")


def warn_of_scheme(app: "Container", url: str, headers: Mapping[str, str]) -> None:
    """Warn once if links in responses have another scheme than the one that callers use."""
    used = headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    linked = urlsplit(app.settings.public_endpoint or url).scheme
    if used in {"http", "https"} and used != linked and not app.warned_of_scheme:
        app.warned_of_scheme = True
        text = "Links in responses begin with %s://, but callers use %s://. Set PUBLIC_ENDPOINT."
        log.warning(text, linked, used)


async def _run(operation: Operation, request: func.HttpRequest, app: "Container") -> Reply:
    warn_of_scheme(app, request.url, request.headers)
    caller = ANONYMOUS_CALLER
    if operation.role is not Access.ANONYMOUS:
        caller = await app.authenticator.identify(request.headers)
        if not allowed(caller.roles, operation.role):
            raise Forbidden(f"The caller '{caller.name}' lacks the role {operation.role}.")
    version = check_version(request) if operation.versioned else request.params.get("api-version", "")
    check_names(operation.project_names, request)
    if request.method not in {"GET", "HEAD"}:
        require_length(request)
    call = Call(app, caller, request, operation.id, version)
    arguments: dict[str, Any] = {}
    try:
        if operation.query is not None:
            arguments["query"] = parse_query(operation.query, request)
    except ValidationError as error:
        raise invalid(error) from error
    if operation.body is not None:
        arguments["body"] = await parse_body(operation.body, request, operation.max_body)
    if operation.takes_key:
        return await once(call, lambda: operation.handler(call, **arguments))
    return await operation.handler(call, **arguments)


MAX_KEY = 200


async def once(call: Call, work: Callable[[], Awaitable[Reply]]) -> Reply:
    """Run the work, or return its stored response. Server errors (5xx) are not stored."""
    key = call.header("idempotency-key")
    if key is None:
        return await work()
    if not 1 <= len(key) <= MAX_KEY or not key.isprintable():
        raise InvalidArgument(
            f"An Idempotency-Key must have 1 to {MAX_KEY} printable characters.", target="Idempotency-Key"
        )
    row = derived_id(*call.identity, key)
    query = json.dumps(sorted(call.request.params.items())).encode()
    digest = hashlib.sha256(query + b"\0" + call.request.get_body()).hexdigest()
    store = call.container.stores.idempotency
    known = await store.begin(row, digest) or Remembered(digest)
    call.key = _salted(key, known.salt)
    if known.answer is not None:
        now = await _incarnation(call)
        if _is_of_another_project(call, known.project, now):
            known = Remembered(digest, salt=known.project or now)
            call.key = _salted(key, known.salt)
            await store.begin_again(row, digest, known.salt)
    if known.body_hash != digest:
        raise Conflict(
            "The Idempotency-Key was already used for a different request.", target="Idempotency-Key"
        )
    if known.answer is not None:
        answer = known.answer
        return Reply(answer.status, answer.body, dict(answer.headers), answer.content_type)
    reply = await work()
    if reply.status < 500:
        answer = Answer(reply.status, dict(reply.headers), reply.body(), reply.content_type)
        await store.finish(row, Remembered(digest, answer, await _incarnation(call), known.salt))
    return reply


def _salted(key: str, salt: str) -> str:
    return f"{key}\n{salt}" if salt else key  # a key holds no line break


async def _incarnation(call: Call) -> str:
    """Of the project that the request names; "" where there is none."""
    name = call.request.route_params.get("projectName")
    project = await call.container.stores.projects.find(name) if name else None
    return project.incarnation if project else ""


def _is_of_another_project(call: Call, stored: str, current: str) -> bool:
    """Whether the project of the stored response is gone. An import may have created it only after its response."""
    return current not in {stored, incarnation_of_import(call.job_id())}


_STATUS: tuple[tuple[type[LabelbridgeError], int], ...] = (
    (errors.InvalidArgument, 400),
    (errors.Unauthorized, 401),
    (errors.Forbidden, 403),
    (errors.QuotaExceeded, 403),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.LengthRequired, 411),
    (errors.TooLarge, 413),
    (errors.UnsupportedMediaType, 415),
    (errors.PreconditionRequired, 428),
    (errors.NotOffered, 501),
    (errors.Unavailable, 503),
)


def status_of(error: LabelbridgeError) -> int:
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def error_json(error: LabelbridgeError) -> dict[str, Any]:
    """The object below `error`."""
    data: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.target:
        data["target"] = error.target
    if error.details:
        data["details"] = [error_json(detail) for detail in error.details]
    if error.inner_code:
        data["innererror"] = {"code": error.inner_code, "message": error.message}
    return data


def body_of(error: LabelbridgeError) -> dict[str, Any]:
    body: dict[str, Any] = {"error": error_json(error)}
    if isinstance(error, errors.StaleDocument):
        body["document"] = document_json(error.document, error.project)
    return body


def headers_of(error: LabelbridgeError) -> dict[str, str]:
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, errors.Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return headers
