"""Every view and dialog for leads at every width and in both colors: all fits and is in reach, axe finds nothing.

Views of the review itself: test_look_review.py. `BROWSER_PICTURES=folder` leaves a picture of each.
"""

import json
import re
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import expect

from shared.storage.gateways.clients import StorageClients
from tests.browser.conftest import MakeProject, OpenStudio
from tests.browser.seeds import LONG_PERSON, MANY, WORDS, classes, labels_of, made
from tests.browser.studio import Studio
from tests.browser.test_two_people import connect, fill_connection, ready_to_connect
from tests.support.api import SINGLE, Project, unique

type Views = Callable[[Studio, Project], Awaitable[dict[str, list[str]]]]


async def signing_in(studio: Studio, project: Project) -> dict[str, list[str]]:
    page = studio.page
    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_label("key").fill("not-a-key")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("does not know this key")
    return await studio.at_all_sizes("sign in")


async def projects(studio: Studio, project: Project) -> dict[str, list[str]]:
    """Of all projects of the account, the page shows this one alone."""
    page = studio.page
    shown = [await project.get("")]
    await page.route(re.compile(r"/projects\?"), lambda route: route.fulfill(json={"value": shown}))
    await page.reload()
    card = page.get_by_role("main").get_by_role("listitem")
    await expect(card).to_have_count(1)
    await expect(card.filter(has_text=project.name).get_by_text("suggested")).to_be_visible()
    found = await studio.at_all_sizes("projects")
    await page.get_by_role("button", name="New project").click()
    await page.get_by_role("dialog").get_by_label("Name").fill("n" * 50)
    await page.get_by_role("dialog").get_by_label("Container").fill(project.container)
    await page.get_by_role("dialog").get_by_label("Language", exact=True).fill("klingon")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    found |= await studio.at_all_sizes("new project")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Import project…").click()
    file = {"metadata": {"projectName": project.name}, "assets": {}}
    await page.get_by_label("Azure project file").set_input_files(
        {"name": f"{'f' * 80}.json", "mimeType": "application/json", "buffer": json.dumps(file).encode()}
    )
    await expect(page.get_by_text("Replace the project of this name")).to_be_visible()
    found |= await studio.at_all_sizes("import project")
    await page.keyboard.press("Escape")
    shown.clear()
    await page.reload()
    await expect(page.get_by_role("heading", name="No projects yet")).to_be_visible()
    found |= await studio.at_all_sizes("no projects")
    await page.goto(f"{studio.url}/studio/#/nowhere")
    await expect(page.get_by_role("heading", name="Page not found")).to_be_visible()
    return found | await studio.at_all_sizes("page not found")


async def overview(studio: Studio, project: Project) -> dict[str, list[str]]:
    page = studio.page
    await studio.go(project.name, "overview")
    await expect(page.get_by_role("heading", name="Labels by category")).to_be_visible()
    for words in ("Single-label", "Labeling happens in Labelbridge", "Not trained yet"):
        await expect(page.get_by_text(words).first).to_be_visible()
    await expect(page.get_by_role("link", name="Review 5 documents")).to_be_visible()
    await page.get_by_role("button", name="Rescan container").click()
    await studio.reported("The container was rescanned.")
    found = await studio.at_all_sizes("overview")
    await studio.go(unique("no"), "review")
    await expect(page.get_by_role("heading", name=re.compile("not found"))).to_be_visible()
    return found | await studio.at_all_sizes("project not found")


async def autolabel(studio: Studio, project: Project) -> dict[str, list[str]]:
    page = studio.page
    await studio.go(project.name, "autolabel")
    await page.get_by_role("button", name="Estimate").click()
    await expect(page.get_by_text("This job would read")).to_be_visible()
    await page.get_by_role("button", name="Show failures and outcomes").click()
    rows = page.get_by_role("region", name="Outcomes").get_by_role("row")
    await expect(rows.nth(1)).to_contain_text("fails.txt")
    await expect(page.get_by_role("region", name="Engines, table")).to_be_visible()
    return await studio.at_all_sizes("autolabel")


def _score(n: int) -> dict[str, float]:
    counts = {
        f"{kind}Count": 1_234 + n
        for kind in ("truePositive", "falsePositive", "falseNegative", "trueNegative")
    }
    return {"f1": n / 200, "precision": 0.5, "recall": 0.25, **counts}


async def training(studio: Studio, project: Project) -> dict[str, list[str]]:
    """An evaluation with 200 names, which no test has the time to train, and a training that failed."""
    page = studio.page
    await studio.go(project.name, "training")
    await expect(page.get_by_text("Not trained yet.")).to_be_visible()
    await expect(page.get_by_text("are removed")).to_be_visible()
    found = await studio.at_all_sizes("not trained")
    names = [WORDS, *MANY[:199]]
    cells = {a: {b: {"normalizedValue": 50.0, "rawValue": 12 * (n == m)} for m, b in enumerate(names)}
             for n, a in enumerate(names[:14])}  # fmt: skip
    scores = {name: _score(n) for n, name in enumerate(names)}
    averages = {f"{kind}{what}": 0.5 for kind in ("micro", "macro") for what in ("F1", "Precision", "Recall")}
    evaluation = averages | {"classes": scores, "confusionMatrix": cells}
    summary = {"customSingleLabelClassificationEvaluation": evaluation,
               "warnings": [{"message": f"Left out: 1 (the file is not UTF-8): {'n' * 80}.txt."}]}  # fmt: skip
    model = {"label": "m" * 50, "lastTrainedDateTime": "2026-01-01T00:00:00.000Z"}
    models = [model, model | {"label": "spring-1"}]
    job = {"jobId": "j", "status": "failed", "createdDateTime": "2026-01-01T00:00:00.000Z",
           "errors": [{"code": "InvalidArgument", "message": "2 missing."}],
           "warnings": [{"code": "BlobMissing", "message": f"Left out: {'n' * 80}.txt."}]}  # fmt: skip
    await page.route(re.compile(r"/models\?"), lambda route: route.fulfill(json={"value": models}))
    await page.route(re.compile(r"/summary-result\?"), lambda route: route.fulfill(json=summary))
    await page.route(re.compile(r"/train/jobs\?"), lambda route: route.fulfill(json={"value": [job]}))
    await page.reload()
    await expect(page.get_by_role("region", name="Scores by category").get_by_role("row")).to_have_count(201)
    return found | await studio.at_all_sizes("evaluation of 200 names")


async def team(studio: Studio, project: Project) -> dict[str, list[str]]:
    page = studio.page
    await studio.go(project.name, "team")
    people = page.get_by_role("region", name="Assignments by person")
    await expect(people.get_by_role("row", name=LONG_PERSON)).to_be_visible()
    await expect(page.get_by_role("region", name="Progress by day")).to_be_visible()
    await expect(page.get_by_role("region", name="Second reviews, table")).to_be_visible()
    found = await studio.at_all_sizes("team")
    await page.get_by_role("link", name=re.compile("^Agreement with")).first.click()
    await expect(page.get_by_role("article").first).to_be_visible()
    await expect(page.get_by_role("region", name="Agreement by category")).to_be_visible()
    return found | await studio.at_all_sizes("agreement")


async def connection(studio: Studio, project: Project) -> dict[str, list[str]]:
    page = studio.page
    await studio.go(project.name, "connection")
    await fill_connection(studio, "no-such-container", "n" * 60)
    await page.get_by_role("button", name="Check the conditions").click()
    await expect(page.get_by_text(re.compile("conditions? (is|are) not met"))).to_be_visible()
    return await studio.at_all_sizes("conditions")


async def settings(studio: Studio, project: Project) -> dict[str, list[str]]:
    page = studio.page
    await studio.go(project.name, "settings")
    await expect(page.get_by_role("button", name="Versions…")).to_be_visible()
    found = await studio.at_all_sizes("settings")
    dialog = page.get_by_role("dialog")
    for button, name in (
        (f"Edit {MANY[0]}", "edit category"),
        ("Add category", "add category"),
        ("Edit guidelines…", "edit guidelines"),
        ("Versions…", "guideline versions"),
        ("Delete project…", "delete project"),
    ):
        await page.get_by_role("button", name=button, exact=True).click()
        if name == "guideline versions":
            await page.get_by_role("button", name="Show version 1").click()
            await expect(dialog.get_by_role("heading", name="Rule 7")).to_be_attached()
        found |= await studio.at_all_sizes(name)
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
    return found


async def agreed(project: Project) -> None:
    """Classes, and what the second person said of a sample: the same of one, something else of the other."""
    await classes(project)
    [review] = (await project.get("/second-reviews"))["value"]
    path = f"{project.path}/second-reviews/{review['id']}/documents"
    items = (await project.get(f"/second-reviews/{review['id']}/documents"))["value"]
    headers = {"Ocp-Apim-Subscription-Key": "reviewer"}
    for n, item in enumerate(items):
        labels = labels_of(project.kind, (MANY[0], MANY[9])[n])
        url = f"{path}/{item['id']}/labels"
        (await project.http.put(url, json=labels, headers=headers)).raise_for_status()


VIEWS: list[Views] = [signing_in, projects, overview, autolabel, training, team, connection, settings]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
async def test_it_fits_and_is_accessible(
    view: Views, open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await made("classes", new_project, SINGLE, agreed)
    studio = await open_studio()
    assert await view(studio, project) == {}


@pytest.mark.timeout(900)
async def test_an_empty_project_fits_and_is_accessible(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    studio = await open_studio()
    found: dict[str, list[str]] = {}
    for view, word in (
        ("overview", "Upload .txt files"),
        ("review", "No documents yet"),
        ("autolabel", "No jobs yet"),
        ("team", "The project has no documents yet."),
        ("settings", "No guidelines yet"),
    ):
        await studio.go(project.name, view)
        await expect(studio.page.get_by_text(re.compile(word)).first).to_be_visible()
        await expect(studio.page.locator(".loading")).to_have_count(0)
        found |= await studio.at_all_sizes(f"empty {view}")
    assert found == {}


@pytest.mark.timeout(900)
async def test_a_connected_project_fits_and_is_accessible(
    open_studio: OpenStudio, new_project: MakeProject, storage: StorageClients
) -> None:
    project, container = await ready_to_connect(new_project, storage)
    studio = await open_studio()
    page = studio.page
    await connect(studio, project.name, container, "n" * 60)
    found = await studio.at_all_sizes("connected")
    await page.get_by_role("button", name="Switch to Azure Machine Learning").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Nobody can change labels in Labelbridge")
    found |= await studio.at_all_sizes("switch")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Disconnect…").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    found |= await studio.at_all_sizes("disconnect")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Switch to Azure Machine Learning").click()
    await page.get_by_role("button", name="Switch", exact=True).click()
    await expect(page.get_by_role("button", name="Switch back to Labelbridge")).to_be_enabled(timeout=60_000)
    await studio.go(project.name, "label")
    await expect(page.get_by_text("Labeling is locked.")).to_be_visible()
    await expect(studio.text).to_be_visible()
    assert found | await studio.at_all_sizes("locked") == {}
