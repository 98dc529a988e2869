"""Every view is reached from the first page, works for roles, and has nothing that axe objects to."""

import re

import pytest
from playwright.async_api import Request, Route, expect

from shared.domain.document import document_id
from shared.storage.gateways.clients import StorageClients
from tests.browser.conftest import MakeProject, OpenStudio
from tests.browser.studio import Studio
from tests.support.api import ENTITIES, MULTI, SINGLE, Project, unique

VIEWS = ("Overview", "Review", "Label by hand", "Autolabel", "Training", "Connection")
SIZES = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]


@pytest.fixture
async def furnished(new_project: MakeProject) -> str:
    """Name of a project of which every view has something to show; made once, for it is only looked at."""
    if _Furnished.name is None:
        _Furnished.name = (await furnish(await new_project(ENTITIES))).name
    return _Furnished.name


class _Furnished:
    name: str | None = None


async def furnish(project: Project) -> Project:
    await project.upload(
        {"a.txt": "@Person:73 lives in @City:30 🦊\r\nand works", "b.txt": "مرحبا @Person:50"}
    )
    await project.upload({"broken.txt": b"\xff\xfe\x00\xd8broken", "fails.txt": "@fail"})
    await project.define("Person", "City")
    good = [document_id(name) for name in ("a.txt", "b.txt")]
    assert (await project.autolabel(documents=good))["status"] == "succeeded"
    assert (await project.autolabel())["status"] == "failed"
    return project


@pytest.mark.parametrize(("width", "scheme"), SIZES)
async def test_axe_finds_nothing(width: int, scheme: str, open_studio: OpenStudio, furnished: str) -> None:
    studio = await open_studio(None, width=width, scheme=scheme)
    found = {"Sign-in": await studio.violations()}
    await studio.sign_in("labelbridge-local")
    await expect(studio.page.get_by_role("link", name=furnished, exact=True)).to_be_visible()
    found["Projects"] = await studio.violations()
    for view in VIEWS:
        await studio.open(furnished, view)
        await settle(studio, view)
        assert await fits(studio), f"{view} is wider than the page"
        found[view] = await studio.violations()
    found |= await dialogs(studio, furnished)
    assert {view: faults for view, faults in found.items() if faults} == {}


async def settle(studio: Studio, view: str) -> None:
    """Wait until the view shows what it reads."""
    page = studio.page
    landmarks = {
        "Overview": page.get_by_role("heading", name="Labels by category"),
        "Review": studio.text,
        "Label by hand": studio.text,
        "Autolabel": page.get_by_role("button", name=re.compile("^Retry")),
        "Training": page.get_by_text("No model is trained yet."),
        "Connection": page.get_by_role("button", name="Check the conditions"),
    }
    await expect(landmarks[view]).to_be_visible()


async def dialogs(studio: Studio, project: str) -> dict[str, list[str]]:
    page = studio.page
    await studio.review(project)
    await page.keyboard.press("?")
    found = {"Help": await studio.violations()}
    await page.keyboard.press("Escape")
    await studio.select("lives in")
    found["Category menu"] = await studio.violations()
    await page.keyboard.press("Escape")
    await studio.press("accept")
    found["Review with a decision"] = await studio.violations()
    if await page.get_by_role("button", name="Documents", exact=True).is_visible():
        await page.get_by_role("button", name="Documents", exact=True).click()
    await page.get_by_text("Filters").click()
    await page.get_by_role("button", name="Bulk accept or reject").click()
    await expect(page.get_by_text("would be accepted")).to_be_visible()
    found["Bulk"] = await studio.violations()
    await page.keyboard.press("Escape")
    return found


async def fits(studio: Studio) -> bool:
    """Whether nothing makes the page scroll sideways."""
    return await studio.page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )


async def test_wrong_key_says_so(open_studio: OpenStudio) -> None:
    studio = await open_studio(None)
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
    await studio.told("needs the role Labels.Review")
    await studio.open(project.name, "Autolabel")
    await expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    await expect(page.get_by_role("button", name="Start job")).to_have_count(0)
    await studio.open(project.name, "Connection")
    await expect(page.get_by_text("Connecting needs the role Projects.Own.")).to_be_visible()


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
    await studio.told("A new job tries the failed documents again.")
    assert len((await project.get("/autolabel/jobs"))["value"]) == 2

    await page.get_by_label("Name begins with").fill("a.")
    await page.get_by_role("button", name="Start job").click()
    await page.get_by_role("link", name="Open its suggestions").click()
    await expect(studio.text).to_have_text("@Refund:60")


async def test_new_project(open_studio: OpenStudio, new_project: MakeProject) -> None:
    planned = await new_project(MULTI, create=False)
    await planned.upload({"a.txt": "one"})
    studio = await open_studio()
    page = studio.page

    await page.get_by_role("button", name="New project").click()
    dialog = page.get_by_role("dialog")
    assert await studio.violations() == []
    await dialog.get_by_label("Name").fill(planned.name)
    await dialog.get_by_label("What is labeled").select_option("Any number of classes")
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
    await expect(page.get_by_role("region", name="Scores by category")).to_contain_text("Refund")
    assert await studio.violations() == []


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
    await expect(page.get_by_role("heading", name=re.compile("There is no project"))).to_be_visible()
    await page.goto(f"{studio.url}/studio/#/nowhere")
    await expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()


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
        await route.fulfill(json={"value": rows} | token)

    async def statistics(route: Route) -> None:
        counts = numbers["documents"] | {"autoLabeled": total, "total": total}
        await route.fulfill(json=numbers | {"documents": counts})

    await page.route(re.compile(r"/documents\?"), documents)
    await page.route(re.compile(r"/statistics\?"), statistics)
    await page.route(re.compile(r"/text\?"), lambda route: route.fulfill(json={"text": "one", "length": 3}))
    await studio.review(project.name)
    rows = page.get_by_role("list", name="Documents").get_by_role("listitem")

    await expect(page.get_by_text("about 100,000 documents")).to_be_visible()
    assert await rows.count() < 60, "only what is in view exists"
    await page.locator(".virtual").evaluate("list => list.scrollTop = list.scrollHeight")
    last = page.get_by_role("link", name="all/099999.txt")
    await expect(last).to_be_visible(timeout=90_000)
    assert await rows.count() < 60
    await last.click()
    await expect(page.get_by_role("heading", name="all/099999.txt")).to_be_visible()
