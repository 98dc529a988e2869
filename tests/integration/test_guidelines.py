"""Labeling guidelines of a project: versioned Markdown, kept as written."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.integration.conftest import MakeProject
from tests.integration.kinds.helpers import export, run
from tests.support.api import Project

TEXT = "# Refunds\r\n\n<script>alert(1)</script> *only* money, not vouchers. \U0001f600\n"


async def put(project: Project, text: Any, match: str | None = "*", key: str = "") -> httpx.Response:
    headers = {"If-Match": match} if match is not None else {}
    headers |= {"Ocp-Apim-Subscription-Key": key} if key else {}
    return await project.http.put(f"{project.path}/guidelines", json={"text": text}, headers=headers)


async def test_every_version_is_kept_with_who_and_when(new_project: MakeProject) -> None:
    project = await new_project()
    none = {"version": 0, "text": "", "by": None, "dateTime": None, "length": 0}
    assert await project.get("/guidelines") == none
    assert (await project.get("/guidelines/versions"))["value"] == []
    for number, text in enumerate((TEXT, "Shorter.", ""), 1):
        answer = await put(project, text, f'"{number - 1}"')
        made = answer.json()
        assert (answer.status_code, answer.headers["etag"]) == (200, f'"{number}"')
        assert (made["version"], made["text"], made["length"]) == (number, text, len(text))
        assert await project.get("/guidelines") == made
    listed = (await project.get("/guidelines/versions"))["value"]
    assert [(v["version"], v["by"], v["length"]) for v in listed] == [
        (3, "labelbridge-local", 0),
        (2, "labelbridge-local", 8),
        (1, "labelbridge-local", len(TEXT)),
    ]
    assert [v["dateTime"] for v in listed] == sorted((v["dateTime"] for v in listed), reverse=True)
    assert (await project.get("/guidelines/versions/1"))["text"] == TEXT
    page = await project.get("/guidelines/versions", top=2)
    rest = await project.get("/guidelines/versions", top=2, continuationToken=page["continuationToken"])
    assert [v["version"] for v in page["value"] + rest["value"]] == [3, 2, 1]


async def test_two_authors_never_overwrite_each_other_silently(new_project: MakeProject) -> None:
    project = await new_project()
    answers = await asyncio.gather(*(put(project, f"Text {n}.", '"0"') for n in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    [refused] = {answer.json()["error"]["target"] for answer in answers if answer.status_code == 409}
    assert refused == "If-Match"
    assert len((await project.get("/guidelines/versions"))["value"]) == 1
    answers = await asyncio.gather(*(put(project, f"Any {n}.") for n in range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["version"] for answer in answers) == [2, 3, 4, 5]


async def test_a_repeat_makes_no_version(new_project: MakeProject) -> None:
    """Also with the version from before the first one, whose answer was lost."""
    project = await new_project()
    first = await put(project, TEXT, '"0"')
    again = await put(project, TEXT, '"0"')
    assert (again.status_code, again.json()) == (200, first.json())
    assert len((await project.get("/guidelines/versions"))["value"]) == 1


async def test_guidelines_stay_with_an_import_and_go_with_the_project(new_project: MakeProject) -> None:
    project = await new_project()
    await project.define("Refund")
    await put(project, TEXT)
    named = await project.http.patch(project.path, json={"displayName": "Customer mail"})
    assert named.status_code == 200
    file = await export(project)
    assert "Refunds" not in str(file)
    assert "Customer mail" not in str(file)
    assert (await run(project, "/:import", file))["status"] == "succeeded"
    assert (await project.get("/guidelines"))["text"] == TEXT
    assert (await project.get(""))["displayName"] == "Customer mail"
    deletion = await project.http.delete(project.path)
    await project.ended(deletion.headers["operation-location"])
    await project.create()
    assert (await project.get("/guidelines"))["version"] == 0
    assert "displayName" not in await project.get("")


@pytest.mark.parametrize(
    ("match", "body", "status", "target"),
    [
        (None, {"text": "x"}, 428, "If-Match"),
        ("3", {"text": "x"}, 400, "If-Match"),
        ('W/"0"', {"text": "x"}, 400, "If-Match"),
        ('"7"', {"text": "x"}, 409, "If-Match"),
        ("*", {"text": "x" * 50_001}, 400, "text"),
        ("*", {"text": None}, 400, "text"),
        ("*", {"markdown": "x"}, 400, "markdown"),
        ("*", {}, 400, "text"),
    ],
)
async def test_a_bad_request_names_the_field(
    sample: Project, match: str | None, body: dict[str, Any], status: int, target: str
) -> None:
    headers = {"If-Match": match} if match else {}
    answer = await sample.http.put(f"{sample.path}/guidelines", json=body, headers=headers)
    error = answer.json()["error"]
    targets = {error.get("target"), *(detail.get("target") for detail in error.get("details", []))}
    assert answer.status_code == status
    assert target in targets


@pytest.mark.parametrize("version", ["0", "9", "x", "1.0", "-1", "99999999999"])
async def test_a_version_that_does_not_exist_is_not_found(sample: Project, version: str) -> None:
    answer = await sample.http.get(f"{sample.path}/guidelines/versions/{version}")
    assert answer.status_code == 404
    assert "version" in answer.json()["error"]["message"]


async def test_a_reviewer_reads_and_a_lead_writes(sample: Project) -> None:
    answer = await put(sample, "x", key="reviewer")
    assert (answer.status_code, "Projects.Write" in answer.text) == (403, True)
    url, headers = f"{sample.path}/guidelines", {"Ocp-Apim-Subscription-Key": "reader"}
    assert (await sample.http.get(url, headers=headers)).status_code == 200
    assert (await put(sample, "ü" * 50_000)).status_code == 200
    assert (await sample.http.get(url)).json()["text"] == "ü" * 50_000


@pytest.mark.parametrize("name", ["Customer mail \U0001f4e8", "", None, "  Kundenpost "])
async def test_a_display_name_is_what_people_see(sample: Project, name: str | None) -> None:
    answer = await sample.http.patch(sample.path, json={"displayName": "First"})
    assert (answer.status_code, answer.json()["displayName"]) == (200, "First")
    answer = await sample.http.patch(sample.path, json={"displayName": name})
    assert answer.json().get("displayName") == ((name or "").strip() or None)
    assert answer.json()["projectName"] == sample.name


@pytest.mark.parametrize("name", ["x" * 101, "a\nb", "a\u202eb", 5])
async def test_a_bad_display_name_is_refused(sample: Project, name: Any) -> None:
    answer = await sample.http.patch(sample.path, json={"displayName": name})
    assert (answer.status_code, answer.json()["error"]["target"]) == (400, "displayName")
