"""Requests to one service of the account (table, blob or queue) through azure-core's public pipeline.

The SDKs for tables, blobs and queues send through this same pipeline. Left out is what they do around it,
which takes three to eight times the CPU of the request (a commit of 97 rows: 27 ms, here 3.4), and half a second of
imports.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode

from shared.storage.gateways.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from azure.core import AsyncPipelineClient
    from azure.core.rest import AsyncHttpResponse, HttpRequest

_REFUSED = (401, 403)
_BUSY = (408, 429)
_LARGE = 256 * 1024
"""Bytes that would hold up the event loop if they were written at once."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answered; `code` is its own word for a failure, like `TableNotFound`, else ""."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    code: str

    @property
    def ok(self) -> bool:
        """Whether the service did what was asked."""
        return self.status < 300

    def unexpected(self) -> StorageUnavailable:
        """The error for an answer that the caller has no use for."""
        text = self.body[:300].decode(errors="replace")
        return StorageUnavailable(f"Answer {self.status} {self.code}: {text}", retryable=self.status == 409)


class Service:
    """One service of the account, at `endpoint` (no slash at the end); the pipeline signs and repeats."""

    def __init__(
        self, endpoint: str, client: AsyncPipelineClient[HttpRequest, AsyncHttpResponse], version: str
    ) -> None:
        self.endpoint = endpoint
        self._client = client
        self._headers = {"x-ms-version": version}

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send one request; `path` is quoted already, `query` is not.

        Raises StorageUnavailable where no answer came after the retries, for 5xx and throttling, and (not
        retryable) where the credentials were refused. Every other answer is the caller's to judge.
        """
        from azure.core.exceptions import AzureError
        from azure.core.rest import HttpRequest

        url = f"{self.endpoint}/{path}"
        if query:
            url = f"{url}?{urlencode(query, quote_via=quote)}"
        content, size = _content(body)
        request = HttpRequest(
            method, url, headers={**self._headers, **(headers or {}), **size}, content=content
        )
        try:
            # A blob is the bytes that lie there, whatever its Content-Encoding claims, and caps on bytes hold.
            response = await self._client.send_request(request, auto_decompress=False)
            answer = _answer(response)
        except AzureError as error:
            raise StorageUnavailable(f"{method} {path}: {error}") from error
        if answer.status >= 500 or answer.status in _BUSY:
            raise StorageUnavailable(f"{method} {path}: {answer.status} {answer.code}")
        if answer.status in _REFUSED:
            raise StorageUnavailable(f"{method} {path}: {answer.status} {answer.code}", retryable=False)
        return answer


def error_code(body: bytes) -> tuple[str, str]:
    """The code and message of a table service's error body, else two empty strings."""
    try:
        parsed = cast("dict[str, Any]", json.loads(body))["odata.error"]
        return str(parsed["code"]), str(parsed["message"]["value"])
    except (ValueError, KeyError, TypeError):
        return "", ""


def _content(body: bytes | None) -> tuple[bytes | BytesIO | None, dict[str, str]]:
    """A large body as a stream, which aiohttp sends piece by piece and a retry rewinds, with its length."""
    if body is None or len(body) < _LARGE:
        return body, {}
    return BytesIO(body), {"Content-Length": str(len(body))}


def _answer(response: AsyncHttpResponse) -> Answer:
    headers = response.headers
    code = ""
    if response.status_code >= 400:
        code = headers.get("x-ms-error-code") or error_code(response.content)[0]
    return Answer(response.status_code, headers, response.content, code)


def policies(*per_try: Any, retries: int) -> Sequence[Any]:
    """What each request passes through; `per_try` with each repetition, for signatures carry the time."""
    from azure.core.pipeline.policies import AsyncRetryPolicy, DistributedTracingPolicy, UserAgentPolicy

    return [
        UserAgentPolicy("labelbridge"),
        AsyncRetryPolicy(retry_total=retries, retry_backoff_factor=0.4, retry_backoff_max=10),
        *per_try,
        DistributedTracingPolicy(),
    ]
