"""What is in the emulator's containers, read at the least cost: plain HTTP, whole pages, no SDK models."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

import aiohttp
from yarl import URL

from devhost.settings import ACCOUNT, ACCOUNT_KEY

API_VERSION = "2021-12-02"


@dataclass(frozen=True, slots=True)
class Blob:
    """One blob as a listing shows it; `size` in bytes, `etag` without quotes."""

    container: str
    name: str
    etag: str
    size: int
    content_type: str
    blob_type: str


class EmulatorError(Exception):
    """The emulator did not answer, or not with what was asked for."""


class Account:
    """The blob service of an emulator; one aiohttp session is shared by all calls."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/{ACCOUNT}"
        self._session = session
        self._sas = _read_only_signature()

    def blob_url(self, container: str, name: str) -> str:
        """The URL of a blob, as in an event."""
        return f"{self.url}/{container}/{quote(name)}"

    async def containers(self) -> list[str]:
        """Names of all containers."""
        return [name async for page in self._pages("") for name in map(_name, page.iter("Container"))]

    async def blobs(self, container: str) -> AsyncIterator[Blob]:
        """Every blob of a container; none when the container is gone."""
        async for page in self._pages(container):
            for item in page.iter("Blob"):
                yield Blob(
                    container,
                    item.findtext("Name", ""),
                    item.findtext("Properties/Etag", "").strip('"'),
                    int(item.findtext("Properties/Content-Length", "0")),
                    item.findtext("Properties/Content-Type") or "application/octet-stream",
                    item.findtext("Properties/BlobType", "BlockBlob"),
                )

    async def blob(self, container: str, name: str) -> Blob | None:
        """One blob, None when it does not exist."""
        url = f"{self.blob_url(container, name)}?{self._sas}"
        try:
            async with self._session.head(_as_is(url), headers={"x-ms-version": API_VERSION}) as answer:
                if answer.status == 404:
                    return None
                if answer.status != 200:
                    raise EmulatorError(f"status {answer.status} for a blob of {container}")
                headers = answer.headers
                return Blob(
                    container,
                    name,
                    headers.get("ETag", "").strip('"'),
                    int(headers.get("Content-Length", "0")),
                    headers.get("Content-Type") or "application/octet-stream",
                    headers.get("x-ms-blob-type", "BlockBlob"),
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise EmulatorError(f"no answer for a blob of {container}: {type(error).__name__}") from error

    async def _pages(self, container: str) -> AsyncIterator[ElementTree.Element]:
        marker = ""
        while True:
            query = {"comp": "list", "maxresults": "5000", "marker": marker}
            if container:
                query["restype"] = "container"
            page = await self._page(f"{self.url}/{container}?{urlencode(query)}&{self._sas}")
            if page is None:
                return
            yield page
            marker = page.findtext("NextMarker") or ""
            if not marker:
                return

    async def _page(self, url: str) -> ElementTree.Element | None:
        try:
            async with self._session.get(_as_is(url), headers={"x-ms-version": API_VERSION}) as answer:
                body = await answer.read()
                if answer.status == 404:
                    return None
                if answer.status != 200:
                    raise EmulatorError(f"a listing was answered {answer.status}")
            return ElementTree.fromstring(body)  # noqa: S314 - from our own emulator
        except (aiohttp.ClientError, TimeoutError, ElementTree.ParseError) as error:
            raise EmulatorError(f"a listing failed: {type(error).__name__}") from error


def _name(item: ElementTree.Element) -> str:
    return item.findtext("Name", "")


def _as_is(url: str) -> URL:
    """The URL without aiohttp's own normalization, which would decode names."""
    return URL(url, encoded=True)


def _read_only_signature() -> str:
    """An account SAS that lists and reads, written out here to spare the import of the SDK."""
    fields = {
        "sp": "rl",
        "ss": "b",
        "srt": "sco",
        "st": "",
        "se": "2100-01-01T00:00:00Z",
        "sip": "",
        "spr": "",
    }
    text = "\n".join((ACCOUNT, *fields.values(), API_VERSION, "", ""))
    digest = hmac.digest(base64.b64decode(ACCOUNT_KEY), text.encode(), hashlib.sha256)
    given = {name: value for name, value in fields.items() if value}
    return urlencode({**given, "sv": API_VERSION, "sig": base64.b64encode(digest).decode()})
