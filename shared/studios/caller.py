"""The caller's own identity towards Azure Resource Manager, by the on-behalf-of flow of Entra ID.

The app proves who it is with its managed identity (a federated credential of the app registration), so there is no
secret. What is asked in the caller's name is only what the caller may do on a workspace.
"""

from typing import Any, Final

from azure.core.credentials_async import AsyncTokenCredential

EXCHANGE_SCOPE: Final = "api://AzureADTokenExchange/.default"


class CallerCredentials:
    """Makes credentials that act for callers. `client_id`: the app registration that tokens are issued for."""

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
