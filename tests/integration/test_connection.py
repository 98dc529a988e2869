"""The connection over HTTP, as a labeling lead uses it, on the real host and Azurite."""

import json
from typing import Any

import httpx

from shared.storage.gateways.clients import StorageClients
from tests.integration.conftest import MakeProject
from tests.integration.kinds.files import project_file
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


async def test_a_repeated_put_with_its_key_is_the_same_operation(
    new_project: MakeProject, storage: StorageClients
) -> None:
    owner = await lead(new_project, storage)
    url, headers = f"{owner.project.path}/connection", {"Idempotency-Key": unique("key")}

    answers = [await owner.project.http.put(url, json=owner.body, headers=headers) for _ in range(2)]

    assert {answer.status_code for answer in answers} == {202}
    [location] = {answer.headers["operation-location"] for answer in answers}
    await owner.project.ended(location)
    other = await owner.project.http.put(url, json=owner.body | {"amlProjectName": "other"}, headers=headers)
    assert other.status_code == 409
    assert "already used" in other.text


async def test_connect_switch_label_there_switch_back_disconnect_and_the_refused_reconnect(
    new_project: MakeProject, storage: StorageClients
) -> None:
    owner = await lead(new_project, storage)
    project = owner.project
    assert await project.get("/connection") == {"state": "none", "activeStudio": "languageStudio"}
    checked = (await owner.ask("POST", "/:check", **owner.body)).json()
    assert checked["connectable"], checked

    assert (await owner.done("PUT", **owner.body))["status"] == "succeeded"
    settings = (await project.get(""))["settings"]
    assert settings["amlProjectPath"] == f"{owner.labeling}/{owner.name}/labels.jsonl"
    assert settings["isLabelingLocked"] is False
    for method, rest, body in (
        ("POST", "/:import", project_file(SINGLE, project.container, 0)),
        ("PATCH", "", {"language": "de"}),
        ("PATCH", "", {"multilingual": True}),
        ("DELETE", "", None),
        ("PUT", "/connection", owner.body | {"amlProjectName": unique("other")}),
    ):
        refused = await project.http.request(method, project.path + rest, json=body)
        assert refused.status_code == 409, (method, rest, refused.text)

    assert (await owner.done("POST", "/:switch", to="azureMachineLearning"))["status"] == "succeeded"
    assert (await project.get(""))["settings"]["isLabelingLocked"] is True
    handed = await owner.file()
    assert set(handed.values()) == {"Refund", "Order"}
    url = f"{project.path}/documents/{(await project.document('a.txt'))['id']}/labels"
    locked = await project.http.put(url, json=label(SINGLE, "Order"), headers={"If-Match": "*"})
    assert locked.status_code == 409
    assert locked.json()["error"]["innererror"]["code"] == "LabelingLocked"
    started = await project.http.post(f"{project.path}/autolabel/jobs", json={})
    assert started.status_code == 409, started.text

    await owner.write({**handed, "a.txt": "Order"})
    shown = await project.get("/connection")
    assert (shown["state"], shown["activeStudio"], shown["unsyncedLabels"]) == (
        "connected",
        "azureMachineLearning",
        3,
    )
    assert (await owner.done("POST", "/:sync"))["result"]["documentsImported"] == 3
    assert (await owner.done("POST", "/:switch", to="languageStudio"))["status"] == "succeeded"
    assert (await project.document("a.txt"))["class"] == {"category": "Order"}

    wrong = await owner.ask("POST", "/:disconnect", confirm="News")
    assert (wrong.status_code, wrong.json()["error"]["target"]) == (400, "confirm")
    assert (await owner.done("POST", "/:disconnect", confirm=owner.name))["status"] == "succeeded"
    assert (await project.get("/connection"))["state"] == "disconnected"
    again = await owner.ask("PUT", **owner.body | {"amlProjectName": owner.name.upper()})
    assert again.status_code == 409
    assert "never be connected again" in again.json()["error"]["message"]
    history = (await project.get("/connection/history"))["value"]
    assert history[0]["details"]["to"] == "disconnected"


async def test_unmet_conditions_are_reported_together(
    new_project: MakeProject, storage: StorageClients
) -> None:
    project = await new_project()
    owner = Lead(project, storage, unique("none"), "news")
    job = await owner.done("PUT", **owner.body)
    assert job["status"] == "failed"
    assert [error["code"] for error in job["errors"]] == ["Conflict", "EnoughCategories", "ContainerExists"]
    bad = await owner.ask("PUT", studio="workspace", workspaceId="X", amlProjectName="a/b")
    assert bad.status_code == 400
    assert [detail["target"] for detail in bad.json()["error"]["details"]] == [
        "workspaceId",
        "amlProjectName",
    ]


async def test_a_new_project_from_a_label_file(new_project: MakeProject, storage: StorageClients) -> None:
    owner = await lead(new_project, storage)
    await owner.write({"a.txt": "Refund", "b.txt": "Order"})
    metadata: dict[str, Any] = {
        "projectKind": SINGLE,
        "storageInputContainerName": owner.project.container,
        "language": "en-us",
        "projectName": "whatever",
    }
    body: dict[str, Any] = {
        "metadata": metadata,
        "labelsFile": {"containerName": owner.labeling, "blobName": f"{owner.name}/labels.jsonl"},
    }
    fresh = Project(owner.project.http, storage.blobs, unique("p"), owner.project.container)
    wrong = {"projectKind": "Custom", "storageInputContainerName": "A_B", "settings": {"autolabel": []}}
    refused = await fresh.http.post(f"{fresh.path}/:import-labels", json=body | {"metadata": wrong})
    assert refused.status_code == 400
    assert {detail["target"] for detail in refused.json()["error"]["details"]} == {
        "metadata.projectKind",
        "metadata.storageInputContainerName",
        "metadata.language",
        "metadata.settings.autolabel",
    }
    settings = {"confidenceThreshold": 0.4, "autolabel": {"color": "red"}}
    body["metadata"] = metadata | {"settings": settings}
    answer = await fresh.http.post(f"{fresh.path}/:import-labels", json=body)
    assert answer.status_code == 202, answer.text
    job = await fresh.ended(answer.headers["operation-location"])
    assert job["status"] == "succeeded"
    assert [warning["target"] for warning in job["warnings"]] == ["metadata.settings.autolabel"]
    assert (await fresh.get(""))["settings"]["confidenceThreshold"] == 0.4
    assert (await fresh.document("b.txt"))["class"] == {"category": "Order"}


async def train(owner: Lead, label: str, origin: str = "azureMachineLearning") -> httpx.Response:
    split = {"kind": "manual"}
    body = {
        "modelLabel": label,
        "trainingConfigVersion": "latest",
        "labelOrigin": origin,
        "evaluationOptions": split,
    }
    return await owner.project.http.post(f"{owner.project.path}/:train", json=body)


async def test_training_uses_the_latest_labels_of_the_active_studio_or_fails_with_the_reason(
    new_project: MakeProject, storage: StorageClients
) -> None:
    owner = await lead(new_project, storage)
    unconnected = await train(owner, "early")
    assert (unconnected.status_code, unconnected.json()["error"]["target"]) == (400, "labelOrigin")
    tested = f"{owner.project.path}/documents/{(await owner.project.document('a.txt'))['id']}"
    await owner.project.http.patch(tested, json={"dataset": "Test"}, headers={"If-Match": "*"})
    assert (await owner.done("PUT", **owner.body))["status"] == "succeeded"
    assert (await owner.done("POST", "/:switch", to="azureMachineLearning"))["status"] == "succeeded"
    await owner.write({**await owner.file(), "a.txt": "Order"})

    begun = await train(owner, "latest")
    assert begun.status_code == 202, begun.text
    job = await owner.project.ended(begun.headers["operation-location"])
    assert job["status"] == "succeeded", job
    assert (await owner.project.document("a.txt"))["class"] == {"category": "Order"}
    evaluation = await owner.project.get("/models/latest/evaluation/result", stringIndexType="Utf16CodeUnit")
    assert [result["location"] for result in evaluation["value"]] == ["a.txt"], "labeled there, never here"

    await storage.blobs.delete(owner.labeling, f"{owner.name}/labels.jsonl")
    begun = await train(owner, "none")
    assert begun.status_code == 202, begun.text
    failed = await owner.project.ended(begun.headers["operation-location"])
    assert failed["status"] == "failed"
    assert failed["errors"], failed
    assert failed["errors"][0]["message"]
    models = (await owner.project.get("/models"))["value"]
    assert [model["label"] for model in models] == ["latest"]
