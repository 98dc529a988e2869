"""With invalid settings the page of the app says what is wrong and what to do; clients of the API get JSON."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, expect

from tests.browser.look import look
from tests.support.api import unique
from tests.support.azurite import Azurite
from tests.support.hosts import Host, running_host


@pytest.fixture(scope="module")
def host(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    settings = {"COLLECT_WINDOW_SECONDS": "soon", "WEBHOOKS": "<sekret>"}
    folder: Path = tmp_path_factory.mktemp("invalid")
    with running_host(azurite, unique("page").replace("-", "")[:14], folder, settings) as running:
        yield running


@pytest.mark.parametrize("path", ["/", "/studio/", "/studio/index.html"])
async def test_a_person_sees_each_invalid_setting_and_what_to_do(
    browser: Browser, host: Host, path: str
) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    reply = await page.goto(f"{host.url}{path}")
    assert reply
    assert reply.status == 503
    await expect(page).to_have_title("Labelbridge cannot start")
    errors = page.get_by_role("listitem")
    await expect(errors.filter(has_text="COLLECT_WINDOW_SECONDS")).to_have_count(1)
    await expect(errors.filter(has_text="WEBHOOKS is not valid JSON at line 1, column 1")).to_have_count(1)
    await expect(
        page.get_by_text("correct these settings, restart the app, and reload this page")
    ).to_be_visible()
    content = await page.content()
    assert "sekret" not in content
    assert '"error"' not in content
    if path == "/studio/":
        assert await look(page, "invalid settings") == {}
    await context.close()


async def test_a_client_of_the_api_gets_json(host: Host) -> None:
    async with httpx.AsyncClient() as http:
        reply = await http.get(f"{host.url}/studio/config.json")
    assert reply.status_code == 503
    assert reply.json()["error"]["message"].startswith("The app settings are invalid; correct them")
