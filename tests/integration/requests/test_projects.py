"""What is wrong with a project names the field, and what a PATCH does not name stays."""

import httpx
import pytest

from tests.integration.conftest import MakeProject
from tests.integration.requests.answers import error
from tests.support.api import PROJECTS, Json, Project, unique


@pytest.mark.parametrize(
    ("name", "change", "target"),
    [
        ("x" * 51, {}, "projectName"),
        ("a'b", {}, "projectName"),
        ("global", {}, "projectName"),
        ("GLOBAL", {}, "projectName"),
        ("fine", {"projectName": "other"}, "projectName"),
        ("fine", {"projectKind": "CustomConversation"}, "projectKind"),
        ("fine", {"projectKind": 5}, "projectKind"),
        ("fine", {"language": "klingon"}, "language"),
        ("fine", {"storageInputContainerName": "A_B"}, "storageInputContainerName"),
        ("fine", {"storageInputContainerName": "labelbridge"}, "storageInputContainerName"),
        ("fine", {"storageInputContainerName": "labelbridge-tombstones"}, "storageInputContainerName"),
        ("fine", {"storageInputContainerName": "$web"}, "storageInputContainerName"),
        ("fine", {"multilingual": "maybe"}, "multilingual"),
        ("fine", {"multilingual": 1}, "multilingual"),
        ("fine", {"description": "x" * 4001}, "description"),
        ("fine", {"settings": {"confidenceThreshold": 1.5}}, "settings.confidenceThreshold"),
        ("fine", {"settings": {"autolabel": {"engine": "no-such"}}}, "settings.autolabel.engine"),
        ("fine", {"settings": {"autolabel": {"onUplod": False}}}, "settings.autolabel.onUplod"),
        ("fine", {"settings": []}, "settings"),
        ("fine", {"settings": {"confidenceThreshold": "0.5"}}, "settings.confidenceThreshold"),
        ("fine", {"settings": {"confidenceThreshold": True}}, "settings.confidenceThreshold"),
        ("fine", {"settings": {"runGptPredictions": "yes"}}, "settings.runGptPredictions"),
        ("fine", {"settings": {"gptPredictiveLookahead": 100_001}}, "settings.gptPredictiveLookahead"),
        ("fine", {"settings": {"gptPredictiveLookahead": 1.5}}, "settings.gptPredictiveLookahead"),
        ("fine", {"settings": {"autolabel": {"onUpload": "yes"}}}, "settings.autolabel.onUpload"),
    ],
)
async def test_a_bad_project_names_the_field(
    http: httpx.AsyncClient, name: str, change: Json, target: str
) -> None:
    name = unique("p") if name == "fine" else name
    body = {
        "projectKind": "CustomSingleLabelClassification",
        "storageInputContainerName": "quiet-none",
        "language": "en-us",
    }
    answer = await http.patch(f"{PROJECTS}/{name}", json=body | change)
    assert error(answer) == (400, "InvalidArgument", target)
    assert (await http.get(f"{PROJECTS}/{name}")).status_code == 404


@pytest.mark.parametrize("name", ["x" * 51, "a'b", "global"])
@pytest.mark.parametrize("operation", [":import", ":import-labels"])
async def test_an_import_under_an_impossible_name_says_the_rule(
    http: httpx.AsyncClient, name: str, operation: str
) -> None:
    answer = await http.post(f"{PROJECTS}/{name}/{operation}", json={})
    assert error(answer) == (400, "InvalidArgument", "projectName")


@pytest.mark.parametrize(
    ("change", "targets"),
    [
        (
            {"language": "klingon", "multilingual": 1, "storageInputContainerName": "A_B"},
            {"language", "multilingual", "storageInputContainerName"},
        ),
        (
            {
                "projectName": "other",
                "storageInputContainerName": "labelbridge",
                "settings": {"autolabel": {"engine": "no-such"}},
            },
            {
                "projectKind",
                "language",
                "projectName",
                "storageInputContainerName",
                "settings.autolabel.engine",
            },
        ),
    ],
)
async def test_all_errors_of_a_project_come_together(
    http: httpx.AsyncClient, change: Json, targets: set[str]
) -> None:
    answer = await http.patch(f"{PROJECTS}/{unique('p')}", json=change)
    assert answer.status_code == 400
    assert {detail["target"] for detail in answer.json()["error"]["details"]} == targets


async def test_kind_and_container_that_cannot_be_changed_are_reported_together(sample: Project) -> None:
    change = {
        "projectKind": "CustomMultiLabelClassification",
        "storageInputContainerName": "quiet-other",
    }
    details = (await sample.http.patch(sample.path, json=change)).json()["error"]["details"]
    assert [detail["target"] for detail in details] == ["projectKind", "storageInputContainerName"]


async def test_autolabel_settings_that_a_patch_does_not_name_stay(new_project: MakeProject) -> None:
    project = await new_project(create=False)
    await project.create(settings={"autolabel": {"onUpload": False, "categories": ["Refund"]}})
    for change in ({"modelLabel": "m"}, {"categories": None}):
        await project.http.patch(project.path, json={"settings": {"autolabel": change}})
    autolabel = (await project.get(""))["settings"]["autolabel"]
    assert (autolabel["onUpload"], autolabel["modelLabel"]) == (False, "m")
    assert autolabel["categories"] is None


async def test_a_new_project_without_its_fields_names_all_of_them(http: httpx.AsyncClient) -> None:
    answer = await http.patch(f"{PROJECTS}/{unique('p')}", json={})
    assert answer.status_code == 400
    targets = [detail["target"] for detail in answer.json()["error"]["details"]]
    assert targets == ["projectKind", "storageInputContainerName", "language"]


@pytest.mark.parametrize(
    ("change", "target"),
    [
        ({"projectKind": "CustomMultiLabelClassification"}, "projectKind"),
        ({"storageInputContainerName": "quiet-other"}, "storageInputContainerName"),
    ],
)
async def test_kind_and_container_of_a_project_stay(sample: Project, change: Json, target: str) -> None:
    answer = await sample.http.patch(sample.path, json=change)
    assert error(answer) == (400, "InvalidArgument", target)


async def test_the_kind_is_read_in_both_of_azures_spellings(new_project: MakeProject) -> None:
    project = await new_project(create=False)
    made = await project.create(projectKind="customEntityRecognition")
    assert made["projectKind"] == "CustomEntityRecognition"
