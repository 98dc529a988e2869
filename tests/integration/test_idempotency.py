"""`Idempotency-Key` on every POST: the same answer again, and another request under the key is 409."""

import asyncio
import re
from typing import Any

import pytest

import function_app
from functions.http import OPERATIONS
from tests.integration.conftest import MakeProject
from tests.integration.kinds.files import project_file
from tests.support.api import SINGLE, Project, accept, unique

type Json = dict[str, Any]
assert function_app.app is not None  # it registers the operations
POSTS = sorted(operation.path for operation in OPERATIONS if operation.method == "POST")


async def test_a_save_again_gives_the_same_answer_and_saves_once(new_project: MakeProject) -> None:
    project = await new_project()
    documents = await project.suggested({f"{n}.txt": f"@Refund:8{n}" for n in range(3)}, "Refund")
    headers = {"Idempotency-Key": unique("key")}
    url, body = f"{project.path}/documents/:review", {"decisions": [accept(d) for d in documents]}

    first = await project.http.post(url, json=body, headers=headers)
    again = await project.http.post(url, json=body, headers=headers)

    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert {r["status"] for r in again.json()["results"]} == {"saved"}
    history = await project.get(f"/documents/{documents[0]['id']}/history")
    assert [entry["action"] for entry in history["value"]] == ["decided"]


async def test_a_job_started_again_is_the_same_job(new_project: MakeProject) -> None:
    project = await new_project()
    await project.suggested({"a.txt": "@Refund:73"}, "Refund")
    headers = {"Idempotency-Key": unique("key")}

    answers = [
        await project.http.post(f"{project.path}/autolabel/jobs", json={}, headers=headers) for _ in range(3)
    ]

    assert {a.status_code for a in answers} == {202}
    assert len({a.headers["operation-location"] for a in answers}) == 1
    assert len((await project.get("/autolabel/jobs"))["value"]) == 2  # this one, and that of `suggested`


async def test_at_the_same_time_it_is_one_job(new_project: MakeProject) -> None:
    project = await new_project()
    await project.define("Refund")
    headers = {"Idempotency-Key": unique("key")}

    answers = await asyncio.gather(
        *(project.http.post(f"{project.path}/autolabel/jobs", json={}, headers=headers) for _ in range(6))
    )

    assert {a.status_code for a in answers} == {202}
    assert len((await project.get("/autolabel/jobs"))["value"]) == 1


async def test_another_body_under_the_key_is_409(sample: Project) -> None:
    headers = {"Idempotency-Key": unique("key")}
    url = f"{sample.path}/documents/:review"
    decision = {"documentId": "A" * 22, "eTag": '"a.b"', "acceptAll": True}

    first = await sample.http.post(url, json={"decisions": [decision]}, headers=headers)
    other = await sample.http.post(
        url, json={"decisions": [decision | {"acceptAll": False}]}, headers=headers
    )

    assert first.status_code == 200
    assert (other.status_code, other.json()["error"]["code"]) == (409, "Conflict")
    assert other.json()["error"]["target"] == "Idempotency-Key"


async def test_a_key_counts_for_every_spelling_of_a_path(new_project: MakeProject) -> None:
    project = await new_project()
    headers = {"Idempotency-Key": unique("key")}
    spelled = project.path[:-1] + f"%{ord(project.path[-1]):02X}"
    paths = (project.path, spelled, spelled.lower().replace(project.path[:-1].lower(), project.path[:-1]))
    answers = [await project.http.post(f"{path}/documents/:scan", headers=headers) for path in paths]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.headers["operation-location"] for answer in answers}) == 1


async def test_the_same_key_of_another_operation_is_another_request(new_project: MakeProject) -> None:
    project = await new_project()
    headers = {"Idempotency-Key": unique("key")}
    scan = await project.http.post(f"{project.path}/documents/:scan", headers=headers)
    job = await project.http.post(f"{project.path}/autolabel/jobs", json={}, headers=headers)
    assert (scan.status_code, job.status_code) == (202, 202)


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb"])
async def test_a_bad_key_is_400(sample: Project, key: str) -> None:
    answer = await sample.http.post(
        f"{sample.path}/documents/:scan", headers={b"Idempotency-Key": key.encode()}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["target"] == "Idempotency-Key"


@pytest.mark.parametrize("path", POSTS)
async def test_every_post_reads_the_key(sample: Project, path: str) -> None:
    """Whatever else is wrong with the request: a key that cannot be one is refused, and no 500 comes."""
    address = "/" + re.sub(r"{(\w+)}", "nothing", path).replace("projects/nothing", f"projects/{sample.name}")
    answer = await sample.http.post(address, json={}, headers={"Idempotency-Key": "x" * 201})
    assert answer.status_code == 400
    targets = {answer.json()["error"].get("target")}
    assert "Idempotency-Key" in targets or targets <= {*_fields(path)}, answer.text


def _fields(path: str) -> list[str]:
    """What an empty request lacks, which is reported before the key is checked."""
    operation = next(candidate for candidate in OPERATIONS if candidate.path == path)
    models = [model for model in (operation.query, operation.body) if model is not None]
    fields = [(name, field) for model in models for name, field in model.model_fields.items()]
    return [field.alias or name for name, field in fields if field.is_required()]


async def test_undo_again_gives_the_same_answer(new_project: MakeProject) -> None:
    project = await new_project()
    [document] = await project.suggested({"a.txt": "@Refund:73"}, "Refund")
    await project.review([accept(document)])
    headers = {"Idempotency-Key": unique("key")}
    url = f"{project.path}/documents/{document['id']}/:undo"

    first = await project.http.post(url, headers=headers)
    again = await project.http.post(url, headers=headers)
    third = await project.http.post(url)

    assert first.status_code == again.status_code == 200
    assert again.json() == first.json()
    assert first.json()["suggestions"][0]["category"] == "Refund"
    assert third.status_code == 409


async def deleted(project: Project) -> None:
    answer = await project.http.delete(project.path)
    assert (await project.ended(answer.headers["operation-location"]))["status"] == "succeeded"


async def test_a_key_does_not_outlive_its_project(new_project: MakeProject) -> None:
    """The same request to a project made again starts its own work, and only once."""
    project = await new_project()
    await project.define("Refund")
    headers, url = {"Idempotency-Key": unique("key")}, f"{project.path}/autolabel/jobs"
    first = await project.http.post(url, json={}, headers=headers)
    await deleted(project)
    assert (await project.http.post(url, json={}, headers=headers)).status_code == 404

    await project.create()
    await project.define("Refund")
    answers = [await project.http.post(url, json={}, headers=headers) for _ in range(3)]

    assert {a.status_code for a in answers} == {202}
    assert len({a.headers["operation-location"] for a in answers}) == 1
    [job] = (await project.get("/autolabel/jobs"))["value"]
    assert answers[0].headers["operation-location"].partition("?")[0].endswith(job["jobId"])
    assert first.status_code == 202


async def test_an_import_again_is_the_same_until_its_project_is_deleted(new_project: MakeProject) -> None:
    project = await new_project(create=False)
    headers, url = {"Idempotency-Key": unique("key")}, f"{project.path}/:import"
    file = project_file(SINGLE, project.container)

    async def imported() -> str:
        answer = await project.http.post(url, json=file, headers=headers)
        assert (answer.status_code, answer.headers["operation-location"] != "") == (202, True)
        assert (await project.ended(answer.headers["operation-location"]))["status"] == "succeeded"
        return answer.headers["operation-location"]

    first = await imported()
    assert await imported() == first
    await deleted(project)

    again = await imported()

    assert again != first
    assert await imported() == again
    assert len(await project.documents()) == len(file["assets"]["documents"])
