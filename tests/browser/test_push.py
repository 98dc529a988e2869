"""The page pushes a project to Azure Language: where it goes, its state to the end, the reason when it fails."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.conftest import MakeProject, OpenStudio
from tests.fakes.language import KEY, FakeLanguage, LanguageProject
from tests.fakes.server import serve_in_thread
from tests.support.api import unique
from tests.support.azurite import Azurite
from tests.support.hosts import Host, running_host


@pytest.fixture(scope="module")
def service() -> Iterator[FakeLanguage]:
    fake = FakeLanguage()
    with serve_in_thread(fake.app()) as fake.address:
        yield fake


@pytest.fixture(scope="module")
def host(azurite: Azurite, service: FakeLanguage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder: Path = tmp_path_factory.mktemp("push")
    settings = {
        "LANGUAGE_ENDPOINT": service.address,
        "LANGUAGE_DEPLOYMENT": "production",
        "LANGUAGE_KEY": KEY,
    }
    with running_host(azurite, unique("push").replace("-", "")[:14], folder, settings) as running:
        yield running


async def test_a_push_fails_with_the_reason_and_succeeds_when_it_is_gone(
    new_project: MakeProject, open_studio: OpenStudio, service: FakeLanguage
) -> None:
    project = await new_project()
    await project.define("Login", "Refund")
    service.failing = {"train": ("NotEnoughDocuments", "At least 10 documents for each class are needed.")}
    studio = await open_studio()
    await studio.go(project.name, "training")
    page = studio.page
    section = page.get_by_role("region", name="Train in Azure Language")
    await expect(section.get_by_text(service.address)).to_be_visible()
    await expect(section.get_by_label("Project in the resource")).to_have_value(project.name)
    await expect(section.get_by_label("Deployment")).to_have_value("production")

    for field in ("Project in the resource", "Deployment", "Model in the resource"):
        await section.get_by_label(field).fill("n" * 50)
    await section.get_by_role("button", name="Push to Azure Language…").click()
    await expect(page.get_by_role("button", name="Push and train")).to_be_visible()
    found = await studio.at_all_sizes("push")
    await page.get_by_role("button", name="Push and train").click()
    await expect(section.get_by_role("alert")).to_contain_text(
        "At least 10 documents for each class are needed."
    )
    await expect(section.get_by_role("alert")).to_contain_text("Training the model failed")
    assert found | await studio.at_all_sizes("push that failed") == {}

    service.failing = {}
    await section.get_by_label("Deployment").fill("live")
    await section.get_by_role("button", name="Push to Azure Language…").click()
    await page.get_by_role("button", name="Push and train").click()
    await expect(
        section.get_by_text(f"2 documents imported; the model {'n' * 50} is deployed.")
    ).to_be_visible()
    await expect(section.get_by_text(f"Jobs use the deployment {'n' * 50}/live.")).to_be_visible()


async def test_a_project_of_someone_else_is_replaced_when_the_person_says_so(
    new_project: MakeProject, open_studio: OpenStudio, service: FakeLanguage
) -> None:
    project = await new_project()
    await project.define("Login", "Refund")
    service.projects["theirs"] = foreign = LanguageProject({"metadata": {}})
    studio = await open_studio()
    await studio.go(project.name, "training")
    page = studio.page
    section = page.get_by_role("region", name="Train in Azure Language")
    await section.get_by_label("Project in the resource").fill("theirs")
    await section.get_by_role("button", name="Push to Azure Language…").click()
    await page.get_by_role("button", name="Push and train").click()
    await expect(page.get_by_role("dialog")).to_contain_text("was not pushed from here")
    assert service.projects["theirs"] is foreign
    await page.get_by_role("button", name="Replace and train").click()
    await expect(
        section.get_by_text("2 documents imported; the model labelbridge is deployed.")
    ).to_be_visible()
