"""A slow or unavailable server: keys apply to the document on screen, and the page recovers automatically."""

import asyncio
import re

from playwright.async_api import Page, Route, expect

from shared.domain.document import document_id
from tests.browser.conftest import MakeProject, OpenStudio
from tests.browser.studio import Studio
from tests.support.api import SINGLE, Project

#: A response after which the page retries immediately, so that the test need not wait.
AWAY = {"status": 503, "headers": {"retry-after": "0.01"}}


async def two_documents(open_studio: OpenStudio, new_project: MakeProject) -> tuple[Studio, Project]:
    """A person's page, and a project whose a.txt and b.txt have suggestions; a.txt comes first."""
    project = await new_project(SINGLE)
    await project.suggested({"a.txt": "@Refund:60 one", "b.txt": "@Refund:70 two"}, "Refund")
    return await open_studio(), project


async def hold_the_second(page: Page) -> asyncio.Event:
    """The text of b.txt does not come until the event is set."""
    go_on = asyncio.Event()

    async def hold(route: Route) -> None:
        await go_on.wait()
        await route.continue_()

    await page.route(re.compile(rf"/{document_id('b.txt')}/text\?"), hold)
    return go_on


async def test_nothing_is_decided_while_the_next_document_is_loading(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    """The one before it is shown until then: a decision would be made on it, a note be written to it."""
    studio, project = await two_documents(open_studio, new_project)
    page = studio.page
    go_on = await hold_the_second(page)
    await studio.review(project.name)
    await studio.press("accept")
    await expect(page.locator(".pointed")).to_have_text("Loading the document…")
    for key in ("x", "1", "a", "e", "f", "m", "/"):
        await page.keyboard.press(key)
    await studio.reported("The next document is still loading.")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    go_on.set()
    await expect(studio.text).to_have_text("@Refund:70 two")
    await studio.press("save")
    await studio.saved()
    first, second = [await project.document(name) for name in ("a.txt", "b.txt")]
    assert (first["class"], first["flagged"], second["status"]) == (
        {"category": "Refund"}, False, "autoLabeled",
    )  # fmt: skip


async def test_a_key_pressed_the_moment_a_document_appears_moves_on(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    """The page has only just put that document into the address, which must not bring it back."""
    studio, project = await two_documents(open_studio, new_project)
    page = studio.page
    go_on = await hold_the_second(page)
    await page.evaluate(
        """() => {
            const replace = history.replaceState.bind(history);
            history.replaceState = (...arguments_) => {
                replace(...arguments_);
                history.replaceState = replace;
                const key = new KeyboardEvent("keydown", { key: "a", bubbles: true, cancelable: true });
                queueMicrotask(() => document.dispatchEvent(key));
            };
        }"""
    )
    await studio.review(project.name)
    await expect(page.locator(".pointed")).to_have_text("Loading the document…")
    go_on.set()
    await expect(studio.text).to_have_text("@Refund:70 two")


async def test_what_could_not_be_read_is_read_again(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    """The next document and the other rows load automatically; until then, the current content stays."""
    studio, project = await two_documents(open_studio, new_project)
    page = studio.page
    away = True

    async def texts(route: Route) -> None:
        await (route.fulfill(**AWAY) if away else route.continue_())

    async def lists(route: Route) -> None:
        if "continuationToken" not in route.request.url:
            answer = await route.fetch()
            await route.fulfill(json=await answer.json() | {"continuationToken": "more"})
        else:
            await (route.fulfill(**AWAY) if away else route.fulfill(json={"value": []}))

    await page.clock.install()
    await page.route(re.compile(rf"/{document_id('b.txt')}/text\?"), texts)
    await page.route(re.compile(r"/documents\?"), lists)
    await studio.review(project.name)
    rows = page.get_by_role("list", name="Documents").get_by_role("link")
    again = page.get_by_role("region", name="Documents of the project").get_by_role("alert")
    await expect(again).to_contain_text("The server is starting")
    await expect(rows).to_have_count(2)
    await studio.press("accept")
    sheet = page.locator(".sheet").get_by_role("alert")
    await expect(sheet.get_by_role("button", name="Try again")).to_be_visible()
    await expect(studio.text).to_have_text("@Refund:60 one")
    assert await studio.at_all_sizes("a document that cannot be read") == {}
    away = False
    await page.clock.fast_forward(5_000)
    await expect(studio.text).to_have_text("@Refund:70 two")
    await expect(sheet).to_have_count(0)
    await expect(again).to_have_count(0)
    await expect(rows).to_have_count(2)


async def test_what_is_typed_after_a_key_that_opens_a_dialog_is_no_command(
    open_studio: OpenStudio, new_project: MakeProject
) -> None:
    """However slow the page is: the next letter is for the dialog, also before it is painted."""
    studio, project = await two_documents(open_studio, new_project)
    page = studio.page
    await studio.review(project.name)
    for key in ("m", "/", "?"):
        await page.evaluate(
            """async (keys) => {
                for (const key of keys) {
                    const to = document.activeElement ?? document;
                    to.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
                    const { port1, port2 } = new MessageChannel();
                    await new Promise((done) => { port1.onmessage = done; port2.postMessage(null); });
                }
            }""",
            [key, "e"],
        )
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
    await studio.saved()
    await expect(studio.text).to_have_text("@Refund:60 one")
