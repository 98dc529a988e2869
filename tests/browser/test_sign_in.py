"""Sign-in with Entra ID and with App Service authentication, as far as it goes without Azure."""

import asyncio
import re
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import Route, expect

from tests.browser.conftest import OpenStudio

LOGIN = "https://login.microsoftonline.com"
TENANT = "00000000-0000-0000-0000-00000000000a"
CONFIG = {
    "authMode": "entra",
    "tenantId": TENANT,
    "clientId": "00000000-0000-0000-0000-00000000000c",
    "scope": "api://labelbridge/.default",
    "authority": f"{LOGIN}/{TENANT}",
    "apiVersion": "2023-04-15-preview",
}


async def test_entra_goes_to_the_tenant(open_studio: OpenStudio) -> None:
    studio = await open_studio(None)
    page = studio.page
    asked: list[str] = []

    async def login(route: Route) -> None:
        asked.append(route.request.url)
        base = f"{LOGIN}/{TENANT}"
        if "openid-configuration" in route.request.url:
            metadata = {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
            }
            await route.fulfill(json=metadata, headers={"Access-Control-Allow-Origin": "*"})
        else:
            await route.fulfill(body="<title>Microsoft</title>", content_type="text/html")

    go_on = asyncio.Event()

    async def settings(route: Route) -> None:
        await go_on.wait()
        await route.fulfill(json=CONFIG)

    await page.route(re.compile(r"config\.json"), settings)
    await page.route(re.compile(re.escape(LOGIN)), login)
    await page.reload()
    await expect(page.get_by_role("status")).to_have_text("Connecting…")
    go_on.set()
    await expect(page.get_by_role("textbox")).to_have_count(0)
    await page.get_by_role("button", name="Sign in with Microsoft").click()
    await expect(page).to_have_title("Microsoft")

    query = parse_qs(urlsplit(page.url).query)
    assert urlsplit(page.url).path == f"/{TENANT}/oauth2/v2.0/authorize"
    assert query["client_id"] == [CONFIG["clientId"]]
    assert CONFIG["scope"] in query["scope"][0].split()
    assert query["redirect_uri"] == [f"{studio.url}/studio/"]
    assert query["response_type"] == ["code"]
    assert query["code_challenge_method"] == ["S256"]


async def test_local_sign_in_loads_no_entra_library(open_studio: OpenStudio) -> None:
    studio = await open_studio()
    sizes = await studio.page.evaluate(
        "performance.getEntriesByType('resource').filter((r) => r.name.endsWith('.js')).map((r) => r.decodedBodySize)"
    )
    assert sum(sizes) < 160_000, sizes


async def test_ended_sign_in_says_so_and_keeps_the_work(open_studio: OpenStudio) -> None:
    studio = await open_studio()
    page = studio.page
    await page.route(re.compile("/language/"), lambda route: route.fulfill(status=401, json={}))
    await page.get_by_role("button", name="New project").wait_for()
    await page.reload()
    await expect(page.get_by_label("key")).to_be_visible()
    await page.unroute_all()
    await studio.sign_in("labelbridge-local")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("key")).to_be_visible()
    assert await page.evaluate("sessionStorage.length") == 0


async def test_an_address_with_the_local_key_signs_in_and_loses_the_key(open_studio: OpenStudio) -> None:
    studio = await open_studio(None)
    page = studio.page
    await page.goto("about:blank")
    await page.goto(f"{studio.url}/studio/#key=labelbridge-local")
    await expect(page.get_by_role("heading", name="Projects", exact=True)).to_be_visible()
    assert page.url == f"{studio.url}/studio/#/projects"
    await page.reload()  # kept in the tab, as after signing in by hand
    await expect(page.get_by_role("heading", name="Projects", exact=True)).to_be_visible()
    await page.go_back()
    assert "key" not in page.url


async def test_an_open_page_takes_the_key_of_an_address_too(open_studio: OpenStudio) -> None:
    studio = await open_studio(None)
    page = studio.page
    await page.goto(f"{studio.url}/studio/#key=wrong")
    await expect(page.get_by_text("The server does not know the key in this address.")).to_be_visible()
    assert await page.evaluate("sessionStorage.length") == 0
    assert "wrong" not in page.url
    await page.goto(f"{studio.url}/studio/#key=labelbridge-local")
    await expect(page.get_by_role("heading", name="Projects", exact=True)).to_be_visible()
    assert "key" not in page.url


async def test_a_key_in_the_address_is_dropped_where_people_sign_in_with_accounts(
    open_studio: OpenStudio,
) -> None:
    studio = await open_studio(None)
    page = studio.page
    await page.route(re.compile(r"config\.json"), lambda route: route.fulfill(json=CONFIG))
    await page.goto("about:blank")
    await page.goto(f"{studio.url}/studio/#key=labelbridge-local")
    await expect(page.get_by_role("button", name="Sign in with Microsoft")).to_be_visible()
    assert "key" not in page.url
    assert await page.evaluate("sessionStorage.getItem('labelbridge.key')") is None
