"""The address and the view agree; counts are exact or not shown."""

import asyncio
import re

from playwright.async_api import Route, expect

from tests.browser.conftest import MakeProject, OpenStudio
from tests.support.api import SINGLE, Project

# The event comes a moment after the change; `held` keeps it from the page.
HOLD_CHANGES_OF_THE_ADDRESS = """
window.held = false;
addEventListener("hashchange", (event) => {
  if (held) event.stopImmediatePropagation();
});
"""


async def labeled(project: Project, names: dict[str, str]) -> None:
    await project.define(*sorted(set(names.values())))
    await project.upload({location: f"text of {location}" for location in names})
    await project.scan()
    for location, category in names.items():
        await project.put_labels(location, {"class": {"category": category}})


async def test_filters_and_document_follow_the_address(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    await labeled(project, {"a.txt": "First", "b.txt": "Second", "c.txt": "Second"})
    studio = await open_studio()
    page = studio.page
    rows = page.get_by_role("list", name="Documents").get_by_role("link")
    await studio.go(project.name, "label", "?category=First&prefix=a")

    await expect(rows).to_have_count(1)
    await page.evaluate("location.hash = location.hash.replace('First', 'Second').replace('&prefix=a', '')")
    await page.evaluate("location.hash = location.hash.replace('category', 'status=labeled&category')")
    await expect(rows).to_contain_text(["b.txt", "c.txt", "~Second.txt"])
    await expect(page.get_by_label("Status")).to_have_value("labeled")
    await page.get_by_role("link", name="c.txt").click()
    await expect(studio.text).to_have_text("text of c.txt")
    second = page.url

    await page.get_by_label("Status").select_option("Unreadable files")
    await expect(page.get_by_text("No documents match these filters.")).to_be_visible()
    await page.go_back()
    await expect(studio.text).to_have_text("text of c.txt")
    await expect(rows).to_have_count(3)
    assert page.url == second
    await page.go_forward()
    await expect(page.get_by_text("No documents match these filters.")).to_be_visible()
    await page.go_back()
    await expect(studio.text).to_have_text("text of c.txt")
    await studio.open(project.name, "Training")
    for _ in range(3):  # Overview, Projects, and the list of documents again
        await page.go_back()
    await expect(studio.text).to_have_text("text of c.txt")
    await expect(page.get_by_role("link", name="c.txt")).to_have_attribute("aria-current", "true")
    await studio.press("next")
    await page.keyboard.press("n")
    await expect(studio.text).to_contain_text("Second")  # the position in the list is kept as well


async def test_a_document_that_arrives_late_keeps_a_newer_address(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    """The address changes while the first document of the former list is read."""
    project = await new_project(SINGLE)
    await labeled(project, {"a.txt": "First", "b.txt": "Second"})
    studio = await open_studio()
    page = studio.page
    await page.add_init_script(HOLD_CHANGES_OF_THE_ADDRESS)
    await page.reload()
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def read(route: Route) -> None:
        reading.set()
        await go_on.wait()
        await route.continue_()

    await page.route(re.compile(r"/text\?"), read, times=1)
    await page.evaluate(f"location.hash = '#/projects/{project.name}/label?category=First'")
    await asyncio.wait_for(reading.wait(), 60)
    await page.evaluate("held = true; location.hash = location.hash.replace('First', 'Second')")
    go_on.set()
    await expect(studio.text).to_have_text("text of a.txt")

    assert page.url.endswith("?category=Second")
    await page.evaluate("held = false; dispatchEvent(new HashChangeEvent('hashchange'))")
    await expect(studio.text).to_have_text("text of b.txt")
    await expect(page).to_have_url(re.compile("category=Second&doc="))


async def test_counts_are_exact_or_not_shown(open_studio: OpenStudio, new_project: MakeProject) -> None:
    """Also of a list that is not read to its end."""
    project = await new_project(SINGLE)
    await project.suggested(
        {f"{n:03d}.txt": f"@Refund:{n % 90 + 10}" for n in range(120)}, "Refund", "Praise"
    )
    studio = await open_studio()
    page = studio.page
    count = page.locator(".list-count")

    await studio.go(project.name, "review")
    await expect(count).to_have_text("120 documents")
    await studio.go(project.name, "review", "?category=Refund&min=0.5&order=id")
    matching = sum(n % 90 + 10 >= 50 for n in range(120))
    await expect(count).to_have_text(f"{matching} documents")
    await expect(page.get_by_text(re.compile("about"))).to_have_count(0)
