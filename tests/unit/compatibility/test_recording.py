"""What commit 3277add stored is served by the version of today: every answer, writes, and the tombstone.

`record.py` made the recording: projects of the three kinds and an imported one, labels, decisions and their undo, bulk
decisions, jobs, models, a renamed category, a connection that exists and one that was ended.
"""

import base64
import gzip
import json
from collections import defaultdict
from datetime import UTC, datetime
from itertools import batched
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest

import function_app  # declares the operations  # noqa: F401
from functions import http
from functions.call import PROJECTS
from functions.http import OPERATIONS, Operation
from shared.engines import local_engines
from shared.runtime.container import Container
from shared.services.jobs.stores import Names, build
from shared.storage.gateways.ports import Insert
from tests.support.services import Clock, settings
from tests.support.storage.memory import MemoryStorage

RECORDING = json.loads(gzip.decompress(Path(__file__).with_name("recording.json.gz").read_bytes()))
ANSWERS: dict[str, Any] = RECORDING["answers"]
KEY = "labelbridge-local"
KEYS = [
    {
        "name": "local",
        "sha256": "a7c460d4ab06559a22460f1a1d53222ace23e5d47a0ba6b2b1f10d40e2ca65ff",
        "roles": ["*"],
    }
]
#: An hour after the recording: no job has expired.
NOW = datetime(2026, 11, 29, 3, 20, tzinfo=UTC)
#: Texts for people, which may be worded better.
WORDING = {"message", "waitingFor"}


def value(stored: Any) -> Any:
    if not isinstance(stored, dict):
        return stored
    [(kind, text)] = stored.items()
    return {"bytes": base64.b64decode, "time": datetime.fromisoformat, "int64": int}[kind](text)


class Old:
    """The app of today over the recorded storage, asked as over HTTP."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.now = NOW
        self.storage = MemoryStorage(clock=self.clock)

    async def load(self) -> None:
        for name, entities in RECORDING["tables"].items():
            rows: dict[str, list[Insert]] = defaultdict(list)
            for entity in entities:
                values = {k: value(v) for k, v in entity.items() if k not in {"PartitionKey", "RowKey"}}
                rows[entity["PartitionKey"]].append(Insert(entity["RowKey"], values))
            for partition, inserts in rows.items():
                for some in batched(inserts, 100, strict=False):
                    await self.storage.table(name).commit(partition, list(some))
        for container, blobs in RECORDING["blobs"].items():
            await self.storage.blobs.create_container(container)
            for name, content in blobs.items():
                await self.storage.blobs.write(container, name, base64.b64decode(content))
        names = Names("labelbridge")
        stores = build(
            names, self.storage.table("projects"), self.storage.blobs, self.storage.queues, self.clock
        )
        given = settings(auth_mode="local", api_keys=json.dumps(KEYS))
        self.container = Container(given, stores, local_engines(), self.storage.table("connections"))

    async def ask(
        self, method: str, path: str, body: Any = None, params: dict[str, str] | None = None, **headers: str
    ) -> tuple[int, Any]:
        operation, route = _operation(method, f"{PROJECTS}/{path}")
        content = json.dumps(body).encode() if body is not None else b""
        request = func.HttpRequest(
            method,
            f"http://localhost/{PROJECTS}/{path}",
            headers={
                "ocp-apim-subscription-key": KEY,
                "content-type": "application/json",
                "content-length": str(len(content)),
                **{name.replace("_", "-"): text for name, text in headers.items()},
            },
            params={"api-version": "2023-04-15-preview"} | (params or {}),
            route_params=route,
            body=content,
        )
        response = await http.serve(operation, request)
        text = response.get_body()
        return response.status_code, json.loads(text) if text else None


def _operation(method: str, path: str) -> tuple[Operation, dict[str, str]]:
    """The operation of a path, and the parts of the path that its route names; literal routes come first."""
    parts = path.split("/")
    found: list[tuple[int, Operation, dict[str, str]]] = []
    for operation in OPERATIONS:
        names = operation.path.split("/")
        if operation.method != method or len(names) != len(parts):
            continue
        route = {n[1:-1]: p for n, p in zip(names, parts, strict=True) if n.startswith("{")}
        if all(n.startswith("{") or n == p for n, p in zip(names, parts, strict=True)):
            found.append((len(route), operation, route))
    _, operation, route = min(found, key=lambda match: match[0])
    return operation, route


@pytest.fixture
async def old(monkeypatch: pytest.MonkeyPatch) -> Old:
    old = Old()
    await old.load()
    monkeypatch.setattr(http, "container", lambda: old.container)
    return old


def differences(before: Any, now: Any, path: str = "") -> list[str]:
    """Where an answer of today lacks or changes what the recorded one says; it may say more."""
    if isinstance(before, dict):
        return [
            difference
            for key, item in before.items()
            if key not in WORDING
            for difference in (
                differences(item, now[key], f"{path}.{key}")
                if isinstance(now, dict) and key in now
                else [f"{path}.{key} is gone"]
            )
        ]
    if isinstance(before, list):
        if not isinstance(now, list) or len(before) != len(now):
            return [f"{path}: {before} != {now}"]
        pairs = enumerate(zip(before, now, strict=True))
        return [d for index, (left, right) in pairs for d in differences(left, right, f"{path}[{index}]")]
    return [] if before == now else [f"{path}: {before} != {now}"]


async def document(old: Old, name: str, **query: str) -> Any:
    return (await old.ask("GET", f"{name}/documents", params=query))[1]["value"][0]


async def test_every_answer_is_what_it_was(old: Old) -> None:
    found: list[str] = []
    for path, before in ANSWERS.items():
        status, now = await old.ask("GET", path)
        assert status == 200, (path, now)
        found += [f"{path} {difference}" for difference in differences(before, now)]
    assert found == []


def test_the_recording_has_what_it_should() -> None:
    """Else the answers would be equal for want of content."""
    statuses = {
        d["status"]
        for path, a in ANSWERS.items()
        if path.endswith("/documents")
        for d in a["value"]
        if "status" in d
    }
    assert {"labeled", "autoLabeled", "unlabeled"} <= statuses
    actions = {
        e["action"]
        for path, a in ANSWERS.items()
        if path.endswith("/history")
        for e in a["value"]
        if "action" in e
    }
    assert {
        "decided", "decisionUndone", "labelsSet", "documentChanged", "categoryRenamed", "imported", "labelsImported",
        "labelsAdopted",
    } <= actions  # fmt: skip
    assert {name: ANSWERS[name]["projectKind"] for name in ("single", "multi", "entities")} == {
        "single": "CustomSingleLabelClassification",
        "multi": "CustomMultiLabelClassification",
        "entities": "CustomEntityRecognition",
    }
    assert ANSWERS["multi/connection"]["state"] == "connected"
    assert ANSWERS["single/connection"]["state"] == "disconnected"
    assert [model["label"] for model in ANSWERS["entities/models"]["value"]] == ["first"]


@pytest.mark.parametrize("name", ["single", "entities", "imported"])
async def test_labels_can_be_written(old: Old, name: str) -> None:
    before = await document(old, name)
    path = f"{name}/documents/{before['id']}"
    field = {"single": "class", "entities": "entities", "imported": "classes"}[name]
    empty = {"category": "login"} if field == "class" else []
    status, after = await old.ask("PUT", f"{path}/labels", {field: empty}, if_match=before["eTag"])
    assert (status, after.get(field)) == (200, empty)
    assert (await old.ask("PUT", f"{path}/labels", {field: empty}, if_match=before["eTag"]))[0] == 409
    _, history = await old.ask("GET", f"{path}/history")
    known = ANSWERS[f"{path}/history"]["value"]
    assert history["value"][0]["action"] == "labelsSet"
    assert differences(known, history["value"][1:]) == []
    assert (await old.ask("POST", f"{path}/:undo"))[0] == 200


async def test_documents_without_marks_are_not_flagged_and_can_be(old: Old) -> None:
    before = await document(old, "single")
    assert (before["flagged"], "note" in before) == (False, False)
    path = f"single/documents/{before['id']}"
    mark = {"flagged": True, "note": "Ask legal."}
    assert (await old.ask("PATCH", path, mark, if_match=before["eTag"]))[0] == 200
    assert (await document(old, "single", flagged="true"))["note"] == "Ask legal."
    _, counts = await old.ask("GET", "single/statistics")
    assert counts["documents"]["flagged"] == 1
    _, history = await old.ask("GET", f"{path}/history")
    assert "note" not in history["value"][0]["details"]["before"]
    assert differences(ANSWERS[f"{path}/history"]["value"], history["value"][1:]) == []


async def test_pending_suggestions_can_be_decided_on(old: Old) -> None:
    pending = await document(old, "entities", status="autoLabeled")
    decision = {"documentId": pending["id"], "eTag": pending["eTag"], "acceptAll": True}
    status, answer = await old.ask("POST", "entities/documents/:review", {"decisions": [decision]})
    assert status == 200
    assert [(r["status"], r["document"]["status"]) for r in answer["results"]] == [("saved", "labeled")]


async def test_the_model_still_predicts(old: Old) -> None:
    body = {"modelLabel": "first", "documents": [d["id"] for d in ANSWERS["single/documents"]["value"]]}
    status, _ = await old.ask("POST", "single/autolabel/jobs", body)
    assert status == 202
    model = await old.container.stores.models.get(await old.container.projects.get("single"), "first")
    loaded = await old.container.engines.get(model.engine).load(
        await old.container.stores.artifacts.read(model.artifact) or b""
    )
    [found] = await loaded.predict(["Please refund order 7."])
    assert {prediction.category for prediction in found} == {"money", "login"}


@pytest.mark.parametrize("name", ["single", "imported"])
async def test_the_tombstone_still_refuses(old: Old, name: str) -> None:
    body = {"studio": "workspace", "workspaceId": "labeling", "amlProjectName": "gone"}
    status, answer = await old.ask("PUT", f"{name}/connection", body)
    assert status == 409
    assert answer["error"]["innererror"]["code"] == "Tombstoned"
    taken = await old.ask("PUT", f"{name}/connection", body | {"amlProjectName": "bound"})
    assert (taken[0], taken[1]["error"]["innererror"]["code"]) == (409, "Bound")


async def test_the_connection_goes_on(old: Old) -> None:
    project = await old.container.projects.get("multi")
    service = old.container.connection
    connected = (await service.get("multi")).connection
    # The lease on the label file, which is no content of a blob, is as it was.
    steps = service._steps
    assert await steps.studio(connected).close(steps.target(connected, project)) is None
    status, _ = await old.ask("POST", "multi/connection/:switch", {"to": "azureMachineLearning"})
    assert status == 202
    for _ in range(20):
        wait = await service.advance("multi", project.incarnation)
        if wait is None:
            break
        old.clock.move(wait + 1)
    _, connection = await old.ask("GET", "multi/connection")
    assert connection["activeStudio"] == "azureMachineLearning", connection.get("waitingFor")
    changed = await document(old, "multi")
    path = f"multi/documents/{changed['id']}/labels"
    assert (await old.ask("PUT", path, {"classes": []}, if_match=changed["eTag"]))[0] == 409


@pytest.mark.parametrize("name", ["single", "multi", "entities"])
async def test_the_history_is_counted_by_person_and_day(old: Old, name: str) -> None:
    changes = [
        change
        for path in ANSWERS
        if path.startswith(f"{name}/documents/") and path.endswith("/history")
        for change in ANSWERS[path]["value"]
    ]
    alone = [c for c in changes if c["action"] == "decided" and "reviewJobId" not in c["details"]]
    labeled = sum(c["action"] == "labelsSet" for c in changes)
    assert labeled
    query = {"fromDate": "2026-11-01", "toDate": "2026-11-30"}
    status, answer = await old.ask("GET", f"{name}/progress", params=query)
    assert (status, answer["complete"]) == (200, True)
    assert sum(day["labeled"] for day in answer["value"]) == labeled
    assert sum(d["accepted"] for d in answer["value"]) == sum(len(c["details"]["accepted"]) for c in alone)
