"""Every view can be reached from the first page, respects roles, and reports its results and errors."""

import asyncio
import re
from itertools import product

import pytest
from playwright.async_api import Request, Route, expect

from shared.storage.gateways.clients import StorageClients
from tests.browser.conftest import MakeProject, OpenStudio
from tests.browser.look import WIDTHS
from tests.support.api import ENTITIES, MULTI, SINGLE, Project, unique

VIEWS = ("Overview", "Review", "Label by hand", "Autolabel", "Training", "Team", "Connection", "Settings")
STUDIOS = {"languageStudio": "Labelbridge", "azureMachineLearning": "Azure Machine Learning"}


async def test_wrong_key_says_so(open_studio: OpenStudio) -> None:
    studio = await open_studio(None)
    await expect(studio.page.get_by_label("key")).to_have_attribute("type", "password")
    await studio.page.get_by_label("key").fill("not-a-key")
    await studio.page.keyboard.press("Enter")
    await expect(studio.page.get_by_role("alert")).to_contain_text("does not know this key")
    await studio.sign_in("labelbridge-local")
    assert await studio.page.evaluate("Object.keys(localStorage).filter((k) => /key/.test(k))") == []


async def test_roles_hide_what_one_may_not_do(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60"}, "Refund")
    studio = await open_studio("reader")
    page = studio.page
    await expect(page.get_by_role("button", name="New project")).to_have_count(0)
    await studio.review(project.name)
    await expect(studio.command("accept")).to_have_count(0)
    await expect(studio.command("save")).to_have_count(0)
    await page.keyboard.press("a")
    await studio.reported("requires the Labels.Review role")
    await studio.open(project.name, "Autolabel")
    await expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    await expect(page.get_by_role("button", name="Start job")).to_have_count(0)
    await studio.open(project.name, "Connection")
    await expect(page.get_by_text("Connecting requires the Projects.Own role.")).to_be_visible()


async def test_a_card_does_not_move_when_its_counts_arrive(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    """If a card moved, a click could open another project; many small moves add up, so none is allowed.

    A project is locked while it is connected, too: only its connection tells where labels are made.
    """
    project, other = await new_project(SINGLE), await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60"}, "Refund")
    elsewhere = {"amlProjectPath": "path", "isLabelingLocked": True}
    connected = {"settings": elsewhere, "lastTrainedDateTime": "2026-01-01T00:00:00.000Z"}
    shown = [await project.get(""), await other.get("") | connected]
    studio = await open_studio()
    page = studio.page
    await page.route(re.compile(r"/projects\?"), lambda route: route.fulfill(json={"value": shown}))
    cards = page.locator(".project-card")
    places = "all => all.map((card) => card.getBoundingClientRect()).map(({top, height}) => [top, height])"
    go_on = asyncio.Event()

    async def hold(route: Route) -> None:
        await go_on.wait()
        await route.continue_()

    job = {"jobId": "j", "status": "running", "result": {"percentComplete": 40}}

    async def connection(route: Route) -> None:
        await go_on.wait()
        await route.fulfill(json={"state": "connecting", "activeStudio": active})

    await page.route(re.compile(r"/connection\?"), connection)
    await page.route(re.compile(r"/statistics\?"), hold)
    await page.route(re.compile(r"/autolabel/jobs\?"), lambda route: route.fulfill(json={"value": [job]}))
    active = "languageStudio"
    for width, active in product(WIDTHS, STUDIOS):
        go_on.clear()
        await page.set_viewport_size({"width": width, "height": 800})
        await page.reload()
        await expect(cards.get_by_role("link")).to_have_count(2)
        await expect(cards.get_by_text("Labeling in").filter(visible=True)).to_have_count(1)
        await expect(cards.get_by_text("trained").filter(visible=True)).to_have_count(2)
        await expect(cards.get_by_text("suggested").filter(visible=True)).to_have_count(0)
        before = await cards.evaluate_all(places)
        go_on.set()
        await expect(cards.get_by_text("suggested").filter(visible=True)).to_have_count(2)
        await expect(cards.get_by_text("Autolabel 40%")).to_have_count(2)
        await expect(cards.get_by_role("link", name="Review")).to_have_count(1)
        place = cards.nth(1).get_by_text("Labeling in").filter(visible=True)
        await expect(place).to_contain_text(f"Labeling in {STUDIOS[active]}")
        assert await cards.evaluate_all(places) == before


async def test_cards_ask_for_their_numbers_before_they_come_into_view(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    """Of hundreds of projects the browser sends a few requests, and those of the next page need not wait for them.

    A keyboard goes from a card in view to the next one below, whose command to review must be there by then.
    """
    project = await new_project(SINGLE)
    template = await project.get("")
    shown = [template | {"projectName": f"{project.name}-{n}"} for n in range(100)]
    studio = await open_studio()
    page = studio.page
    asked: set[str] = set()

    async def statistics(route: Route) -> None:
        asked.add(route.request.url.partition("/statistics")[0].rpartition("/")[2])
        await route.fulfill(json={})

    await page.route(re.compile(r"/projects\?"), lambda route: route.fulfill(json={"value": shown}))
    await page.route(re.compile(r"/statistics\?"), statistics)
    async with page.expect_response(re.compile(f"/{project.name}-0/statistics")):
        await page.reload()
    await page.wait_for_load_state("networkidle")
    below = "all => all.findIndex((card) => card.getBoundingClientRect().top > innerHeight)"
    first_below = await page.locator(".project-card").evaluate_all(below)
    assert f"{project.name}-{first_below}" in asked
    assert 1 < len(asked) < 30
    async with page.expect_response(re.compile(f"/{project.name}-99/statistics")):
        await page.locator(".project-card").last.scroll_into_view_if_needed()
    assert len(asked) < 60


@pytest.mark.timeout(300)
async def test_autolabel_from_estimate_to_review(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    await project.define("Refund", "Praise")
    await project.upload({"a.txt": "@Refund:60", "bad/b.txt": "@fail", "c.txt": "nothing"})
    await project.scan()
    studio = await open_studio()
    page = studio.page
    await studio.open(project.name, "Autolabel")

    await page.get_by_role("button", name="Estimate").click()
    await expect(page.get_by_text("This job would read 3 documents, 3 text records.")).to_be_visible()
    await page.get_by_label("Documents", exact=True).select_option("prefix")
    await page.get_by_label("Name begins with").fill("bad/")
    await page.get_by_role("button", name="Start job").click()
    # The engine is asked several times, with pauses, before a document counts as failed.
    await page.get_by_role("button", name="Show failures and outcomes").click(timeout=100_000)
    row = page.get_by_role("row", name="bad/b.txt")
    await expect(row.get_by_role("cell", name="failed", exact=True)).to_be_visible()
    await expect(row.get_by_role("cell").last).not_to_be_empty()
    await page.get_by_role("button", name="Retry 1 failed document").click()
    await studio.reported("A new job tries the failed documents again.")
    assert len((await project.get("/autolabel/jobs"))["value"]) == 2

    await page.get_by_label("Name begins with").fill("a.")
    await page.get_by_role("button", name="Start job").click()
    await page.get_by_role("link", name="Open its suggestions").click()
    await expect(studio.text).to_have_text("@Refund:60")


async def test_removing_most_documents_needs_confirmation(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    texts = {f"{number}.txt": "text" for number in range(5)}
    await project.upload(texts)
    await project.scan()
    for name in list(texts)[1:]:
        await project.blobs.delete(project.container, name)
    studio = await open_studio()
    page = studio.page
    await studio.open(project.name, "Overview")

    await page.get_by_role("button", name="Rescan container").click()
    await expect(page.get_by_role("alert")).to_contain_text("the files of 4 documents, more than half of all")
    await expect(page.get_by_role("alert")).to_contain_text("“Remove these documents” removes those")
    await expect(page.get_by_role("alert")).not_to_contain_text("confirmRemovals")
    assert len(await project.documents()) == 5
    await page.get_by_role("button", name="Remove these documents").click()
    await expect(page.get_by_role("alert")).to_have_count(0)
    assert [d["location"] for d in await project.documents()] == ["0.txt"]


async def test_new_project(open_studio: OpenStudio, new_project: MakeProject) -> None:
    planned = await new_project(MULTI, create=False)
    await planned.upload({"a.txt": "one"})
    studio = await open_studio()
    page = studio.page

    await page.get_by_role("button", name="New project").click()
    dialog = page.get_by_role("dialog")
    assert await studio.violations() == []
    await dialog.get_by_label("Name").fill(planned.name)
    await dialog.get_by_label("Project type").select_option("Multi-label")
    await dialog.get_by_label("Container").fill(planned.container)
    await dialog.get_by_label("Language", exact=True).fill("klingon")
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_role("alert")).to_contain_text("klingon")
    await dialog.get_by_label("Language", exact=True).fill("en-us")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name=planned.name)).to_be_visible()
    assert [d["location"] for d in await planned.registered(1)] == ["a.txt"]


async def test_training_shows_its_results(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    await project.define("Refund", "Praise")
    texts = {f"{n}.txt": f"@{'Refund' if n % 2 else 'Praise'}:90 number {n}" for n in range(20)}
    await project.upload(texts)
    await project.scan()
    for n in range(20):
        await project.put_labels(f"{n}.txt", {"class": {"category": "Refund" if n % 2 else "Praise"}})
    studio = await open_studio()
    page = studio.page
    await studio.open(project.name, "Training")

    await page.get_by_label("Name").fill("first")
    await page.get_by_role("button", name="Train", exact=True).click()
    await expect(page.get_by_role("button", name=re.compile("^first"))).to_be_visible(timeout=60_000)
    await expect(page.get_by_text("Confusion matrix", exact=True)).to_be_visible()
    scores = page.get_by_role("region", name="Scores by category")
    for words in ("Refund", "True positives", "False positives", "False negatives"):
        await expect(scores).to_contain_text(words)
    assert await studio.violations() == []
    cell = page.get_by_role("link", name=re.compile("labeled Refund, predicted Refund"))
    counted = int(await cell.inner_text())
    await cell.click()
    await expect(page.get_by_role("list", name="Documents").get_by_role("link")).to_have_count(counted)
    await expect(page.get_by_text("Test documents of the model first")).to_be_visible()


async def test_training_says_which_labels_it_adjusted_and_when_suggestions_end(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(ENTITIES)
    people = ("Paula Ricci", "Omar Haddad", "Mia Lund", "Tom Okafor", "Ines Moreau", "Jonas Weber")
    texts = {f"{n}.txt": f"Please call {who} today, thank you." for n, who in enumerate(people)}
    await project.upload(texts)
    await project.suggested({"waits.txt": "@Who:73 waits"}, "Who")
    for (name, text), who in zip(texts.items(), people, strict=True):
        entity = {"category": "Who", "offset": text.index(who), "length": len(who) + 1}
        region = {"regionOffset": 0, "regionLength": len(text), "labels": [entity]}
        await project.put_labels(name, {"entities": [region]})
    answer = await project.http.patch(project.path, json={"settings": {"autolabel": {"engine": "embedded"}}})
    assert answer.status_code == 200, answer.text
    studio = await open_studio()
    page = studio.page
    await studio.open(project.name, "Training")

    await expect(page.get_by_text("the pending suggestions of 1 document are removed")).to_be_visible()
    await page.get_by_label("Name").fill("first")
    await page.get_by_role("button", name="Train", exact=True).click()
    reported = page.get_by_role("region", name="Labels left out or adjusted")
    await expect(reported).to_contain_text(
        "Entities trained without the whitespace at their ends: ", timeout=60_000
    )
    await expect(page.get_by_text("the pending suggestions of 1 document are removed")).to_be_hidden()
    assert await studio.violations() == []


async def test_a_failed_training_says_which_documents_it_could_not_use(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    why = "Labeled documents that were left out: 2 (the blob does not exist): 1.txt, 2.txt."
    job = {
        "jobId": "j", "status": "failed", "createdDateTime": "2026-01-01T00:00:00.000Z",
        "errors": [{"code": "InvalidArgument", "message": "2 missing."}],
        "warnings": [{"code": "BlobMissing", "message": why}],
    }  # fmt: skip
    studio = await open_studio()
    page = studio.page
    await page.route(re.compile(r"/train/jobs\?"), lambda route: route.fulfill(json={"value": [job]}))
    await studio.open(project.name, "Training")
    await expect(page.get_by_text("failed: 2 missing.")).to_be_visible()
    await expect(page.get_by_role("region", name="Labels left out or adjusted")).to_contain_text(why)
    assert await studio.violations() == []


async def test_a_refused_training_says_which_documents_it_could_not_use(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    await project.upload({"a.txt": "one", "b.txt": "two"})
    await project.scan()
    for name in ("a.txt", "b.txt"):
        await project.put_labels(name, {"class": {"category": "Refund"}})
    await project.upload({"b.txt": b"\xff\xfe\xff"})
    await project.scan()
    studio = await open_studio()
    page = studio.page
    await studio.open(project.name, "Training")
    await page.get_by_label("Name").fill("first")
    await page.get_by_role("button", name="Train", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("left out: 1 (the file is not UTF-8): b.txt.")


async def test_deep_link_and_unknown_places(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60 one", "b.txt": "@Refund:70 two"}, "Refund")
    studio = await open_studio()
    page = studio.page
    await studio.review(project.name)
    await page.get_by_role("link", name="b.txt").click()
    await expect(studio.text).to_have_text("@Refund:70 two")
    await page.reload()
    await expect(studio.text).to_have_text("@Refund:70 two")
    await page.goto(f"{studio.url}/studio/#/projects/{unique('no')}/review")
    await expect(page.get_by_role("heading", name=re.compile("Project .* not found"))).to_be_visible()
    await page.goto(f"{studio.url}/studio/#/nowhere")
    await expect(page.get_by_role("heading", name="Page not found")).to_be_visible()


async def test_page_loads_nothing_from_elsewhere(
    open_studio: OpenStudio, new_project: MakeProject, storage: StorageClients
) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60"}, "Refund")
    studio = await open_studio(None)
    asked: list[str] = []
    studio.page.on("request", lambda request: asked.append(request.url))
    answer = await studio.page.goto(f"{studio.url}/studio/")
    assert answer
    policy = (await answer.all_headers())["content-security-policy"]
    assert "default-src" in policy
    assert "*" not in policy
    assert "unsafe" not in policy
    await studio.sign_in("labelbridge-local")
    for view in VIEWS:
        await studio.open(project.name, view)
    assert asked
    assert [url for url in asked if not url.startswith(studio.url)] == []


async def test_list_of_100_000_documents(open_studio: OpenStudio, new_project: MakeProject) -> None:
    """The list itself: its pages are made up here, so that the test needs no 100,000 documents."""
    total = 100_000
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60 one"}, "Refund")
    [template] = await project.documents(status="autoLabeled")
    numbers = await project.get("/statistics")
    studio = await open_studio()
    page = studio.page

    async def documents(route: Route, request: Request) -> None:
        query = dict(part.split("=") for part in request.url.split("?")[1].split("&"))
        start, top = int(query.get("continuationToken", 0)), int(query["top"])
        rows = [
            template | {"id": f"{n:022d}", "location": f"all/{n:06d}.txt"}
            for n in range(start, min(total, start + top))
        ]
        token = {"continuationToken": str(start + top)} if start + top < total else {}
        count = {"count": total} if query.get("count") == "true" else {}
        await route.fulfill(json={"value": rows} | token | count)

    async def statistics(route: Route) -> None:
        counts = numbers["documents"] | {"autoLabeled": total, "total": total}
        await route.fulfill(json=numbers | {"documents": counts})

    await page.route(re.compile(r"/documents\?"), documents)
    await page.route(re.compile(r"/statistics\?"), statistics)
    await page.route(re.compile(r"/text\?"), lambda route: route.fulfill(json={"text": "one", "length": 3}))
    await studio.review(project.name)
    rows = page.get_by_role("list", name="Documents").get_by_role("listitem")

    await expect(page.get_by_text("100,000 documents")).to_be_visible()
    assert await rows.count() < 60, "only what is in view exists"
    await page.locator(".virtual").evaluate("list => list.scrollTop = list.scrollHeight")
    last = page.get_by_role("link", name=re.compile("099999"))
    await expect(last).to_be_visible(timeout=90_000)
    assert await rows.count() < 60
    await last.click()
    await expect(page.get_by_role("heading", name="all/099999.txt")).to_be_visible()


async def test_an_empty_place_says_what_it_is(open_studio: OpenStudio, new_project: MakeProject) -> None:
    """An empty project is not called reviewed; a missing container is named."""
    empty = await new_project(SINGLE)
    studio = await open_studio()
    page = studio.page
    await studio.go(empty.name, "review")
    await expect(page.get_by_role("heading", name="No documents yet")).to_be_visible()
    await expect(page.get_by_text("All reviewed")).to_have_count(0)

    missing = await new_project(SINGLE, create=False)
    project = Project(missing.http, missing.blobs, missing.name, f"{missing.container[:40]}-missing", SINGLE)
    await project.create()
    await studio.go(project.name, "overview")
    await expect(page.get_by_role("alert")).to_contain_text(f"{project.container}' does not exist")
    await studio.go(project.name, "review")
    await expect(page.get_by_role("heading", name="No documents yet")).to_be_visible()
