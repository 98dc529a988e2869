"""Azure Resource Manager as far as labeling needs it: an HTTP server that speaks the documented format.

Labeling jobs live as Azure's do: a PUT is accepted first and goes through states, `pause` works on a running
job only, `exportLabels` is a long-running operation that writes JSONL files. A test can make any call late,
refused, throttled, cut off before it acts or after.
"""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from aiohttp import web

from tests.fakes.arm_jobs import FakeJob, body_error
from tests.fakes.faults import FaultyServer

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
STORAGE = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/labelstore"
CONTRIBUTOR = "/providers/Microsoft.Authorization/roleDefinitions/ba92f5b4-2d11-453d-a403-e96b0029c9fe"
BLOBSTORE = "azureml-blobstore"

type Write = Callable[[str, str, bytes], Awaitable[None]]


def workspace_id(name: str = "ws1") -> str:
    return f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/{name}"


class FakeArm(FaultyServer):
    """`write` puts an exported file into the storage account: (container, blob, bytes)."""

    def __init__(self, write: Write | None = None) -> None:
        super().__init__()
        self.write = write
        self.workspaces: dict[str, dict[str, Any]] = {}
        self.assignments: list[dict[str, Any]] = []
        self.permissions: dict[str, list[dict[str, Any]]] = {}
        self.jobs: dict[tuple[str, str], FakeJob] = {}
        self.resources: dict[str, dict[str, Any]] = {}
        self.operations: dict[str, list[dict[str, Any]]] = {}
        self.tokens: list[str] = []
        #: What a new job goes through, and what an export takes: GETs that answer 202 first.
        self.birth = ["Running"]
        self.pausing = ["Paused"]
        self.resuming = ["Running"]
        self.export_polls = 0
        self.retry_after: int | None = 0
        #: Suffix of the storage account's endpoints in the cloud of the workspace; None: a workspace without one.
        self.cloud: str | None = "core.windows.net"
        self.page = 100
        self.add_workspace("ws1")

    def add_workspace(
        self, name: str, *, storage: str = STORAGE, principal: str | None = "principal-1"
    ) -> None:
        identity = {"type": "SystemAssigned", "principalId": principal} if principal else {"type": "None"}
        body = {"id": workspace_id(name), "identity": identity, "properties": {"storageAccount": storage}}
        self.workspaces[workspace_id(name).lower()] = body
        store = {
            "accountName": storage.rsplit("/", 1)[-1],
            "containerName": BLOBSTORE,
            "endpoint": self.cloud,
        }
        self.resources[f"{workspace_id(name)}/datastores/workspaceblobstore".lower()] = {"properties": store}

    def grant(self, principal: str = "principal-1", *, scope: str = STORAGE, role: str = CONTRIBUTOR) -> None:
        row = {
            "principalId": principal,
            "scope": scope,
            "roleDefinitionId": f"/subscriptions/{SUBSCRIPTION}{role}",
        }
        self.assignments.append({"properties": row})

    def job(self, name: str, workspace: str = "ws1") -> FakeJob:
        return self.jobs[workspace_id(workspace).lower(), name.lower()]

    def label(self, name: str, location: str, label: Any, datastore: str = "ds") -> None:
        """What a person does in AML; only a running job takes labels."""
        job = self.job(name)
        if job.status != "Running":
            raise PermissionError(f"The labeling job is {job.status}.")
        job.labels[location] = {"image_url": f"AmlDatastore://{datastore}/{location}", "label": label}

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    def note(self, request: web.Request) -> None:
        self.tokens.append(request.headers.get("Authorization", "").removeprefix("Bearer "))

    async def act(self, request: web.Request) -> web.StreamResponse:
        path, method = request.path, request.method
        if "api-version" not in request.query:
            return _error(400, "MissingApiVersionParameter", "The api-version query parameter is required.")
        if path.startswith("/operations/"):
            return self._operation(path)
        if path.endswith("/providers/Microsoft.Authorization/roleAssignments"):
            return self._role_assignments(request)
        if path.endswith("/providers/Microsoft.Authorization/permissions"):
            return web.json_response({"value": self.permissions.get(self.tokens[-1], [])})
        workspace, _, rest = path.lower().partition("/labelingjobs")
        if rest or path.lower().endswith("/labelingjobs"):
            return await self._labeling(request, workspace, path[len(workspace) + len("/labelingjobs") :])
        if path.lower() in self.workspaces:
            return web.json_response(self.workspaces[path.lower()])
        return await self._resource(path, method, request)

    async def _resource(self, path: str, method: str, request: web.Request) -> web.Response:
        """Datastores and data assets: stored as they are put."""
        if method == "PUT":
            self.resources[path.lower()] = await request.json()
            return web.json_response(self.resources[path.lower()], status=201)
        if path.lower() in self.resources:
            return web.json_response(self.resources[path.lower()])
        return _error(404, "ResourceNotFound", f"The resource '{path}' was not found.")

    def _role_assignments(self, request: web.Request) -> web.Response:
        match = re.fullmatch(r"assignedTo\('([^']+)'\)", request.query.get("$filter", ""))
        rows = [a for a in self.assignments if match is None or a["properties"]["principalId"] == match[1]]
        skip = int(request.query.get("$skipToken", 0))
        body: dict[str, Any] = {"value": rows[skip : skip + self.page]}
        if skip + self.page < len(rows):
            query = {**request.query, "$skipToken": str(skip + self.page)}
            body["nextLink"] = str(request.url.with_query(query))
        return web.json_response(body)

    async def _labeling(self, request: web.Request, workspace: str, rest: str) -> web.StreamResponse:
        if workspace not in self.workspaces:
            return _error(404, "ResourceNotFound", "The workspace was not found.")
        parts = [part for part in rest.split("/") if part]
        if not parts:
            mine = [job.wire(workspace) for (place, _), job in self.jobs.items() if place == workspace]
            return web.json_response({"value": mine})
        key = (workspace, parts[0].lower())
        if request.method == "PUT":
            return await self._put(request, workspace, parts[0])
        if key not in self.jobs:
            return _error(404, "ResourceNotFound", f"The labeling job '{parts[0]}' was not found.")
        job = self.jobs[key]
        if len(parts) == 1:
            return self._get(job, workspace)
        return await self._action(job, parts[1], workspace)

    async def _put(self, request: web.Request, workspace: str, name: str) -> web.Response:
        body = (await request.json())["properties"]
        if error := body_error(body):
            return _error(400, "UserError", error)
        key = (workspace, name.lower())
        known = key in self.jobs
        if known:
            self.jobs[key].body = body
        else:
            self.jobs[key] = FakeJob(name, body, list(self.birth))
        return web.json_response(self.jobs[key].wire(workspace), status=200 if known else 201)

    def _get(self, job: FakeJob, workspace: str) -> web.Response:
        answer = web.json_response(job.wire(workspace))
        if len(job.path) > 1:
            job.path.pop(0)
        return answer

    async def _action(self, job: FakeJob, action: str, workspace: str) -> web.Response:
        if action == "pause":
            if job.status != "Running":
                return _error(409, "Conflict", f"The labeling job is {job.status}.")
            job.path = list(self.pausing)
            return web.Response(status=200)
        if action == "resume":
            if job.status != "Paused":
                return _error(409, "Conflict", f"The labeling job is {job.status}.")
            job.path = list(self.resuming)
            return web.Response(
                status=202, headers={"Location": f"{self.address}/operations/none?api-version=x"}
            )
        if action == "exportLabels":
            return await self._export(job, workspace)
        return _error(404, "NotFound", action)

    async def _export(self, job: FakeJob, workspace: str) -> web.Response:
        """The files of the labels as they are now, at most 1,000 lines each; the answer comes after some
        polls.
        """
        job.exports += 1
        asset = f"{job.name}-{job.exports}"
        folder = f"Labeling/export/dataset/{asset}"
        lines = [json.dumps(label, ensure_ascii=False) for label in job.labels.values()]
        for number in range(0, max(len(lines), 1), 1_000):
            data = "\n".join(lines[number : number + 1_000]).encode()
            if self.write is not None:
                name = f"{folder}/labeledDatapoints_{number // 1_000 + 1}.jsonl"
                await self.write(BLOBSTORE, name, data)
        uri = f"azureml:/{workspace}/datastores/workspaceblobstore/paths/{folder}/"
        self.resources[f"{workspace}/data/{asset}".lower()] = {"properties": {"latestVersion": "1"}}
        self.resources[f"{workspace}/data/{asset}/versions/1".lower()] = {"properties": {"dataUri": uri}}
        result = {"format": "Dataset", "exportedRowCount": len(lines), "labeledAssetName": asset}
        if not self.export_polls:
            return web.json_response(result)
        ticket = uuid4().hex
        self.operations[f"/operations/{ticket}"] = [{}] * (self.export_polls - 1) + [result]
        location = f"{self.address}/operations/{ticket}?api-version=2024-04-01-preview"
        return web.Response(status=202, headers={"Location": location, **self._retry_after()})

    def _retry_after(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}

    def _operation(self, path: str) -> web.Response:
        left = self.operations.get(path)
        if left is None:
            return _error(404, "NotFound", "There is no such operation.")
        if len(left) > 1:
            left.pop(0)
            return web.Response(status=202, headers=self._retry_after())
        return web.json_response(left[0])


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message}}, status=status)
