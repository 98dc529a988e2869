"""The review page and /health as browsers and load balancers ask for them."""

import asyncio
import re
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support.api import client
from tests.support.hosts import Host


@pytest.fixture
async def browser(host: Host) -> AsyncIterator[httpx.AsyncClient]:
    async with client(host.url, key=None, version=None) as made:
        yield made


async def test_the_root_redirects_to_the_page(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/")
    assert (answer.status_code, answer.headers["location"]) == (302, "/studio/")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_the_host_has_no_page_of_its_own(browser: httpx.AsyncClient, method: str) -> None:
    """The setting AzureWebJobsDisableHomepage; without it the host answers Microsoft's page."""
    answer = await browser.request(method, "/")
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("path", ["/health", "/studio/", "/studio/index.html", "/studio/config.json"])
async def test_head_answers_like_get_without_a_body(browser: httpx.AsyncClient, path: str) -> None:
    answer = await browser.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_page_that_did_not_change_is_304(browser: httpx.AsyncClient) -> None:
    first = await browser.get("/studio/")
    assert first.headers["vary"] == "Accept-Encoding"
    again = await browser.get("/studio/", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = await browser.get("/studio/", headers={"If-None-Match": 'W/"other"'})
    assert (other.status_code, other.content) == (200, first.content)


async def test_a_script_is_sent_with_brotli(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/studio/")).text
    [script] = re.findall(r'<script [^>]*src="(/studio/assets/[^"]+\.js)"', page)
    plain = await browser.get(script, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    async with browser.stream("GET", script, headers={"Accept-Encoding": "br"}) as answer:
        sent = b"".join([part async for part in answer.aiter_raw()])
    assert (answer.status_code, answer.headers["content-encoding"]) == (200, "br")
    assert answer.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert len(sent) < len(plain.content) / 2
    assert await decoded(sent) == plain.content


async def decoded(content: bytes) -> bytes:
    """What Node.js makes of content in Brotli, which Python's standard library has not."""
    program = "process.stdout.write(zlib.brotliDecompressSync(fs.readFileSync(0)))"
    process = await asyncio.create_subprocess_exec("node", "-e", program, stdin=PIPE, stdout=PIPE)
    return (await process.communicate(content))[0]


@pytest.mark.parametrize("name", ["a" * 256, "a" * 5_000, "%00", "assets/", "assets/..%2findex.html"])
async def test_a_name_that_no_file_has_is_404(browser: httpx.AsyncClient, name: str) -> None:
    assert (await browser.get(f"/studio/{name}")).status_code in {400, 404}
