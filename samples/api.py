"""A small client of the HTTP API: it waits for long-running operations, and says what went wrong."""

import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import httpx

VERSION = "2023-04-15-preview"
PROJECTS = "/language/authoring/analyze-text/projects"
ENDED = {"succeeded", "partiallyCompleted", "failed", "cancelled"}
PAUSE = 0.2

type Json = dict[str, Any]


class ApiFailed(Exception):
    """The API refused a call, or a job failed; the message is the API's own."""


class Refused(ApiFailed):
    """The API answered with an error. `reason`: `409 LabelingLocked: ...`."""

    def __init__(self, call: str, reason: str) -> None:
        super().__init__(f"{call}: {reason}")
        self.reason = reason


class Api:
    """`check` is called while something is waited for, and raises when there is no use in waiting on."""

    def __init__(self, url: str, key: str, check: Callable[[], None] = lambda: None) -> None:
        self._check = check
        self._client = httpx.Client(
            base_url=url,
            headers={"Ocp-Apim-Subscription-Key": key},
            params={"api-version": VERSION},
            timeout=60,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def project(self, name: str) -> "ProjectApi":
        """The calls of one project."""
        return ProjectApi(self, name)

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request. Raises Refused with the message of the answer, ApiFailed when none comes."""
        try:
            answer = self._client.request(method, path, **more)
        except httpx.TransportError as error:
            self._check()
            raise ApiFailed(f"{method} {path}: no answer ({error}).") from error
        if answer.is_error:
            raise Refused(f"{method} {path}", f"{answer.status_code} {_message(answer)}")
        return answer

    def wait(self, begun: httpx.Response, seen: Callable[[Json], None] = lambda _: None) -> Json:
        """Follow `operation-location` until the operation has ended; its last state. Raises ApiFailed."""
        # The address is absolute and carries its api-version.
        url = httpx.URL(begun.headers["operation-location"])
        while True:
            state: Json = self.call("GET", str(url), params=url.params).json()
            seen(state)
            if state["status"] == "succeeded":
                return state
            if state["status"] in ENDED:
                reasons = "; ".join(error["message"] for error in state["errors"])
                raise ApiFailed(f"The operation is '{state['status']}': {reasons or 'no reason given'}")
            self.pause()

    def until[T](self, what: str, look: Callable[[], T | None], seconds: float = 60) -> T:
        """Look again and again until there is something. Raises ApiFailed when nothing comes in time."""
        deadline = time.monotonic() + seconds
        while True:
            found = look()
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise ApiFailed(f"Waited {seconds:.0f} s in vain for {what}.")
            self.pause()

    def pause(self) -> None:
        self._check()
        time.sleep(PAUSE)


class ProjectApi:
    """The calls of one project."""

    def __init__(self, api: Api, name: str) -> None:
        self.api = api
        self.name = name
        self.path = f"{PROJECTS}/{name}"

    def get(self, rest: str = "", **query: Any) -> Json:
        answer: Json = self.api.call("GET", f"{self.path}{rest}", params=query).json()
        return answer

    def post(self, rest: str, body: Json | None = None, **query: Any) -> httpx.Response:
        return self.api.call("POST", f"{self.path}{rest}", json=body or {}, params=query)

    def create(self, kind: str, container: str, language: str = "en-us") -> None:
        """Create the project; its container is scanned at once."""
        body = {
            "projectName": self.name,
            "projectKind": kind,
            "storageInputContainerName": container,
            "language": language,
            "multilingual": False,
        }
        self.api.call("PATCH", self.path, json=body)

    def change(self, settings: Json) -> None:
        """Change settings of the project; the others stay."""
        self.api.call("PATCH", self.path, json={"settings": settings})

    def delete(self) -> bool:
        """Delete the project if there is one; its blobs stay."""
        names = self.api.call("GET", PROJECTS).json()["value"]
        if self.name not in {project["projectName"] for project in names}:
            return False
        self._leave_studio()
        self.api.wait(self.api.call("DELETE", self.path))
        return True

    def _leave_studio(self) -> None:
        """A run that was cut short leaves the project connected, and a connected one cannot be deleted."""

        def settled() -> Json | None:
            connection = self.get("/connection")
            return None if connection["state"] in {"connecting", "disconnecting"} else connection

        connection = self.api.until("the connection to come to rest", settled)
        if connection["state"] in {"connected", "switching"}:
            body = {"confirm": connection["amlProjectName"], "discardUnsyncedLabels": True}
            self.api.wait(self.post("/connection/:disconnect", body))

    def documents(self, **query: Any) -> Iterator[Json]:
        """The documents of a query, through all pages of the answer."""
        token: Json = {}
        while True:
            page = self.get("/documents", **query, **token)
            yield from page["value"]
            if "continuationToken" not in page:
                return
            token = {"continuationToken": page["continuationToken"]}

    def set_labels(self, document: Json, labels: Json) -> None:
        """Label a document by hand, as it was read: 409 if somebody else changed it since."""
        path = f"{self.path}/documents/{document['id']}/labels"
        self.api.call("PUT", path, json=labels, headers={"If-Match": document["eTag"]})

    def review(self, decisions: list[Json]) -> list[Json]:
        """Save the decisions on up to 100 documents; one result a document, in their order."""
        results: list[Json] = self.post("/documents/:review", {"decisions": decisions}).json()["results"]
        return results


def _message(answer: httpx.Response) -> str:
    try:
        error = answer.json()["error"]
        where = f" ({error['target']})" if error.get("target") else ""
        code = error.get("innererror", error)["code"]
        return f"{code}{where}: {error['message']}"
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]
