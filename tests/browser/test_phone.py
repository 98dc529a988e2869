"""A reviewer with a phone: everything works by touch, and nothing is hidden behind the commands at the bottom."""

from itertools import pairwise

from playwright.async_api import Locator, expect

from shared.domain.document import document_id
from tests.browser.conftest import MakeProject, OpenStudio
from tests.browser.seeds import labels_of
from tests.browser.studio import Studio
from tests.support.api import ENTITIES, SINGLE, Project

#: Whether a finger on the middle of the element and on its lower edge meets it.
FREE = """(element) => {
    const box = element.getBoundingClientRect();
    return [box.top + box.height / 2, box.bottom - 2].every((y) => {
        const met = document.elementFromPoint(box.left + box.width / 2, y);
        return met !== null && (element.contains(met) || met.contains(element));
    });
}"""

#: Whether each of the words stands to the right of the next one, as they are in a text from right to left.
PLACES = """(root, words) => {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    const left = [];
    let from = null;
    for (const word of words)
        for (let node = from?.node ?? walker.nextNode(); node; node = walker.nextNode()) {
            const at = node.data.indexOf(word, from?.node === node ? from.end : 0);
            if (at < 0) continue;
            const range = document.createRange();
            range.setStart(node, at);
            range.setEnd(node, at + word.length);
            left.push(range.getBoundingClientRect().left);
            from = { node, end: at + word.length };
            break;
        }
    return left.slice(1).map((place, n) => left[n] > place);
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

    # In a long list every row has one height: a name with wide characters is cut, and stays in its row.
    names = {"value": [{"category": "W" * 20, "previousCategory": "Ada"}, {"category": "Bob"}]}
    (await project.http.put(f"{project.path}/categories", json=names)).raise_for_status()
    await page.set_viewport_size({"width": 320, "height": 760})
    await page.reload()
    rows = page.get_by_role("list", name="Suggestions").locator(".suggestion-main")
    await expect(rows.first).to_contain_text("WWW")
    spots = await rows.evaluate_all(
        "all => all.map((row) => row.getBoundingClientRect()).map(({top, bottom}) => [top, bottom])"
    )
    assert len(spots) > 1
    assert all(bottom <= top for (_, bottom), (top, _) in pairwise(spots)), spots
    # The name that the commands decide on takes several lines above them.
    await rows.nth(5).evaluate("row => row.scrollIntoView({block: 'end'})")
    assert await is_free(rows.nth(5))


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


#: Names that differ at their ends alone, as a phone without tooltips shows them.
NAMES = [f"تصنيف رسائل الزبائن التي وصلت إلى القسم رقم {n}" for n in range(200)]
WORDS = "هذه رسالة طويلة عن الفاتورة. "


async def crowded(open_studio: OpenStudio, new_project: MakeProject) -> tuple[Studio, Project]:
    """200 categories; two texts from right to left. Their suggestion is far from the beginning, and yet in view."""
    project = await new_project(ENTITIES)
    names = {"value": [{"category": name} for name in ("شحن", *NAMES[1:])]}
    (await project.http.put(f"{project.path}/categories", json=names)).raise_for_status()
    texts = {f"رسائل/{n}.txt": f"{WORDS * 30}@شحن:{50 + n} نهاية {n}" for n in range(2)}
    await project.upload(texts | {"~.txt": "word word"})
    await project.scan()
    await project.put_labels("~.txt", labels_of(ENTITIES, "شحن"))
    await project.autolabel()
    studio = await open_studio(width=390, height=760, touch=True)
    await studio.review(project.name)
    await expect(studio.text.locator("mark.pointed-at")).to_be_in_viewport()
    return studio, project


async def test_a_list_from_right_to_left_stays_in_view_until_it_is_closed(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    studio, _ = await crowded(open_studio, new_project)
    page = studio.page

    # Searched and filtered, it stays; when it is closed, the match is in view.
    toggle = page.get_by_role("button", name="Documents", exact=True)
    search = page.get_by_label("Search the texts")
    await page.evaluate("scrollTo(0, 0)")
    await toggle.tap()
    await search.fill("نهاية 1")
    await search.press("Enter")
    await expect(studio.text).to_contain_text("نهاية 1")
    await expect(page.get_by_text("Match 1 of 1")).to_be_attached()
    await page.get_by_label("Status").select_option("All")
    await expect(page.get_by_text("1 found.")).to_be_visible()
    await page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    await expect(search).to_be_in_viewport()
    assert await search.evaluate("e => getComputedStyle(e).direction") == "rtl"
    row = page.get_by_role("list", name="Documents").get_by_role("link").first
    assert await row.evaluate(PLACES, ["رسائل", "1"]) == [True]
    await toggle.tap()
    await expect(studio.text.locator("mark.pointed-at")).to_be_in_viewport()


async def test_notes_and_200_names_from_right_to_left(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    """Each line in its own direction; the whole of a name where it is chosen."""
    studio, project = await crowded(open_studio, new_project)
    page = studio.page

    await page.get_by_role("button", name="Note", exact=True).tap()
    await page.get_by_label("For everyone who reviews this document").fill("راجع القسم.\nBefore Friday.")
    await page.get_by_role("button", name="Keep note").tap()
    note = page.get_by_role("region", name="Note", exact=True)
    assert await note.evaluate(PLACES, ["راجع", "القسم"]) == [True]
    assert await note.evaluate(PLACES, ["Before", "Friday", "."]) == [False, False]

    await page.get_by_role("button", name="All 200 categories…").tap()
    options = page.get_by_role("dialog").get_by_role("option")
    await expect(options).to_have_count(200)
    cut = await options.locator("bdi").evaluate_all(
        "all => all.filter((e) => e.scrollWidth > e.clientWidth).length"
    )
    assert cut == 0
    assert await studio.overflow() == []
    await page.get_by_label("Find a category").fill("رقم 187")
    await options.first.tap()
    await studio.command("save").tap()
    await studio.saved()
    [region] = (await project.document("رسائل/0.txt"))["entities"]
    assert [label["category"] for label in region["labels"]] == [NAMES[187]]
    await studio.command("previous").tap()
    await expect(studio.text).to_contain_text("نهاية 0")
    await page.get_by_text("History", exact=True).tap()
    await expect(page.get_by_role("button", name="Undo this change")).to_be_visible()
    assert await studio.overflow() == []
