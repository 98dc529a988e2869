"""Searches of the texts, and one entity decided in all documents, by keys alone."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import MakeProject, OpenStudio
from tests.support.api import ENTITIES, SINGLE


@pytest.mark.parametrize("width", [390, 1280])
async def test_the_list_is_searched_and_says_how_much(
    width: int, open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    texts = {f"{n}.txt": f"@Refund:{50 + n} a letter about an invoice, number {n}" for n in range(6)}
    texts["3.txt"] = "@Refund:53 " + "many words before it " * 5 + "and then the\nLost   Parcel, بعد الدفع"
    await project.suggested(texts, "Refund")
    studio = await open_studio(width=width)
    page = studio.page
    await studio.review(project.name)
    toggle = page.get_by_role("button", name="Documents", exact=True)
    if await toggle.is_visible():
        await toggle.click()
    await page.get_by_label("Search the texts").focus()
    await page.keyboard.type("lost parcel")
    await page.keyboard.press("Enter")

    await expect(page.get_by_text("1 found. Searched 6 of 6 documents.")).to_be_visible()
    rows = page.get_by_role("list", name="Documents").get_by_role("link")
    await expect(rows).to_have_count(1)
    await expect(rows.locator("mark")).to_have_text("Lost   Parcel")
    await expect(studio.text).to_contain_text("many words before it")
    assert "search=lost+parcel" in page.url

    await studio.press("accept")
    await expect(rows.locator("mark")).to_have_text("Lost   Parcel")  # the row keeps what was found
    await page.get_by_label("Search the texts").focus()
    await page.keyboard.press("ControlOrMeta+a")
    await page.keyboard.press("Delete")
    await page.keyboard.press("Enter")
    await expect(rows).to_have_count(6)


#: Whether the match that is pointed at has this text and is in view.
POINTED = """(text) => {
  const [range] = CSS.highlights.get("found-now") ?? [];
  if (range?.toString() !== text) return false;
  const box = range.getBoundingClientRect();
  const pane = document.querySelector(".text-pane").getBoundingClientRect();
  const [top, bottom] = [Math.max(0, pane.top), Math.min(innerHeight, pane.bottom)];
  return box.height > 0 && box.top >= top - 1 && box.bottom <= bottom + 1;
}"""


@pytest.mark.parametrize(("width", "scheme", "kind"), [(1280, "light", ENTITIES), (390, "dark", SINGLE)])
async def test_a_document_that_was_found_opens_at_the_match(
    width: int, scheme: str, kind: str, open_studio: OpenStudio, new_project: MakeProject
) -> None:
    """Far below the suggestion that is pointed at; all matches are highlighted, also one that a suggestion cuts."""
    project = await new_project(kind)
    lines = "\n".join(f"Line {n} of a long letter." for n in range(300))
    text = f"@Refund:60 first.\n{lines}\nThe Lost \n Parcel\n{lines}\nlost parcel of @Refund:61"
    await project.suggested({"a.txt": text, "b.txt": "@Refund:70 another"}, "Refund")
    studio = await open_studio(width=width, scheme=scheme)
    page = studio.page
    await studio.go(project.name, "review", "?search=lost+parcel")
    await expect(page.get_by_text("Match 1 of 2")).to_be_visible()
    await page.wait_for_function(POINTED, arg="Lost \n Parcel")
    assert await page.evaluate("CSS.highlights.get('found').size") == 2
    assert await studio.violations() == []
    assert await studio.overflow() == []
    await page.get_by_role("button", name="Go to the next match").press("Enter")
    await expect(page.get_by_text("Match 2 of 2")).to_be_visible()
    await page.wait_for_function(POINTED, arg="lost parcel")
    await page.get_by_role("button", name="Go to the next match").press("Enter")
    await expect(page.get_by_text("Match 1 of 2")).to_be_visible()
    assert await studio.shown_text() == text
    await studio.go(project.name, "review")
    await expect(page.get_by_text("Match 1 of 2")).to_have_count(0)
    assert await page.evaluate("CSS.highlights.has('found')") is False


async def test_a_search_that_finds_nothing_pauses_until_it_is_continued(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60 needle"}, "Refund")
    studio = await open_studio()
    page = studio.page
    document = await project.document("a.txt")
    match = {"document": document, "matches": 1, "offset": 11, "length": 6,
             "context": {"text": "@Refund:60 needle", "offset": 11, "length": 6}}  # fmt: skip
    asked: list[str | None] = []

    async def answer(route):
        token = route.request.post_data_json.get("continuationToken")
        asked.append(token)
        searched = 1_500 if token is None else 1_800
        more = {"continuationToken": "next"} if token is None else {}
        value = [] if token is None else [match]
        await route.fulfill(json={"value": value, "searched": searched, "unread": 2, "total": 1_800, **more})

    await page.route("**/documents/:search*", answer)
    await studio.go(project.name, "review", "?search=needle")
    state = page.get_by_text("0 found. Searched 1,500 of 1,800 documents, 2 without a readable text.")
    await expect(state).to_be_visible()
    assert asked == [None]
    await page.get_by_role("button", name="Continue searching").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("1 found. Searched 1,800 of 1,800 documents")).to_be_visible()
    await expect(page.get_by_role("button", name="Continue searching")).to_have_count(0)
    await expect(studio.text).to_contain_text("needle")


@pytest.mark.parametrize(("verb", "width"), [("Accept", 1280), ("Reject", 320)])
async def test_one_entity_is_decided_in_all_documents_and_undone_as_one(
    verb: str, width: int, open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(ENTITIES)
    texts = {f"{n:02}.txt": f"From @City:60 to @Home:{70 + n}, number {n}" for n in range(11)}
    await project.suggested(texts, "City", "Home")
    studio = await open_studio(width=width)
    page = studio.page
    await studio.go(project.name, "review", "?order=location")
    await expect(studio.text).to_be_visible()
    await page.keyboard.press("i")

    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Only entities with exactly this text")).to_have_value("@City:60")
    await expect(dialog.get_by_label("Category")).to_have_value("City")
    if verb == "Reject":
        await dialog.get_by_role("radio", name="Accept").focus()
        await page.keyboard.press("ArrowRight")
    await expect(dialog).to_contain_text(f"11 suggestions would be {verb.lower()}ed.")
    shown = dialog.get_by_role("list", name="10 of them").get_by_role("listitem")
    await expect(shown).to_have_count(10)
    await expect(shown.first).to_contain_text("@City:60")
    await dialog.get_by_role("button", name=f"{verb} 11").focus()
    await page.keyboard.press("Enter")
    await studio.reported(f"11 suggestions {verb.lower()}ed.")
    left = [s["category"] for d in await project.documents(status="autoLabeled") for s in d["suggestions"]]
    assert left == ["Home"] * 11
    await page.get_by_role("button", name="Undo all").click()
    await studio.reported("The bulk decision was undone.")
    left = [s["category"] for d in await project.documents(status="autoLabeled") for s in d["suggestions"]]
    assert sorted(left) == ["City"] * 11 + ["Home"] * 11
