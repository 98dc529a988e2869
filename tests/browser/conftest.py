"""The review page in Debian's Chromium, against the app as a user runs it."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from playwright.async_api import Browser, async_playwright, expect

from tests.browser.studio import Studio
from tests.integration.conftest import MakeProject, http, new_project, storage
from tests.support.azurite import azurite
from tests.support.hosts import KEY, ROOT, Host, host

__all__ = ["MakeProject", "azurite", "host", "http", "new_project", "storage"]

# The machine may be busy; how quick the page is, test_speed.py measures.
expect.set_options(timeout=20_000)

type OpenStudio = Callable[..., Awaitable[Studio]]


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    if not (ROOT / "web" / "dist" / "index.html").is_file():
        pytest.fail("The review page is not built; run 'make web'.")
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        launched = await playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield launched
        await launched.close()


@pytest.fixture
async def open_studio(browser: Browser, host: Host) -> AsyncIterator[OpenStudio]:
    """Open the page as one person in a browser of its own, signed in unless `key` is None.

    When the test ends, no page may have had an error or a violation of its Content-Security-Policy.
    """
    opened: list[Studio] = []

    async def make(
        key: str | None = KEY, *, width: int = 1280, height: int = 800, scheme: str = "light"
    ) -> Studio:
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        studio = Studio(await context.new_page(), host.url)
        opened.append(studio)
        await studio.start()
        if key is not None:
            await studio.sign_in(key)
        return studio

    yield make
    assert [fault for studio in opened for fault in studio.faults] == []
