"""How an account is named and opened, and that nothing heavy is imported before its first call."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pytest
from azure.core.credentials import AccessToken, AzureNamedKeyCredential
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import HttpRequest
from azure.data.tables import AccountSasPermissions, EdmType, EntityProperty, generate_account_sas
from azure.data.tables import ResourceTypes as TableResourceTypes
from azure.data.tables.aio import TableClient

from shared.storage.gateways.clients import Account, StorageClients, StorageNames
from shared.storage.gateways.ports import Insert, Row, StorageUnavailable
from tests.support.azurite import Azurite

KEY = "a2V5"


def test_a_connection_string_of_the_portal() -> None:
    account = Account.from_connection_string(
        f"DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={KEY}==;EndpointSuffix=core.windows.net"
    )

    assert account == Account(
        "https://acme.table.core.windows.net",
        "https://acme.blob.core.windows.net",
        "https://acme.queue.core.windows.net",
        name="acme",
        key=f"{KEY}==",
    )


def test_a_connection_string_with_endpoints_and_a_signature() -> None:
    account = Account.from_connection_string(
        "BlobEndpoint=https://b/;QueueEndpoint=https://q;TableEndpoint=https://t/;SharedAccessSignature=?sv=1&sig=x%3D"
    )

    assert account == Account("https://t", "https://b", "https://q", sas="sv=1&sig=x%3D")


def test_the_development_storage() -> None:
    account = Account.from_connection_string("UseDevelopmentStorage=true")

    assert account.blob_endpoint == "http://127.0.0.1:10000/devstoreaccount1"
    assert account.name == "devstoreaccount1"


@pytest.mark.parametrize("text", ["", "AccountName=acme", f"AccountKey={KEY}", "SharedAccessSignature=sv=1"])
def test_a_connection_string_that_lacks_something(text: str) -> None:
    with pytest.raises(ValueError, match="connection string"):
        Account.from_connection_string(text)


def test_the_names_of_what_is_ours() -> None:
    names = StorageNames("lb")

    assert (names.table("projects"), names.queue("training")) == ("lbprojects", "lb-training")
    assert (names.container(), names.container("tombstones")) == ("lb", "lb-tombstones")


@pytest.mark.filterwarnings("ignore:Testing an element's truth value")  # azure-data-tables does so
@pytest.mark.parametrize("rest", [True, False])
async def test_a_wrong_key_is_refused(azurite: Azurite, rest: bool) -> None:
    wrong = azurite.connection_string.replace("AccountKey=E", "AccountKey=F")
    clients = StorageClients(Account.from_connection_string(wrong), rest=rest)
    for call in (
        clients.table("x").get("p", "k"),
        clients.table("x").query("p"),
        clients.table("x").commit("p", [Insert("k", {})]),
        clients.table("x").commit("p", [Insert("k", {}), Insert("l", {})]),
        clients.blobs.read("container", "x"),
        clients.blobs.list_containers(),
        clients.queues.create("x"),
    ):
        with pytest.raises(StorageUnavailable) as caught:
            await call
        assert not caught.value.retryable
    await clients.close()


async def test_clients_open_again_after_they_were_closed(azurite: Azurite) -> None:
    async with azurite.storage() as clients:
        await clients.queues.create("one")
        await clients.close()
        await clients.close()
        await clients.queues.create("two")


@pytest.mark.parametrize("rest", [True, False])
async def test_a_shared_access_signature_opens_the_account(azurite: Azurite, rest: bool) -> None:
    key = azurite.account.key
    sas = generate_account_sas(
        AzureNamedKeyCredential(azurite.account.name, key),
        TableResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions(
            read=True, write=True, delete=True, list=True, add=True, create=True, update=True
        ),
        datetime.now(UTC) + timedelta(hours=1),
    )
    text = f"TableEndpoint={azurite.table};BlobEndpoint={azurite.blob};QueueEndpoint={azurite.queue};"
    clients = StorageClients(
        Account.from_connection_string(f"{text}SharedAccessSignature={sas}"),
        names=StorageNames("sas"),
        rest=rest,
    )
    await clients.table("rows").commit("p", [Insert("a", {"n": 1}), Insert("b", {})])
    row = await clients.table("rows").get("p", "a", select=["n"])
    await clients.table("rows").drop()
    await clients.close()

    assert row
    assert row.values == {"n": 1}


class RecordingTransport(AsyncHttpTransport[Any, Any]):
    """Keeps the request and breaks off: TLS has no place in a test."""

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []

    async def send(self, request: HttpRequest, **_: Any) -> Any:
        self.requests.append(request)
        raise StorageUnavailable("recorded")

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def __aexit__(self, *_: object) -> None: ...


class ManagedIdentity:
    """Stands for a credential of azure-identity."""

    def __init__(self) -> None:
        self.scopes: list[str] = []

    async def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **_: Any,
    ) -> AccessToken:
        self.scopes += scopes
        return AccessToken("the-token", int(datetime.now(UTC).timestamp()) + 3600)

    async def close(self) -> None: ...
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: Any = None, exc_value: Any = None, traceback: Any = None) -> None: ...


@pytest.mark.parametrize("rest", [True, False])
async def test_a_managed_identity_sends_its_token(monkeypatch: pytest.MonkeyPatch, rest: bool) -> None:
    transport, identity = RecordingTransport(), ManagedIdentity()
    for name in ("_transport", "_rest_transport"):
        monkeypatch.setattr(StorageClients, name, lambda _: transport)
    clients = StorageClients(Account("https://t", "https://b", "https://q", credential=identity), rest=rest)
    for call in (
        clients.table("rows").get("p", "k"),
        clients.blobs.read("container", "x"),
        clients.queues.create("q"),
    ):
        with pytest.raises(StorageUnavailable, match="recorded"):
            await call

    assert {request.headers["Authorization"] for request in transport.requests} == {"Bearer the-token"}
    assert all(request.headers["x-ms-date"].endswith("GMT") for request in transport.requests)
    assert [request.url for request in transport.requests] == [
        "https://t/labelbridgerows(PartitionKey='p',RowKey='k')",
        "https://b/container/x",
        "https://q/labelbridge-q",
    ]
    assert set(identity.scopes) == {"https://storage.azure.com/.default"}


@pytest.mark.parametrize("rest", [True, False])
async def test_a_token_never_travels_without_tls(rest: bool) -> None:
    clients = StorageClients(
        Account(
            "http://127.0.0.1:9", "http://127.0.0.1:9", "http://127.0.0.1:9", credential=ManagedIdentity()
        ),
        retries=0,
        rest=rest,
    )
    for call in (clients.table("rows").get("p", "k"), clients.blobs.read("container", "x")):
        with pytest.raises(StorageUnavailable, match="HTTPS"):
            await call
    await clients.close()


@pytest.mark.parametrize("rest", [True, False])
async def test_the_sdk_reads_what_the_gateway_writes_and_the_reverse(azurite: Azurite, rest: bool) -> None:
    when = datetime(2026, 11, 24, 19, 30, 1, 234567, tzinfo=UTC)
    values = {"s": "é", "i": 7, "l": 2**40, "f": 0.5, "b": b"\x00\xff", "t": True, "d": when}
    async with azurite.storage(rest=rest) as clients:
        await clients.table("rows").commit("p'1", [Insert("k'1", values)])
        sdk = TableClient.from_connection_string(azurite.connection_string, clients.names.table("rows"))
        async with sdk:
            entity = await sdk.get_entity("p'1", "k'1")
            written = {**values, "l": EntityProperty(2**40, EdmType.INT64)}
            await sdk.create_entity({"PartitionKey": "p'1", "RowKey": "k'2", **written})
        row = await clients.table("rows").get("p'1", "k'2")

    assert dict(entity) == {**written, "PartitionKey": "p'1", "RowKey": "k'1"}
    assert row == Row("p'1", "k'2", row.etag if row else "", values)


def test_nothing_heavy_is_imported_before_the_first_call() -> None:
    program = (
        "import sys\n"
        "from shared.storage.gateways.clients import Account, StorageClients\n"
        "from tests.support.storage.memory import MemoryStorage\n"
        "StorageClients(Account.from_connection_string('UseDevelopmentStorage=true')).table('x')\n"
        "print([m for m in ('azure', 'aiohttp', 'yarl') if m in sys.modules])\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("rest", "call", "loaded"),
    [
        (True, "table('x').get('p', 'k')", []),
        (True, "table('x').query('p')", []),
        (True, "blobs.read('container', 'x')", []),
        (False, "table('x').get('p', 'k')", ["azure.data"]),
        (False, "blobs.read('container', 'x')", ["azure.storage", "azure.storage.blob"]),
        (True, "queues.create('queue')", ["azure.storage", "azure.storage.queue"]),
    ],
)
def test_a_call_imports_the_sdk_of_its_service_only(
    azurite: Azurite, rest: bool, call: str, loaded: list[str]
) -> None:
    """And by REST none."""
    sdks = ["azure.data", "azure.storage", "azure.storage.blob", "azure.storage.queue", "azure.identity"]
    program = (
        "import asyncio, sys\n"
        "from shared.storage.gateways.clients import Account, StorageClients, StorageNames\n"
        "async def main():\n"
        "    account = Account.from_connection_string(sys.argv[1])\n"
        f"    clients = StorageClients(account, names=StorageNames('alone'), rest={rest})\n"
        f"    await clients.{call}\n"
        "    await clients.close()\n"
        "asyncio.run(main())\n"
        f"print([m for m in {sdks} if m in sys.modules])\n"
    )

    command = [sys.executable, "-c", program, azurite.connection_string]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == str(loaded)
