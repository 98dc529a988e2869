"""One HTTP request, parsed and checked, and its response. Handlers take a `Call` and return a `Reply`.

Every error names the field and the rule.
"""

import asyncio
import json
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAliasType, cast, get_args
from urllib.parse import urlsplit

import azure.functions as func
from pydantic import BaseModel, ValidationError

from shared.domain.errors import (
    Conflict,
    InvalidArgument,
    InvalidRequest,
    JobNotFound,
    LengthRequired,
    ModelNotFound,
    NotFound,
    ProjectNotFound,
    TooLarge,
    UnsupportedMediaType,
)
from shared.domain.jobs import Job, JobStatus
from shared.domain.names import (
    derived_id,
    derived_job_id,
    model_label_error,
    project_name_error,
    random_id,
    random_job_id,
)
from shared.domain.text import ascii_safe, has_lone_surrogate
from shared.runtime.auth import Caller
from shared.wire.api import API_VERSIONS, job_json
from shared.wire.json_codec import MAX_DETAILS, JsonReader, ValidationErrors, invalid

if TYPE_CHECKING:
    from shared.domain.project import Project
    from shared.runtime.container import Container
    from shared.services.review.listing import Key

PROJECTS = "language/authoring/analyze-text/projects"
P = f"{PROJECTS}/{{projectName}}"
JSON = "application/json; charset=utf-8"
POLL_AGAIN = {"Retry-After": "1"}
#: Larger bodies are parsed in a thread, so that other requests do not wait.
INLINE_BODY = 256 * 1024
#: A document with as many entities as 4 MiB can hold has fewer values, and half as many objects.
MAX_VALUES = 400_000
MAX_CONTAINERS = 200_000
#: More than the texts of a body hold, beside those after keys.
MAX_COLONS = 100_000
#: No object of a request has so many members.
MAX_MEMBERS = 1_000
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_CANCELED = frozenset({JobStatus.CANCELLING, JobStatus.CANCELLED})


@dataclass(slots=True)
class Reply:
    """`data` is JSON, or bytes together with their content type."""

    status: int
    data: Any = None
    headers: dict[str, str] = field(default_factory=dict[str, str])
    content_type: str = JSON

    def body(self) -> bytes:
        if self.data is None:
            return b""
        if isinstance(self.data, bytes):
            return self.data
        return json.dumps(self.data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")

    def render(self) -> func.HttpResponse:
        body = self.body()
        mimetype, _, charset = self.content_type.partition("; charset=")
        return func.HttpResponse(
            body, status_code=self.status, headers=self.headers, mimetype=mimetype, charset=charset or "utf-8"
        )


@dataclass(slots=True)
class Call:
    """One request. `operation` is the operation's id; `key` the `Idempotency-Key`, if there is one."""

    container: "Container"
    caller: Caller
    request: func.HttpRequest
    operation: str
    api_version: str
    key: str | None = None

    @property
    def project_name(self) -> str:
        return self.request.route_params["projectName"]

    def path(self, name: str) -> str:
        return self.request.route_params[name]

    def header(self, name: str) -> str | None:
        return header_of(self.request, name)

    def job_id(self) -> str:
        """Id of the job that this request starts: a repeat with the same key gets the same job."""
        return derived_job_id(*self._identity()) if self.key else random_job_id()

    def revision(self) -> str:
        return derived_id(*self._identity()) if self.key else random_id()

    @property
    def identity(self) -> tuple[str, ...]:
        """Who asks for what: caller, operation and route parameters, in whatever spelling of the URL."""
        names = sorted(self.request.route_params.items())
        return self.caller.name, self.operation, *(part for pair in names for part in pair)

    def _identity(self) -> tuple[str, ...]:
        return *self.identity, self.key or ""

    def url(self, path: str, query: str = "") -> str:
        """An absolute URL with the api-version of the request."""
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
        return Reply(202, headers={"operation-location": url, **POLL_AGAIN})

    def cancel_accepted(self, job: Job, path: str) -> Reply:
        """202 for `:cancel`; `path` is the job's. Raises Conflict if the job ended before it was canceled."""
        if job.status not in _CANCELED:
            raise Conflict(f"The job has already ended with status '{job.status}'.", target="jobId")
        return self.accepted(f"{path}/cancellation")


def header_of(request: func.HttpRequest, name: str) -> str | None:
    """A header by its name in lower case, as the host gives them."""
    return cast("Mapping[str, str]", request.headers).get(name)


class Paging(Protocol):
    """Parameters that all lists have."""

    @property
    def top(self) -> int: ...
    @property
    def continuation_token(self) -> str | None: ...


def paged[T](
    query: Paging,
    project: "Project",
    items: Sequence[T],
    encode: Callable[[T], Any],
    name: object,
    key: "Callable[[T], Key]",
) -> Reply:
    """One page of a list whose items are all at hand, in the order of `key`.

    `name`: the list and its filters; a continuation token is valid for this list only.
    """
    from shared.services.review.listing import paginate

    shown, token = paginate(items, key, query.top, query.continuation_token, project, name)
    return listed([encode(item) for item in shown], token)


def paged_jobs(query: Paging, project: "Project", jobs: Sequence[Job], name: str) -> Reply:
    """One page of a list of jobs, newest first."""
    from shared.services.review.listing import newest_first

    return paged(query, project, jobs, job_json, name, newest_first)


def listed(value: list[Any], token: str | None) -> Reply:
    """One page of a list; `token` says where the next begins."""
    return Reply(200, {"value": value} | ({"continuationToken": token} if token else {}))


def job_state(job: Job, **more: Any) -> Reply:
    """The state of a job, with `Retry-After` while it runs."""
    return Reply(200, job_json(job) | more, {} if job.status.ended else dict(POLL_AGAIN))


def cancel_state(job: Job) -> Reply:
    """The state of a cancellation, a separate operation with the result of the job.

    Azure's pollers wait until it is `succeeded`; they do not treat `cancelled`, the status of the job, as final. Raises
    NotFound if the job was not canceled.
    """
    if job.status not in _CANCELED:
        raise NotFound(f"The job '{job.id}' was not canceled.", target="jobId")
    status = "succeeded" if job.status.ended else "running"
    reply = job_state(replace(job, errors=()))
    reply.data["status"] = status
    return reply


def check_version(request: func.HttpRequest) -> str:
    version = request.params.get("api-version", "")
    if version in API_VERSIONS:
        return version
    text = "is missing" if not version else f"'{version[:40]}' is not known"
    raise InvalidRequest(
        f"The api-version {text}. Known versions: {', '.join(API_VERSIONS)}.",
        target="api-version",
        inner_code="InvalidParameterValue",
    )


type ProjectNames = Literal["existing", "new", "any"]
"""Which project names an operation accepts: of existing projects, any valid name, or any text."""


def check_names(names: ProjectNames, request: func.HttpRequest) -> None:
    """An invalid name gets the same response as one that does not exist, unless the operation creates it.

    A DELETE whose path ends in `/` deletes nothing: some client removed `..` from a longer path.
    """
    if request.method == "DELETE" and urlsplit(request.url).path.endswith("/"):
        raise NotFound("The path of a DELETE must not end in '/'.")
    project = request.route_params.get("projectName")
    wrong = project_name_error(project) if project is not None and names != "any" else None
    if project is not None and wrong:
        if names == "new":
            raise InvalidArgument(wrong, target="projectName")
        raise ProjectNotFound(project[:60])
    job = request.route_params.get("jobId")
    if job is not None and not _JOB_ID.fullmatch(job):
        raise JobNotFound(job[:60])
    review = request.route_params.get("reviewId")
    if review is not None and not _JOB_ID.fullmatch(review):
        raise NotFound(f"The second review '{review[:60]}' does not exist.", target="reviewId")
    model = request.route_params.get("trainedModelLabel")
    if model is not None and model_label_error(model):
        raise ModelNotFound(model)


def parse_query[M: BaseModel](model: type[M], request: func.HttpRequest) -> M:
    """The query string, whose values are all text; unknown parameters are ignored, as Azure does."""
    return model.model_validate(
        {k: v for k, v in request.params.items() if k != "api-version"}, by_name=False
    )


def read_body(request: func.HttpRequest, limit: int) -> bytes:
    """The bytes of the body. Raises TooLarge."""
    body = request.get_body()
    if len(body) > limit:
        raise TooLarge(
            f"The body has {len(body):,} bytes; this operation takes at most {limit:,}.", target="body"
        )
    return body


def require_length(request: func.HttpRequest) -> None:
    """Raises LengthRequired for a chunked body: without a Content-Length the Functions host drops the body."""
    if header_of(request, "transfer-encoding") is not None:
        text = "The body must be sent with a Content-Length; Transfer-Encoding is not supported."
        raise LengthRequired(text, target="Content-Length")


async def in_thread[T](size: int, work: Callable[[], T]) -> T:
    """The result of the work, which runs in a thread if the body is large."""
    return await asyncio.to_thread(work) if size > INLINE_BODY else work()


async def parse_body[M: BaseModel](model: type[M], request: func.HttpRequest, limit: int) -> M:
    """The JSON object of the body, with strict types: a number is not a string, a string not a boolean.

    An absent body means `{}`, unless that would select everything (`needs_body` of the model).
    """
    body = read_body(request, limit)
    if not body.strip():
        if getattr(model, "needs_body", False):
            raise _malformed("The body is missing; send a JSON object.")
        return _validated(lambda: model.model_validate({}, by_name=False))
    _check_content_type(header_of(request, "content-type") or "")
    return await in_thread(len(body), lambda: _parse(model, body))


def _parse[M: BaseModel](model: type[M], body: bytes) -> M:
    # Decoding millions of values blocks the other threads; lists in lists need no commas.
    if body.count(b",") > MAX_VALUES:
        raise _malformed(f"The body has more than {MAX_VALUES:,} values.")
    if body.count(b"[") + body.count(b"{") > MAX_CONTAINERS:
        raise _malformed(f"The body has more than {MAX_CONTAINERS:,} objects and lists.")
    if body.count(b":") > MAX_COLONS + MAX_MEMBERS * body.count(b"{"):
        raise _malformed(f"An object in the body has more than {MAX_MEMBERS:,} members.")
    try:
        value: object = _PLAIN.decode(body.decode())
    except (ValueError, RecursionError):
        value = _read_exactly(body)
    if not isinstance(value, dict):
        raise _malformed("The body must be a JSON object.")
    if b"\\u" in body:
        _check_text(cast("dict[str, Any]", value))
    _check_fields(model, cast("dict[str, Any]", value))
    text = body.removeprefix(BOM_UTF8)
    return _validated(lambda: model.model_validate_json(text, strict=True, by_name=False))


def _read_exactly(body: bytes) -> object:
    """The value of a body that may have something wrong with it. Raises InvalidRequest with what it is."""
    try:
        reader = JsonReader(body, MAX_MEMBERS)
        value = reader.value()
        reader.end()
    except InvalidRequest as error:
        raise _malformed(error.message.replace("The file", "The body", 1)) from None
    if reader.complaints:
        raise _malformed(reader.complaints[0])
    return value


def _plain_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs) or len(pairs) > MAX_MEMBERS:
        raise ValueError("Not plain.")
    return made


def _no_constant(name: str) -> None:
    raise ValueError(name)


#: Reads a body in half the time of a JsonReader, which is needed to say what is wrong with it.
_PLAIN = json.JSONDecoder(object_pairs_hook=_plain_object, parse_constant=_no_constant)


def _validated[M: BaseModel](read: Callable[[], M]) -> M:
    """The result. Raises InvalidArgument with all errors."""
    try:
        return read()
    except ValidationError as error:
        raise invalid(error) from error


def _check_fields(model: type[BaseModel], value: dict[str, Any]) -> None:
    """Raises InvalidArgument if more fields are unknown than are reported; pydantic would collect them all."""
    errors = ValidationErrors()
    for path, name in _unknown(model, value):
        if errors.count == MAX_DETAILS:
            raise errors.as_error(more=True)
        where = f"{path}.{ascii_safe(name)}" if path else ascii_safe(name)
        errors.add(where, f"'{where}' is not a field of this request.", "InvalidParameterValue")


def _unknown(model: type[BaseModel], value: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Unknown fields of the object and of what it holds, each with the path of its object."""
    parts = _parts_of(model)
    for name, item in value.items():
        if name not in parts:
            if model.model_config.get("extra") == "forbid":
                yield path, name
        elif (part := parts[name]) is not None:
            inner = f"{path}.{name}" if path else name
            held: list[tuple[str, object]] = [(inner, item)]
            if isinstance(item, list):
                held = [(f"{inner}[{n}]", element) for n, element in enumerate(cast("list[object]", item))]
            for where, element in held:
                if isinstance(element, dict):
                    yield from _unknown(part, cast("dict[str, Any]", element), where)


@cache
def _parts_of(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """The fields of a model by their names in JSON, with the model of what they hold, if it is one or a list of it."""
    return {field.alias or name: _model_in(field.annotation) for name, field in model.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if isinstance(annotation, TypeAliasType):
        return _model_in(annotation.__value__)
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _check_text(value: dict[str, Any]) -> None:
    """Only JSON escapes can contain an unpaired surrogate, which is not valid text and cannot be sent back."""
    errors = ValidationErrors("body")
    for path in _halves(value, ""):
        errors.add(path or "body", "The text must be valid Unicode; it contains an unpaired surrogate.")
    errors.raise_any()


def _halves(value: object, path: str) -> Iterator[str]:
    """Paths of texts with an unpaired surrogate; of an object with such a key, its own."""
    waiting = [(value, path)]  # no recursion: lists may be nested thousands deep
    while waiting:
        value, path = waiting.pop()
        if isinstance(value, str) and has_lone_surrogate(value):
            yield path
        elif isinstance(value, list):
            items = enumerate(cast("list[object]", value))
            inner = [(item, f"{path}[{index}]") for index, item in items if _may_hold_text(item)]
            waiting.extend(reversed(inner))
        elif isinstance(value, dict):
            members = cast("dict[str, Any]", value)
            yield from (path for key in members if has_lone_surrogate(key))
            names = {key: ascii_safe(key) for key in members}
            inner = [(item, f"{path}.{names[key]}" if path else names[key]) for key, item in members.items()]
            waiting.extend(reversed(inner))


def _may_hold_text(value: object) -> bool:
    return isinstance(value, str | list | dict)


def _malformed(message: str) -> InvalidRequest:
    return InvalidRequest(message, target="body", inner_code="InvalidRequestBodyFormat")


def _check_content_type(header: str) -> None:
    """JSON under any of its names, including `application/merge-patch+json`; without the header, JSON is assumed."""
    kind = header.partition(";")[0].strip().lower()
    if kind and kind not in {"application/json", "text/json"} and not kind.endswith("+json"):
        raise UnsupportedMediaType(
            f"The body must be application/json, not '{kind[:60]}'.", target="Content-Type"
        )


def hundredths(confidence: float | None, *, up: bool) -> int | None:
    """A bound in whole hundredths, rounded inward: 0.805 is 81 as a minimum and 80 as a maximum confidence."""
    if confidence is None:
        return None
    exact = round(confidence * 100, 6)
    return -int(-exact // 1) if up else int(exact // 1)


def require(removed: Collection[str], body: BaseModel, names: Iterable[str]) -> None:
    """Raises InvalidArgument with every field of a merge patch that is null but cannot be removed."""
    errors = ValidationErrors()
    fields = type(body).model_fields
    for alias in (fields[name].alias or name for name in names if name in removed):
        errors.add(alias, f"'{alias}' is required and cannot be removed.")
    errors.raise_any()
