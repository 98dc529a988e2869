"""What each try of a request is stamped and signed with.

Managed identity and SAS have policies in azure-core; the shared key (Azurite, connection strings) is signed
here, as told in
https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
"""

import base64
import hashlib
import hmac
import time
from email.utils import formatdate
from urllib.parse import parse_qsl

from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest
from yarl import URL

_SIGNED_HEADERS = (
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-MD5",
    "Content-Type",
    "Date",
    "If-Modified-Since",
    "If-Match",
    "If-None-Match",
    "If-Unmodified-Since",
    "Range",
)

type _Request = PipelineRequest[HttpRequest]


class StampDate(SansIOHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Every storage request carries its time; one that is repeated, the time of the repetition."""

    def on_request(self, request: _Request) -> None:
        """Set `x-ms-date`."""
        request.http_request.headers["x-ms-date"] = formatdate(time.time(), usegmt=True)


class _SharedKey(SansIOHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    def __init__(self, account: str, key: str) -> None:
        super().__init__()
        self.account = account
        self._key = base64.b64decode(key)

    def sign(self, request: HttpRequest, scheme: str, text: str) -> None:
        """Set `Authorization` to the signature of `text`."""
        digest = hmac.new(self._key, text.encode(), hashlib.sha256).digest()
        request.headers["Authorization"] = f"{scheme} {self.account}:{base64.b64encode(digest).decode()}"


class TableSharedKey(_SharedKey):
    """Shared Key Lite of the table service; after StampDate."""

    def on_request(self, request: _Request) -> None:
        """Sign date and path."""
        http = request.http_request
        path = URL(http.url).raw_path  # as aiohttp will send it
        self.sign(http, "SharedKeyLite", f"{http.headers['x-ms-date']}\n/{self.account}{path}")


class StorageSharedKey(_SharedKey):
    """Shared Key of the blob and queue services; after StampDate."""

    def on_request(self, request: _Request) -> None:
        """Sign method, headers, path and query."""
        http = request.http_request
        url = URL(http.url)
        signed = {name: http.headers.get(name, "") for name in _SIGNED_HEADERS}
        if signed["Content-Length"] == "0":
            signed["Content-Length"] = ""
        ours = sorted((n.lower(), v) for n, v in http.headers.items() if n.lower().startswith("x-ms-"))
        asked = sorted(parse_qsl(url.raw_query_string, keep_blank_values=True))
        lines = [
            http.method,
            *signed.values(),
            *(f"{name}:{value}" for name, value in ours),
            f"/{self.account}{url.raw_path}",
            *(f"{name.lower()}:{value}" for name, value in asked),
        ]
        self.sign(http, "SharedKey", "\n".join(lines))
