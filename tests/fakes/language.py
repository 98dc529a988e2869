"""An Azure Language resource as far as engines and pushes need it: an HTTP server that speaks the documented format.

Its models read their predictions off the text, as the scripted engine does, so that a test decides each of them:

    "@Refund:73 please"   category Refund with confidence 0.73 (in an entity project: the span of this token)
    "@reject"             an error for this document, beside the results of the others
    "@refuse"             400 for the whole request, as for a document that is too long
    "@lose"               no result and no error for this document

Operations take `polls` questions before they end. A test can make any call late, refused, throttled or cut off, as
with the fake of Resource Manager.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from aiohttp import web

from tests.fakes.faults import FaultyServer

KEY = "language-key"
RUNTIME = "/language/analyze-text/jobs"
AUTHORING = "/language/authoring/analyze-text/projects/"
KINDS = ("CustomSingleLabelClassification", "CustomMultiLabelClassification", "CustomEntityRecognition")
TOKEN = re.compile(r"@(\w+):(\d+)")


@dataclass
class Operation:
    """A job of the service: `polls` questions are answered with `running` before it ends."""

    kind: str
    polls: int
    status: str = "succeeded"
    body: dict[str, Any] = field(default_factory=dict[str, Any])
    errors: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    asked: int = 0

    @property
    def now(self) -> str:
        return self.status if self.asked > self.polls else "running"


@dataclass
class LanguageProject:
    """What was imported, and what came of it."""

    file: dict[str, Any]
    models: list[str] = field(default_factory=list[str])
    deployments: dict[str, str] = field(default_factory=dict[str, str])


class FakeLanguage(FaultyServer):
    def __init__(self) -> None:
        super().__init__()
        self.key = KEY
        #: Of an identity that is let in.
        self.token = ""
        #: (project, deployment) of models that are there without a push; None: any.
        self.deployed: set[tuple[str, str]] | None = None
        self.projects: dict[str, LanguageProject] = {}
        self.operations: dict[str, Operation] = {}
        #: The bodies of the requests that were accepted for analysis.
        self.requests: list[dict[str, Any]] = []
        self.polls = 0
        self.page = 100
        self.retry_after: int | None = None
        #: By kind of operation ("import", "train", "deploy"), why it fails: code and message.
        self.failing: dict[str, tuple[str, str]] = {}

    @property
    def texts(self) -> list[str]:
        """Every text that was analyzed, in order."""
        return [document["text"] for body in self.requests for document in body["analysisInput"]["documents"]]

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def act(self, request: web.Request) -> web.Response:
        signed_in = self.token and request.headers.get("Authorization") == f"Bearer {self.token}"
        if not signed_in and request.headers.get("Ocp-Apim-Subscription-Key") != self.key:
            return _error(401, "Unauthorized", "Access denied due to invalid subscription key.")
        if "api-version" not in request.query:
            return _error(400, "InvalidRequest", "The api-version query parameter is required.")
        if request.path == RUNTIME and request.method == "POST":
            return self._analyze(await request.json(), request)
        if request.path.startswith(f"{RUNTIME}/") and request.method == "GET":
            return self._analyzed(request)
        if request.path.startswith(AUTHORING):
            name, _, rest = request.path.removeprefix(AUTHORING).partition("/")
            return await self._author(request, name, rest)
        return _error(404, "NotFound", "Resource not found.")

    # Analysis

    def _analyze(self, body: dict[str, Any], request: web.Request) -> web.Response:
        documents: list[dict[str, Any]] = body["analysisInput"]["documents"]
        [task] = body["tasks"]
        if task["kind"] not in KINDS:
            return _error(400, "InvalidRequest", f"Unknown task {task['kind']}.")
        if len(documents) > 25:
            return _error(
                400, "InvalidRequest", "Invalid request.", "InvalidDocumentBatch", "Over 25 documents."
            )
        if sum(len(document["text"]) for document in documents) > 125_000:
            return _error(
                400, "InvalidRequest", "Invalid request.", "InvalidDocumentBatch", "Over 125,000 characters."
            )
        if len({document["id"] for document in documents}) != len(documents) or not all(
            document["id"] for document in documents
        ):
            return _error(
                400, "InvalidRequest", "Invalid request.", "InvalidDocument", "Document ids are not unique."
            )
        if any("@refuse" in document["text"] for document in documents):
            return _error(
                400, "InvalidRequest", "Invalid request.", "InvalidDocument", "A document is refused."
            )
        target = (task["parameters"]["projectName"], task["parameters"]["deploymentName"])
        if not self._has(target):
            return _error(404, "NotFound", f"The deployment '{target[1]}' of '{target[0]}' was not found.")
        self.requests.append(body)
        return self._accepted(request, RUNTIME, Operation("analyze", self.polls, body=body))

    def _has(self, target: tuple[str, str]) -> bool:
        project = self.projects.get(target[0])
        pushed = project is not None and target[1] in project.deployments
        return pushed or self.deployed is None or target in self.deployed

    def _analyzed(self, request: web.Request) -> web.Response:
        job_id = request.path.removeprefix(f"{RUNTIME}/")
        operation = self.operations.get(job_id)
        if operation is None:
            return _error(404, "OperationNotFound", f"The job '{job_id}' was not found.")
        operation.asked += 1
        state = self._state(job_id, operation) | {"displayName": operation.body["displayName"]}
        ended = operation.now not in {"running", "notStarted"}
        tasks = {"completed": int(ended), "failed": 0, "inProgress": int(not ended), "total": 1, "items": []}
        if ended and operation.status != "failed":
            skip, top = int(request.query.get("skip", 0)), int(request.query.get("top", self.page))
            results, count = self._results(operation.body, skip, min(top, self.page))
            kind = operation.body["tasks"][0]["kind"]
            tasks["items"] = [
                {
                    "kind": f"{kind}LROResults",
                    "taskName": operation.body["tasks"][0].get("taskName"),
                    "lastUpdateDateTime": state["lastUpdatedDateTime"],
                    "status": "succeeded",
                    "results": results,
                }
            ]
            if skip + min(top, self.page) < count:
                query = {**request.query, "skip": str(skip + self.page), "top": str(self.page)}
                state["nextLink"] = str(request.url.with_query(query))
        headers = {} if ended or self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return web.json_response(state | {"tasks": tasks}, headers=headers)

    def _results(self, body: dict[str, Any], skip: int, top: int) -> tuple[dict[str, Any], int]:
        task, documents = body["tasks"][0], body["analysisInput"]["documents"]
        found: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for document in documents[skip : skip + top]:
            text = document["text"]
            if "@reject" in text or not text.strip():
                inner = {
                    "code": "InvalidDocument",
                    "message": f"Document {document['id']} cannot be analyzed.",
                }
                error = {
                    "code": "InvalidArgument",
                    "message": "Invalid document in request.",
                    "innererror": inner,
                }
                errors.append({"id": document["id"], "error": error})
            elif "@lose" not in text:
                found.append({"id": document["id"], "warnings": [], **_labels(task, text)})
        parameters = task["parameters"]
        names = {name: parameters[name] for name in ("projectName", "deploymentName")}
        return {"documents": found, "errors": errors, **names}, len(documents)

    # Authoring

    async def _author(self, request: web.Request, name: str, rest: str) -> web.Response:
        call = (request.method, rest.rpartition("/jobs/")[0] or rest)
        job_id = rest.rpartition("/jobs/")[2] if "/jobs/" in rest else ""
        if call == ("POST", ":import"):
            return self._import(request, name, await request.json())
        if name not in self.projects:
            return _error(404, "ProjectNotFound", f"The project '{name}' was not found.")
        match call:
            case ("GET", ""):
                return web.json_response(self.projects[name].file["metadata"])
            case ("GET", path) if path.startswith("deployments/") and not job_id:
                return self._deployment(self.projects[name], path.removeprefix("deployments/"))
            case ("POST", ":train"):
                return self._train(request, name, await request.json())
            case ("GET", "train/jobs"):
                jobs = [
                    self._state(key, operation)
                    for key, operation in self.operations.items()
                    if operation.kind == f"train {name}"
                ]
                return web.json_response({"value": jobs})
            case ("POST", "train"):
                return self._cancel(request, name, job_id.removesuffix("/:cancel"))
            case ("PUT", path) if path.startswith("deployments/"):
                return self._deploy(request, name, path.removeprefix("deployments/"), await request.json())
            case ("GET", _) if job_id:
                return self._job(name, job_id)
        return _error(404, "NotFound", f"Nothing is at {request.path}.")

    def _import(self, request: web.Request, name: str, file: dict[str, Any]) -> web.Response:
        metadata, assets = file["metadata"], file["assets"]
        if metadata["projectKind"] != assets["projectKind"]:
            return _error(400, "InvalidArgument", "The kinds of metadata and assets differ.")
        if metadata["projectName"] != name or not isinstance(metadata["multilingual"], bool):
            return _error(400, "InvalidArgument", "The metadata is not of this project.")
        before = self.projects.get(name)
        self.projects[name] = (
            LanguageProject(file, before.models, before.deployments) if before else LanguageProject(file)
        )
        return self._begin(request, name, "import", f"{AUTHORING}{name}/import/jobs")

    def _train(self, request: web.Request, name: str, body: dict[str, Any]) -> web.Response:
        running = [o for o in self.operations.values() if o.kind == f"train {name}" and o.now == "running"]
        if running:
            return _error(409, "Conflict", "Another training job is running for this project.")
        return self._begin(request, name, "train", f"{AUTHORING}{name}/train/jobs", body)

    def _deployment(self, project: LanguageProject, deployment: str) -> web.Response:
        if deployment not in project.deployments:
            return _error(404, "DeploymentNotFound", f"The deployment '{deployment}' was not found.")
        return web.json_response({"deploymentName": deployment, "modelId": project.deployments[deployment]})

    def _deploy(self, request: web.Request, name: str, deployment: str, body: dict[str, Any]) -> web.Response:
        if body["trainedModelLabel"] not in self.projects[name].models:
            return _error(404, "NotFound", f"The model '{body['trainedModelLabel']}' was not found.")
        where = f"{AUTHORING}{name}/deployments/{deployment}/jobs"
        return self._begin(request, name, "deploy", where, body | {"deployment": deployment})

    def _begin(
        self, request: web.Request, name: str, kind: str, where: str, body: dict[str, Any] | None = None
    ) -> web.Response:
        operation = Operation(f"{kind} {name}", self.polls, body=body or {})
        if kind in self.failing:
            code, message = self.failing[kind]
            operation.status, operation.errors = "failed", [{"code": code, "message": message}]
        return self._accepted(request, where, operation)

    def _cancel(self, request: web.Request, name: str, job_id: str) -> web.Response:
        operation = self.operations[job_id]
        if operation.now == "running":
            operation.polls, operation.status = 0, "cancelled"
        return self._accepted(request, f"{AUTHORING}{name}/train/jobs", operation, job_id)

    def _job(self, name: str, job_id: str) -> web.Response:
        operation = self.operations.get(job_id)
        if operation is None or not operation.kind.endswith(f" {name}"):
            return _error(404, "OperationNotFound", f"The job '{job_id}' was not found.")
        operation.asked += 1
        if operation.now == "succeeded":
            self._complete(self.projects[name], operation)
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return web.json_response(self._state(job_id, operation), headers=headers)

    def _complete(self, project: LanguageProject, operation: Operation) -> None:
        if operation.kind.startswith("train") and operation.body["modelLabel"] not in project.models:
            project.models.append(operation.body["modelLabel"])
        if operation.kind.startswith("deploy"):
            project.deployments[operation.body["deployment"]] = operation.body["trainedModelLabel"]

    # Operations

    def _accepted(
        self, request: web.Request, where: str, operation: Operation, job_id: str | None = None
    ) -> web.Response:
        job_id = job_id or f"{uuid4()}_637858368000000000"
        self.operations[job_id] = operation
        location = f"{request.url.origin()}{where}/{job_id}?api-version={request.query['api-version']}"
        return web.Response(status=202, headers={"operation-location": location})

    def _state(self, job_id: str, operation: Operation) -> dict[str, Any]:
        state: dict[str, Any] = {
            "jobId": job_id,
            "createdDateTime": _moment(operation.created),
            "lastUpdatedDateTime": _moment(operation.created + timedelta(seconds=operation.asked)),
            "expirationDateTime": _moment(operation.created + timedelta(days=7)),
            "status": operation.now,
            "errors": operation.errors if operation.now == operation.status else [],
        }
        if operation.kind.startswith("train"):
            percent = (
                100
                if operation.now == "succeeded"
                else min(99, 100 * operation.asked // (operation.polls + 1))
            )
            part = {"percentComplete": percent, "status": operation.now}
            label, version = operation.body["modelLabel"], operation.body["trainingConfigVersion"]
            state["result"] = {
                "modelLabel": label,
                "trainingConfigVersion": version,
                "trainingStatus": part,
                "evaluationStatus": {"percentComplete": 0, "status": "notStarted"},
            }
        return state


def _labels(task: Mapping[str, Any], text: str) -> dict[str, Any]:
    found = [(m[1], int(m[2]) / 100, m) for m in TOKEN.finditer(text)]
    if task["kind"] != "CustomEntityRecognition":
        labels = sorted(({"category": c, "confidenceScore": p} for c, p, _ in found), key=_by_score)
        single = task["kind"] == "CustomSingleLabelClassification"
        return {"class": labels[:1] if single else labels}
    units = task["parameters"].get("stringIndexType", "TextElements_v8")
    entities: list[dict[str, Any]] = []
    for category, score, match in found:
        before, inside = text[: match.start()], match[0]
        size = _utf16 if units == "Utf16CodeUnit" else len
        entities.append(
            {
                "text": inside,
                "category": category,
                "offset": size(before),
                "length": size(inside),
                "confidenceScore": score,
            }
        )
    return {"entities": entities}


def _by_score(label: Mapping[str, Any]) -> float:
    return -float(label["confidenceScore"])


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _error(status: int, code: str, message: str, inner: str = "", reason: str = "") -> web.Response:
    error: dict[str, Any] = {"code": code, "message": message}
    if inner:
        error["innererror"] = {"code": inner, "message": reason}
    return web.Response(status=status, text=json.dumps({"error": error}), content_type="application/json")
