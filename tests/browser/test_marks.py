"""Flags and notes: set by a key, shown wherever the document is, kept with it, and no reason for a conflict."""

from playwright.async_api import expect

from shared.domain.document import document_id
from tests.browser.conftest import MakeProject, OpenStudio
from tests.support.api import ENTITIES, SINGLE, Project


async def mark(project: Project, location: str, **body: object) -> None:
    url = f"{project.path}/documents/{document_id(location)}"
    answer = await project.http.patch(url, json=body, headers={"If-Match": "*"})
    assert answer.status_code == 200, answer.text


async def test_flag_and_note_by_keys_are_kept_and_found_again(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(ENTITIES)
    await project.suggested({f"{n}.txt": f"@Refund:{n} text" for n in (50, 60, 70)}, "Refund")
    studio = await open_studio()
    page = studio.page
    await studio.review(project.name)
    flag = page.get_by_role("button", name="Flag", exact=True)
    await page.keyboard.press("f")
    await expect(flag).to_have_attribute("aria-pressed", "true")
    await page.keyboard.press("u")
    await expect(flag).to_have_attribute("aria-pressed", "false")
    await page.keyboard.press("f")
    await page.keyboard.press("m")
    await page.get_by_label("For everyone who reviews this document").fill("Ask legal.\nBefore Friday.")
    await page.keyboard.press("Control+Enter")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("region", name="Note", exact=True)).to_contain_text("Ask legal.")
    await expect(page.get_by_role("link", name="50.txt")).to_contain_text("flagged")
    await page.reload()  # nothing was saved yet, and nothing is lost
    await expect(page.get_by_role("region", name="Note", exact=True)).to_contain_text("Before Friday.")
    await studio.press("accept")
    await studio.press("save")
    await studio.saved()
    document = await project.document("50.txt")
    assert (document["flagged"], document["note"]) == (True, "Ask legal.\nBefore Friday.")
    assert document["status"] == "labeled"

    await page.get_by_label("Status").select_option(label="Flagged")
    await expect(page.get_by_text("1 document", exact=True)).to_be_visible()
    await expect(page.get_by_role("link", name="50.txt")).to_contain_text("with a note")
    await expect(studio.text).to_contain_text("@Refund:50")
    await page.get_by_label("Search the texts").fill("text")  # in all three; one of them is flagged
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("link", name="50.txt")).to_be_visible()
    await expect(page.get_by_role("link", name="60.txt")).to_have_count(0)
    await page.get_by_text("History", exact=True).click()
    await expect(page.get_by_role("listitem").filter(has_text="document changed")).to_contain_text("Flagged")
    await page.get_by_role("button", name="Bulk accept or reject").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Only flagged documents.")


async def test_marks_of_someone_else_are_no_conflict(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60 one", "b.txt": "@Refund:70 two"}, "Refund")
    studio = await open_studio()
    page = studio.page
    await studio.review(project.name)
    await studio.press("accept")
    await mark(project, "a.txt", flagged=True, note="From the lead.")
    await studio.press("save")
    await studio.saved()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    document = await project.document("a.txt")
    assert (document["class"], document["note"]) == ({"category": "Refund"}, "From the lead.")

    await page.keyboard.press("m")  # two notes are one: a person chooses
    await page.get_by_label("For everyone who reviews this document").fill("Mine.")
    await page.get_by_role("button", name="Keep note").click()
    await mark(project, "b.txt", note="Theirs.")
    await studio.press("save")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("region", name="Saved version", exact=True)).to_contain_text("Theirs.")
    await expect(dialog.get_by_role("region", name="Your version", exact=True)).to_contain_text("Mine.")
    await page.get_by_role("button", name="Keep my version").click()
    await studio.saved()
    assert (await project.document("b.txt"))["note"] == "Mine."


async def test_a_file_that_cannot_be_labeled_can_be_flagged(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    await project.upload({"a.txt": b"%PDF-1.7 \x00"})
    await project.scan()
    studio = await open_studio()
    page = studio.page
    await studio.go(project.name, "label")
    await expect(page.get_by_text("Unreadable file, which cannot be labeled")).to_be_visible()
    await page.keyboard.press("f")
    await studio.press("save")
    await studio.saved()
    assert (await project.document("a.txt"))["flagged"]
