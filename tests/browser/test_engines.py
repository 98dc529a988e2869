"""The page offers an engine that needs no labels where there are none, and compares engines."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import MakeProject, OpenStudio
from tests.browser.studio import Studio
from tests.fakes.openai import FakeOpenAI
from tests.fakes.server import serve_in_thread
from tests.support.api import accept, label, unique
from tests.support.azurite import Azurite
from tests.support.hosts import Host, running_host


@pytest.fixture(scope="module")
def host(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder: Path = tmp_path_factory.mktemp("engines")
    with serve_in_thread(FakeOpenAI().app()) as url:
        settings = {
            "OPENAI_BASE_URL": f"{url}/v1",
            "OPENAI_API_KEY": "secret",
            "OPENAI_MODEL": "fake-model",
            "OPENAI_INPUT_PRICE": "2",
        }
        with running_host(azurite, unique("page").replace("-", "")[:14], folder, settings) as running:
            yield running


async def test_an_engine_without_labels_is_offered_and_compared(
    new_project: MakeProject, open_studio: OpenStudio
) -> None:
    project = await new_project()
    await project.upload({"a.txt": "@Login fails"})
    await project.scan()
    body = {"value": [{"category": "Login"}, {"category": "Refund"}]}
    assert (await project.http.put(f"{project.path}/categories", json=body)).status_code == 200
    studio = await open_studio()
    page = studio.page
    await studio.go(project.name, "autolabel")
    await page.get_by_role("button", name="Use Azure OpenAI").click()
    await expect(page.get_by_label("Engine", exact=True)).to_have_value("azure-openai")
    await studio.go(project.name, "overview")
    await page.get_by_role("link", name="Suggest without labels").click()
    await expect(page.get_by_label("Engine", exact=True)).to_have_value("azure-openai")
    await page.get_by_role("button", name="Estimate").click()
    await expect(page.get_by_text("It would cost about")).to_be_visible()
    await page.get_by_role("button", name="Start job").click()
    table = page.get_by_role("region", name="Engines, table")
    await expect(table.get_by_role("row", name="Azure OpenAI 1 0 0")).to_be_visible()
    await expect(table.get_by_role("row", name="fake-model 1 0 0")).to_be_visible()
    bands = page.get_by_role("region", name="Accepted share by confidence")
    await expect(bands).to_have_count(0)  # nobody has decided
    await project.review([accept(document) for document in await project.documents(status="autoLabeled")])
    await page.reload()
    await expect(bands.get_by_role("row", name="90% to 100% 100% of 1")).to_be_visible()
    job = page.get_by_role("listitem").filter(has_text="azure-openai")
    await expect(job.get_by_text("fake-model")).to_be_visible()


async def test_the_last_fit_is_shown_with_duration_and_reason(
    new_project: MakeProject, open_studio: OpenStudio
) -> None:
    project = await new_project()
    studio = await open_studio()
    fit = studio.page.get_by_role("region", name="Last fit on labels")
    await studio.go(project.name, "autolabel")
    await expect(studio.page.get_by_text("No jobs yet")).to_be_visible()
    await expect(fit).to_have_count(0)
    await project.suggested({"a.txt": "@Refund:73"}, "Refund")
    await studio.page.reload()
    await expect(fit.get_by_text(re.compile(r"^1 labeled document · \d+(\.\d)? s$"))).to_be_visible()

    await project.upload({"odd.txt": "@unfit"})
    await project.scan()
    await project.put_labels("odd.txt", label(project.kind, "Refund"))
    await project.autolabel()
    await studio.page.reload()
    await expect(fit.get_by_text("FloatingPointError")).to_be_visible()
    await expect(fit.get_by_text("2 labeled documents")).to_be_visible()


async def _unreadable(
    address: re.Pattern[str], new_project: MakeProject, open_studio: OpenStudio, view: str
) -> tuple[Studio, Locator]:
    """A view of a new project, which cannot read what is at the address, and what it says of that."""
    project, studio = await new_project(), await open_studio()
    if view == "overview":  # of a project without documents, it reads no engines
        await project.upload({"a.txt": "@Login fails"})
        await project.scan()
    await studio.page.clock.install()
    await studio.page.route(address, lambda route: route.fulfill(status=404))
    await studio.go(project.name, view)
    return studio, studio.page.get_by_role("alert")


async def _stop_polling(page: Page, read: str) -> None:
    """Else what failed may be read again before *Try again* is used. `read`: an address whose requests are refused."""
    await page.clock.pause_at(await page.evaluate("Date.now() / 1000 + 1"))
    # Requests are refused one after the other: when this one is, one that had just begun is, too.
    await page.evaluate("read => fetch(read).then((answer) => answer.text())", read)


async def test_a_fit_that_has_not_begun_has_no_count_and_what_cannot_be_read_is_asked_for_again(
    new_project: MakeProject, open_studio: OpenStudio
) -> None:
    address = re.compile(r"/autolabel/fits\?")
    studio, failure = await _unreadable(address, new_project, open_studio, "autolabel")
    page = studio.page
    await expect(failure).to_have_count(1)
    await _stop_polling(page, "/autolabel/fits?")

    created = "2030-01-01T00:00:00Z"
    waiting = {
        "jobId": "fit", "status": "notStarted", "createdDateTime": created, "lastUpdatedDateTime": created,
        "result": {"engine": "scripted", "labeledDocuments": 0, "trainingStatus": {"status": "notStarted"}},
    }  # fmt: skip
    await page.unroute(address)
    await page.route(address, lambda route: route.fulfill(json={"value": [waiting]}))
    await failure.get_by_role("button", name="Try again").click()
    await page.clock.resume()
    fit = page.get_by_role("region", name="Last fit on labels")
    await expect(fit.get_by_role("progressbar")).to_be_visible()
    await expect(fit.get_by_text("labeled document")).to_have_count(0)
    await expect(failure).to_have_count(0)


@pytest.mark.parametrize("view", ["autolabel", "overview"])
async def test_a_list_of_engines_that_cannot_be_read_says_why_and_is_asked_for_again(
    new_project: MakeProject, open_studio: OpenStudio, view: str
) -> None:
    address = re.compile(r"/engines\?")
    studio, failure = await _unreadable(address, new_project, open_studio, view)
    page = studio.page
    await expect(failure).to_contain_text("The list of engines could not be read. The server does not know")
    assert await studio.at_all_sizes(f"engines that cannot be read, {view}") == {}
    await _stop_polling(page, "/engines?")
    await page.unroute(address)
    await failure.get_by_role("button", name="Try again").click()
    await page.clock.resume()
    await expect(failure).to_have_count(0)
    if view == "overview":
        await expect(page.get_by_role("link", name="Suggest without labels")).to_be_visible()
