"""Azure Resource Manager (ARM) over raw REST: one call, its retries, and what its failures mean.

azure-core's pipeline repeats what can be repeated (429 and 503 with `Retry-After`, lost connections,
timeouts).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import urlsplit

from azure.core import AsyncPipelineClient
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.policies import (
    AsyncBearerTokenCredentialPolicy,
    AsyncRetryPolicy,
    HeadersPolicy,
    RequestIdPolicy,
    UserAgentPolicy,
)
from azure.core.rest import AsyncHttpResponse, HttpRequest

from shared.domain.errors import Unavailable
from shared.studios.base import StudioFailed

ENDPOINT: Final = "https://management.azure.com"
#: Where a token may travel without TLS: this machine, for tests.
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost"})
_TRY_AGAIN: Final = frozenset({408, 409, 412, 429})


@dataclass(frozen=True, slots=True)
class ArmOptions:
    """Seconds and counts. `timeout` is for one try of one call; `max_pages` bounds what a list may send."""

    endpoint: str = ENDPOINT
    scope: str = f"{ENDPOINT}/.default"
    timeout: float = 10.0
    retries: int = 3
    backoff: float = 0.5
    longest_wait: float = 20.0
    max_pages: int = 100


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Mapping[str, Any]
    location: str | None


class Arm:
    def __init__(self, credential: AsyncTokenCredential, options: ArmOptions | None = None) -> None:
        self._credential = credential
        self._options = options or ArmOptions()
        self._client = self._pipeline(credential)

    async def close(self) -> None:
        await self._client.close()

    async def get(self, path: str, version: str, params: Mapping[str, str] | None = None) -> Answer | None:
        """None: there is no such resource."""
        answer = await self._send(self._client, "GET", path, version, params=params)
        return None if answer.status == 404 else answer

    async def put(self, path: str, version: str, body: Mapping[str, Any]) -> Answer:
        return await self._must(await self._send(self._client, "PUT", path, version, body=body), path)

    async def post(self, path: str, version: str, body: Mapping[str, Any] | None = None) -> Answer:
        return await self._must(await self._send(self._client, "POST", path, version, body=body), path)

    async def poll(self, url: str) -> Answer:
        """A long-running operation by its `Location`, which must be ARM's own: no other address is ever
        called.
        """
        if urlsplit(url)[:2] != urlsplit(self._options.endpoint)[:2]:
            raise StudioFailed(
                "InvalidRequest", "Azure Resource Manager answered with an address that is not its own."
            )
        parts = urlsplit(url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return await self._must(await self._send(self._client, "GET", path, None), parts.path)

    async def list(self, path: str, version: str, params: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        return await self._list(self._client, path, version, params)

    async def list_as(
        self, caller: AsyncTokenCredential, path: str, version: str
    ) -> Sequence[Mapping[str, Any]]:
        """The same with the rights of somebody else."""
        client = self._pipeline(caller)
        try:
            return await self._list(client, path, version, {})
        finally:
            await client.close()

    async def _list(
        self,
        client: AsyncPipelineClient[HttpRequest, AsyncHttpResponse],
        path: str,
        version: str,
        params: Mapping[str, str],
    ) -> Sequence[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        answer = await self._must(await self._send(client, "GET", path, version, params=params), path)
        for _ in range(self._options.max_pages):
            found += cast("Sequence[Mapping[str, Any]]", answer.body.get("value") or [])
            following = answer.body.get("nextLink")
            if not isinstance(following, str) or not following:
                return found
            answer = await self.poll(following)
        raise StudioFailed("InvalidRequest", f"Azure Resource Manager lists more than can be read: {path}")

    async def _must(self, answer: Answer, path: str) -> Answer:
        if answer.status == 404:
            raise StudioFailed("NotFound", f"Azure has no resource '{path}'.")
        return answer

    async def _send(
        self,
        client: AsyncPipelineClient[HttpRequest, AsyncHttpResponse],
        method: str,
        path: str,
        version: str | None,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        query = {**(params or {}), **({"api-version": version} if version else {})}
        request = HttpRequest(method, client.format_url(path), params=query, json=body)
        options = self._options
        try:
            response = await client.send_request(
                request,
                connection_timeout=options.timeout,
                read_timeout=options.timeout,
                enforce_https=urlsplit(options.endpoint).hostname not in LOOPBACK,
            )
        except ClientAuthenticationError as error:
            raise StudioFailed("Unauthorized", f"Azure did not take our identity: {error.message}") from error
        except (ServiceRequestError, ServiceResponseError) as error:
            raise Unavailable("Azure Resource Manager does not answer; try again.", retry_after=10) from error
        except AzureError as error:
            raise Unavailable(
                f"Azure Resource Manager cannot be reached: {error.message}", retry_after=10
            ) from error
        return _answer(response)

    def _pipeline(
        self, credential: AsyncTokenCredential
    ) -> AsyncPipelineClient[HttpRequest, AsyncHttpResponse]:
        options = self._options
        return AsyncPipelineClient(
            options.endpoint,
            policies=[
                RequestIdPolicy(),
                HeadersPolicy({"Accept": "application/json"}),
                UserAgentPolicy("labelbridge"),
                AsyncRetryPolicy(
                    retry_total=options.retries,
                    retry_backoff_factor=options.backoff,
                    retry_backoff_max=options.longest_wait,
                ),
                AsyncBearerTokenCredentialPolicy(credential, options.scope),
            ],
        )


def _answer(response: AsyncHttpResponse) -> Answer:
    status, body = response.status_code, _json(response)
    if status < 400 or status == 404:
        return Answer(status, body, response.headers.get("Location"))
    code, message = _error(body)
    if status >= 500 or status in _TRY_AGAIN:
        wait = response.headers.get("Retry-After", "")
        seconds = int(wait) if wait.isdigit() else 10
        raise Unavailable(f"Azure answered {status} {code}: {message}", retry_after=seconds)
    if status in {401, 403}:
        raise StudioFailed("Forbidden", f"Azure forbids it ({code}): {message}")
    raise StudioFailed("InvalidRequest", f"Azure refused the request with {status} ({code}): {message}")


def _json(response: AsyncHttpResponse) -> Mapping[str, Any]:
    if not response.content:
        return {}
    try:
        body: Any = response.json()
    except ValueError:
        return {}
    return cast("Mapping[str, Any]", body) if isinstance(body, dict) else {}


def _error(body: Mapping[str, Any]) -> tuple[str, str]:
    error: Any = body.get("error")
    if not isinstance(error, dict):
        return "without a reason", "no message"
    told = cast("Mapping[str, Any]", error)
    return str(told.get("code", "?"))[:100], str(told.get("message", "no message"))[:500]
