"""A second review in the page: one person labels a sample again without seeing the first labels, a lead resolves it."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.conftest import MakeProject, OpenStudio
from tests.browser.studio import Studio
from tests.support.api import ENTITIES, MULTI, SINGLE, Project
from tests.support.waiting import eventually

KINDS = [(SINGLE, 1280, "light"), (MULTI, 390, "dark"), (ENTITIES, 768, "light")]


def labels_of(kind: str, category: str, word: str = "") -> dict[str, Any]:
    """Labels of the text "@Refund:60 or @Login:70 N"; of entities, one word of it."""
    if kind == SINGLE:
        return {"class": {"category": category}}
    if kind == MULTI:
        return {"classes": [{"category": category}]}
    text = "@Refund:60 or @Login:70 0"
    entity = {"category": category, "offset": text.index(word), "length": len(word)}
    return {"entities": [{"regionOffset": 0, "regionLength": len(text), "labels": [entity]}]}


async def sampled(project: Project, count: int = 3) -> str:
    """Id of a second review of documents that were labeled Refund, with suggestions that must stay hidden."""
    categories = {"value": [{"category": "Refund"}, {"category": "Login"}]}
    (await project.http.put(f"{project.path}/categories", json=categories)).raise_for_status()
    await project.upload({f"{n}.txt": f"@Refund:60 or @Login:70 {n}" for n in range(count)})
    await project.scan()
    await project.registered(count)
    for n in range(count):
        await project.put_labels(f"{n}.txt", labels_of(project.kind, "Refund", "@Refund:60"))
    body = {"reviewer": "reviewer", "size": count, "seed": 1}
    answer = await project.http.post(f"{project.path}/second-reviews", json=body)
    return answer.raise_for_status().json()["id"]


async def label_all(second: Studio, kind: str, locations: Sequence[str]) -> None:
    """Label the first document with Login, the others as they were labeled before, by keys alone."""
    page = second.page
    for place, location in enumerate(locations):
        await expect(second.text).to_have_text(f"@Refund:60 or @Login:70 {location[0]}")
        assert await second.spans("label") == []
        assert await second.spans("suggestion") == []
        await expect(page.get_by_role("list", name="Classes")).to_have_count(0)
        for hidden in ("Accept", "Reject", "Flag", "Note", "Go to the next uncertain suggestion"):
            await expect(page.get_by_role("button", name=hidden, exact=True)).to_have_count(0)
        await expect(page.get_by_text("History")).to_have_count(0)
        if place == 0:
            assert await second.violations() == []
            assert await second.overflow() == []
        await page.evaluate("document.activeElement?.blur()")
        if kind == ENTITIES:
            await second.select("@Login:70" if place == 0 else "@Refund:60")
        await page.keyboard.press("2" if place == 0 else "1")
        if kind != SINGLE:  # a class is all that a single-label document can have: its key goes on
            await second.press("save and next")
    await second.reported("the last document")
    await second.saved()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("kind", "width", "scheme"), KINDS)
async def test_the_second_person_labels_the_sample_with_keys_and_a_lead_resolves(
    kind: str, width: int, scheme: str, open_studio: OpenStudio, new_project: MakeProject
) -> None:
    """Three documents: the first gets another label than before, the others the same."""
    project = await new_project(kind)
    review = await sampled(project)
    items = (await project.get(f"/second-reviews/{review}/documents"))["value"]
    second = await open_studio("reviewer", width=width, scheme=scheme)
    await second.open(project.name, "Overview")
    await second.page.get_by_role("link", name="Second review: 3 documents to label").press("Enter")
    await label_all(second, kind, [item["location"] for item in items])
    if width < 900:
        await second.page.get_by_role("button", name="Documents", exact=True).click()
    await expect(second.page.get_by_text("All are labeled.")).to_be_visible()
    assert all(i["reviewed"] for i in (await project.get(f"/second-reviews/{review}/documents"))["value"])
    first = labels_of(kind, "Refund", "@Refund:60")
    [field] = first
    assert [d[field] for d in await project.documents()] == [first[field]] * 3, "the first labels stay"

    lead = await open_studio(width=width, scheme=scheme)
    page = lead.page
    await lead.open(project.name, "Team")
    assert await lead.overflow() == []
    await page.get_by_role("link", name="Agreement with reviewer").press("Enter")
    await expect(page.get_by_role("heading", name="Agreement with reviewer")).to_be_visible()
    apart = page.get_by_role("article", name=items[0]["location"])
    await expect(apart).to_contain_text("Second: reviewer")
    await expect(page.get_by_role("article")).to_have_count(1)
    measure = "F1 of spans" if kind == ENTITIES else "kappa"
    figures = page.get_by_role("region", name="Agreement", exact=True)
    await expect(figures).to_contain_text(measure)
    await expect(figures.locator("div", has=page.get_by_text("Labeled by both"))).to_contain_text("3")
    if kind == ENTITIES:
        await expect(apart.get_by_role("listitem")).to_have_count(2)
    assert await lead.violations() == []
    assert await lead.overflow() == []
    await apart.get_by_role("button", name="Use the second labels").press("Enter")
    await lead.reported("is resolved")
    now = await project.document(items[0]["location"])
    assert now[field] == labels_of(kind, "Login", "@Login:70")[field]
    await apart.get_by_role("button", name="Undo the resolution").press("Enter")
    await lead.reported("The resolution was undone.")
    assert (await project.document(items[0]["location"]))[field] == first[field]
    if kind == ENTITIES:  # the list of second reviews only names the person
        await page.route(re.compile(r"/second-reviews\?"), lambda route: route.fulfill(status=404))
        await page.reload()
        await expect(figures).to_contain_text(measure)


async def test_an_outage_is_outlived_when_the_person_goes_on_in_the_project(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    """The review of the project begins before that of the sample is closed."""
    project = await new_project(MULTI)
    review = await sampled(project, 1)
    second = await open_studio("reviewer")
    page = second.page
    await second.go(project.name, "review", f"?second={review}")
    await expect(second.text).to_be_visible()
    await page.route(re.compile("/second-reviews/.*/labels"), lambda route: route.fulfill(status=503))
    await page.keyboard.press("2")
    await expect(page.locator(".save-state")).to_have_text("Not saved, retrying")
    await page.get_by_role("link", name="Label by hand", exact=True).click()
    unsaved = page.get_by_text(f"1 document of {project.name} not saved")
    await expect(unsaved).to_be_visible()
    await page.unroute_all()
    await expect(unsaved).to_have_count(0)  # also while it is being saved

    async def reviewed() -> bool:
        [item] = (await project.get(f"/second-reviews/{review}/documents"))["value"]
        return bool(item["reviewed"])

    await eventually("the document is reviewed", reviewed)


async def test_what_was_said_can_be_undone_and_changed_until_it_is_resolved(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    review = await sampled(project, 2)
    items = (await project.get(f"/second-reviews/{review}/documents"))["value"]

    async def reviewed() -> list[bool]:
        return [i["reviewed"] for i in (await project.get(f"/second-reviews/{review}/documents"))["value"]]

    studio = await open_studio("reviewer")
    page = studio.page
    await studio.go(project.name, "review", f"?second={review}")
    await expect(studio.text).to_contain_text(items[0]["location"][0])
    await page.keyboard.press("/")
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("combobox").fill("Another")
    await expect(dialog.get_by_role("option")).to_have_count(0)  # the categories are those of the first
    await page.keyboard.press("Escape")
    await page.keyboard.press("2")
    await expect(studio.text).to_contain_text(f"70 {items[1]['location'][0]}")
    await studio.saved()
    assert await reviewed() == [True, False]
    await studio.press("undo")
    await studio.reported("The saved change was undone.")
    assert await reviewed() == [False, False]
    await expect(studio.text).to_contain_text(f"70 {items[0]['location'][0]}")
    await page.keyboard.press("1")
    await studio.saved()
    # Opened again, it goes on where it ended, and shows what this person said before.
    await page.reload()
    await expect(studio.text).to_contain_text(f"70 {items[1]['location'][0]}")
    await studio.press("previous")
    await expect(page.get_by_role("list", name="Classes")).to_contain_text("Refund")


async def test_nobody_else_labels_the_sample_and_the_second_person_sees_no_agreement(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    review = await sampled(project, 1)
    lead = await open_studio()
    await lead.go(project.name, "review", f"?second={review}")
    await expect(lead.text).to_be_visible()
    await expect(lead.page.get_by_text("Only reviewer can label the documents")).to_be_visible()
    await lead.page.keyboard.press("1")
    await lead.reported("Only reviewer can label the documents")
    second = await open_studio("reviewer")
    await second.go(project.name, "team", f"?second={review}")
    await expect(second.page.get_by_role("alert")).to_contain_text("must not see the first person's labels")


async def test_a_lead_starts_a_second_review(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    await sampled(project, 2)
    studio = await open_studio(width=320)
    page = studio.page
    await studio.go(project.name, "team")
    await page.get_by_label("Second person").fill("Ben")
    await page.get_by_label("Documents in the sample").fill("1")
    await page.keyboard.press("Enter")
    await studio.reported("Ben can label 1 document a second time.")
    await expect(page.get_by_role("link", name="Agreement with Ben")).to_be_visible()
    assert await studio.violations() == []
    assert await studio.overflow() == []
    await page.get_by_label("Second person").fill("Ben")
    await page.get_by_label("Documents in the sample").fill("501")
    await page.get_by_role("button", name="Start", exact=True).click()
    assert await page.get_by_label("Documents in the sample").evaluate("e => e.validity.rangeOverflow")
