"""The review of the three kinds, with its dialogs, at every width and in both colors: all fits and is in reach.

One page for each test; only its size changes, never what is shown. The other views: test_look.py.
"""

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import MakeProject, OpenStudio
from tests.browser.seeds import MANY, NOTE, RIGHT_TO_LEFT, classes, entities, made
from tests.browser.studio import Studio
from tests.support.api import ENTITIES, MULTI, SINGLE

COMMANDS = ("Go to the next uncertain suggestion", "Skip to the next document", "Show percentages")

type Found = dict[str, list[str]]

pytestmark = pytest.mark.timeout(900)


async def list_of(page: Page) -> None:
    """Show the list, which a narrow page hides."""
    toggle = page.get_by_role("button", name="Documents", exact=True)
    if await toggle.is_visible() and await toggle.get_attribute("aria-expanded") == "false":
        await toggle.click()


async def closed(studio: Studio) -> None:
    await studio.page.keyboard.press("Escape")
    await expect(studio.page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize("kind", [SINGLE, MULTI], ids=["single", "multi"])
async def test_review_of_classes(kind: str, open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await made(kind, new_project, kind, classes)
    studio = await open_studio(width=768)
    page = studio.page
    await studio.go(project.name, "review")
    await expect(studio.text).to_contain_text("word word")  # the least certain: long names, a note
    await expect(page.get_by_role("region", name="Note", exact=True)).to_contain_text("Before Friday.")
    await page.keyboard.press("g")
    await expect(page.get_by_role("region", name="Text of the guidelines")).to_contain_text("Rule 7")
    await list_of(page)
    await page.get_by_text("Filters").click()
    await page.get_by_text("History", exact=True).click()
    await expect(page.get_by_role("listitem").filter(has_text="document changed")).to_contain_text("Flagged")
    for width in (320, 390, 860):  # the commands above the text and the help have their button on a phone
        await page.set_viewport_size({"width": width, "height": 800})
        for name in (*COMMANDS, "Keyboard shortcuts"):
            await expect(page.get_by_role("button", name=name)).to_be_visible()
    found = await studio.at_all_sizes(f"review of {kind}")
    await page.keyboard.press("g")
    await studio.press("reject" if kind == SINGLE else "accept")
    assert found | await studio.at_all_sizes(f"decided {kind}") == {}


async def test_lists_of_classes(open_studio: OpenStudio, new_project: MakeProject) -> None:
    """Documents with their history, those that cannot be labeled, and lists that are searched or empty."""
    project = await made(SINGLE, new_project, SINGLE, classes)
    studio = await open_studio(width=768)
    page = studio.page
    await studio.go(project.name, "label", "?prefix=labeled")
    await page.get_by_text("History", exact=True).click()
    await expect(page.get_by_role("button", name="Undo this change")).to_be_visible()
    found = await studio.at_all_sizes("history of labels")
    await studio.go(project.name, "label", "?status=rejected")
    await expect(page.get_by_text("Unreadable file, which cannot be labeled")).to_be_visible()
    found |= await studio.at_all_sizes("unreadable")
    await studio.go(project.name, "label", "?prefix=gone")
    await expect(page.get_by_text("The file of this document is missing")).to_be_visible()
    found |= await studio.at_all_sizes("missing")
    await studio.go(project.name, "review", "?prefix=nothing")
    await expect(page.get_by_role("heading", name="No documents here")).to_be_visible()
    await list_of(page)
    found |= await studio.at_all_sizes("nothing to review")
    await studio.go(project.name, "review", "?search=word+word")
    await expect(page.get_by_text("Match 1 of 40")).to_be_visible()
    await list_of(page)
    found |= await studio.at_all_sizes("found")
    await studio.go(project.name, "label", f"?model=m1&expected={MANY[0]}&predicted={MANY[1]}")
    await list_of(page)
    await expect(page.get_by_role("alert").first).to_be_visible()
    assert found | await studio.at_all_sizes("no such model") == {}


async def test_dialogs_of_classes(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await made(SINGLE, new_project, SINGLE, classes)
    studio = await open_studio(width=768)
    page = studio.page
    await studio.go(project.name, "review", "?prefix=folder")
    await expect(studio.text).to_contain_text("word word")
    found: Found = {}
    for key, name in (("?", "help"), ("c", "category picker"), ("m", "note")):
        await page.keyboard.press(key)
        await expect(page.get_by_role("dialog")).to_be_visible()
        if name == "note":
            await expect(page.get_by_role("dialog")).to_contain_text(f"{len(NOTE)} of 2,000 characters")
        found |= await studio.at_all_sizes(name)
        await closed(studio)
    await page.get_by_role("button", name="Number keys…").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    found |= await studio.at_all_sizes("number keys")
    await closed(studio)
    await list_of(page)
    await page.get_by_role("button", name="Bulk accept or reject…").click()
    await page.get_by_label("Lowest confidence to decide").fill("0")
    await expect(page.get_by_role("dialog")).to_contain_text("would be accepted")
    await expect(page.get_by_role("dialog").get_by_role("listitem").first).to_be_visible()
    assert found | await studio.at_all_sizes("bulk") == {}


async def test_review_of_entities(open_studio: OpenStudio, new_project: MakeProject) -> None:
    """477 suggestions in 20,000 characters, labels inside and beside one another, right to left."""
    project = await made(ENTITIES, new_project, ENTITIES, entities)
    studio = await open_studio(width=768)
    page = studio.page
    await studio.go(project.name, "review", "?order=location")
    await expect(page.get_by_text("477 left")).to_be_visible()
    await expect(page.get_by_role("button", name="Reject all")).to_be_enabled()
    found = await studio.at_all_sizes("477 entities")
    await studio.go(project.name, "label", "?prefix=rtl")
    await expect(studio.text).to_have_text(RIGHT_TO_LEFT)
    await studio.select("الفاتورة")
    found |= await studio.at_all_sizes("category menu over right to left")
    await page.keyboard.press("Escape")
    await studio.go(project.name, "label", "?prefix=folder")
    await expect(studio.text).to_contain_text("Ada Lovelace")
    await page.get_by_text("Find text to label").click()
    await page.get_by_label("Text to label").fill("Oslo")
    await expect(page.get_by_role("button", name="Label all 19")).to_be_enabled()
    found |= await studio.at_all_sizes("nested labels and regions")
    await studio.text.locator("mark", has_text="Oslo").first.click()
    await expect(page.get_by_role("group", name="Category of the label")).to_be_visible()
    found |= await studio.at_all_sizes("menu of a label")
    await page.keyboard.press("Escape")
    await studio.go(project.name, "label", "?prefix=words")
    await expect(studio.text).to_contain_text("word word")
    assert found | await studio.at_all_sizes("30 labels side by side") == {}


async def test_dialogs_of_entities(open_studio: OpenStudio, new_project: MakeProject) -> None:
    """One entity everywhere, and a conflict on a long text after the change of a category."""
    project = await made("conflict", new_project, ENTITIES, entities)
    studio = await open_studio(width=768)
    page = studio.page
    await studio.go(project.name, "review", "?prefix=a.txt")
    await expect(page.get_by_text("477 left")).to_be_visible()
    await page.get_by_role("button", name="In all documents…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("4 suggestions would be accepted")
    examples = dialog.get_by_role("list", name="These").get_by_role("listitem")
    await expect(examples).to_have_count(4)  # of 236 entities as long, in the same document
    found = await studio.at_all_sizes("in all documents")
    await closed(studio)
    document = await project.document("a.txt")
    await page.keyboard.press("4")
    await project.review([{"documentId": document["id"], "eTag": document["eTag"],
                           "accept": [s["id"] for s in document["suggestions"][:3]]}])  # fmt: skip
    await studio.press("save")
    await expect(page.get_by_role("list", name="What differs")).to_be_visible()
    await expect(page.get_by_role("dialog")).not_to_contain_text("Loading the text")
    assert found | await studio.at_all_sizes("conflict on a long text") == {}


async def test_second_review_and_reading_alone(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await made(SINGLE, new_project, SINGLE, classes)
    [review] = (await project.get("/second-reviews"))["value"]
    studio = await open_studio("reviewer", width=768)
    page = studio.page
    await studio.go(project.name, "review", f"?second={review['id']}")
    await expect(studio.text).to_be_visible()
    await list_of(page)
    await expect(page.get_by_text("Second review.")).to_be_visible()
    found = await studio.at_all_sizes("second review")
    reader = await open_studio("reader")
    await reader.go(project.name, "review", "?order=location")
    await expect(reader.text).to_be_visible()
    await reader.page.keyboard.press("a")
    await reader.reported("requires the Labels.Review role")
    assert found | await reader.at_all_sizes("reading alone") == {}
