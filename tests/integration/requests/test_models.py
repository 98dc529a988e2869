"""Requests about training, models and evaluation: parameters of their lists, and addresses of their jobs."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.integration.conftest import MakeProject
from tests.integration.kinds.helpers import run, train
from tests.integration.requests.answers import error
from tests.support.api import PROJECTS, SINGLE, Json, Project, label

UTF16 = {"stringIndexType": "Utf16CodeUnit"}
RESULT = "/models/m1/evaluation/result"
LISTS = [("/models", {}), ("/train/jobs", {}), (RESULT, UTF16)]
GLOBAL = ["languages", "training-config-versions"]


class _Made:
    project: tuple[str, str] | None = None


@pytest.fixture
async def project(new_project: MakeProject, sample: Project) -> Project:
    """Models m1, m2 and m3, trained in this order, each tested by 3 documents; nothing here changes them."""
    if _Made.project is None:
        made = await new_project()
        names = [f"{number}.txt" for number in range(6)]
        await made.upload({name: f"@A:90 {name}" for name in names})
        await made.scan()
        for number, name in enumerate(names):
            await made.put_labels(name, label(SINGLE, "AB"[number % 2]))
        half = {"kind": "percentage", "trainingSplitPercentage": 50, "testingSplitPercentage": 50}
        for name in ("m1", "m2", "m3"):
            assert (await train(made, name, evaluationOptions=half))["status"] == "succeeded"
        _Made.project = (made.name, made.container)
    return Project(sample.http, sample.blobs, *_Made.project)


async def pages(project: Project, url: str, query: Json) -> AsyncIterator[list[Any]]:
    """The values of each page, along `nextLink`."""
    answer = await project.http.get(url, params=query)
    while True:
        assert answer.status_code == 200, answer.text
        yield answer.json()["value"]
        if "nextLink" not in answer.json():
            return
        link = httpx.URL(answer.json()["nextLink"])
        assert link.params["api-version"]
        answer = await project.http.get(link, params=link.params)  # else those of the client take their place


@pytest.mark.parametrize(("path", "more"), LISTS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top", "-1"),
        ("top", "ten"),
        ("skip", "-1"),
        ("skip", "x"),
        ("maxpagesize", "0"),
        ("maxpagesize", "many"),
    ],
)
async def test_a_bad_parameter_is_named(project: Project, path: str, more: Json, name: str, value: str):
    answer = await project.http.get(f"{project.path}{path}", params={**more, name: value})
    assert error(answer) == (400, "InvalidArgument", name)


@pytest.mark.parametrize("path", GLOBAL)
@pytest.mark.parametrize(("name", "value"), [("top", "-1"), ("skip", "x"), ("maxpagesize", "0")])
async def test_a_bad_parameter_of_a_global_list_is_named(sample: Project, path: str, name: str, value: str):
    answer = await sample.http.get(f"{PROJECTS}/global/{path}", params={"projectKind": SINGLE, name: value})
    assert error(answer) == (400, "InvalidArgument", name)


@pytest.mark.parametrize(("path", "more"), LISTS)
async def test_a_list_is_read_page_by_page(project: Project, path: str, more: Json):
    url = f"{project.path}{path}"
    [everything] = [page async for page in pages(project, url, more)]
    assert len(everything) == 3
    one_by_one = [page async for page in pages(project, url, {**more, "maxpagesize": 1})]
    assert one_by_one == [[entry] for entry in everything]
    some = [page async for page in pages(project, url, {**more, "maxpagesize": 1, "skip": 1, "top": 2})]
    assert some == [[entry] for entry in everything[1:]]
    [first] = [page async for page in pages(project, url, {**more, "top": 1})]
    assert first == everything[:1]
    assert [page async for page in pages(project, url, {**more, "maxpagesize": 101})] == [
        everything
    ]  # as 100
    for nothing in ({"top": 0}, {"skip": 3}, {"skip": 10**30}):
        assert [page async for page in pages(project, url, {**more, **nothing})] == [[]]


async def test_the_global_lists_are_read_page_by_page(sample: Project):
    url = f"{PROJECTS}/global/languages"
    [everything] = [page async for page in pages(sample, url, {"projectKind": SINGLE})]
    assert len(everything) > 90
    by_forty = [page async for page in pages(sample, url, {"projectKind": SINGLE, "maxpagesize": 40})]
    assert [len(page) for page in by_forty[:2]] == [40, 40]
    assert [entry for page in by_forty for entry in page] == everything
    versions = f"{PROJECTS}/global/training-config-versions"
    assert [page async for page in pages(sample, versions, {"skip": 1})] == [[]]


@pytest.mark.parametrize("query", [{}, {"stringIndexType": "UnicodeCodePoint"}])
async def test_the_results_of_an_evaluation_need_the_unit_of_their_offsets(project: Project, query: Json):
    answer = await project.http.get(f"{project.path}{RESULT}", params=query)
    assert error(answer) == (400, "InvalidArgument", "stringIndexType")


async def test_a_job_is_found_under_its_own_model_only(project: Project):
    job = await run(project, "/models/m2/:evaluate", {"kind": "percentage"})
    assert job["status"] == "succeeded"
    other = await project.http.get(f"{project.path}/models/m3/evaluate/jobs/{job['jobId']}")
    assert error(other) == (404, "OperationNotFound", "jobId")


async def test_a_job_that_nobody_cancelled_has_no_cancellation(project: Project):
    trained = (await project.get("/train/jobs"))["value"][0]["jobId"]
    labeled = (await project.autolabel(documents=[]))["jobId"]
    for path in (f"train/jobs/{trained}", f"autolabel/jobs/{labeled}"):
        answer = await project.http.get(f"{project.path}/{path}/cancellation")
        assert error(answer) == (404, "NotFound", "jobId")


async def test_an_evaluation_without_documents_to_test_with_is_refused(project: Project):
    answer = await project.http.post(f"{project.path}/models/m2/:evaluate", json={"kind": "manual"})
    assert error(answer) == (400, "InvalidArgument", "kind")
    body = {
        "modelLabel": "m9",
        "trainingConfigVersion": "latest",
        "evaluationOptions": {"kind": "manual"},
    }
    answer = await project.http.post(f"{project.path}/:train", json=body)
    assert error(answer) == (400, "InvalidArgument", "evaluationOptions.kind")


async def test_there_are_no_prebuilt_entities(sample: Project):
    answer = await sample.http.get(f"{PROJECTS}/global/prebuilt-entities")
    assert (answer.status_code, answer.json()) == (200, {"value": []})
