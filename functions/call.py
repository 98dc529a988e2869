"""One HTTP request after all checks, and its answer. Handlers take a `Call` and return a `Reply`."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlsplit

import azure.functions as func

from shared.domain.errors import Conflict, NotFound
from shared.domain.jobs import Job, JobStatus
from shared.domain.names import derived_id, derived_job_id, random_id, random_job_id
from shared.runtime.auth import Caller
from shared.wire.api import job_json

if TYPE_CHECKING:
    from shared.domain.project import Project
    from shared.runtime.container import Container
    from shared.services.review.listing import Key

PROJECTS = "language/authoring/analyze-text/projects"
P = f"{PROJECTS}/{{projectName}}"
JSON = "application/json; charset=utf-8"
POLL_AGAIN = {"Retry-After": "1"}
_CANCELED = frozenset({JobStatus.CANCELLING, JobStatus.CANCELLED})


def container() -> "Container":
    """The services of this process, imported with all that they need on first use: a worker has 10 s to start."""
    from shared.runtime.container import container as of_process

    return of_process()


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
        """Id of the job that this request starts: a repeat with the same key means the same job."""
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
    """What queries of lists have."""

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
    """The state of a cancellation, an operation of its own with the result of the job.

    Azure's pollers wait for one that ends `succeeded`; `cancelled`, the status of the job, they never take as an end.
    Raises NotFound if the job was not canceled.
    """
    if job.status not in _CANCELED:
        raise NotFound(f"The job '{job.id}' was not canceled.", target="jobId")
    status = "succeeded" if job.status.ended else "running"
    reply = job_state(replace(job, errors=()))
    reply.data["status"] = status
    return reply
