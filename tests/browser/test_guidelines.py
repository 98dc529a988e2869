"""Labeling guidelines: written by a lead, shown beside the text, every version readable, and never trusted."""

from playwright.async_api import expect

from tests.browser.conftest import MakeProject, OpenStudio
from tests.support.api import SINGLE, Project

TEXT = """# Refunds

Only **money**, not vouchers. See [the policy](https://example.com/policy) and [this](javascript:alert(1)).

<script>window.attacked = 1</script><img src=x onerror="window.attacked = 1">

1. One
2. Two
   - Three

| says | label |
|---|---|
| `money back` | Refund |
"""


async def write(project: Project, text: str) -> None:
    answer = await project.http.put(
        f"{project.path}/guidelines", json={"text": text}, headers={"If-Match": "*"}
    )
    assert answer.status_code == 200, answer.text


async def test_guidelines_are_shown_beside_the_text_and_run_nothing(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60 one"}, "Refund")
    await write(project, TEXT)
    studio = await open_studio("reviewer")
    page = studio.page
    await studio.review(project.name)
    await expect(page.get_by_role("button", name="Guidelines, changed")).to_be_visible()
    await page.keyboard.press("g")
    shown = page.get_by_role("region", name="Text of the guidelines")
    await expect(shown.get_by_role("heading", name="Refunds")).to_be_visible()
    await expect(shown).to_contain_text("<script>window.attacked = 1</script>")
    link = shown.get_by_role("link", name="the policy")
    await expect(link).to_have_attribute("href", "https://example.com/policy")
    await expect(link).to_have_attribute("rel", "noopener noreferrer")
    assert await shown.get_by_role("link").count() == 1
    assert await shown.get_by_role("row").count() == 2
    assert await page.evaluate("window.attacked") is None
    await expect(studio.text).to_be_visible()
    assert await studio.violations() == []

    await page.reload()  # they stay open for who reads them, and are no longer new
    await expect(shown.get_by_role("heading", name="Refunds")).to_be_visible()
    await expect(page.get_by_role("button", name="Guidelines", exact=True)).to_be_visible()
    await page.keyboard.press("g")
    await expect(shown).to_have_count(0)
    await studio.go(project.name, "settings")
    await expect(page.get_by_role("heading", name="Labeling guidelines")).to_be_visible()
    await expect(page.get_by_role("button", name="Edit guidelines…")).to_have_count(0)


async def test_a_lead_writes_versions_and_nobody_overwrites_another(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    studio = await open_studio()
    page = studio.page
    await studio.open(project.name, "Settings")
    dialog = page.get_by_role("dialog")
    await page.get_by_role("button", name="Edit guidelines…").click()
    await dialog.get_by_label("Text").fill(TEXT)
    await dialog.get_by_text("Preview", exact=True).click()
    await expect(dialog.get_by_role("heading", name="Refunds")).to_be_visible()
    await dialog.get_by_role("button", name="Save guidelines").click()
    await studio.reported("saved as version 1")
    assert (await project.get("/guidelines"))["text"] == TEXT

    await page.get_by_role("button", name="Edit guidelines…").click()
    await dialog.get_by_label("Text").fill("Mine.")
    await write(project, "Theirs.")
    await dialog.get_by_role("button", name="Save guidelines").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("saved version 2 while you wrote")
    await expect(dialog.get_by_role("region", name="Their version")).to_contain_text("Theirs.")
    await expect(dialog.get_by_label("Text")).to_have_value("Mine.")
    await dialog.get_by_role("button", name="Keep my text").click()
    await dialog.get_by_role("button", name="Save guidelines").click()
    await studio.reported("saved as version 3")

    await page.get_by_role("button", name="Versions…").click()
    rows = dialog.get_by_role("listitem")
    await expect(rows).to_have_count(3)
    await expect(rows.first).to_contain_text("Version 3 by labelbridge-local")
    await dialog.get_by_role("button", name="Show version 1").click()
    await expect(dialog.get_by_role("heading", name="Refunds")).to_be_visible()
    assert await studio.violations() == []


async def test_a_display_name_is_shown_and_the_name_stays(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    studio = await open_studio()
    page = studio.page
    await studio.open(project.name, "Settings")
    await page.get_by_label("Display name").fill("Customer mail")
    await page.get_by_role("button", name="Save settings").click()
    await studio.reported("Settings saved.")
    await expect(page.get_by_role("navigation", name="Breadcrumb")).to_contain_text("Customer mail")
    assert (await project.get(""))["displayName"] == "Customer mail"
    await page.get_by_role("link", name="Overview", exact=True).click()
    await expect(page.get_by_role("heading", name="Customer mail")).to_be_visible()
    await page.get_by_role("link", name="Projects", exact=True).click()
    card = page.get_by_role("listitem").filter(has_text=project.name)
    await expect(card.get_by_role("link", name="Customer mail")).to_be_visible()
