"""The review page in Debian's Chromium, against the app as a user runs it.

One Chromium serves all tests of a process, each in browser contexts of its own. It belongs to the event loop of
the session; so these tests run in it, and their fixtures are made with `async_fixture`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from shared.storage.gateways.clients import StorageClients
from tests.browser.studio import Studio
from tests.integration.conftest import MakeProject, new_project
from tests.support.api import client
from tests.support.azurite import Azurite, azurite
from tests.support.hosts import KEY, ROOT, Host, host

__all__ = ["MakeProject", "azurite", "host", "new_project"]

# The machine may be busy; how quick the page is, test_speed.py measures.
expect.set_options(timeout=60_000)

#: Each window would have a process of its own for its address bar, and one that waits for another site: a quarter of
#: the CPU that a new context takes. The flag replaces Playwright's, whose features come first
#: (test_flags.py).
WITHOUT = (
    "AvoidUnnecessaryBeforeUnloadCheckSync,DestroyProfileOnBrowserClose,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,"
    "LensOverlay,MediaRouter,PaintHolding,ThirdPartyStoragePartitioning,AvoidCorsURLLoaderRestartOnRedirect,"
    "TcpPortRandomizationWin,OptimizationHints,NetworkTimeServiceQuerying,AimEnabled,PreconnectToSearch,"
    "msForceBrowserSignIn,msEdgeUpdateLaunchServicesPreferredVersion,"
    "InitialWebUI,PreloadTopChromeWebUI,WebUIOmniboxPopup,SpareRendererForSitePerProcess"
)

type Launch = Callable[[], Awaitable[Browser]]
type OpenStudio = Callable[..., Awaitable[Studio]]


async_fixture = partial(pytest_asyncio.fixture, loop_scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of this folder in the event loop of the session."""
    for item in items:
        if Path(__file__).parent in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@async_fixture()
async def storage(azurite: Azurite, host: Host) -> AsyncIterator[StorageClients]:
    """The account that the host works on, under the host's names."""
    async with azurite.storage(host.prefix) as clients:
        yield clients


@async_fixture()
async def http(host: Host) -> AsyncIterator[httpx.AsyncClient]:
    """The API, called with the key that holds every role."""
    async with client(host.url) as made:
        yield made


@async_fixture(scope="session")
async def launch(chromium: str) -> AsyncIterator[Launch]:
    """The Chromium that runs; one that ended, as after a crash, is replaced."""
    launched: list[Browser] = []
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", f"--disable-features={WITHOUT}"]
    async with async_playwright() as playwright:

        async def running() -> Browser:
            if not launched or not launched[-1].is_connected():
                launched.append(await playwright.chromium.launch(executable_path=chromium, args=arguments))
            return launched[-1]

        yield running
        for browser in launched:
            await browser.close()


@async_fixture()
async def browser(launch: Launch) -> Browser:
    if not (ROOT / "web" / "dist" / "index.html").is_file():
        pytest.fail("The review page is not built; run 'make web'.")
    return await launch()


@async_fixture()
async def open_studio(browser: Browser, host: Host) -> AsyncIterator[OpenStudio]:
    """Open the page as one person in a browser of its own, signed in unless `key` is None.

    When the test ends, no page may have had an error or a violation of its Content-Security-Policy.
    """
    opened: list[Studio] = []

    async def make(
        key: str | None = KEY,
        *,
        width: int = 1280,
        height: int = 800,
        scheme: str = "light",
        touch: bool = False,
    ) -> Studio:
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
            has_touch=touch,
            is_mobile=touch,
        )
        studio = Studio(await context.new_page(), host.url)
        opened.append(studio)
        await studio.start()
        if key is not None:
            await studio.sign_in(key)
        return studio

    yield make
    for studio in opened:
        # Requests that the test still holds are released, so that no task is left for the next test.
        await studio.page.context.unroute_all(behavior="ignoreErrors")
        await studio.page.unroute_all(behavior="ignoreErrors")
        await studio.page.context.close()
    assert [error for studio in opened for error in studio.errors] == []
