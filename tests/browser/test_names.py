"""Names of categories: exact to the blank, and as long and as many as they may be."""

import re

from playwright.async_api import expect

from tests.browser.conftest import MakeProject, OpenStudio, async_fixture
from tests.browser.seeds import MANY
from tests.support.api import ENTITIES, SINGLE, Project


async def test_names_that_differ_in_spaces_are_different(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(ENTITIES)
    await put_categories(project, ["Person", "Legal entity", "Legal  entity"])
    await project.upload({"a.txt": "Ada lives in Oslo, and Ada likes Oslo."})
    await project.scan()
    studio = await open_studio()
    page = studio.page
    await studio.go(project.name, "label")

    await expect(studio.text).to_contain_text("Ada lives")
    await studio.select("Ada")
    await page.keyboard.press("1")
    await page.get_by_role("combobox", name="Category of “Ada”").select_option(index=2)
    await page.get_by_text("Find text to label").click()
    await page.get_by_label("Text to label").fill("Oslo")
    await page.get_by_label("Category for this text").select_option(index=2)
    await page.get_by_role("button", name="Label all 2").click()
    await studio.press("save")
    await studio.saved()

    [region] = (await project.document("a.txt"))["entities"]
    assert [e["category"] for e in region["labels"]] == ["Legal  entity"] * 3
    assert len((await project.get("/categories"))["value"]) == 3
    await page.get_by_text("Filters").click()
    await page.get_by_label("Category", exact=True).select_option(index=2)
    await expect(page.get_by_text("No documents match these filters.")).to_be_visible()
    await page.get_by_label("Category", exact=True).select_option(index=3)
    await expect(page.get_by_role("link", name="a.txt")).to_be_visible()


async def test_bulk_decision_of_a_name_that_ends_in_a_blank(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@News:95 one", "b.txt": "@Other:95 two"}, "News", "Other")
    await put_categories(project, ["News "])
    studio = await open_studio()
    page = studio.page
    await studio.review(project.name)

    await page.get_by_role("button", name="Bulk accept or reject").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("2 suggestions would be accepted.")
    options = await dialog.get_by_label("Category").locator("option").all_text_contents()
    assert options[1:] == ["News", "Other", "News␣"]
    await dialog.get_by_label("Category").select_option(index=3)
    await expect(dialog).to_contain_text("0 suggestions would be accepted.")
    await dialog.get_by_label("Category").select_option(index=1)
    await expect(dialog).to_contain_text("1 suggestion would be accepted.")


@async_fixture()
async def crowded(new_project: MakeProject) -> str:
    """A project with 200 categories with names of 50 characters."""
    project = await new_project(SINGLE)
    await put_categories(project, MANY)
    await project.upload({"a.txt": "word " * 80, "b.txt": "other"})
    await project.scan()
    await project.put_labels("a.txt", {"class": {"category": MANY[0]}})
    return project.name


async def test_picker_finds_one_of_200_by_typing(open_studio: OpenStudio, crowded: str) -> None:
    studio = await open_studio()
    page = studio.page
    await studio.go(crowded, "label")
    await expect(studio.text).to_be_visible()
    dialog = page.get_by_role("dialog", name="Choose a category")
    options = dialog.get_by_role("option")

    await page.keyboard.press("/")
    await expect(dialog.get_by_role("combobox")).to_be_focused()
    await expect(options).to_have_count(200)
    await page.keyboard.type("ory_157")
    await expect(options).to_have_count(2)  # the last one would define what was typed
    assert await options.first.get_attribute("title") == MANY[157], "the whole name is in the tooltip"
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("list", name="Classes")).to_contain_text(MANY[157])
    await page.keyboard.press("c")
    await expect(options.first).to_contain_text(MANY[157])  # the recent one comes first
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)


async def test_number_keys_are_a_persons_own(open_studio: OpenStudio, crowded: str) -> None:
    studio = await open_studio()
    page = studio.page
    await studio.go(crowded, "label")
    await expect(studio.text).to_be_visible()

    await page.get_by_role("button", name="Number keys…").click()
    await page.get_by_label("Category of key 7").select_option(MANY[188])
    await page.keyboard.press("Escape")
    await page.keyboard.press("7")
    classes = page.get_by_role("list", name="Classes")
    await expect(classes).to_contain_text(MANY[188])
    await page.reload()
    await expect(page.get_by_role("button", name=re.compile(f"^{MANY[188]}$"))).to_have_attribute(
        "aria-keyshortcuts", "7"
    )
    await page.get_by_role("link", name="Projects", exact=True).click()
    await page.get_by_role("button", name="Sign out").click()
    await studio.sign_in("reviewer")
    await studio.go(crowded, "label")
    await expect(classes).to_contain_text(MANY[0])  # the draft of the other person is not theirs
    await page.keyboard.press("7")
    await expect(classes).to_contain_text(MANY[6])


async def put_categories(project: Project, names: list[str]) -> None:
    body = {"value": [{"category": name} for name in names]}
    answer = await project.http.put(f"{project.path}/categories", json=body)
    assert answer.status_code == 200, answer.text
