"""Lists the emulator's containers and blobs cheaply: plain HTTP, whole pages, no SDK models."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
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
    """The emulator did not respond, or not as expected."""


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
        return [c.findtext("Name", "") async for page in self._pages("") for c in page.iter("Container")]

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
        answer = await self._request("HEAD", f"{self.blob_url(container, name)}?{self._sas}")
        if answer is None:
            return None
        headers, _ = answer
        etag, size = headers.get("ETag", "").strip('"'), int(headers.get("Content-Length", "0"))
        kind = headers.get("Content-Type") or "application/octet-stream"
        return Blob(container, name, etag, size, kind, headers.get("x-ms-blob-type", "BlockBlob"))

    async def _pages(self, container: str) -> AsyncIterator[ElementTree.Element]:
        query = {"comp": "list", "maxresults": "5000"} | ({"restype": "container"} if container else {})
        url, marker = f"{self.url}/{container}?{urlencode(query)}&{self._sas}&marker=", ""
        while (answer := await self._request("GET", url + quote(marker, safe=""))) is not None:
            try:
                page = ElementTree.fromstring(answer[1])  # noqa: S314 - from our own emulator
            except ElementTree.ParseError as error:
                raise EmulatorError("a listing is not XML") from error
            yield page
            marker = page.findtext("NextMarker") or ""
            if not marker:
                return

    async def _request(self, method: str, url: str) -> tuple[Mapping[str, str], bytes] | None:
        """Headers and body of an answer, None for 404. The URL is sent without aiohttp's normalization."""
        headers = {"x-ms-version": API_VERSION}
        try:
            async with self._session.request(method, URL(url, encoded=True), headers=headers) as answer:
                if answer.status == 404:
                    return None
                if answer.status != 200:
                    raise EmulatorError(f"a {method} request was answered {answer.status}")
                return answer.headers, await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise EmulatorError(f"a {method} request failed: {type(error).__name__}") from error


def _read_only_signature() -> str:
    """An account SAS for listing and reading, made here to avoid the import of the SDK."""
    values = ("rl", "b", "sco", "", "2100-01-01T00:00:00Z", "", "")
    fields = dict(zip(("sp", "ss", "srt", "st", "se", "sip", "spr"), values, strict=True))
    text = "\n".join((ACCOUNT, *fields.values(), API_VERSION, "", ""))
    digest = hmac.digest(base64.b64decode(ACCOUNT_KEY), text.encode(), hashlib.sha256)
    given = {name: value for name, value in fields.items() if value}
    return urlencode({**given, "sv": API_VERSION, "sig": base64.b64encode(digest).decode()})
