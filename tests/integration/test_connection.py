"""The connection over HTTP, as a labeling lead uses it, on the real host and Azurite."""

import json
from typing import Any

import httpx

from shared.storage.gateways.clients import StorageClients
from tests.integration.conftest import MakeProject
from tests.support.api import SINGLE, Project, label, unique


class Lead:
    """A project, and a container beside it for label files."""

    def __init__(self, project: Project, storage: StorageClients, labeling: str, name: str) -> None:
        self.project = project
        self.storage = storage
        self.labeling = labeling
        self.name = name

    @property
    def body(self) -> dict[str, Any]:
        return {"studio": "workspace", "workspaceId": self.labeling, "amlProjectName": self.name}

    async def ask(self, method: str, rest: str = "", **body: Any) -> httpx.Response:
        return await self.project.http.request(method, f"{self.project.path}/connection{rest}", json=body)

    async def done(self, method: str, rest: str = "", **body: Any) -> Any:
        answer = await self.ask(method, rest, **body)
        assert answer.status_code == 202, answer.text
        assert answer.headers["retry-after"] == "1"
        return await self.project.ended(answer.headers["operation-location"])

    async def file(self) -> dict[str, str]:
        content = await self.storage.blobs.read(self.labeling, f"{self.name}/labels.jsonl")
        assert content is not None
        lines = [json.loads(line) for line in content.data.splitlines()]
        return {line["image_url"].rsplit("/", 1)[1]: line["label"] for line in lines}

    async def write(self, labels: dict[str, str]) -> None:
        place = f"AmlDatastore://{self.project.container}"
        lines = [json.dumps({"image_url": f"{place}/{k}", "label": v}) for k, v in labels.items()]
        name = f"{self.name}/labels.jsonl"
        await self.storage.blobs.write(self.labeling, name, "\n".join(lines).encode())


async def lead(new_project: MakeProject, storage: StorageClients) -> Lead:
    project = await new_project()
    await project.upload({"a.txt": "one", "b.txt": "two"})
    await project.define("Refund", "Order")
    labeling = unique("lab")
    await storage.blobs.create_container(labeling)
    return Lead(project, storage, labeling, unique("news"))


async def test_connect_switch_label_there_switch_back_disconnect_and_the_refused_reconnect(
    new_project: MakeProject, storage: StorageClients
) -> None:
    one = await lead(new_project, storage)
    project = one.project
    assert await project.get("/connection") == {"state": "none", "activeStudio": "languageStudio"}
    checked = (await one.ask("POST", "/:check", **one.body)).json()
    assert checked["connectable"], checked

    assert (await one.done("PUT", **one.body))["status"] == "succeeded"
    settings = (await project.get(""))["settings"]
    assert settings["amlProjectPath"] == f"{one.labeling}/{one.name}/labels.jsonl"
    assert settings["isLabelingLocked"] is False
    refused = await project.http.patch(project.path, json={"language": "de"})
    assert refused.status_code == 409

    assert (await one.done("POST", "/:switch", to="azureMachineLearning"))["status"] == "succeeded"
    assert (await project.get(""))["settings"]["isLabelingLocked"] is True
    handed = await one.file()
    assert set(handed.values()) == {"Refund", "Order"}
    url = f"{project.path}/documents/{(await project.document('a.txt'))['id']}/labels"
    locked = await project.http.put(url, json=label(SINGLE, "Order"), headers={"If-Match": "*"})
    assert locked.status_code == 409
    assert locked.json()["error"]["innererror"]["code"] == "LabelingLocked"
    started = await project.http.post(f"{project.path}/autolabel/jobs", json={})
    assert started.status_code == 409, started.text

    await one.write({**handed, "a.txt": "Order"})
    shown = await project.get("/connection")
    assert (shown["state"], shown["activeStudio"], shown["unsyncedLabels"]) == (
        "connected",
        "azureMachineLearning",
        3,
    )
    assert (await one.done("POST", "/:sync"))["result"]["documentsImported"] == 3
    assert (await one.done("POST", "/:switch", to="languageStudio"))["status"] == "succeeded"
    assert (await project.document("a.txt"))["class"] == {"category": "Order"}

    wrong = await one.ask("POST", "/:disconnect", confirm="News")
    assert (wrong.status_code, wrong.json()["error"]["target"]) == (400, "confirm")
    assert (await one.done("POST", "/:disconnect", confirm=one.name))["status"] == "succeeded"
    assert (await project.get("/connection"))["state"] == "disconnected"
    again = await one.ask("PUT", **one.body | {"amlProjectName": one.name.upper()})
    assert again.status_code == 409
    assert "never be connected again" in again.json()["error"]["message"]
    history = (await project.get("/connection/history"))["value"]
    assert history[0]["details"]["to"] == "disconnected"


async def test_what_does_not_hold_is_told_together(new_project: MakeProject, storage: StorageClients) -> None:
    project = await new_project()
    one = Lead(project, storage, unique("none"), "news")
    job = await one.done("PUT", **one.body)
    assert job["status"] == "failed"
    assert [error["code"] for error in job["errors"]] == ["Conflict", "EnoughCategories", "ContainerExists"]
    bad = await one.ask("PUT", studio="workspace", workspaceId="X", amlProjectName="a/b")
    assert bad.status_code == 400
    assert [detail["target"] for detail in bad.json()["error"]["details"]] == [
        "workspaceId",
        "amlProjectName",
    ]


async def test_a_new_project_from_a_label_file(new_project: MakeProject, storage: StorageClients) -> None:
    one = await lead(new_project, storage)
    await one.write({"a.txt": "Refund", "b.txt": "Order"})
    metadata = {
        "projectKind": SINGLE,
        "storageInputContainerName": one.project.container,
        "language": "en-us",
        "projectName": "whatever",
    }
    body = {
        "metadata": metadata,
        "labelsFile": {"containerName": one.labeling, "blobName": f"{one.name}/labels.jsonl"},
    }
    fresh = Project(one.project.http, storage.blobs, unique("p"), one.project.container)
    answer = await fresh.http.post(f"{fresh.path}/:import-labels", json=body)
    assert answer.status_code == 202, answer.text
    job = await fresh.ended(answer.headers["operation-location"])
    assert job["status"] == "succeeded"
    assert (await fresh.document("b.txt"))["class"] == {"category": "Order"}


async def train(one: Lead, label: str, origin: str = "azureMachineLearning") -> httpx.Response:
    body = {"modelLabel": label, "trainingConfigVersion": "latest", "labelOrigin": origin}
    return await one.project.http.post(f"{one.project.path}/:train", json=body)


async def test_training_imports_the_latest_labels_first_and_fails_with_the_reason_when_that_fails(
    new_project: MakeProject, storage: StorageClients
) -> None:
    one = await lead(new_project, storage)
    unconnected = await train(one, "early")
    assert (unconnected.status_code, unconnected.json()["error"]["target"]) == (400, "labelOrigin")
    assert (await one.done("PUT", **one.body))["status"] == "succeeded"
    assert (await one.done("POST", "/:switch", to="azureMachineLearning"))["status"] == "succeeded"
    await one.write({**await one.file(), "a.txt": "Order"})

    begun = await train(one, "latest")
    assert begun.status_code == 202, begun.text
    job = await one.project.ended(begun.headers["operation-location"])
    assert job["status"] == "succeeded", job
    assert (await one.project.document("a.txt"))["class"] == {"category": "Order"}

    await storage.blobs.delete(one.labeling, f"{one.name}/labels.jsonl")
    begun = await train(one, "none")
    assert begun.status_code == 202, begun.text
    failed = await one.project.ended(begun.headers["operation-location"])
    assert failed["status"] == "failed"
    assert failed["errors"], failed
    assert failed["errors"][0]["message"]
    models = (await one.project.get("/models"))["value"]
    assert [model["label"] for model in models] == ["latest"]
