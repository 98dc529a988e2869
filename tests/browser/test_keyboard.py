"""A reviewer's day by keyboard alone, checked through the API."""

from playwright.async_api import expect

from tests.browser.conftest import MakeProject, OpenStudio
from tests.support.api import ENTITIES, MULTI, SINGLE


async def test_whole_project_by_keyboard(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    texts = {f"letters/{n}.txt": f"@Refund:{40 + n} letter {n}" for n in range(6)}
    await project.suggested(texts, "Refund", "Praise")
    studio = await open_studio()
    for name in (project.name, "Review"):
        await studio.page.get_by_role("link", name=name, exact=True).press("Enter")
    await expect(studio.text).to_be_visible()

    seen: list[str] = []
    for n in range(6):
        await expect(studio.text).to_contain_text(f"letter {n}")  # least certain first
        seen.append(await studio.shown_text())
        await studio.press("accept" if n % 2 == 0 else "reject")
    assert sorted(seen) == sorted(texts.values())
    await studio.unsaved(6)
    assert len(await project.documents(status="autoLabeled")) == 6, "decisions are local until saved"

    await studio.press("save")
    await studio.saved()
    await studio.reported("Saved the labels of 6 documents")
    documents = {d["location"]: d for d in await project.documents()}
    for n in range(6):
        document = documents[f"letters/{n}.txt"]
        expected = ("labeled", {"category": "Refund"}) if n % 2 == 0 else ("unlabeled", None)
        assert (document["status"], document.get("class")) == expected
    history = await project.get(f"/documents/{documents['letters/0.txt']['id']}/history")
    assert history["value"][0]["by"] == "labelbridge-local"


async def test_moving_goes_through_suggestions_and_documents(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(ENTITIES)
    await project.suggested({"a.txt": "@Ada:30 and @Bob:90", "b.txt": "@Cid:50 alone"}, "Ada", "Bob", "Cid")
    studio = await open_studio()
    await studio.review(project.name)
    pointed = studio.page.locator(".pointed")

    for category in ("Ada", "Bob", "Cid"):
        await expect(pointed).to_contain_text(category)
        await studio.press("next")
    await studio.reported("That was the last document of this list.")
    for category in ("Bob", "Ada"):
        await studio.press("previous")
        await expect(pointed).to_contain_text(category)


async def test_accept_all_undo_and_undo_after_saving(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(MULTI)
    await project.suggested({"a.txt": "@Refund:60 @Praise:50", "b.txt": "@Refund:90"}, "Refund", "Praise")
    studio = await open_studio()
    await studio.review(project.name)

    doubt = await studio.page.locator(".chip.suggestion").evaluate_all(
        "chips => chips.map((chip) => [chip.innerText.trim(), getComputedStyle(chip).borderTopWidth])"
    )
    assert [(name.split()[0], line) for name, line in doubt] == [("Refund", "2px"), ("Praise", "3px")]
    await studio.press("accept all")
    await expect(studio.text).to_have_text("@Refund:90")
    await expect(studio.page.locator(".chip.suggestion")).to_have_css("border-top-width", "1px")
    await studio.unsaved(1)
    await studio.press("undo")
    await expect(studio.text).to_have_text("@Refund:60 @Praise:50")
    await studio.saved()

    await studio.press("accept all")
    await studio.press("save")
    await studio.reported("Saved the labels of 1 document")
    assert (await project.document("a.txt"))["status"] == "labeled"
    await studio.press("undo")
    await studio.reported("The saved change was undone.")
    document = await project.document("a.txt")
    assert document["status"] == "autoLabeled"
    assert "classes" not in document


async def test_undo_goes_back_save_by_save(open_studio: OpenStudio, new_project: MakeProject) -> None:
    """Also beyond what the server keeps of a document, and not to another document."""
    project = await new_project(MULTI)
    await project.suggested({"a.txt": "@Refund:60 @Praise:50", "b.txt": "@Refund:90"}, "Refund", "Praise")
    studio = await open_studio()
    await studio.review(project.name)
    await studio.page.get_by_role("link", name="b.txt").click()
    await expect(studio.text).to_have_text("@Refund:90")
    await studio.press("accept")
    await studio.press("save")
    await studio.saved()
    await studio.page.get_by_role("link", name="a.txt").click()
    await expect(studio.text).to_have_text("@Refund:60 @Praise:50")
    for _ in range(2):
        await studio.press("accept")
        await studio.press("save")
        await studio.saved()

    left: list[int] = []
    for call in (
        "POST",
        "PUT",
    ):  # the server keeps one decision of a document: the page sets the labels before it
        async with studio.page.expect_response(
            lambda response, call=call: response.request.method == call and response.ok
        ):
            await studio.press("undo")
        left.append(len((await project.document("a.txt")).get("classes") or []))
    assert left == [1, 0]
    assert (await project.document("b.txt"))["status"] == "labeled"
    await expect(studio.text).to_have_text("@Refund:60 @Praise:50")


async def test_the_next_uncertain_suggestion_is_found_beyond_the_rows_that_were_read(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    shares = [90] * 119 + [30]
    await project.suggested({f"{n:03d}.txt": f"@Refund:{share}" for n, share in enumerate(shares)}, "Refund")
    studio = await open_studio()
    await studio.go(project.name, "review", "?order=location")
    await expect(studio.text).to_have_text("@Refund:90")
    await studio.page.keyboard.press("d")
    await expect(studio.text).to_have_text("@Refund:30")
    await studio.page.keyboard.press("d")
    await studio.reported("No uncertain suggestion follows in this list.")


async def test_number_keys_relabel(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(ENTITIES)
    [suggested] = await project.suggested({"a.txt": "@Ada:30 went home"}, "Ada", "Bob")
    studio = await open_studio()
    await studio.review(project.name)
    names = [c["category"] for c in (await project.get("/categories"))["value"]]

    await studio.page.keyboard.press(str(names.index("Bob") + 1))
    await expect(studio.text.locator("mark.label")).to_have_attribute("data-category", "Bob")
    await studio.press("save")
    await studio.saved()
    document = await project.document("a.txt")
    [region] = document["entities"]
    assert region["labels"] == [{"category": "Bob", "offset": 0, "length": 7}]
    assert document["suggestions"] == []
    again = await project.autolabel(documents=[suggested["id"]])
    assert again["result"]["outcomes"]["suggested"] == 0, "what was relabeled counts as rejected"


async def test_help(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60"}, "Refund")
    studio = await open_studio()
    await studio.review(project.name)

    await studio.page.keyboard.press("?")
    help_ = studio.page.get_by_role("dialog")
    keys = await help_.locator("kbd").all_inner_texts()
    assert keys.count("?") == 1
    assert len(keys) == len(set(keys))
    for name in ("Accept", "Reject", "Accept all and next", "Undo", "Save labels", "Next suggestion"):
        await expect(help_.get_by_text(name, exact=True)).to_be_visible()
    await studio.page.keyboard.press("a")
    await studio.page.keyboard.press("Escape")
    await expect(help_).to_have_count(0)
    await studio.saved()  # keys do nothing behind a dialog


async def test_keys_are_letters_where_someone_types(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60"}, "Refund")
    studio = await open_studio()
    await studio.review(project.name)

    field = studio.page.get_by_role("textbox", name="New category")
    await field.press_sequentially("area?")
    await expect(field).to_have_value("area?")
    await studio.saved()
    await expect(studio.page.get_by_role("dialog")).to_have_count(0)


async def test_unsaved_work_survives_a_reload(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60 one", "b.txt": "@Refund:70 two"}, "Refund")
    studio = await open_studio()
    await studio.review(project.name)
    await studio.press("accept")
    await studio.unsaved(1)

    await studio.page.reload()
    await studio.unsaved(1)
    stored = await studio.page.evaluate("JSON.stringify(localStorage)")
    assert "@Refund" not in stored, "no text of a document is kept in the browser"
    await studio.press("save")
    await studio.saved()
    assert (await project.document("a.txt"))["class"] == {"category": "Refund"}


async def test_autosave(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60 one"}, "Refund")
    studio = await open_studio()
    await studio.review(project.name)

    await studio.page.get_by_label("Autosave").check()
    await studio.press("accept")
    await studio.unsaved(1)
    await studio.saved()
    assert (await project.document("a.txt"))["status"] == "labeled"
