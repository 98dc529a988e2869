"""Labeling by hand: relabeling, nested labels, other keyboards, no label."""

import re

from playwright.async_api import expect

from tests.browser.conftest import MakeProject, OpenStudio
from tests.browser.studio import Studio
from tests.support.api import ENTITIES, SINGLE, Json

TEXT = "Ada Lovelace lives in Oslo."
#: How each mark is drawn: its line, its frame, and its names with their width in px and their color.
DRAWN = """root => [...root.querySelectorAll('mark')].map((mark) => {
    const style = getComputedStyle(mark);
    const tags = [mark, ...mark.querySelectorAll('.tag')].flatMap((e) => {
        const tag = getComputedStyle(e, '::after');
        const shown = e.dataset.tag && e.checkVisibility() && tag.display === 'inline-block' && tag.opacity === '1';
        const words = tag.content.split('" "').join(' ').replaceAll('"', '').replace(/ +/g, ' ');
        return shown ? [[words, parseFloat(tag.width), tag.color]] : [];
    });
    return {
        text: mark.textContent, tags, ground: style.backgroundColor, boxed: style.boxShadow !== 'none',
        line: style.textDecorationStyle, thick: parseFloat(style.textDecorationThickness),
    };
})"""


async def drawn(studio: Studio) -> list[Json]:
    return await studio.text.evaluate(DRAWN)


async def test_a_label_that_is_there_already(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(ENTITIES)
    await project.define("Person", "City")
    await project.upload({"a.txt": TEXT})
    await project.scan()
    studio = await open_studio()
    page = studio.page
    await studio.go(project.name, "label", "?prefix=a.txt")
    await expect(studio.text).to_have_text(TEXT)
    menu = page.get_by_role("group", name="Category of the selected text")

    await studio.select("Ada")
    await page.keyboard.press("1")
    await expect(menu).to_have_count(0)
    assert await page.evaluate("getSelection().isCollapsed"), "nothing is left selected"
    await studio.select("Ada")
    await page.keyboard.press("1")
    assert await studio.spans("label") == [("Person", "Ada", 0)]
    await studio.select("Ada")
    await page.keyboard.press("2")
    assert await studio.spans("label") == [("City", "Ada", 0)]
    await page.keyboard.press("1")  # a second key means the label just set
    assert await studio.spans("label") == [("Person", "Ada", 0)]
    await studio.select("Oslo")
    await page.keyboard.press("2")
    await studio.press("save")
    await studio.saved()
    [region] = (await project.document("a.txt"))["entities"]
    assert [(e["category"], e["offset"]) for e in region["labels"]] == [("Person", 0), ("City", 22)]


async def test_every_saved_change_can_be_undone(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    [suggested] = await project.suggested({"a.txt": "@Refund:60 one", "b.txt": "two"}, "Refund", "Praise")
    names = [c["category"] for c in (await project.get("/categories"))["value"]]
    praise = str(names.index("Praise") + 1)
    studio = await open_studio()
    page = studio.page
    await studio.go(project.name, "label", "?prefix=a.txt")
    await expect(studio.text).to_have_text("@Refund:60 one")

    async def state(location: str) -> dict[str, object]:
        document = await project.document(location)
        return {name: document.get(name) for name in ("status", "class", "suggestions")}

    said = page.locator(".toast", has_text="The saved change was undone.")

    async def undone(location: str = "a.txt") -> dict[str, object]:
        saved = await state(location)
        await studio.press("save")
        await studio.saved()
        assert await state(location) != saved
        async with page.expect_response(lambda answer: ":undo" in answer.url and answer.ok):
            await studio.press("undo")
        # Until the page says so, keys decide nothing.
        await expect(said).to_be_visible()
        await said.evaluate_all("all => all.forEach(toast => toast.querySelector('button').click())")
        await expect(said).to_have_count(0)
        await studio.saved()
        return await state(location)

    before = {"status": "autoLabeled", "class": None, "suggestions": suggested["suggestions"]}
    await page.keyboard.press(praise)  # relabeled: rejected, and another class set
    assert await undone() == before
    await page.keyboard.press("x")
    assert await undone() == before
    await studio.press("reject")
    assert await undone() == before
    await studio.press("accept")
    await studio.press("save")
    await studio.saved()
    await page.get_by_role("button", name="Clear labels").click()
    assert (await undone())["class"] == {"category": "Refund"}
    await studio.go(project.name, "label", "?prefix=b.txt")
    await expect(studio.text).to_have_text("two")
    await page.keyboard.press(praise)  # set by hand where nothing was suggested
    assert await undone("b.txt") == {"status": "unlabeled", "class": None, "suggestions": []}


async def test_a_saved_change_can_be_undone_after_a_reload_and_by_another_person(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    [suggested] = await project.suggested({"a.txt": "@Refund:60 one"}, "Refund")
    studio = await open_studio()
    page = studio.page

    async def accepted() -> None:
        await studio.go(project.name, "label", "?prefix=a.txt")
        await expect(studio.text).to_have_text("@Refund:60 one")
        await studio.press("accept")
        await studio.press("save")
        await studio.saved()

    async def as_before() -> bool:
        document = await project.document("a.txt")
        return document["suggestions"] == suggested["suggestions"] and document.get("class") is None

    await accepted()
    await page.reload()
    await expect(studio.text).to_have_text("@Refund:60 one")
    await expect(studio.command("undo")).to_be_enabled()
    await studio.press("undo")
    await studio.reported("The saved change was undone.")
    assert await as_before()

    await accepted()
    other = await open_studio("reviewer")
    await other.go(project.name, "label", "?prefix=a.txt")
    await expect(other.text).to_have_text("@Refund:60 one")
    await other.page.get_by_text("History", exact=True).click()
    undo = other.page.get_by_role("button", name="Undo this change")
    await expect(undo).to_have_count(1)
    await undo.press("Enter")
    await other.reported("The saved change was undone.")
    await expect(undo).to_have_count(0)
    assert await as_before()
    async with page.expect_response(lambda answer: answer.status == 409):
        await studio.press("undo")  # there is nothing left to undo
    assert await as_before()


async def test_nested_and_adjacent_labels_are_each_named(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    """In the text, as it is drawn in both colors; suggestions beside them by how far they are to be doubted."""
    project = await new_project(ENTITIES)
    long = "A_name_with_fifty_characters".ljust(50, "x")
    text = f"{TEXT} @Verb:90 @Verb:70 @{long}:30"
    await project.suggested({"a.txt": text}, "Verb", long)
    spans = [("First", 0, 3), ("Person", 0, 12), ("Last", 4, 8), ("Also", 4, 8), ("Verb", 13, 5)]
    entities = [{"category": c, "offset": o, "length": n} for c, o, n in spans]
    body = {"entities": [{"regionOffset": 0, "regionLength": 27, "labels": entities}]}
    await project.put_labels("a.txt", body)
    studio = await open_studio()
    await studio.go(project.name, "label")
    await expect(studio.text).to_have_text(text)
    await expect(studio.text.locator("mark.suggestion")).to_have_count(3)

    for scheme in ("light", "dark"):
        await studio.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        marks = await drawn(studio)
        named = sorted(name for mark in marks for name, *_ in mark["tags"])
        cut = f"{long[:23]}… 30%"  # of a long name, the percentage is never cut off
        assert named == [cut, "Also", "First", "Last", "Person", "Verb", "Verb 70%", "Verb 90%"]
        for name, wide, color in (tag for mark in marks for tag in mark["tags"]):
            assert 20 < wide < 210, name
            assert color not in {mark["ground"] for mark in marks}, name
        boxed = [mark["text"] for mark in marks if mark["boxed"]]
        assert boxed == ["Ada", "Lovelace"], "those that others cover have a frame"
        lines = {mark["text"]: (mark["line"], mark["thick"]) for mark in marks}
        assert {line for name, (line, _) in lines.items() if "@" not in name} == {"solid"}
        low, medium, high = (lines[f"@{name}"] for name in ("Verb:90", "Verb:70", f"{long}:30"))
        assert {low[0], medium[0], high[0]} == {"dotted"}
        assert high[1] > medium[1] + 0.5 > low[1] + 1


async def test_keyboards_that_are_not_latin(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60 one", "b.txt": "@Refund:70 two"}, "Refund")
    studio = await open_studio()
    await studio.review(project.name)

    await press(studio, "ф", "KeyA")
    await expect(studio.text).to_have_text("@Refund:70 two")
    await expect(studio.command("accept").locator("kbd")).to_have_text("ф")  # what is in force is shown
    assert await studio.command("accept").get_attribute("aria-keyshortcuts") == "a"
    await press(studio, "г", "KeyU")  # noqa: RUF001  # the Cyrillic letter
    await expect(studio.text).to_have_text("@Refund:60 one")


async def press(studio: Studio, key: str, code: str) -> None:
    await studio.page.evaluate(
        "([key, code]) => document.dispatchEvent(new KeyboardEvent('keydown', {key, code, bubbles: true}))",
        [key, code],
    )


async def test_unreadable_file_cannot_be_labeled(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    await project.define("Refund")
    await project.upload({"broken.txt": b"\xff\xfe\x00\xd8broken"})
    await project.scan()
    studio = await open_studio()
    page = studio.page
    await studio.go(project.name, "label", "?status=rejected")

    await expect(page.get_by_text("Unreadable file, which cannot be labeled")).to_be_visible()
    for name in ("Refund", "No label applies"):
        await expect(page.get_by_role("button", name=name)).to_be_disabled()
    await expect(page.get_by_label("Test", exact=True)).to_be_disabled()
    for key in ("1", "x", "a", "e"):
        await page.keyboard.press(key)
    await studio.reported("This file is not a text document")
    await studio.saved()
    assert await studio.violations() == []


async def test_nothing_to_accept(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    await project.upload({"a.txt": "one"})
    await project.define("Refund")
    studio = await open_studio()
    page = studio.page
    await studio.go(project.name, "label")

    await expect(studio.text).to_have_text("one")
    for command in ("accept", "reject", "accept all", "undo"):
        await expect(studio.command(command)).to_be_disabled()
    await page.keyboard.press("e")
    await studio.reported("This document has no suggestions.")
    await expect(studio.text).to_have_text("one")
    await page.keyboard.press("n")
    await expect(studio.text).to_have_text("This one is Refund.")
    await page.keyboard.press("e")  # it is decided: nothing but the next document is left to go to
    await studio.reported("That was the last document of this list.")
    await expect(page.get_by_text(re.compile("about [0-9]"))).to_have_count(0)


async def test_uncertain_suggestions_come_first(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(ENTITIES)
    texts = {
        "a.txt": "@Ada:90 met @Bob:30 and @Cid:55",
        "b.txt": "@Ada:80 alone",
        "c.txt": "@Bob:95 or @Cid:50",
    }
    await project.suggested(texts, "Ada", "Bob", "Cid")
    studio = await open_studio()
    page = studio.page
    await studio.review(project.name)
    pointed = page.locator(".pointed")

    await expect(pointed).to_contain_text("Bob")  # where the doubt is, not where the text begins
    await page.keyboard.press("d")
    await expect(pointed).to_contain_text("Cid")
    await page.keyboard.press("d")
    await expect(studio.text).to_have_text(texts["c.txt"])  # the certain document between is left out
    await expect(pointed).to_contain_text("Cid")
    certain, doubtful = await drawn(studio)
    assert doubtful["thick"] > certain["thick"] + 1
    assert [name for name, *_ in certain["tags"] + doubtful["tags"]] == ["Bob 95%", "Cid 50%"]
    await expect(pointed).to_contain_text("50%")
    await page.get_by_role("button", name="Show percentages").click()
    await expect(pointed.locator(".share")).to_be_hidden()
    assert [name for mark in await drawn(studio) for name, *_ in mark["tags"]] == ["Bob", "Cid"]
    assert await studio.at_all_sizes("doubt without percentages") == {}


async def test_list_rows_show_the_first_words(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60 I paid\n twice", "b.txt": "@Refund:90 بعد الدفع"}, "Refund")
    studio = await open_studio(width=320, height=700)
    await studio.review(project.name)
    await studio.page.get_by_role("button", name="Documents", exact=True).click()
    rows = studio.page.get_by_role("list", name="Documents").get_by_role("link")
    await expect(rows.nth(0)).to_contain_text("@Refund:60 I paid twice")
    await expect(rows.nth(1)).to_contain_text("بعد الدفع")
    assert await studio.overflow() == []


async def test_the_count_of_a_filtered_list_is_exact(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    """As many as a bulk decision with the same filters would decide on, although only the first page was read."""
    project = await new_project(SINGLE)
    texts = {f"{n:03}.txt": f"@{('Refund', 'Login')[n % 2]}:{n % 100}" for n in range(300)}
    await project.suggested(texts, "Refund", "Login")
    studio = await open_studio()
    await studio.go(project.name, "review", "?category=Refund&min=0.2&order=location")
    await expect(studio.page.get_by_text("120 documents", exact=True)).to_be_visible()
    await studio.page.get_by_role("button", name="Bulk accept or reject").click()
    await expect(studio.page.get_by_text("120 suggestions would be accepted.")).to_be_visible()


async def test_list_rows_name_the_category(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60 one", "b.txt": "@Praise:70 two"}, "Refund", "Praise")
    studio = await open_studio()
    await studio.review(project.name)
    rows = studio.page.get_by_role("list", name="Documents").get_by_role("link")

    await expect(rows.nth(0)).to_contain_text("Refund")
    await expect(rows.nth(1)).to_contain_text("Praise")
    digit = await studio.page.get_by_role("button", name=re.compile("^Praise$")).get_attribute(
        "aria-keyshortcuts"
    )
    assert digit
    await studio.page.keyboard.press(digit)
    await expect(rows.nth(0)).to_contain_text("Praise")  # the label, once it is decided
    await expect(rows.nth(0)).to_contain_text("not saved")

    await studio.page.keyboard.press("s")
    await expect(rows.nth(0)).not_to_contain_text("not saved")
    other = await studio.page.get_by_role("button", name=re.compile("^Refund$")).get_attribute(
        "aria-keyshortcuts"
    )
    assert other
    await rows.nth(0).click()
    await studio.page.keyboard.press(other)
    await expect(rows.nth(0)).to_contain_text("not saved")
    await studio.page.keyboard.press(digit)  # as it is saved
    await expect(rows.nth(0)).to_contain_text("Praise")
    await expect(rows.nth(0)).not_to_contain_text("not saved")
