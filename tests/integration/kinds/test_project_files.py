"""The Azure project file through the host: import and export, every error reported, limits."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.integration.conftest import MakeProject
from tests.integration.kinds.files import comparable, project_file
from tests.integration.kinds.helpers import KINDS, export, run
from tests.support.api import ENTITIES, MULTI, SINGLE, Json, Project, client
from tests.support.hosts import Host


async def put_in(project: Project, file: Json) -> Json:
    return await run(project, "/:import", file)


@pytest.mark.parametrize("kind", KINDS)
async def test_export_of_an_import_is_equal_but_for_order(new_project: MakeProject, kind: str):
    project = await new_project(kind, create=False)
    given = project_file(kind, project.container, 40)

    job = await put_in(project, given)
    assert (job["status"], job["result"]) == ("succeeded", {"documents": 40, "categories": 3})
    made = await export(project)

    assert comparable(made, project.name) == comparable(given, project.name)
    other = await new_project(kind, create=False)
    await put_in(other, made)
    assert comparable(await export(other), other.name) == comparable(given, other.name)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_settings_of_the_project_are_kept(new_project: MakeProject, kind: str):
    project = await new_project(kind, create=False)
    await put_in(project, project_file(kind, project.container))
    found = await project.get("")
    assert (found["projectKind"], found["language"], found["multilingual"]) == (kind, "de", True)
    assert found["description"] == "Zwei Zeilen\nund 😀"
    assert found["settings"]["confidenceThreshold"] == 0.25
    assert found["settings"]["autolabel"]["onUpload"] is False
    [first, *_] = (await project.get("/categories"))["value"]
    assert first == {"category": "Refund", "description": "Money back"}


async def test_documents_without_a_blob_stay_and_are_flagged(new_project: MakeProject):
    project = await new_project(create=False)
    given = project_file(SINGLE, project.container, 3)
    there = given["assets"]["documents"][0]["location"]
    await project.upload({there: "It is there."})
    await put_in(project, given)
    await project.scan()
    flags = {d["location"]: d["missing"] for d in await project.documents()}
    assert flags == {
        document["location"]: document["location"] != there for document in given["assets"]["documents"]
    }
    assert (await project.get("/statistics"))["documents"]["missing"] == 2
    assert len((await export(project))["assets"]["documents"]) == 3


async def test_an_import_starts_no_autolabeling(new_project: MakeProject):
    project = await new_project(create=False)
    given = project_file(SINGLE, project.container, 2)
    given["metadata"]["settings"]["autolabel"]["onUpload"] = True
    await project.upload({document["location"]: "@Refund:70 x" for document in given["assets"]["documents"]})
    await put_in(project, given)
    await project.scan()
    assert (await project.get("/statistics"))["documents"]["autoLabeled"] == 0
    assert (await project.get("/autolabel/jobs"))["value"] == []


@pytest.mark.parametrize(("old", "new"), [(SINGLE, ENTITIES), (MULTI, MULTI), (ENTITIES, SINGLE)])
async def test_readers_see_the_old_content_or_the_new_and_never_a_mixture(
    new_project: MakeProject, host: Host, old: str, new: str
):
    project = await new_project(old, create=False)
    first = project_file(old, project.container, 100, "old-")
    second = project_file(new, project.container, 100, "new-")
    await put_in(project, first)
    async with _reading(host, project) as seen:
        for file in (second, first):
            await put_in(project, file)
    allowed = [_state(first), _state(second)]
    assert [state for state in seen if state not in allowed] == []
    assert len(seen) > 5


class _reading:  # noqa: N801 - used as `async with`
    """Reads the counts and a list all the time, and keeps what it saw."""

    def __init__(self, host: Host, project: Project) -> None:
        self._host, self._project, self._done = host, project, asyncio.Event()
        self._seen: list[Any] = []

    async def __aenter__(self) -> list[Any]:
        self._task = asyncio.create_task(self._watch())
        return self._seen

    async def __aexit__(self, *error: object) -> None:
        self._done.set()
        await self._task

    async def _watch(self) -> None:
        async with client(self._host.url) as http:
            while not self._done.is_set():
                answer = await http.get(f"{self._project.path}/documents", params={"top": 1000})
                assert answer.status_code == 200, answer.text
                documents = answer.json()["value"]
                fields = {f for d in documents for f in ("class", "classes", "entities") if f in d}
                marks = {d["location"].split("/")[1].split("-")[0] for d in documents}
                self._seen.append((len(documents), marks, fields))


def _state(file: Json) -> tuple[int, set[str], set[str]]:
    documents = file["assets"]["documents"]
    fields = {f for d in documents for f in ("class", "classes", "entities") if f in d}
    return len(documents), {d["location"].split("/")[1].split("-")[0] for d in documents}, fields


@pytest.mark.parametrize("kind", KINDS)
async def test_every_error_is_reported_with_its_path_and_nothing_is_written(
    new_project: MakeProject, kind: str
):
    project = await new_project(kind)
    given = project_file(kind, project.container)
    documents = given["assets"]["documents"]
    listed = "entities" if kind == ENTITIES else "classes"
    given["stringIndexType"] = "TextElements_v8"
    given["metadata"]["language"] = "tlh"
    given["assets"][listed].append({"category": "Refund"})
    documents[3]["dataset"] = "Dev"
    documents[4]["location"] = documents[3]["location"]
    documents[7] = "no object"
    answer = await _import(project, given)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert {detail["target"] for detail in error["details"]} == {
        "stringIndexType",
        "metadata.language",
        f"assets.{listed}[3].category",
        "assets.documents[3].dataset",
        "assets.documents[4].location",
        "assets.documents[7]",
    }
    assert await project.documents() == []
    assert (await project.get(""))["language"] == "en-us"


@pytest.mark.parametrize(
    ("body", "target"),
    [
        (b"[]", None),
        (b'{"projectFileVersion": "2022-05-01"', None),
        (b"\xff\xfe{}", None),
        (b'{"metadata": 1}', "metadata"),
    ],
)
async def test_what_is_no_project_file_is_refused(new_project: MakeProject, body: bytes, target: str | None):
    project = await new_project(create=False)
    answer = await project.http.post(
        f"{project.path}/:import", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["message"]
    if target:
        assert target in {detail["target"] for detail in error["details"]}
    assert (await project.http.get(project.path)).status_code == 404


async def test_limits_of_the_file(new_project: MakeProject):
    project = await new_project(create=False)
    categories = project_file(SINGLE, project.container, 0)
    categories["assets"]["classes"] = [{"category": f"C{n}"} for n in range(201)]
    assert (await _import(project, categories)).json()["error"]["target"] == "assets.classes"
    name = project_file(SINGLE, project.container, 0)
    name["assets"]["classes"] = [{"category": "x" * 51}]
    assert (await _import(project, name)).json()["error"]["target"] == "assets.classes[0].category"
    entity = project_file(ENTITIES, project.container, 1)
    entity["assets"]["documents"][0]["entities"] = [
        {
            "regionOffset": 0,
            "regionLength": 600,
            "labels": [{"category": "Refund", "offset": 0, "length": 501}],
        }
    ]
    error = (await _import(project, entity)).json()["error"]
    assert error["target"] == "assets.documents[0].entities[0].labels[0].length"
    many = project_file(SINGLE, project.container, 0)
    many["assets"]["documents"] = [{"location": f"{n}.txt"} for n in range(100_001)]
    error = (await _import(project, many)).json()["error"]
    assert (error["target"], "100,000" in error["message"]) == ("assets.documents", True)


async def test_names_that_azure_refuses_are_warned_of(new_project: MakeProject):
    project = await new_project(create=False)
    given = project_file(SINGLE, project.container, 1)
    given["assets"]["classes"].append({"category": "A/B?"})
    job = await put_in(project, given)
    assert job["status"] == "succeeded"
    assert [warning["target"] for warning in job["warnings"]] == ["assets.classes[3].category"]


async def test_the_result_needs_the_same_authorization(new_project: MakeProject, host: Host):
    project = await new_project()
    job = await run(project, "/:export", stringIndexType="Utf16CodeUnit")
    async with client(host.url, key=None) as nobody:
        assert (await nobody.get(job["resultUrl"])).status_code == 401
    async with client(host.url, key="stranger") as stranger:
        assert (await stranger.get(job["resultUrl"])).status_code == 403
    assert (await project.http.get(job["resultUrl"])).status_code == 200


async def _import(project: Project, file: Json) -> httpx.Response:
    return await project.http.post(
        f"{project.path}/:import", content=json.dumps(file), headers={"content-type": "application/json"}
    )


async def test_a_file_in_the_container_that_it_names_is_imported_from_there(new_project: MakeProject):
    project, elsewhere = await new_project(create=False), await new_project(create=False)
    file = json.dumps(project_file(SINGLE, project.container, 3))
    await project.upload({"files/p.json": file})
    await elsewhere.upload({"p.json": file})
    at = {"containerName": project.container, "blobName": "files/p.json"}
    job = await put_in(project, {"projectFile": at})
    assert (job["status"], job["result"]["documents"]) == ("succeeded", 3)

    for change, target in (
        ({"blobName": "nothing"}, "projectFile"),
        ({"containerName": "No"}, "projectFile.containerName"),
    ):
        answer = await project.http.post(f"{project.path}/:import", json={"projectFile": at | change})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["target"] == target


async def test_what_is_wrong_with_a_file_in_a_blob_is_reported_by_its_job(new_project: MakeProject):
    project, elsewhere = await new_project(create=False), await new_project(create=False)
    file = project_file(SINGLE, elsewhere.container, 3)
    await project.upload({"p.json": json.dumps(file)})
    at = {"containerName": project.container, "blobName": "p.json"}
    answer = await project.http.post(f"{project.path}/:import", json={"projectFile": at})
    assert answer.status_code == 202
    job = await project.ended(answer.headers["operation-location"])
    assert (job["status"], [error["target"] for error in job["errors"]]) == (
        "failed", ["metadata.storageInputContainerName"],
    )  # fmt: skip
    assert elsewhere.container in job["errors"][0]["message"]
