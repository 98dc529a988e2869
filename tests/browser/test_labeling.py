"""Labels by hand, hostile text, many decisions at once."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import MakeProject, OpenStudio
from tests.support.api import ENTITIES, MULTI, SINGLE

HOSTILE = {
    "markup": "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'> & &amp; </textarea> @Ada:50 end",
    "bidi": "a\u202eb\u202c \u2067شلوم\u2069 مرحبا @Ada:50 سلام",
    "zero width": "\u200bzero\u200b width \ufeff joiner \u2060 @Ada:50\u200b end",
    "astral": "😀👩‍👩‍👧‍👦🇳🇱 𝒜 𠮷 e\u0301 @Ada:50 🦊",  # noqa: RUF001  # the letters that break offsets
    "line ends": "one\r\ntwo\rthree\n\n\tfour\u2028five @Ada:50\r\n\r\nsix  ",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_text_is_text_and_spans_are_exact(
    name: str, open_studio: OpenStudio, new_project: MakeProject
) -> None:
    text = HOSTILE[name]
    project = await new_project(ENTITIES)
    await project.suggested({"a.txt": text}, "Ada")
    studio = await open_studio()
    await studio.review(project.name)
    offset = len(text[: text.index("@Ada:50")].encode("utf-16-le")) // 2

    assert await studio.shown_text() == text
    assert await studio.spans("suggestion") == [("Ada", "@Ada:50", offset)]
    await studio.press("accept")
    last = text.split()[-1]
    await studio.select(last)
    await studio.page.get_by_role("group", name="Category").get_by_role("button", name="Ada").click()
    await studio.press("save")
    await studio.saved()

    [region] = (await project.document("a.txt"))["entities"]
    units = text.encode("utf-16-le")
    labeled = [
        units[2 * label["offset"] : 2 * (label["offset"] + label["length"])].decode("utf-16-le")
        for label in region["labels"]
    ]
    # The selection loses its white space only where there was some; ZWSP is no white space.
    assert labeled == ["@Ada:50", last]
    assert await studio.spans("label") == [("Ada", "@Ada:50", offset), ("Ada", last, text_units(text, last))]
    assert await studio.page.evaluate("window.hit") is None


def text_units(text: str, part: str) -> int:
    return len(text[: text.rindex(part)].encode("utf-16-le")) // 2


async def test_long_document(open_studio: OpenStudio, new_project: MakeProject) -> None:
    text = "".join(f"Line {n} of a long document, with @Ada:{30 + n % 60} in it.\r\n" for n in range(1_600))
    assert 80_000 < len(text) < 128_000
    project = await new_project(ENTITIES)
    await project.suggested({"a.txt": text}, "Ada")
    studio = await open_studio()
    await studio.review(project.name)

    assert await studio.shown_text() == text
    await expect(studio.text.locator("mark.suggestion")).to_have_count(1_600)
    panel = studio.page.get_by_role("complementary", name="Suggestions and labels")
    assert await panel.get_by_role("listitem").count() < 60, "only the rows in view exist"
    height = await panel.evaluate("panel => panel.scrollHeight / panel.clientHeight")
    assert height < 2, "the sections below the suggestions are within reach"
    await studio.select("Line 1599")
    await studio.page.get_by_role("group", name="Category").get_by_role("button", name="Ada").click()
    await studio.press("save")
    await studio.saved()
    [region] = (await project.document("a.txt"))["entities"]
    [label] = region["labels"]
    assert text[label["offset"] : label["offset"] + label["length"]] == "Line 1599"


async def test_entities_by_hand(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(ENTITIES)
    await project.define("Person", "City")
    await project.upload({"a.txt": "Ada lives in Oslo, and Ada likes Oslo."})
    await project.scan()
    studio = await open_studio()
    await studio.open(project.name, "Label by hand")
    page = studio.page
    await page.get_by_role("link", name="a.txt").click()
    await expect(studio.text).to_contain_text("Ada lives in Oslo")

    await studio.select("Ada ")  # the blank is cut off
    await page.keyboard.press("1")
    await studio.select("Oslo")
    group = page.get_by_role("group", name="Category of the selected text")
    await group.get_by_role("textbox", name="New category").fill("Place")
    await page.keyboard.press("Enter")
    assert [span[:2] for span in await studio.spans("label")] == [("Person", "Ada"), ("Place", "Oslo")]
    await page.get_by_role("combobox", name="Category of “Ada”").select_option("City")
    await page.get_by_text("Find text to label").click()
    await page.get_by_role("textbox", name="Text to label").fill("Oslo")
    await page.get_by_label("Category for this text").select_option("City")
    await page.get_by_role("button", name="Label first match").click()
    await studio.text.locator("mark", has_text="Oslo").first.click()
    await (
        page.get_by_role("group", name="Category of the label")
        .get_by_role("button", name="Remove label")
        .click()
    )
    await page.get_by_label("Test", exact=True).check()
    await studio.press("save")
    await studio.saved()

    document = await project.document("a.txt")
    assert document["dataset"] == "Test"
    [region] = document["entities"]
    assert [(e["category"], e["offset"]) for e in region["labels"]] == [("City", 0), ("City", 33)]


async def test_classes_by_hand(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(MULTI)
    await project.define("Refund", "Praise")
    await project.upload({"a.txt": "one", "b.txt": "two"})
    await project.scan()
    studio = await open_studio()
    await studio.open(project.name, "Label by hand")
    page = studio.page

    await page.get_by_role("link", name="a.txt").click()
    await expect(studio.text).to_have_text("one")
    await page.keyboard.press("1")
    await page.keyboard.press("2")
    await page.keyboard.press("1")
    await page.get_by_role("link", name="b.txt").click()
    await expect(studio.text).to_have_text("two")
    await page.get_by_role("button", name="No label applies").click()
    await studio.press("save")
    await studio.saved()
    second = (await project.get("/categories"))["value"][1]["category"]
    assert (await project.document("a.txt"))["classes"] == [{"category": second}]
    assert (await project.document("b.txt"))["classes"] == [], "labeled with nothing is not unlabeled"


async def test_bulk_shows_the_count_first_and_can_be_undone(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    await project.suggested({f"{n}.txt": f"@Refund:{n}" for n in (50, 89, 90, 99)}, "Refund")
    studio = await open_studio()
    await studio.review(project.name)
    page = studio.page

    await page.keyboard.press("b")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("radio", name="Accept")).to_be_focused()
    await expect(dialog).to_contain_text("2 suggestions would be accepted.")
    assert len(await project.documents(status="autoLabeled")) == 4
    await dialog.get_by_role("button", name="Accept 2").click()
    await studio.reported("2 suggestions accepted.")
    assert {d["location"] for d in await project.documents(status="autoLabeled")} == {"50.txt", "89.txt"}
    undo_all = page.get_by_role("button", name="Undo all")
    await expect(undo_all).to_be_visible()
    await studio.press("undo")
    await studio.reported("The bulk decision was undone.")
    await expect(undo_all).to_have_count(0)  # it is undone
    assert len(await project.documents(status="autoLabeled")) == 4


async def test_bulk_starts_from_the_filters_and_shows_ten(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    texts = {f"in/{n}.txt": f"@Refund:{40 + n}" for n in range(14)}
    await project.suggested({**texts, "out.txt": "@Refund:45", "in/p.txt": "@Praise:45"}, "Refund", "Praise")
    studio = await open_studio()
    page = studio.page
    await studio.go(project.name, "review", "?category=Refund&prefix=in%2F&min=0.41&max=0.99")

    await page.get_by_role("button", name="Bulk accept or reject").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Category")).to_have_value("Refund")
    await expect(dialog.get_by_label("Only documents whose name begins with")).to_have_value("in/")
    await expect(dialog).to_contain_text("13 suggestions would be accepted.")
    await expect(dialog).to_contain_text("10 of them, chosen at random")
    shown = await dialog.get_by_role("list", name="10 of them").get_by_role("listitem").all_inner_texts()
    assert len(set(shown)) == 10
    assert all("in/" in text and "Refund" in text for text in shown)
    assert await studio.violations() == []


async def test_bulk_decides_on_what_the_list_shows(open_studio: OpenStudio, new_project: MakeProject) -> None:
    """The list is filtered by flag and dataset; the dialog says so, decides on these alone, and can be widened."""
    project = await new_project(SINGLE)
    await project.suggested({f"{n}.txt": f"@Refund:{n}" for n in (91, 92, 93, 94)}, "Refund")
    for location, body in (("91.txt", {"flagged": True}), ("92.txt", {"flagged": True, "dataset": "Test"})):
        document = await project.document(location)
        path = f"{project.path}/documents/{document['id']}"
        patched = await project.http.patch(path, json=body, headers={"If-Match": document["eTag"]})
        patched.raise_for_status()
    studio = await open_studio(width=390, scheme="dark")
    await studio.go(project.name, "review", "?status=flagged&dataset=Test")
    await expect(studio.text).to_have_text("@Refund:92")

    await studio.page.get_by_role("button", name="Documents", exact=True).click()
    await studio.page.get_by_role("button", name="Bulk accept or reject").press("Enter")
    dialog = studio.page.get_by_role("dialog")
    await expect(dialog).to_contain_text("1 suggestion would be accepted.")
    await expect(dialog.get_by_role("list", name="These").get_by_role("listitem")).to_have_count(1)
    assert await studio.violations() == []
    assert await studio.overflow() == []
    await dialog.get_by_role("button", name="Train and Test").press("Enter")
    await expect(dialog).to_contain_text("2 suggestions would be accepted.")
    await dialog.get_by_role("button", name="Accept 2").press("Enter")
    await studio.reported("2 suggestions accepted.")
    left = {d["location"] for d in await project.documents(status="autoLabeled")}
    assert left == {"93.txt", "94.txt"}


async def test_filters(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    await project.suggested(
        {"in/a.txt": "@Refund:30", "in/b.txt": "@Praise:60", "c.txt": "@Refund:90"}, "Refund", "Praise"
    )
    studio = await open_studio()
    await studio.review(project.name)
    page = studio.page
    rows = page.get_by_role("list", name="Documents").get_by_role("link")

    await expect(rows).to_have_count(3)
    await page.get_by_text("Filters").click()
    await page.get_by_label("Category", exact=True).select_option("Praise")
    await expect(rows).to_contain_text(["b.txt"])
    await page.get_by_role("button", name="Clear filters").click()
    await page.get_by_label("Lowest confidence in percent").fill("50")
    await page.keyboard.press("Enter")
    await expect(rows).to_contain_text(["b.txt", "c.txt"])
    await page.get_by_label("Name begins with").fill("in/")
    await page.keyboard.press("Enter")
    await expect(rows).to_contain_text(["b.txt"])
    await page.reload()
    await expect(rows).to_contain_text(["b.txt"])  # the address keeps them
    await page.get_by_label("Status").select_option("Labeled")
    await expect(page.get_by_text("No documents match these filters.")).to_be_visible()
