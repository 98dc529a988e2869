"""Every dialog of the page on a phone, a tablet and a desk, in light and dark: it fits, and axe finds nothing."""

import json
import os
from pathlib import Path

import pytest
from playwright.async_api import expect

from shared.storage.gateways.clients import StorageClients
from tests.browser.conftest import MakeProject, OpenStudio
from tests.browser.studio import Studio
from tests.browser.test_two_people import connect
from tests.support.api import ENTITIES, SINGLE, Project, accept, unique

#: Widths in px that share one layout of the review: below 861 its list of documents is opened by a button.
WIDTHS = ((320, 390, 768), (1280,))
#: As long as names may be.
CATEGORY = "Category_whose_name_has_the_fifty_characters_ofall"[:50]
#: Where to leave pictures of the dialogs, for people who look at them.
PICTURES = os.environ.get("DIALOG_PICTURES")


async def check(studio: Studio, name: str, widths: tuple[int, ...]) -> None:
    """What does not fit, and what axe finds, of the dialog that is open."""
    page = studio.page
    await expect(page.get_by_role("dialog")).to_be_visible()
    for width in widths:
        await page.set_viewport_size({"width": width, "height": 800})
        assert await studio.overflow() == [], f"{name}, {width}"
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            assert await studio.violations() == [], f"{name}, {width}, {scheme}"
            if PICTURES:
                await page.screenshot(path=Path(PICTURES) / f"{name}-{width}-{scheme}.png")


async def closed(studio: Studio) -> None:
    await studio.page.keyboard.press("Escape")
    await expect(studio.page.get_by_role("dialog")).to_have_count(0)


async def guidelines(project: Project, text: str) -> None:
    await project.http.put(f"{project.path}/guidelines", json={"text": text}, headers={"If-Match": "*"})


@pytest.mark.parametrize("widths", WIDTHS)
async def test_dialogs_of_projects_and_settings(
    open_studio: OpenStudio, new_project: MakeProject, tmp_path: Path, widths: tuple[int, ...]
) -> None:
    project = await new_project(SINGLE)
    await project.define(CATEGORY)
    await guidelines(project, "# Rule\n\n" + "Averylongwordwithoutanyblanks" * 9)
    studio = await open_studio(width=widths[0])
    page = studio.page
    await page.get_by_role("button", name="New project").click()
    await check(studio, "new-project", widths)
    await closed(studio)
    await page.get_by_role("button", name="Import project…").click()
    dialog = page.get_by_role("dialog")
    file = tmp_path / "project.json"
    file.write_text(json.dumps({"metadata": {"projectName": project.name}, "assets": {}}))
    await dialog.get_by_label("Azure project file").set_input_files(file)
    await expect(dialog.get_by_text("Replace the project of this name")).to_be_visible()
    await check(studio, "import-project", widths)
    await closed(studio)

    await studio.go(project.name, "settings")
    for button, name in (
        (f"Edit {CATEGORY}", "edit-category"),
        ("Add category", "add-category"),
        ("Edit guidelines…", "edit-guidelines"),
        ("Versions…", "guideline-versions"),
        ("Delete project…", "delete-project"),
    ):
        await page.get_by_role("button", name=button, exact=True).click()
        if name == "guideline-versions":
            await page.get_by_role("button", name="Show version 1").click()
            await expect(page.get_by_role("heading", name="Rule")).to_have_count(2)
        await check(studio, name, widths)
        await closed(studio)


@pytest.mark.parametrize("widths", WIDTHS)
async def test_dialogs_of_the_review(
    open_studio: OpenStudio, new_project: MakeProject, widths: tuple[int, ...]
) -> None:
    project = await new_project(ENTITIES)
    word = "Refund"
    [document] = await project.suggested({"a.txt": f"@{word}:60 and @{word}:70 again"}, word)
    studio = await open_studio(width=widths[0])
    page = studio.page
    await studio.go(project.name, "review")
    await expect(studio.text).to_be_visible()
    for key, name in (("?", "help"), ("c", "category-picker"), ("m", "note")):
        await page.keyboard.press(key)
        await check(studio, name, widths)
        await closed(studio)
    await page.get_by_role("button", name="Number keys…").click()
    await check(studio, "number-keys", widths)
    await closed(studio)
    if widths[-1] < 861:
        await page.get_by_role("button", name="Documents", exact=True).click()
    await page.get_by_role("button", name="Bulk accept or reject…").click()
    await expect(page.get_by_role("dialog")).to_contain_text("would be accepted")
    await check(studio, "bulk", widths)
    await closed(studio)
    await studio.press("reject")
    await project.review([accept(document)])
    await studio.press("save")
    await expect(page.get_by_role("dialog")).to_contain_text("What differs")
    await expect(page.get_by_role("dialog")).not_to_contain_text("Loading the text")
    await check(studio, "conflict", widths)


@pytest.mark.parametrize("widths", WIDTHS)
async def test_dialogs_of_the_connection(
    open_studio: OpenStudio, new_project: MakeProject, storage: StorageClients, widths: tuple[int, ...]
) -> None:
    project = await new_project(SINGLE)
    await project.define("Refund", "Praise")
    container = unique("labels")
    await storage.blobs.create_container(container)
    studio = await open_studio(width=widths[0])
    page = studio.page
    await connect(studio, project.name, container, "news")
    await page.get_by_role("button", name="Switch to Azure Machine Learning").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Nobody can change labels in Labelbridge")
    await check(studio, "switch", widths)
    await closed(studio)
    await page.get_by_role("button", name="Disconnect…").click()
    await check(studio, "disconnect", widths)
