"""Settings, categories, export, import and deletion of a project, by a lead in the page."""

import json
from pathlib import Path

from playwright.async_api import expect

from tests.browser.conftest import MakeProject, OpenStudio
from tests.support.api import SINGLE, unique


async def test_settings_and_categories(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    await project.define("Refund", "Praise")
    studio = await open_studio()
    page = studio.page
    await studio.open(project.name, "Settings")
    assert await studio.violations() == []

    await page.get_by_label("Description").fill("Mails of customers")
    await page.get_by_label("Confidence threshold, %").fill("12.5")
    await page.get_by_label("Autolabel new documents").check()
    await page.get_by_role("button", name="Save settings").click()
    await studio.reported("Settings saved.")
    changed = await project.get("")
    assert changed["description"] == "Mails of customers"
    assert changed["settings"]["confidenceThreshold"] == 0.125
    assert changed["settings"]["autolabel"]["onUpload"] is True

    await page.get_by_role("button", name="Edit Refund").click()
    dialog = page.get_by_role("dialog")
    assert await studio.violations() == []
    await dialog.get_by_label("Name", exact=True).fill("Money back")
    await page.keyboard.press("Enter")
    await studio.reported("Category updated.")
    assert (await project.document("~Refund.txt"))["class"] == {"category": "Money back"}
    await page.get_by_role("button", name="Edit Praise").click()
    await dialog.get_by_role("button", name="Remove").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("only an unused category can be removed")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Add category").click()
    await dialog.get_by_label("Name", exact=True).fill("Login")
    await page.keyboard.press("Enter")
    await studio.reported("Category added.")
    names = [c["category"] for c in (await project.get("/categories"))["value"]]
    assert names == ["Money back", "Praise", "Login"]


async def test_export_import_and_delete(
    open_studio: OpenStudio, new_project: MakeProject, tmp_path: Path
) -> None:
    project = await new_project(SINGLE)
    await project.define("Refund")
    studio = await open_studio()
    page = studio.page
    await studio.open(project.name, "Settings")
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Export project file").click()
    file = tmp_path / "project.json"
    await (await download.value).save_as(file)
    assert json.loads(file.read_text())["metadata"]["projectName"] == project.name

    await page.get_by_role("link", name="Projects", exact=True).click()
    await page.get_by_role("button", name="Import project…").click()
    dialog = page.get_by_role("dialog")
    assert await studio.violations() == []
    await dialog.get_by_label("Azure project file").set_input_files(file)
    await expect(dialog.get_by_label("Name", exact=True)).to_have_value(project.name)
    await expect(dialog.get_by_role("button", name="Import", exact=True)).to_be_disabled()  # it would replace
    copy = unique("copy")
    await dialog.get_by_label("Name", exact=True).fill(copy)
    await dialog.get_by_role("button", name="Import", exact=True).click()
    await expect(page.get_by_role("heading", name=copy)).to_be_visible()

    await studio.open(copy, "Settings")
    await page.get_by_role("button", name="Delete project…").click()
    await expect(dialog.get_by_role("heading", name="Delete project")).to_be_focused()
    await expect(dialog.get_by_role("button", name="Delete permanently")).to_be_disabled()
    await dialog.get_by_role("textbox").fill(copy)
    await dialog.get_by_role("button", name="Delete permanently").click()
    await studio.reported("was deleted.")
    await expect(page.get_by_role("link", name=copy, exact=True)).to_have_count(0)
    assert (await project.get(""))["projectName"] == project.name
