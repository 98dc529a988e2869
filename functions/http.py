"""The one wrapper of all HTTP functions: it authenticates, authorises, parses, calls, and answers in Azure's shapes.

A feature declares operations with `Routes`; the parameters `query` and `body` of a handler name the models that the
request is parsed into. The order of checks: 401, 403, api-version, names in the path, query, body.
"""

import inspect
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints
from urllib.parse import urlsplit

import azure.functions as func
from pydantic import BaseModel, ValidationError

from functions.idempotency import once
from functions.reply import Reply
from functions.request import check_names, check_version, header_of, parse_body, parse_query
from shared.domain.errors import Forbidden, LabelbridgeError
from shared.domain.ids import derived_id, derived_job_id, random_id, random_job_id
from shared.runtime import problems
from shared.runtime.auth import Caller
from shared.runtime.container import Container, container
from shared.runtime.policy import POLICY, Access, allowed
from shared.storage.gateways.errors import StorageUnavailable

log = logging.getLogger("labelbridge.http")
PROJECTS = "language/authoring/analyze-text/projects"
P = f"{PROJECTS}/{{projectName}}"
SMALL_BODY = 4 * 1024 * 1024
ANONYMOUS_CALLER = Caller("anonymous", frozenset())


@dataclass(frozen=True, slots=True)
class Operation:
    """One HTTP operation: what the route, the policy and the OpenAPI description are made from.

    `body` is what the body is parsed into; `reads` describes one that the handler reads itself.
    """

    id: str
    method: str
    path: str
    handler: Callable[..., Awaitable[Reply]]
    summary: str
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    answers: Mapping[int, type[BaseModel] | str | None]
    versioned: bool
    max_body: int
    headers: tuple[str, ...] = ()
    reads: type[BaseModel] | None = None


@dataclass(slots=True)
class Call:
    """One request, after all checks. `operation_id` is the same for the same `Idempotency-Key` of a caller."""

    container: Container
    caller: Caller
    request: func.HttpRequest
    api_version: str
    key: str | None = None
    operation: Operation = field(init=False)

    @property
    def project_name(self) -> str:
        return self.request.route_params["projectName"]

    def path(self, name: str) -> str:
        return self.request.route_params[name]

    def header(self, name: str) -> str | None:
        return header_of(self.request, name)

    def job_id(self) -> str:
        """Id of the job that this request begins: a repeat with the same key means the same job."""
        return derived_job_id(*self._identity()) if self.key else random_job_id()

    def revision(self) -> str:
        return derived_id(*self._identity()) if self.key else random_id()

    def _identity(self) -> tuple[str, ...]:
        return self.caller.name, self.request.method, urlsplit(self.request.url).path, self.key or ""

    def url(self, path: str, query: str = "") -> str:
        """An absolute address under `language/`, with the api-version of the request."""
        base = self.container.settings.public_endpoint.rstrip("/")
        if not base:
            parts = urlsplit(self.request.url)
            base = f"{parts.scheme}://{parts.netloc}"
        more = f"&{query}" if query else ""
        return f"{base}/{path}?api-version={self.api_version}{more}"

    def project_url(self, path: str, query: str = "") -> str:
        return self.url(f"{PROJECTS}/{self.project_name}/{path}", query)

    def accepted(self, path: str) -> Reply:
        """202 for a long-running operation whose state is at `path` of the project."""
        return self.accepted_at(self.project_url(path))

    def accepted_at(self, url: str) -> Reply:
        return Reply(202, headers={"operation-location": url, "Retry-After": "1"})


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
        versioned: bool = True,
        max_body: int = SMALL_BODY,
        headers: tuple[str, ...] = (),
        methods: tuple[str, ...] = (),
        reads: type[BaseModel] | None = None,
    ) -> Callable[[Callable[..., Awaitable[Reply]]], Callable[..., Awaitable[Reply]]]:
        """Register a handler; its name is the operation's id and its first docstring line the summary."""

        def register(handler: Callable[..., Awaitable[Reply]]) -> Callable[..., Awaitable[Reply]]:
            hints = get_type_hints(handler)
            summary = (inspect.getdoc(handler) or "").partition("\n")[0]
            name: str = handler.__name__
            operation = Operation(
                name, method, path, handler, summary, hints.get("query"), hints.get("body"), answers, versioned,
                max_body, headers, reads,
            )  # fmt: skip
            OPERATIONS.append(operation)
            self._serve(operation, methods or (method,))
            return handler

        return register

    def _serve(self, operation: Operation, methods: tuple[str, ...]) -> None:
        async def main(req: func.HttpRequest) -> func.HttpResponse:
            return await serve(operation, req)

        main.__name__ = operation.id
        route = self.blueprint.route(
            route=operation.path, methods=methods, auth_level=func.AuthLevel.ANONYMOUS
        )
        self.blueprint.function_name(operation.id)(route(main))


async def serve(operation: Operation, request: func.HttpRequest) -> func.HttpResponse:
    """Run one operation and answer, whatever happens."""
    request_id = str(uuid.uuid4())
    try:
        reply = await _run(operation, request, container())
    except LabelbridgeError as error:
        reply = Reply(problems.status_of(error), problems.body_of(error), problems.headers_of(error))
    except StorageUnavailable as error:
        log.warning("Storage unavailable in %s (%s)", operation.id, request_id)
        unavailable = problems.from_storage(error)
        reply = Reply(503, problems.body_of(unavailable), problems.headers_of(unavailable))
    except Exception:
        log.exception("Unexpected error in %s (%s)", operation.id, request_id)
        defect = LabelbridgeError(f"An unexpected error happened; it is in the log under '{request_id}'.")
        reply = Reply(500, problems.body_of(defect))
    reply.headers.setdefault("apim-request-id", request_id)
    return reply.render()


async def _run(operation: Operation, request: func.HttpRequest, app: Container) -> Reply:
    permission = POLICY[operation.id]
    caller = ANONYMOUS_CALLER
    if permission is not Access.ANONYMOUS:
        caller = await app.authenticator.identify(request.headers)
        if not allowed(caller.roles, permission):
            raise Forbidden(f"The caller '{caller.name}' lacks the role {permission}.")
    version = check_version(request) if operation.versioned else request.params.get("api-version", "")
    check_names(operation.id, request)
    call = Call(app, caller, request, version)
    call.operation = operation
    arguments: dict[str, Any] = {}
    try:
        if operation.query is not None:
            arguments["query"] = parse_query(operation.query, request)
        if operation.body is not None:
            arguments["body"] = parse_body(operation.body, request, operation.max_body)
    except ValidationError as error:
        raise problems.from_validation(error) from error
    if operation.method == "POST":
        return await once(call, lambda: operation.handler(call, **arguments))
    return await operation.handler(call, **arguments)
