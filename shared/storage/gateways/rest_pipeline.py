"""Requests to the table or blob service through azure-core's pipeline: signed, repeated, and read whole.

Imported with the first call, because it imports azure-core and aiohttp.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from random import uniform
from time import time
from typing import TYPE_CHECKING, Any, override
from urllib.parse import quote, urlencode

import aiohttp
from azure.core.credentials import AzureSasCredential
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.pipeline import AsyncPipeline, PipelineRequest, policies
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import HttpRequest
from yarl import URL

from shared.storage.gateways.azure_errors import translated, unavailable

if TYPE_CHECKING:
    from shared.storage.gateways.clients import Account

VERSION = "2021-12-02"
"""Of the service; it keeps a version for years."""
_SCOPE = "https://storage.azure.com/.default"
TABLE_PAUSES = (0.1, 0.3, 0.6, 1.2, 2.4)
"""Seconds before a refused call is sent again. A partition is mostly free again within tenths of a second, and all that
is saved or uploaded meanwhile waits behind the one transaction of its process.
"""
BLOB_PAUSES = (0.5, 1, 2, 4)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a service; `status_code` is what azure-core's policies look for."""

    status_code: int
    headers: Mapping[str, str]
    body: bytes


class Transport(AsyncHttpTransport[HttpRequest, Any]):
    """Sends through the session that is shared with the SDKs. The body is the bytes as they travel."""

    def __init__(self, session: aiohttp.ClientSession, connect_seconds: float, read_seconds: float) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(sock_connect=connect_seconds, sock_read=read_seconds)

    @override
    async def send(self, request: HttpRequest, **_: Any) -> Answer:
        try:
            async with self._session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=request.headers,
                data=request.content,
                timeout=self._timeout,
                allow_redirects=False,
                skip_auto_headers=("Content-Type",),
                middlewares=() if request.method == "GET" else (_only_once,),
            ) as response:
                return Answer(response.status, response.headers, await response.read())
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise ServiceRequestError(error, error=error) from error
        except (TimeoutError, aiohttp.ClientError) as error:
            raise ServiceResponseError(error, error=error) from error

    @override
    async def open(self) -> None: ...
    @override
    async def close(self) -> None: ...
    @override
    async def __aexit__(self, *_: object) -> None: ...


async def _only_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Because aiohttp repeats a PUT or DELETE when the connection breaks, although it may have had its effect."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientError(error) from error


class _Retry(policies.AsyncRetryPolicy[HttpRequest, Any]):
    """A write whose response was lost is not sent again; one that the service refused temporarily is, PUT and POST
    alike.

    Delays are random, so that callers that were refused together retry one by one.
    """

    def __init__(self, pauses: Sequence[float]) -> None:
        super().__init__(retry_total=len(pauses), retry_status=len(pauses))
        self._pauses = pauses

    @override
    def get_backoff_time(self, settings: dict[str, Any]) -> float:
        """Seconds; where no answer came, the first try again is at once, over another connection."""
        tries = len(settings["history"])
        if tries == 1 and settings["history"][-1].error is not None:
            return 0
        return self._pauses[tries - 1] * uniform(0.5, 1.5)

    @override
    def is_retry(self, settings: dict[str, Any], response: Any) -> bool:
        refused = response.http_response.status_code in {429, 500, 503, 504} and settings["total"] > 0
        return super().is_retry(settings, response) or (refused and response.http_request.method != "GET")


@lru_cache(1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


class _Signature(policies.AsyncHTTPPolicy[HttpRequest, Any]):
    """Sets the time of each try and, where there is a key, its signature.

    https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
    """

    def __init__(self, account: str, key: str, *, tables: bool) -> None:
        self._account = account
        self._key = base64.b64decode(key)
        self._tables = tables

    @override
    async def send(self, request: PipelineRequest[HttpRequest]) -> Any:
        http = request.http_request
        date = http.headers["x-ms-date"] = _date(int(time()))
        if self._key:
            resource = f"/{self._account}{URL(http.url, encoded=True).raw_path}"
            text, scheme = f"{date}\n{resource}", "SharedKeyLite"
            if not self._tables:  # a GET whose only headers that count begin with x-ms-
                values = {name.lower(): value for name, value in http.headers.items()}
                ours = sorted(name for name in values if name.startswith("x-ms-"))
                headers = "".join(f"{name}:{values[name]}\n" for name in ours)
                text, scheme = f"{http.method}{'\n' * 12}{headers}{resource}", "SharedKey"
            digest = hmac.digest(self._key, text.encode(), hashlib.sha256)
            http.headers["Authorization"] = f"{scheme} {self._account}:{base64.b64encode(digest).decode()}"
        return await self.next.send(request)


class Service:
    """The table or blob service at `endpoint` (without a slash at the end).

    Requests are repeated as `_Retry` says, after the time that the service names; without `repeats` they are not.
    """

    def __init__(self, account: "Account", transport: Any, *, tables: bool, repeats: bool = True) -> None:
        self.endpoint = account.table_endpoint if tables else account.blob_endpoint
        if account.credential is not None and not self.endpoint.startswith("https://"):
            raise ValueError("Tokens are sent over HTTPS only.")
        pauses = TABLE_PAUSES if tables else BLOB_PAUSES
        chain: list[Any] = [_Retry(pauses if repeats else ())]
        if account.credential is not None:
            chain.append(policies.AsyncBearerTokenCredentialPolicy(account.credential, _SCOPE))
        elif account.sas:
            chain.append(policies.AzureSasCredentialPolicy(AzureSasCredential(account.sas)))
        chain.append(_Signature(account.name, account.key, tables=tables))
        self._pipeline: AsyncPipeline[HttpRequest, Any] = AsyncPipeline(transport, chain)
        self._headers = {"x-ms-version": VERSION, "User-Agent": "labelbridge"}
        if tables:
            self._headers |= {"DataServiceVersion": "3.0", "Accept": "application/json;odata=minimalmetadata"}

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Any answer, also a refusal; `path` is quoted, `query` is not. Raises StorageUnavailable without an answer."""
        url = f"{self.endpoint}/{path}"
        if query:
            url = f"{url}?{urlencode(query, quote_via=quote)}"
        request = HttpRequest(method, url, headers=self._headers | dict(headers or {}), content=body)
        call = self._pipeline.run(request, retry_on_methods=("GET",))  # when no answer came
        return (await translated(call, unavailable)).http_response
