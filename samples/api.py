"""The client of the HTTP API (`labelbridge.client`) as the samples use it: it reports what went wrong in one line."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self, cast

import httpx

from labelbridge.client import ApiError, Client, LabelbridgeError

PROJECTS = "/language/authoring/analyze-text/projects"
ENDED = {"succeeded", "partiallyCompleted", "failed", "cancelled"}
PAUSE = 0.2

type Json = dict[str, Any]


class ApiFailed(Exception):
    """The API refused a call, or a job failed; the message is that of the API."""


class Refused(ApiFailed):
    """The API answered with an error. `reason`: `409 LabelingLocked: ...`."""

    def __init__(self, error: ApiError) -> None:
        code = error.inner_code or error.code  # answers of the Functions host have none
        where = f" ({error.target})" if error.target else ""
        what = f"{error.status} {code}".rstrip()
        self.reason = f"{what}{where}: {error.reason}"
        super().__init__(self.reason)


class Api:
    """`check` is called while waiting, and raises when there is no point in waiting on. `pauses`: between tries."""

    def __init__(
        self,
        url: str,
        key: str,
        check: Callable[[], None] = lambda: None,
        pauses: Sequence[float] = (0.5, 1.0, 2.0, 4.0),
    ) -> None:
        self._require_server = check
        self.client = Client(url, key=key, pauses=pauses, on_retry=lambda *_: check())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def project(self, name: str) -> "ProjectApi":
        """The calls of one project."""
        return ProjectApi(self, name)

    @contextmanager
    def reported(self) -> Generator[None]:
        """What the client raises, as Refused or ApiFailed."""
        try:
            yield
        except ApiError as error:
            raise Refused(error) from error
        except LabelbridgeError as error:
            self._require_server()
            raise ApiFailed(str(error)) from error

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request. Raises Refused with the message of the answer, ApiFailed when none comes."""
        with self.reported():
            return self.client.call(method, path, **more)

    def wait(self, begun: httpx.Response, seen: Callable[[Json], None] = lambda _: None) -> Json:
        """Follow `operation-location` until the operation has ended; its last state. Raises ApiFailed."""
        with self.reported():
            job = self.client.job(begun.headers["operation-location"])
            state = job.wait(lambda state: seen(cast("Json", state)), poll=(PAUSE, PAUSE))
        return cast("Json", state)

    def until[T](self, what: str, look: Callable[[], T | None], seconds: float = 180) -> T:
        """Call `look` until it returns something. Raises ApiFailed after the timeout."""
        deadline = time.monotonic() + seconds
        while True:
            found = look()
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise ApiFailed(f"Waited {seconds:.0f} s for {what}, without success.")
            self._require_server()
            time.sleep(PAUSE)


class ProjectApi:
    """The calls of one project."""

    def __init__(self, api: Api, name: str) -> None:
        self.api = api
        self.name = name
        self.client = api.client.project(name)
        self.path = self.client.path

    def get(self, rest: str = "", **query: Any) -> Json:
        answer: Json = self.api.call("GET", f"{self.path}{rest}", params=query).json()
        return answer

    def post(self, rest: str, body: Json | None = None, **query: Any) -> httpx.Response:
        return self.api.call("POST", f"{self.path}{rest}", body=body or {}, params=query)

    def create(self, kind: str, container: str, language: str = "en-us") -> None:
        """Create the project; its container is scanned at once."""
        body = {
            "projectName": self.name,
            "projectKind": kind,
            "storageInputContainerName": container,
            "language": language,
            "multilingual": False,
        }
        self.api.call("PATCH", self.path, body=body)

    def change(self, settings: Json) -> None:
        """Change settings of the project; the others stay."""
        self.api.call("PATCH", self.path, body={"settings": settings})

    def delete(self) -> bool:
        """Delete the project if there is one; its blobs stay."""
        with self.api.reported():
            if self.name not in {project["projectName"] for project in self.api.client.projects()}:
                return False
            self._leave_studio()
            self.client.delete().wait()
        return True

    def _leave_studio(self) -> None:
        """An interrupted run leaves the project connected, and a connected project cannot be deleted."""

        def settled() -> Json | None:
            connection = self.get("/connection")
            return None if connection["state"] in {"connecting", "disconnecting"} else connection

        connection = self.api.until("the connection to settle", settled)
        if connection["state"] in {"connected", "switching"}:
            self.client.disconnect(connection["amlProjectName"], discard_unsynced_labels=True).wait()

    def documents(self, **query: Any) -> Iterator[Json]:
        """The documents of a query, through all pages of the answer."""
        with self.api.reported():
            yield from cast("Iterator[Json]", self.client.documents(**query))

    def set_labels(self, document: Json, labels: Json) -> None:
        """Label a document by hand, as it was read: 409 if someone else changed it since."""
        given: Any = document
        with self.api.reported():
            self.client.set_labels(given, cast("Any", labels))

    def review(self, decisions: list[Json]) -> list[Json]:
        """Save the decisions on up to 100 documents; one result per document, in their order."""
        given: Any = decisions
        with self.api.reported():
            return cast("list[Json]", self.client.review(given))
