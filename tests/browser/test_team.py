"""The view of a lead: progress by person and day, assignments."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import MakeProject, OpenStudio
from tests.support.api import SINGLE, accept


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
async def test_a_lead_sees_who_did_what(
    width: int, scheme: str, open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60", "b.txt": "@Refund:70"}, "Refund")
    [first, _] = await project.documents(status="autoLabeled")
    await project.review([accept(first)])
    studio = await open_studio("reviewer", width=width, scheme=scheme)
    page = studio.page
    await studio.review(project.name)
    await studio.press("accept")
    await studio.press("save")
    await studio.saved()
    assert [d["status"] for d in await project.documents()] == ["labeled"] * 3
    await studio.open(project.name, "Team")

    people = page.get_by_role("region", name="Progress by person").get_by_role("row")
    await expect(people).to_have_count(3)
    mine = page.get_by_role("region", name="Progress by person").get_by_role("row", name="reviewer")
    assert [(await cell.inner_text()).strip() for cell in await mine.get_by_role("cell").all()] == [
        "1", "1", "0", "0", "0", "0",
    ]  # fmt: skip
    await expect(page.get_by_role("region", name="Progress by day").get_by_role("row")).to_have_count(3)
    assert await studio.violations() == []
    assert await studio.overflow() == []
    await page.get_by_label("Period").focus()
    await page.keyboard.press("ArrowUp")
    await expect(page.get_by_label("Period")).to_have_value("7")
    await expect(people).to_have_count(3)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
async def test_a_lead_assigns_documents_and_a_reviewer_goes_through_them(
    width: int, scheme: str, open_studio: OpenStudio, new_project: MakeProject
) -> None:
    """With the keyboard alone: the form is filled in and sent by keys."""
    project = await new_project(SINGLE)
    await project.suggested({f"{n}.txt": f"@Refund:6{n}" for n in range(4)}, "Refund")
    lead = await open_studio(width=width, scheme=scheme)
    page = lead.page
    await lead.open(project.name, "Team")
    await page.get_by_label("How many").focus()
    await page.keyboard.press("Control+a")
    await page.keyboard.type("2")
    await page.get_by_label("To", exact=True).focus()
    await page.keyboard.type("reviewer")
    await page.keyboard.press("Enter")
    await lead.reported("Assigned 2 documents to reviewer.")
    people = page.get_by_role("region", name="Assignments by person")
    row = people.get_by_role("row", name="reviewer")
    await expect(row.get_by_role("cell").first).to_have_text("2")
    assert await lead.violations() == []
    assert await lead.overflow() == []

    reviewer = await open_studio("reviewer", width=width, scheme=scheme)
    await reviewer.open(project.name, "Overview")
    await reviewer.page.get_by_role("link", name="Review 2 documents assigned to you").press("Enter")
    mine = await project.documents(assignedTo="reviewer", orderby="uncertainty")
    for place, document in enumerate(mine):
        await expect(reviewer.page).to_have_title(re.compile("review"))
        await expect(reviewer.text).to_have_text(f"@Refund:6{document['location'][0]}")
        if place < len(mine) - 1:
            await reviewer.press("next")
    await reviewer.press("next")
    await reviewer.reported("the last document")
    assert await reviewer.overflow() == []
    # Nobody else's list is shorter for it.
    await reviewer.review(project.name)
    assert len(await project.documents(status="autoLabeled")) == 4


async def test_a_lead_assigns_what_the_filters_of_the_form_select(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    """Status, category, beginning of the name, and the person who has them now."""
    project = await new_project(SINGLE)
    texts = {f"{folder}/{n}.txt": text for folder in ("in", "out") for n, text in enumerate(
        ("@Refund:60", "@Praise:70", "nothing"))}  # fmt: skip
    await project.suggested(texts, "Refund", "Praise")
    studio = await open_studio()
    page = studio.page
    await studio.go(project.name, "team")
    form = page.get_by_role("form", name="Assign documents")

    async def assign(to: str, count: int, name: str = "", **chosen: str) -> set[str]:
        for field, option in ({"Status": "Suggested", "Category": "Any", "Currently assigned to": "Nobody"}
                              | chosen).items():  # fmt: skip
            await form.get_by_label(field, exact=True).select_option(option)
        await form.get_by_label("Name begins with").fill(name)
        await form.get_by_label("To", exact=True).fill(to)
        await page.keyboard.press("Enter")
        await studio.reported(f"Assigned {count} document{'s' if count > 1 else ''} to {to}.")
        return {document["location"] for document in await project.documents(assignedTo=to)}

    assert await assign("Ana", 2, Category="Refund") == {"in/0.txt", "out/0.txt"}
    assert await assign("Ben", 1, "in/") == {"in/1.txt"}
    assert await assign("Cem", 1, "out/", Status="Unlabeled") == {"out/2.txt"}
    assert await assign("Dua", 1, "in/", **{"Currently assigned to": "Ana"}) == {"in/0.txt"}
    labeled = await assign("Eva", 1, "~", Status="Labeled", Category="Praise")
    assert labeled == {"~Praise.txt"}


async def test_the_filter_of_a_person_is_kept_in_the_address(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60", "b.txt": "@Refund:70"}, "Refund")
    body = {"assignee": "Ana", "count": 1, "filter": {"assignedTo": "@none", "status": "autoLabeled"}}
    answer = await project.http.post(f"{project.path}/documents/:assign", json=body)
    assert answer.json()["assigned"] == 1
    studio = await open_studio()
    page = studio.page
    await studio.review(project.name)
    await page.get_by_text("Filters").click()
    await page.get_by_label("Assigned to").select_option("Ana")
    await expect(page).to_have_url(re.compile("assigned=Ana"))
    [document] = await project.documents(assignedTo="Ana")
    text = "@Refund:60" if document["location"] == "a.txt" else "@Refund:70"
    await expect(studio.text).to_have_text(text)
    await page.reload()
    await expect(studio.text).to_have_text(text)
    await page.get_by_role("button", name="Bulk accept or reject").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Only documents that are assigned to Ana.")
    await dialog.get_by_label("Lowest confidence").fill("0")
    await expect(dialog).to_contain_text("1 suggestion would be accepted.")
    await dialog.get_by_role("button", name="Include all assignees").click()
    await expect(dialog).to_contain_text("2 suggestions would be accepted.")
