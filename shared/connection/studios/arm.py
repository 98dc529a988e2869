"""Azure Resource Manager (ARM) over REST: calls with their retries and errors, and the checks of a workspace.

azure-core's pipeline retries what can be retried (429 and 503 with `Retry-After`, lost connections, timeouts).
"""

import asyncio
import fnmatch
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

from shared.connection.conditions import Condition
from shared.connection.studios.base import StudioFailed
from shared.domain.errors import Unavailable

EXCHANGE_SCOPE: Final = "api://AzureADTokenExchange/.default"


class CallerCredentials:
    """Creates credentials on behalf of callers. `client_id`: the app registration that tokens are issued for."""

    def __init__(
        self, identity: AsyncTokenCredential, tenant_id: str, client_id: str, **options: Any
    ) -> None:
        self._identity = identity
        self._tenant_id = tenant_id
        self._client_id = client_id
        self._options = options

    async def of(self, token: str | None) -> AsyncTokenCredential | None:
        """None for a caller without a bearer token."""
        if token is None:
            return None
        from azure.identity.aio import OnBehalfOfCredential

        proof = (await self._identity.get_token(EXCHANGE_SCOPE)).token
        return OnBehalfOfCredential(
            tenant_id=self._tenant_id,
            client_id=self._client_id,
            client_assertion_func=lambda: proof,
            user_assertion=token,
            **self._options,
        )


ENDPOINT: Final = "https://management.azure.com"
#: Hosts to which a token may be sent without TLS: this machine, for tests.
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost"})
MAX_RETRY_AFTER: Final = 300
_TRY_AGAIN: Final = frozenset({408, 409, 412, 429})


@dataclass(frozen=True, slots=True)
class ArmOptions:
    """In seconds and counts. `timeout` of one try of a call; `max_pages` bounds a list."""

    endpoint: str = ENDPOINT
    scope: str = f"{ENDPOINT}/.default"
    timeout: float = 10.0
    retries: int = 3
    backoff: float = 0.5
    longest_wait: float = 20.0
    max_pages: int = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """`retry_after`: the seconds to wait before the next call, where Azure asks for it."""

    status: int
    body: Mapping[str, Any]
    location: str | None
    retry_after: int | None = None


class Arm:
    def __init__(self, credential: AsyncTokenCredential, options: ArmOptions | None = None) -> None:
        self._credential = credential
        self._options = options or ArmOptions()
        self._client = self._pipeline(credential)

    async def close(self) -> None:
        await self._client.close()

    async def get(self, path: str, version: str, params: Mapping[str, str] | None = None) -> Answer | None:
        """None: the resource does not exist."""
        answer = await self._send(self._client, "GET", path, version, params=params)
        return None if answer.status == 404 else answer

    async def put(self, path: str, version: str, body: Mapping[str, Any]) -> Answer:
        return await self._must(await self._send(self._client, "PUT", path, version, body=body), path)

    async def post(self, path: str, version: str, body: Mapping[str, Any] | None = None) -> Answer:
        return await self._must(await self._send(self._client, "POST", path, version, body=body), path)

    async def poll(self, url: str) -> Answer:
        """Get a URL that ARM returned; refused unless it is ARM's own address."""
        if urlsplit(url)[:2] != urlsplit(self._options.endpoint)[:2]:
            raise StudioFailed(
                "InvalidRequest", "Azure Resource Manager returned the address of another host."
            )
        parts = urlsplit(url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return await self._must(await self._send(self._client, "GET", path, None), parts.path)

    async def list(self, path: str, version: str, params: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        return await self._list(self._client, path, version, params)

    async def list_as(
        self, caller: AsyncTokenCredential, path: str, version: str
    ) -> Sequence[Mapping[str, Any]]:
        """List with the permissions of a caller."""
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
        raise StudioFailed(
            "InvalidRequest", f"Azure Resource Manager returned a list that is too long: {path}"
        )

    async def _must(self, answer: Answer, path: str) -> Answer:
        if answer.status == 404:
            raise StudioFailed("NotFound", f"The resource '{path}' does not exist.")
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
            raise StudioFailed(
                "Unauthorized", f"Azure rejected the identity of the app: {error.message}"
            ) from error
        except (ServiceRequestError, ServiceResponseError) as error:
            raise Unavailable(
                "Azure Resource Manager does not respond. Try again later.", retry_after=10
            ) from error
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
        return Answer(status, body, response.headers.get("Location"), _retry_after(response))
    code, message = _error(body)
    if status >= 500 or status in _TRY_AGAIN:
        wait = _retry_after(response)
        raise Unavailable(
            f"Azure responded with {status} ({code}): {message}", retry_after=10 if wait is None else wait
        )
    if status in {401, 403}:
        raise StudioFailed("Forbidden", f"Azure denied access ({code}): {message}")
    raise StudioFailed("InvalidRequest", f"Azure refused the request with {status} ({code}): {message}")


def _retry_after(response: AsyncHttpResponse) -> int | None:
    """Azure Resource Manager sends seconds; at most MAX_RETRY_AFTER, so that steps do not time out."""
    wait = response.headers.get("Retry-After", "")
    return min(int(wait), MAX_RETRY_AFTER) if wait.isascii() and wait.isdigit() else None


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
        return "no code", "no message"
    details = cast("Mapping[str, Any]", error)
    return str(details.get("code", "no code"))[:100], str(details.get("message", "no message"))[:500]


# Checks of a workspace and of a caller

WORKSPACE_VERSION: Final = "2024-04-01"
AUTHORIZATION_VERSION: Final = "2022-04-01"
#: Built-in role Storage Blob Data Contributor.
CONTRIBUTOR: Final = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
#: The action that the role Labeling Team Lead, who cannot change labeling projects, lacks.
SWITCH_ACTION: Final = "microsoft.machinelearningservices/workspaces/labeling/projects/write"


async def workspace_conditions(arm: Arm, workspace: str, storage_account_id: str) -> list[Condition]:
    """Checks subscription and workspace, then its storage account, then its identity's role on that."""
    if _subscription(workspace) != _subscription(storage_account_id):
        message = "The workspace must be in the subscription of this storage account."
        return [Condition("WorkspaceExists", False, message, "workspaceId")]
    answer = await arm.get(workspace, WORKSPACE_VERSION)
    if answer is None:
        return [
            Condition("WorkspaceExists", False, f"The workspace '{workspace}' does not exist.", "workspaceId")
        ]
    properties = cast("Mapping[str, Any]", answer.body.get("properties") or {})
    same = _same_id(str(properties.get("storageAccount", "")), storage_account_id)
    text = "The workspace uses this storage account."
    if not same:
        text = (
            "The workspace uses another storage account, which cannot be changed. "
            "Use a workspace that was created with this one."
        )
    return [
        Condition("WorkspaceExists", True, "The workspace exists.", "workspaceId"),
        Condition("SameStorageAccount", same, text, "workspaceId"),
        await _identity_condition(arm, answer.body, storage_account_id),
    ]


async def _identity_condition(arm: Arm, workspace: Mapping[str, Any], storage_account_id: str) -> Condition:
    principals = _principals(workspace)
    granted = await asyncio.gather(
        *(_has_role(arm, principal, storage_account_id) for principal in principals)
    )
    met = any(granted)
    message = "The workspace's identity has the role Storage Blob Data Contributor on the storage account."
    if not principals:
        message = (
            "Give the workspace a managed identity with the role Storage Blob Data Contributor on the storage "
            "account."
        )
    elif not met:
        message = "Assign the role Storage Blob Data Contributor on the storage account to the workspace's identity."
    return Condition("IdentityHasRole", met, message, "workspaceId")


def _principals(workspace: Mapping[str, Any]) -> list[str]:
    """The system-assigned identity and the user-assigned ones."""
    identity = cast("Mapping[str, Any]", workspace.get("identity") or {})
    others = cast("Mapping[str, Mapping[str, Any]]", identity.get("userAssignedIdentities") or {})
    found = [identity.get("principalId"), *(other.get("principalId") for other in others.values())]
    return [str(principal) for principal in found if principal]


async def _has_role(arm: Arm, principal: str, scope: str) -> bool:
    """Assigned at the account or above; `assignedTo` includes assignments to groups."""
    path = f"{scope.rstrip('/')}/providers/Microsoft.Authorization/roleAssignments"
    rows = await arm.list(path, AUTHORIZATION_VERSION, {"$filter": f"assignedTo('{principal}')"})
    return any(_grants(cast("Mapping[str, Any]", row.get("properties") or {}), scope) for row in rows)


def _grants(assignment: Mapping[str, Any], scope: str) -> bool:
    role = str(assignment.get("roleDefinitionId", "")).lower().rsplit("/", 1)[-1]
    at = str(assignment.get("scope", "")).lower().rstrip("/")
    above = scope.lower().rstrip("/") == at or scope.lower().startswith(at + "/")
    return role == CONTRIBUTOR and above and not assignment.get("condition")


async def may_write_labeling(arm: Arm, caller: AsyncTokenCredential, workspace: str) -> bool:
    path = f"{workspace}/providers/Microsoft.Authorization/permissions"
    return allows(await arm.list_as(caller, path, AUTHORIZATION_VERSION), SWITCH_ACTION)


def allows(permissions: Sequence[Mapping[str, Any]], action: str) -> bool:
    """Whether a role of the caller includes the action and does not exclude it (`notActions`)."""
    return any(
        _matches(role.get("actions"), action) and not _matches(role.get("notActions"), action)
        for role in permissions
    )


def _matches(patterns: Any, action: str) -> bool:
    names = cast("Sequence[str]", patterns or ())
    return any(fnmatch.fnmatchcase(action.lower(), name.lower()) for name in names)


def _same_id(left: str, right: str) -> bool:
    return left.strip().strip("/").lower() == right.strip().strip("/").lower()


def _subscription(resource_id: str) -> str:
    parts = resource_id.strip("/").lower().split("/")
    return parts[1] if len(parts) > 1 and parts[0] == "subscriptions" else ""
