"""Autosave, and the Functions host's own responses."""

import asyncio
import json
import re

import pytest
from playwright.async_api import Route, expect

from tests.browser.conftest import MakeProject, OpenStudio
from tests.browser.studio import Studio
from tests.support.api import MULTI, SINGLE, Project
from tests.support.hosts import Host
from tests.support.waiting import eventually

STATE = ".save-state"


async def test_autosave_at_each_document_left_and_after_an_outage(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    await project.suggested({f"{n}.txt": f"@Refund:{n} text" for n in (50, 60, 70)}, "Refund")
    studio = await open_studio()
    page = studio.page
    await studio.review(project.name)
    state = page.locator(STATE)
    await expect(state).to_have_text("All saved")
    await page.get_by_label("Autosave").check()

    async with page.expect_response(re.compile(":review")):
        await studio.press("accept")  # goes on to the next document
    await expect(state).to_have_text("All saved")
    assert (await project.document("50.txt"))["status"] == "labeled"

    await page.route(re.compile(":review"), lambda route: route.fulfill(status=503))
    await studio.press("accept")
    await expect(state).to_have_text("Not saved, retrying")
    await studio.reported("The server is starting or temporarily unavailable")
    await studio.unsaved(1)
    await expect(studio.command("save")).to_be_visible()
    await studio.press("previous")
    pointed = page.locator(".pointed")
    await expect(pointed).to_contain_text("accepted")  # all that the toolbar can say, at 1,280 px
    assert await pointed.locator("bdi").evaluate("name => name.scrollWidth <= name.clientWidth")
    await page.unroute_all()
    await expect(state).to_have_text("All saved")
    assert (await project.document("60.txt"))["status"] == "labeled"


async def test_autosave_waits_for_a_pause_but_not_longer_than_5_seconds(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(MULTI)
    await project.define(*"ABCDEF")
    await project.upload({"a.txt": "one"})
    await project.scan()
    studio = await open_studio()
    page = studio.page
    await page.clock.install()
    await studio.go(project.name, "label", "?prefix=a.txt")
    await expect(studio.text).to_have_text("one")
    await page.get_by_label("Autosave").check()
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if one.method == "PUT" else None)
    await page.clock.pause_at(await page.evaluate("Date.now() / 1000 + 1"))
    for key in "12345":
        assert asked == []
        await page.keyboard.press(key)
        await page.clock.run_for(999 if key != "5" else 500)  # of no pause of 1.5 s
    assert asked == []
    async with page.expect_response(lambda answer: answer.request.method == "PUT" and answer.ok):
        await page.clock.run_for(510)  # 5 s since the first
    assert len((await project.document("a.txt"))["classes"]) == 5
    await page.keyboard.press("6")
    async with page.expect_response(lambda answer: answer.request.method == "PUT" and answer.ok):
        await page.clock.run_for(1_500)
    assert len((await project.document("a.txt"))["classes"]) == 6


async def test_every_command_works_with_autosave(open_studio: OpenStudio, new_project: MakeProject) -> None:
    """By its key with nothing focused, beside a control that is in view."""
    project = await new_project(SINGLE)
    suggested = await project.suggested({f"{n}.txt": f"@Refund:{n} text" for n in (50, 60, 70)}, "Refund")
    before = {document["location"]: document["suggestions"] for document in suggested}
    studio = await open_studio()
    page = studio.page
    await studio.review(project.name)
    await page.get_by_label("Autosave").check()
    for name in ("next", "next", "previous", "previous"):
        await expect(studio.command(name)).to_be_in_viewport()
        await studio.press(name)
    await expect(studio.text).to_have_text("@Refund:50 text")

    for location, command, status in (
        ("50.txt", "accept", "labeled"),
        ("60.txt", "reject", "unlabeled"),
        ("70.txt", "accept all", "labeled"),
    ):
        await expect(studio.text).to_have_text(f"@Refund:{location[:2]} text")
        async with page.expect_response(lambda answer: ":review" in answer.url and answer.ok):
            await studio.press(command)
        await expect(page.locator(STATE)).to_have_text("All saved")
        assert (await project.document(location))["status"] == status
    for location in ("70.txt", "60.txt", "50.txt"):
        async with page.expect_response(lambda answer: ":undo" in answer.url and answer.ok):
            await studio.press("undo")
        await expect(studio.text).to_have_text(f"@Refund:{location[:2]} text")
        assert (await project.document(location))["suggestions"] == before[location]
    await studio.press("save")
    await studio.reported("Everything is saved.")


async def test_autosave_goes_on_when_the_person_left_the_review(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"50.txt": "@Refund:50 text"}, "Refund")
    studio = await open_studio()
    page = studio.page
    await studio.review(project.name)
    await page.get_by_label("Autosave").check()
    await page.route(re.compile(":review"), lambda route: route.fulfill(status=503))
    await studio.press("accept")
    await expect(page.locator(STATE)).to_have_text("Not saved, retrying")
    unsaved = page.get_by_text(f"1 document of {project.name} not saved")
    await expect(unsaved).to_have_count(0)
    await page.get_by_role("link", name="Overview", exact=True).press("Enter")
    await expect(unsaved).to_be_visible()
    assert await studio.at_all_sizes("left with unsaved work") == {}
    await page.get_by_role("link", name="Projects", exact=True).press("Enter")
    await expect(page.get_by_role("heading", name="Projects", exact=True)).to_be_visible()
    await expect(unsaved).to_be_visible()
    await page.unroute_all()
    await expect(unsaved).to_have_count(0)
    await saved_as(project, "50.txt", "labeled")
    await studio.go(project.name, "review")
    await expect(page.locator(STATE)).to_have_text("All saved")


@pytest.mark.parametrize("autosave", [True, False])
async def test_a_save_on_its_way_when_the_review_is_opened_again_loses_nothing(
    open_studio: OpenStudio, new_project: MakeProject, autosave: bool
) -> None:
    """In another view of the same review, where the person goes on with the same document."""
    project = await new_project(SINGLE)
    await project.suggested({"50.txt": "@Refund:50 text"}, "Refund", "Praise")
    studio = await open_studio()
    page = studio.page
    await studio.review(project.name)
    if autosave:
        await page.get_by_label("Autosave").check()
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if r.method in {"POST", "PUT"} else None)
    sent, go_on = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        answer = await route.fetch()
        sent.set()
        await go_on.wait()
        await route.fulfill(response=answer)

    await page.route(re.compile(":review"), hold, times=1)
    await studio.press("accept")
    await studio.press("save")
    await asyncio.wait_for(sent.wait(), 60)
    await page.get_by_role("link", name="Label by hand", exact=True).click()
    await page.get_by_role("link", name="50.txt").click()
    await expect(studio.text).to_have_text("@Refund:50 text")
    await expect(page.locator(STATE)).to_have_text("Saving…")
    key = await page.get_by_role("button", name="Praise", exact=True).get_attribute("aria-keyshortcuts")
    assert key
    await page.keyboard.press(key)
    go_on.set()
    if not autosave:
        await studio.unsaved(1)
        await studio.press("save")
    await studio.saved()
    await expect(page.locator(STATE)).to_have_text("All saved")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert (await project.document("50.txt"))["class"] == {"category": "Praise"}
    assert len([url for url in asked if ":review" in url]) == 1, "the decision is saved once"
    assert len([url for url in asked if "/labels" in url]) == 1
    await page.get_by_role("link", name="Overview", exact=True).click()
    await expect(page.get_by_text(f"of {project.name} not saved")).to_have_count(0)
    await page.get_by_role("link", name="Label by hand", exact=True).click()
    labels = page.get_by_role("list", name="Classes").locator(".chip.label")
    for category in ("Refund", None):  # each of both saves can be undone
        await studio.press("undo")
        await expect(labels).to_have_text([category] if category else [])
        await classified_as(project, "50.txt", category)


async def classified_as(project: Project, location: str, category: str | None) -> None:
    async def look() -> bool:
        return (await project.document(location)).get("class") == (category and {"category": category})

    await eventually(f"{location} with the class {category}", look)


async def saved_as(project: Project, location: str, status: str) -> None:
    async def look() -> bool:
        return (await project.document(location))["status"] == status

    await eventually(f"{location} {status}", look)


async def test_an_outage_of_the_host_and_a_reload_lose_nothing(
    open_studio: OpenStudio, new_project: MakeProject, host: Host
) -> None:
    """The host answers 503 by itself, first for decisions, then between the two parts of a save."""
    project = await new_project(SINGLE)
    await project.suggested({f"{n}.txt": f"@Refund:{n} text" for n in (50, 60)}, "Refund")
    studio = await open_studio()
    page = studio.page
    await studio.review(project.name)
    state = page.locator(STATE)
    await page.get_by_label("Autosave").check()
    documents = f"{project.path}/documents/"
    try:
        host.answers.write_text(json.dumps([{"path": f"{documents}:review", "status": 503, "times": 1_000}]))
        await studio.press("accept")
        await expect(state).to_have_text("Not saved, retrying")
        await page.reload()
        await studio.unsaved(1)
        await expect(state).to_have_text("Not saved, retrying")  # autosave is on again, and tries
        assert (await project.document("50.txt"))["status"] == "autoLabeled"
        host.answers.write_text("[]")
        await expect(state).to_have_text("All saved", timeout=60_000)
        assert (await project.document("50.txt"))["class"] == {"category": "Refund"}

        await page.get_by_role("link", name="60.txt").click()
        await expect(studio.text).to_contain_text("@Refund:60")
        patches = {"path": documents, "method": "PATCH", "status": 503, "times": 1_000}
        host.answers.write_text(json.dumps([patches]))
        await page.keyboard.press("f")
        await studio.press("accept")
        await expect(state).to_have_text("Not saved, retrying")
        half = await project.document("60.txt")
        assert (half["status"], half["flagged"]) == ("labeled", False)
        await page.reload()  # what is left is the flag, on top of what was saved
        await studio.unsaved(1)
    finally:
        host.answers.unlink()
    await expect(state).to_have_text("All saved", timeout=60_000)
    await expect(page.get_by_role("dialog")).to_have_count(0)
    whole = await project.document("60.txt")
    assert (whole["class"], whole["flagged"]) == ({"category": "Refund"}, True)


async def test_an_answer_that_was_lost_is_no_conflict(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60 one"}, "Refund")
    studio = await open_studio()
    page = studio.page
    await studio.review(project.name)
    lost: list[int] = []

    async def lose(route: Route) -> None:
        lost.append((await route.fetch()).status)
        await route.fulfill(status=500)

    await page.route(re.compile(":review"), lose, times=1)
    await studio.press("accept")
    await studio.press("save")
    await studio.reported("The server stopped while it was processing the request")
    assert lost == [200], "the server has the decision"
    await studio.saved()  # tried again by itself
    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert (await project.document("a.txt"))["class"] == {"category": "Refund"}


async def test_answers_of_the_host_are_sentences(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60 one"}, "Refund")
    studio = await open_studio()
    page = studio.page
    answers = [429, 503]

    async def busy(route: Route) -> None:
        if answers:
            await route.fulfill(status=answers.pop())
        else:
            await route.continue_()

    await page.route(re.compile(r"/documents\?"), busy)
    await studio.review(project.name)  # what passes is asked again, and nobody sees it
    assert answers == []
    await studio.press("accept")
    for status, words in {
        400: "could not read the request",
        408: "took too long to reach the server",
        413: "too large",
        414: "address of the request is too long",
        429: "busy",
        431: "headers that are too large",
        500: "stopped while it was processing",
    }.items():
        await refuse(studio, status)
        await studio.press("save")
        await studio.reported(words)
        await studio.unsaved(1)
    assert await studio.at_all_sizes("messages") == {}


async def refuse(studio: Studio, status: int) -> None:
    await studio.page.unroute_all()
    await studio.page.route(re.compile(":review"), lambda route: route.fulfill(status=status))
