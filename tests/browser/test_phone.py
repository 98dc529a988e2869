"""A reviewer with a phone: everything by touch, and nothing behind the commands at the lower edge."""

from playwright.async_api import Locator, expect

from shared.domain.document import document_id
from tests.browser.conftest import MakeProject, OpenStudio
from tests.support.api import ENTITIES, SINGLE

#: Whether a finger on the middle of the element and on its lower edge meets it.
FREE = """(element) => {
    const box = element.getBoundingClientRect();
    return [box.top + box.height / 2, box.bottom - 2].every((y) => {
        const met = document.elementFromPoint(box.left + box.width / 2, y);
        return met !== null && (element.contains(met) || met.contains(element));
    });
}"""


async def is_free(element: Locator) -> bool:
    return await element.evaluate(FREE)


async def test_entities_are_reviewed_by_touch(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(ENTITIES)
    lines = [f"Line {n} is about @Ada:{30 + n} and other people.\n" for n in range(60)]
    await project.suggested({"a.txt": "".join(lines)}, "Ada", "Bob")
    studio = await open_studio(width=390, height=760, touch=True)
    page = studio.page
    for name in (project.name, "Review"):
        await page.get_by_role("link", name=name, exact=True).tap()
    pointed = studio.text.locator("mark.pointed-at")
    await expect(pointed).to_be_visible()

    labels = studio.text.locator("mark.label")
    for accepted in range(20):
        await expect(labels).to_have_count(accepted)
        assert await is_free(pointed), "the suggestion that the commands decide on is in view"
        await studio.command("accept").tap()
    await expect(labels).to_have_count(20)
    await studio.command("undo").tap()
    await expect(labels).to_have_count(19)
    assert await is_free(pointed)

    # A label that was touched is changed, or removed, in a menu.
    await labels.last.tap()
    menu = page.get_by_role("group", name="Category of the label")
    remove = menu.get_by_role("button", name="Remove label")
    await expect(remove).to_be_visible()
    assert await is_free(remove)
    await menu.get_by_role("button", name="Bob").tap()
    await expect(studio.text.locator("mark.label[data-category=Bob]")).to_have_count(1)

    for mark in ("Flag", "Guidelines", "Guidelines"):
        await page.get_by_role("button", name=mark, exact=True).first.tap()
    await studio.command("save").tap()
    await studio.saved()
    document = await project.document("a.txt")
    assert document["flagged"] is True
    [region] = document["entities"]
    assert len(region["labels"]) == 19


async def test_the_next_text_begins_at_its_beginning(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    """Also when the one before was read to its end: in its pane, or with the page on a phone."""
    project = await new_project(SINGLE)
    words = "\n".join(["some more words"] * 200)
    await project.suggested({f"{n}.txt": f"@Refund:{30 + n} {n} {words}" for n in range(4)}, "Refund")
    for width in (1280, 390):
        studio = await open_studio(width=width, height=760, touch=width == 390)
        await studio.review(project.name)
        before = await studio.shown_text()
        await studio.text.evaluate("text => text.scrollIntoView({block: 'end'})")
        await studio.command("accept").tap() if width == 390 else await studio.press("accept")
        await expect(studio.text).not_to_have_text(before)
        assert await studio.text.evaluate("text => text.getBoundingClientRect().top") > 0
        await expect(studio.page.locator(".sheet h2")).to_be_in_viewport()


async def test_the_list_opens_at_the_document_that_is_shown(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    """A phone hides the list meanwhile."""
    project = await new_project(SINGLE)
    await project.upload({f"{n}.txt": f"text {n}" for n in range(100, 160)})
    await project.scan()
    studio = await open_studio(width=390, height=760, touch=True)
    documents = studio.page.get_by_role("button", name="Documents", exact=True)
    rows = studio.page.get_by_role("list", name="Documents")
    await studio.go(project.name, "label", f"?doc={document_id('140.txt')}")
    await expect(studio.text).to_have_text("text 140")
    await documents.tap()
    await expect(rows.get_by_role("link", name="140.txt")).to_be_in_viewport()
    await documents.tap()
    await expect(rows).to_have_count(0)
    for n in range(141, 150):
        await studio.command("next").tap()
        await expect(studio.text).to_have_text(f"text {n}")
    await documents.tap()
    await expect(rows.get_by_role("link", name="149.txt")).to_be_in_viewport()
