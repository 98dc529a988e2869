"""Two people at one project: a conflict shows both versions, and a switch of studio interrupts nobody's work."""

from playwright.async_api import expect

from shared.storage.gateways.clients import StorageClients
from tests.browser.conftest import MakeProject, OpenStudio
from tests.browser.studio import Studio
from tests.support.api import ENTITIES, SINGLE, Project, unique


async def conflicting(open_studio: OpenStudio, project: Project) -> Studio:
    """The page of a reviewer whose save of `a.txt` came after another reviewer's."""
    first, second = await open_studio(), await open_studio("reviewer")
    await first.review(project.name)
    await second.review(project.name)
    await first.press("accept")
    await second.press("reject")
    await first.press("save")
    await first.saved()
    await second.press("save")
    await expect(second.page.get_by_role("dialog")).to_contain_text("labelbridge-local")
    return second


async def test_conflict_keeps_either_version(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60 one"}, "Refund")
    studio = await conflicting(open_studio, project)
    page = studio.page

    theirs = page.get_by_role("region", name="Saved version", exact=True)
    mine = page.get_by_role("region", name="Your version", exact=True)
    await expect(theirs).to_contain_text("Refund")
    await expect(mine).to_contain_text("Not labeled")
    await expect(mine).to_contain_text("@Refund:60 one")
    assert await studio.at_all_sizes("conflict of classes") == {}

    await page.get_by_role("button", name="Decide later").click()
    await studio.unsaved(1)  # nothing is lost
    await page.get_by_role("button", name="Compare versions").click()
    await page.get_by_role("button", name="Keep my version").click()
    await studio.saved()
    assert (await project.document("a.txt"))["status"] == "unlabeled"


async def test_conflict_takes_the_saved_version(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60 one"}, "Refund")
    studio = await conflicting(open_studio, project)

    await studio.page.get_by_role("button", name="Use the saved version").click()
    await studio.saved()
    await expect(studio.page.get_by_role("dialog")).to_have_count(0)
    assert (await project.document("a.txt"))["class"] == {"category": "Refund"}


async def test_conflict_keeps_both(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(ENTITIES)
    await project.suggested({"a.txt": "@Ada:30 met @Bob:40"}, "Ada", "Bob")
    first, second = await open_studio(), await open_studio("reviewer")
    await first.review(project.name)
    await second.review(project.name)
    await first.press("accept")
    await first.press("save")
    await first.saved()

    await second.press("next")
    await second.press("accept")
    await second.press("save")
    differences = second.page.get_by_role("list", name="What differs").get_by_role("listitem")
    await expect(differences).to_contain_text(
        ["Only savedAda@Ada:30 met", "Only yoursBob@Ada:30 met @Bob:40"]
    )
    await second.page.get_by_role("button", name="Keep both").click()
    await second.saved()
    [region] = (await project.document("a.txt"))["entities"]
    assert [label["category"] for label in region["labels"]] == ["Ada", "Bob"]


async def test_conflict_on_a_long_text_shows_what_differs(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    """20,000 characters, and the two labels that differ near the end: listed with the words around them."""
    project = await new_project(ENTITIES)
    text = "word " * 3_900 + "before @Ada:30 between @Bob:40 after"
    [suggested] = await project.suggested({"a.txt": text}, "Ada", "Bob")
    studio = await open_studio()
    page = studio.page
    await studio.review(project.name)
    await expect(page.locator(".pointed")).to_contain_text("Ada")
    await studio.press("accept")
    [bob] = [suggestion["id"] for suggestion in suggested["suggestions"] if suggestion["category"] == "Bob"]
    await project.review([{"documentId": suggested["id"], "eTag": suggested["eTag"], "accept": [bob]}])
    await studio.press("save")

    differences = page.get_by_role("list", name="What differs").get_by_role("listitem")
    await expect(differences).to_have_count(2)
    await expect(differences.nth(0)).to_contain_text("before @Ada:30 between")
    await expect(differences.nth(1)).to_contain_text("between @Bob:40 after")
    for width in (320, 1440):
        await page.set_viewport_size({"width": width, "height": 800})
        await expect(differences.nth(1)).to_be_in_viewport()


async def test_switch_of_studio_while_a_reviewer_works(
    open_studio: OpenStudio, new_project: MakeProject, storage: StorageClients
) -> None:
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60 one", "b.txt": "@Refund:70 two"}, "Refund", "Praise")
    container = unique("labels")
    await storage.blobs.create_container(container)
    owner, reviewer = await open_studio(), await open_studio("reviewer")
    await connect(owner, project.name, container, "news")
    await reviewer.review(project.name)
    await reviewer.press("accept")
    await reviewer.unsaved(1)

    await owner.page.get_by_role("button", name="Switch to Azure Machine Learning").click()
    await expect(owner.page.get_by_role("dialog")).to_contain_text("Nobody can change labels in Labelbridge")
    assert (await project.get("/connection"))["activeStudio"] == "languageStudio", (
        "nothing happens unconfirmed"
    )
    await owner.page.get_by_role("button", name="Switch", exact=True).click()
    locked = reviewer.page.get_by_text("Labeling is locked.")
    await expect(locked).to_be_visible(timeout=60_000)
    await expect(reviewer.command("accept")).to_be_disabled()
    await expect(reviewer.page.get_by_text("news")).to_be_visible(timeout=60_000)
    await reviewer.unsaved(1)
    assert (await project.document("a.txt"))["status"] != "labeled"

    await owner.page.get_by_role("button", name="Switch back to Labelbridge").click(timeout=60_000)
    await owner.page.get_by_role("button", name="Switch", exact=True).click()
    await expect(locked).to_have_count(0, timeout=60_000)
    await expect(reviewer.command("accept")).to_be_enabled()


async def test_disconnect_is_typed(
    open_studio: OpenStudio, new_project: MakeProject, storage: StorageClients
) -> None:
    project, container = await ready_to_connect(new_project, storage)
    studio = await open_studio()
    await connect(studio, project.name, container, "news")

    await studio.page.set_viewport_size({"width": 320, "height": 480})
    await studio.page.get_by_role("button", name="Disconnect…").click()
    dialog = studio.page.get_by_role("dialog")
    await expect(dialog.get_by_role("heading", name="Disconnect permanently")).to_be_focused()
    await expect(dialog.get_by_text("can never be connected again")).to_be_in_viewport()
    assert await studio.violations() == []
    ending = dialog.get_by_role("button", name="Disconnect permanently")
    await expect(ending).to_be_disabled()
    await dialog.get_by_role("textbox").fill("new")
    await expect(ending).to_be_disabled()
    await dialog.get_by_role("textbox").fill("news")
    await ending.click()
    await studio.reported("Project disconnected.")
    assert (await project.get("/connection"))["state"] == "disconnected"

    await fill_connection(studio, container, "news")
    await studio.page.get_by_role("button", name="Check the conditions").click()
    conditions = studio.page.locator(".conditions")
    await expect(conditions.get_by_text("can never be connected again.")).to_be_visible()
    await expect(conditions.get_by_text("The name is free.")).to_have_count(0)


async def test_unmet_conditions_are_listed(open_studio: OpenStudio, new_project: MakeProject) -> None:
    project = await new_project(SINGLE)
    studio = await open_studio()
    await studio.open(project.name, "Connection")
    studios = studio.page.get_by_label("Studio", exact=True).locator("option")
    await expect(studios).to_have_text(["Label files in a container"])  # this server has no other studio
    await fill_connection(studio, "no-such-container", "news")
    await studio.page.get_by_role("button", name="Check the conditions").click()
    await expect(studio.page.get_by_text("Define at least 2 classes; the project has 0.")).to_be_visible()
    await expect(studio.page.get_by_text("conditions are not met")).to_be_visible()
    said = await studio.page.locator(".conditions li").all_inner_texts()
    assert len(said) == len(set(said)) > 1


async def ready_to_connect(new_project: MakeProject, storage: StorageClients) -> tuple[Project, str]:
    """A project with two classes, and the name of an empty container for its labels."""
    project = await new_project(SINGLE)
    await project.define("Refund", "Praise")
    container = unique("labels")
    await storage.blobs.create_container(container)
    return project, container


async def connect(studio: Studio, project: str, container: str, name: str) -> None:
    await studio.open(project, "Connection")
    await fill_connection(studio, container, name)
    await studio.page.get_by_role("button", name="Connect", exact=True).click()
    await expect(studio.page.get_by_text("connected", exact=True)).to_be_visible(timeout=60_000)


async def fill_connection(studio: Studio, container: str, name: str) -> None:
    await studio.page.get_by_label("Studio", exact=True).select_option("workspace")
    await studio.page.get_by_label("Container", exact=True).fill(container)
    await studio.page.get_by_label("Azure Machine Learning project", exact=True).fill(name)
