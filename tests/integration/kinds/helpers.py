"""Calls and bodies that the tests of this folder share."""

from typing import Any

from shared.domain.document import document_id
from tests.support.api import ENTITIES, MULTI, SINGLE, Json, Project

KINDS = (SINGLE, MULTI, ENTITIES)
FIELDS = {SINGLE: "class", MULTI: "classes", ENTITIES: "entities"}
#: A label field that says "labeled with nothing", in the form of each kind (rule D6).
NOTHING: dict[str, Any] = {SINGLE: {"category": None}, MULTI: [], ENTITIES: []}


async def run(project: Project, path: str, body: Json | None = None, **query: Any) -> Json:
    """Begin a long-running operation, and its state when it has ended."""
    answer = await project.http.post(f"{project.path}{path}", json=body, params=query)
    assert answer.status_code == 202, answer.text
    return await project.ended(answer.headers["operation-location"])


async def train(project: Project, label: str = "m1", **more: Any) -> Json:
    """Train a model, to the end."""
    return await run(project, "/:train", {"modelLabel": label, "trainingConfigVersion": "latest"} | more)


async def refused(project: Project, path: str, body: Json | None = None, **headers: str) -> tuple[int, Json]:
    """Status and error of a POST that is refused."""
    answer = await project.http.post(f"{project.path}{path}", json=body, headers=headers)
    assert answer.status_code >= 400, answer.text
    return answer.status_code, answer.json()["error"]


async def history(project: Project, location: str) -> list[Json]:
    return (await project.get(f"/documents/{document_id(location)}/history"))["value"]


async def export(project: Project) -> Json:
    """The project file, as its `resultUrl` gives it."""
    job = await run(project, "/:export", stringIndexType="Utf16CodeUnit")
    assert job["status"] == "succeeded", job
    answer = await project.http.get(job["resultUrl"])
    assert answer.status_code == 200, answer.text
    return answer.json()


def categories_of(document: Json, kind: str) -> list[str | None]:
    """The categories of a document's labels, each as often as it is there."""
    value = document[FIELDS[kind]]
    if kind == SINGLE:
        return [value["category"]] if value["category"] is not None else []
    if kind == MULTI:
        return [label["category"] for label in value]
    return [label["category"] for region in value for label in region["labels"]]


def suggested(document: Json) -> list[str]:
    return [suggestion["category"] for suggestion in document["suggestions"]]


def decision(document: Json, accept: tuple[str, ...] = (), reject: tuple[str, ...] = ()) -> Json:
    """Decisions on suggestions by their categories."""
    ids = {suggestion["category"]: suggestion["id"] for suggestion in document["suggestions"]}
    return {
        "documentId": document["id"],
        "eTag": document["eTag"],
        "accept": [ids[name] for name in accept],
        "reject": [ids[name] for name in reject],
    }
