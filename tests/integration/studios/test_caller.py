"""On behalf of the caller: the app proves itself with its own token, the caller's token is the assertion."""

from typing import Any

import jwt
from azure.core.pipeline.transport import AioHttpTransport

from shared.connection.studios.arm import CallerCredentials
from tests.fakes.entra import TENANT, FakeEntra, StaticToken
from tests.fakes.server import serve
from tests.support.services import in_process
from tests.support.storage.memory import MemoryStorage


class Redirected(AioHttpTransport):
    """Sends what is meant for login.microsoftonline.com to the fake tenant."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address

    async def send(self, request: Any, **options: Any) -> Any:
        request.url = request.url.replace("https://login.microsoftonline.com", self._address)
        return await super().send(request, **options)


async def test_the_callers_token_is_exchanged_for_one_of_azure() -> None:
    entra = FakeEntra()
    async with serve(entra.app()) as address:
        entra.address = address
        token = entra.token(oid="someone")
        makes = CallerCredentials(
            StaticToken("proof"),
            TENANT,
            "client",
            transport=Redirected(address),
            disable_instance_discovery=True,
        )
        credential = await makes.of(token)
        assert credential is not None
        got = await credential.get_token("https://management.azure.com/.default")
        await credential.close()
    claims = jwt.decode(got.token, options={"verify_signature": False})
    assert claims["aud"] == "https://management.azure.com"
    (assertion, scope) = entra.exchanges[0]
    assert assertion == token
    assert "https://management.azure.com/.default" in scope
    assert await makes.of(None) is None


def test_callers_share_the_identity_of_the_app() -> None:
    account = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a"
    container = in_process(MemoryStorage(), storage_account_id=account).container
    credentials = container.caller_credentials
    assert credentials is not None
    assert container.caller_credentials is credentials
    assert in_process(MemoryStorage()).container.caller_credentials is None
