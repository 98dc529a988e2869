"""The official client drives every operation that it has; those not offered here say what to use instead."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from azure.ai.textanalytics.authoring import models

from tests.integration.conftest import MakeProject
from tests.integration.kinds.files import comparable, project_file
from tests.integration.sdk.drivers import AsyncDriver, Driver, SyncDriver, all_operations, parts_of, refused
from tests.support.api import ENTITIES, MULTI, SINGLE, Project, label
from tests.support.hosts import Host
from tests.support.waiting import eventually

CONFIG = "2022-05-01"
UTF16 = "Utf16CodeUnit"

DEPLOYMENT = {"trainedModelLabel": "m1"}
RESOURCES = {"assignedResourceIds": ["r"]}
ASSIGN = {"resourcesMetadata": [{"azureResourceId": "r", "customDomain": "d", "region": "westeurope"}]}
COPY = {
    "projectKind": SINGLE,
    "targetProjectName": "copy",
    "accessToken": "t",
    "expiresAt": "2030-01-01T00:00:00Z",
    "targetResourceId": "r",
    "targetResourceRegion": "westeurope",
}
NOT_OFFERED: dict[str, tuple[Any, ...]] = {
    "deployment.begin_delete_deployment": ("production",),
    "deployment.begin_delete_deployment_from_resources": ("production", RESOURCES),
    "deployment.begin_deploy_project": ("production", DEPLOYMENT),
    "deployment.get_deployment": ("production",),
    "exported_model.begin_create_or_update_exported_model": ("out", DEPLOYMENT),
    "exported_model.begin_delete_exported_model": ("out",),
    "exported_model.get_exported_model": ("out",),
    "exported_model.get_exported_model_manifest": ("out",),
    "project.begin_assign_deployment_resources": (ASSIGN,),
    "project.begin_copy_project": (COPY,),
    "project.begin_swap_deployments": ({"firstDeploymentName": "a", "secondDeploymentName": "b"},),
    "project.begin_unassign_deployment_resources": (RESOURCES,),
    "project.copy_project_authorization": ({"projectKind": SINGLE},),
    "trained_model.begin_load_snapshot": ("m1",),
}
INSTEAD = (
    "by its label",
    "by their label",
    "export the project",
    "nothing to assign",
    "push the project",
)
#: Lists of what Labelbridge has none of.
EMPTY = (
    "list_assigned_resource_deployments",
    "list_supported_prebuilt_entities",
    "project.list_deployment_resources",
    "project.list_deployments",
    "project.list_exported_models",
)


@pytest.fixture(params=[SyncDriver, AsyncDriver], ids=["sync", "aio"])
async def driver(request: pytest.FixtureRequest, host: Host) -> AsyncIterator[Driver]:
    made: Driver = request.param(host.url)
    yield made
    await made.close()


async def test_projects_training_models_and_evaluation(new_project: MakeProject, driver: Driver):
    project = await new_project(create=False)
    name = project.name
    body = models.CreateProjectOptions(
        project_kind=SINGLE,
        storage_input_container_name=project.container,
        project_name=name,
        language="en-us",
        multilingual=False,
        description="By the official client",
        settings=models.ProjectSettings(confidence_threshold=0.4),
    )
    created = await driver.call("create_project", name, body)
    assert (created.project_name, created.project_kind, created.settings.confidence_threshold) == (
        name,
        SINGLE,
        0.4,
    )
    assert (await driver.call("get_project", name)).description == "By the official client"
    assert (await driver.call("project.get_project", project=name)).language == "en-us"
    assert name in {summary.project_name for summary in await driver.call("list_projects")}
    assert len(await driver.call("list_projects", top=1)) == 1

    texts = {f"{n}.txt": f"@{'AB'[n % 2]}:90 number {n}" for n in range(10)}
    await project.upload(texts)
    await project.scan()
    for n in range(10):
        await project.put_labels(f"{n}.txt", label(SINGLE, "AB"[n % 2]))

    options = models.EvaluationDetails(
        kind="percentage", training_split_percentage=60, testing_split_percentage=40
    )
    details = models.TrainingJobDetails(
        model_label="m1", training_config_version=CONFIG, evaluation_options=options
    )
    result = await driver.call("project.begin_train", details, project=name)
    assert (result.model_label, result.training_config_version) == ("m1", CONFIG)
    assert (result.training_status.status, result.training_status.percent_complete) == ("succeeded", 100)
    assert (result.evaluation_status.status, result.evaluation_status.percent_complete) == ("succeeded", 100)

    [job] = await driver.call("project.list_training_jobs", project=name)
    assert (job.status, job.result.model_label) == ("succeeded", "m1")
    [listed] = await driver.call("project.list_trained_models", project=name)
    model = await driver.call("trained_model.get_trained_model", "m1", project=name)
    assert (listed.label, model.label, model.has_snapshot) == ("m1", "m1", False)
    assert model.last_trained_on.year >= 2024
    assert model.last_training_duration_in_seconds >= 1

    await _evaluation(driver, project)
    # A job that has ended cannot be cancelled, and says so in Azure's error shape.
    error = await refused(driver, "project.begin_cancel_training_job", job.job_id, project=name)
    assert error.status_code == 409

    assert await driver.call("trained_model.delete_trained_model", "m1", project=name) is None
    assert await driver.call("project.list_trained_models", project=name) == []
    assert (await refused(driver, "trained_model.get_trained_model", "m1", project=name)).status_code == 404
    await driver.call("begin_delete_project", name)
    assert parts_of(await refused(driver, "get_project", name)).code == "ProjectNotFound"


async def _evaluation(driver: Driver, project: Project) -> None:
    name = project.name
    summary = await driver.call("trained_model.get_model_evaluation_summary", "m1", project=name)
    assert summary.project_kind == SINGLE
    figures = summary.custom_single_label_classification_evaluation
    assert (figures.micro_f1, figures.macro_f1) == (
        1.0,
        1.0,
    )  # the scripted engine reads the class off the text
    results = await driver.call(
        "trained_model.list_model_evaluation_results", "m1", string_index_type=UTF16, project=name
    )
    assert len(results) == 4
    for evaluated in results:
        found = evaluated.custom_single_label_classification_result
        assert found.expected_class == found.predicted_class
    some = await driver.call(
        "trained_model.list_model_evaluation_results",
        "m1",
        string_index_type=UTF16,
        top=3,
        skip=2,
        project=name,
    )
    assert [evaluated.location for evaluated in some] == [evaluated.location for evaluated in results[2:]]

    again = models.EvaluationDetails(
        kind="percentage", training_split_percentage=80, testing_split_percentage=20
    )
    result = await driver.call("trained_model.begin_evaluate_model", "m1", again, project=name)
    assert (result.model_label, result.percent_complete) == ("m1", 100)
    assert result.evaluation_options.testing_split_percentage == 20
    results = await driver.call(
        "trained_model.list_model_evaluation_results", "m1", string_index_type=UTF16, project=name
    )
    assert len(results) == 2


@pytest.mark.parametrize("kind", [SINGLE, MULTI, ENTITIES])
async def test_a_project_file_goes_in_and_comes_out(new_project: MakeProject, driver: Driver, kind: str):
    project = await new_project(kind, create=False)
    given = project_file(kind, project.container)
    await driver.call("project.begin_import", models.ExportedProject(given), project=project.name)
    assert (await driver.call("get_project", project.name)).project_kind == kind
    assert len(await project.documents()) == len(given["assets"]["documents"])

    # The client gives no result for an export, so its address comes from the last answer that it got.
    answers: list[Any] = []
    await driver.call(
        "project.begin_export",
        string_index_type=UTF16,
        project=project.name,
        raw_response_hook=lambda answer: answers.append(answer.http_response),
    )
    url = json.loads(answers[-1].text())["resultUrl"]
    assert url.startswith(str(project.http.base_url).rstrip("/"))
    made = (await project.http.get(url)).json()
    assert comparable(made, project.name) == comparable(given, project.name)


async def test_a_file_with_errors_is_refused_with_all_of_them(new_project: MakeProject, driver: Driver):
    project = await new_project(create=False)
    given = project_file(SINGLE, project.container)
    given["assets"]["documents"][1]["dataset"] = "Dev"
    given["assets"]["documents"][2]["class"] = {"category": "Unheard"}
    error = await refused(driver, "project.begin_import", given, project=project.name)
    assert error.status_code == 400
    targets = {detail.target for detail in parts_of(error).details}
    assert targets == {"assets.documents[1].dataset", "assets.documents[2].class.category"}
    assert (await refused(driver, "get_project", project.name)).status_code == 404


async def test_languages_and_versions_are_listed(driver: Driver):
    languages = await driver.call("list_supported_languages", project_kind=SINGLE)
    assert {"en-us", "de", "zh-hans"} <= {language.language_code for language in languages}
    assert all(language.language_name for language in languages)
    [version] = await driver.call("list_training_config_versions", project_kind=ENTITIES)
    assert version.training_config_version == CONFIG
    assert version.model_expired_on.year > 2030


async def test_a_training_is_cancelled(new_project: MakeProject, driver: Driver, host: Host):
    """In the middle of its work: it ends at once, and what it was about to make never appears."""
    project = await new_project()
    await project.upload({"hold.txt": "@hold"})
    await project.define("A", "B")
    await project.put_labels("hold.txt", label(SINGLE, "A"))
    host.hold.touch()
    try:
        job = await _begin_training(project, "m1")
        await eventually("the engine fits", lambda: _is_running(project, job))
        canceled = await driver.call("project.begin_cancel_training_job", job, project=project.name)
        assert canceled.model_label == "m1"
        assert canceled.training_status.status == "cancelled"
        assert (await project.get(f"/train/jobs/{job}"))["status"] == "cancelled"
    finally:
        host.hold.unlink()
    after = await _begin_training(project, "m2")
    assert (await project.ended(f"{project.path}/train/jobs/{after}"))["status"] == "succeeded"
    trained = await driver.call("project.list_trained_models", project=project.name)
    assert [model.label for model in trained] == ["m2"]


async def _begin_training(project: Project, name: str) -> str:
    body = {"modelLabel": name, "trainingConfigVersion": "latest"}
    answer = await project.http.post(f"{project.path}/:train", json=body)
    assert answer.status_code == 202, answer.text
    return answer.headers["operation-location"].rsplit("/", 1)[1].split("?")[0]


async def _is_running(project: Project, job: str) -> bool:
    return (await project.get(f"/train/jobs/{job}"))["status"] == "running"


@pytest.mark.parametrize("operation", NOT_OFFERED)
async def test_what_is_not_offered_says_what_to_use_instead(sample: Project, driver: Driver, operation: str):
    more = {"project": sample.name} if "." in operation else {}
    error = await refused(driver, operation, *NOT_OFFERED[operation], **more)
    assert error.status_code == 501, error
    parts = parts_of(error)
    assert (parts.code, parts.innererror["code"]) == ("InvalidRequest", "NotOffered")
    assert any(text in parts.message for text in INSTEAD), parts.message


@pytest.mark.parametrize("operation", EMPTY)
async def test_lists_of_what_is_not_offered_are_empty(sample: Project, driver: Driver, operation: str):
    more = {"project": sample.name} if "." in operation else {}
    assert list(await driver.call(operation, **more)) == []


def test_every_operation_of_the_client_is_in_one_of_these_tests():
    here = Path(__file__).read_text()
    driven = {name for name in all_operations() - set(NOT_OFFERED) if f'"{name}"' in here}
    assert driven | set(NOT_OFFERED) == all_operations()
