"""The SDK clients of a process, and the names of our tables, queues and containers in the user's storage account."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from shared import telemetry
from shared.storage.gateways.azure_blobs import AzureBlobs
from shared.storage.gateways.azure_queues import AzureQueues
from shared.storage.gateways.azure_tables import AzureTable
from shared.storage.gateways.ports import StorageUnavailable
from shared.storage.gateways.rest import RestBlobs, RestTable

if TYPE_CHECKING:
    from aiohttp import (
        ClientSession,
        TraceConfig,
        TraceRequestEndParams,
        TraceRequestExceptionParams,
    )
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.data.tables.aio import TableClient, TableServiceClient
    from azure.storage.blob.aio import BlobServiceClient, ContainerClient
    from azure.storage.queue.aio import QueueClient, QueueServiceClient

    from shared.storage.gateways.rest_pipeline import Service, Transport


_AZURITE = {
    "accountname": "devstoreaccount1",
    # The published key of the emulator, the same on every machine.
    "accountkey": (
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    ),
    "tableendpoint": "http://127.0.0.1:10002/devstoreaccount1",
    "blobendpoint": "http://127.0.0.1:10000/devstoreaccount1",
    "queueendpoint": "http://127.0.0.1:10001/devstoreaccount1",
}


@dataclass(frozen=True, slots=True)
class Account:
    """The endpoints of an account and one of: a credential (managed identity), its key, a SAS."""

    table_endpoint: str
    blob_endpoint: str
    queue_endpoint: str
    credential: AsyncTokenCredential | None = None
    name: str = ""
    key: str = ""
    sas: str = ""

    @classmethod
    def from_connection_string(cls, text: str) -> Account:
        """As the portal shows it, or `UseDevelopmentStorage=true`; raises ValueError."""
        pairs = (part.partition("=") for part in text.strip().rstrip(";").split(";"))
        given = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if given.get("usedevelopmentstorage", "").lower() == "true":
            given = _AZURITE | given
        name, key = given.get("accountname", ""), given.get("accountkey", "")
        sas = given.get("sharedaccesssignature", "").lstrip("?")
        if not sas and not (name and key):
            raise ValueError(
                "The connection string must have AccountName and AccountKey, or SharedAccessSignature."
            )
        table, blob, queue = (_endpoint(given, kind) for kind in ("table", "blob", "queue"))
        return cls(table, blob, queue, name=name, key=key, sas=sas)


def _endpoint(given: dict[str, str], kind: str) -> str:
    explicit = given.get(f"{kind}endpoint")
    if explicit:
        return explicit.rstrip("/")
    if "accountname" not in given:
        raise ValueError(f"The connection string must have AccountName or {kind.title()}Endpoint.")
    suffix = given.get("endpointsuffix", "core.windows.net")
    return f"{given.get('defaultendpointsprotocol', 'https')}://{given['accountname']}.{kind}.{suffix}"


__all__ = ["Account", "StorageClients", "StorageNames"]

CONNECTIONS = 200
"""Open connections at most; aiohttp's own limit is 100."""
_CONNECT_SECONDS = 10
#: Azurite closes a connection that was idle for 5 s; a transaction sent on one that is just being closed fails.
_KEEP_SECONDS = 3
_READ_SECONDS = 60
_BLOCK = 256 * 1024
"""Bytes of a download that are read at once."""
_WHOLE_BLOB = 256 * 1024 * 1024
"""Bytes up to which a blob is read and written by one request."""
_BACKOFF = {"initial_backoff": 0, "increment_base": 2, "random_jitter_range": 1}
"""A blob or queue request is repeated after about 2, 4 and 8 seconds; the SDK's own pauses begin with 18."""


@dataclass(frozen=True, slots=True)
class StorageNames:
    """What our tables, queues and containers are called; the account is the user's, so a prefix leads."""

    prefix: str = "labelbridge"

    def table(self, name: str) -> str:
        """`projects` -> `labelbridgeprojects`: table names are letters and digits."""
        return f"{self.prefix}{name}"

    def queue(self, name: str) -> str:
        """`work` -> `labelbridge-work`; queues of the host keep their names."""
        return name if name.startswith("webjobs-") else f"{self.prefix}-{name}"

    def container(self, name: str = "") -> str:
        """`tombstones` -> `labelbridge-tombstones`; without a name the app's main container."""
        return f"{self.prefix}-{name}" if name else self.prefix


class StorageClients:
    """Gateways to one account over one pool of connections. `rest`: the most frequent calls are made without the SDK.

    The pool opens, and the SDK of a service is imported, with the first call, to whose event loop the pool
    belongs. The owner closes it; the credential stays the caller's to close.
    """

    def __init__(
        self, account: Account, *, names: StorageNames | None = None, retries: int = 4, rest: bool = True
    ) -> None:
        self.account = account
        self.names = names or StorageNames()
        self.rest = rest
        blobs = self._blob_service, self._container_client
        self.blobs = (
            RestBlobs(*blobs, lambda: self._rest_service(tables=False)) if rest else AzureBlobs(*blobs)
        )
        self.queues = AzureQueues(self._queue_client)
        self._retries = retries
        self._tables: dict[str, AzureTable] = {}
        self._clients: dict[tuple[str, ...], Any] = {}
        self._session: ClientSession | None = None

    def table(self, name: str) -> AzureTable:
        """The gateway to our table of that name (without prefix), the same each time."""
        if name not in self._tables:
            client, tables = lambda: self._table_client(name), lambda: self._rest_service(tables=True)
            self._tables[name] = (
                RestTable(client, tables, self.names.table(name)) if self.rest else AzureTable(client)
            )
        return self._tables[name]

    async def close(self) -> None:
        """Close the pool; a later call opens a new one."""
        session, self._session = self._session, None
        self._clients.clear()
        if session is not None:
            await session.close()

    def _table_client(self, name: str) -> TableClient:
        return self._kept(
            ("table", name), lambda: self._table_service().get_table_client(self.names.table(name))
        )

    def _container_client(self, container: str) -> ContainerClient:
        return self._kept(
            ("container", container), lambda: self._blob_service().get_container_client(container)
        )

    def _queue_client(self, name: str) -> QueueClient:
        def build() -> QueueClient:
            from azure.storage.queue import TextBase64EncodePolicy  # what host.json's messageEncoding expects

            return self._queue_service().get_queue_client(
                self.names.queue(name), message_encode_policy=TextBase64EncodePolicy()
            )

        return self._kept(("queue", name), build)

    def _table_service(self) -> TableServiceClient:
        def build() -> TableServiceClient:
            from azure.data.tables.aio import TableServiceClient

            return TableServiceClient(
                self.account.table_endpoint,
                retry_backoff_factor=0.4,
                retry_backoff_max=10,
                retry_status=self._retries,
                **self._options(),
            )

        return self._kept(("tables",), build)

    def _blob_service(self) -> BlobServiceClient:
        def build() -> BlobServiceClient:
            from azure.storage.blob.aio import BlobServiceClient

            return BlobServiceClient(
                self.account.blob_endpoint,
                max_single_get_size=_WHOLE_BLOB,
                max_single_put_size=_WHOLE_BLOB,
                **_BACKOFF,
                **self._options(),
            )

        return self._kept(("blobs",), build)

    def _queue_service(self) -> QueueServiceClient:
        def build() -> QueueServiceClient:
            from azure.storage.queue.aio import QueueServiceClient

            return QueueServiceClient(self.account.queue_endpoint, **_BACKOFF, **self._options())

        return self._kept(("queues",), build)

    def _rest_service(self, *, tables: bool) -> Service:
        def build() -> Service:
            from shared.storage.gateways.rest_pipeline import Service

            return Service(self.account, self._rest_transport(), tables=tables, repeats=self._retries > 0)

        return self._kept(("rest", str(tables)), build)

    def _kept[T](self, key: tuple[str, ...], build: Callable[[], T]) -> T:
        """The client of that key, built at its first use."""
        client = self._clients.get(key)
        if client is None:
            try:
                client = self._clients[key] = build()
            except ValueError as error:  # the SDK takes no token to an endpoint without TLS
                raise StorageUnavailable(str(error), retryable=False) from error
        return client

    def _options(self) -> dict[str, Any]:
        """What all clients are made with; `transport` is shared and outlives each of them."""
        # At INFO, which is what hosts log, the SDK would write some 20 lines for each request.
        logging.getLogger("azure.core.pipeline.policies.http_logging_policy").setLevel(logging.WARNING)
        return {
            "credential": self._credential(),
            "transport": self._transport(),
            "retry_total": self._retries,
            "user_agent": "labelbridge",
        }

    def _credential(self) -> Any:
        from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

        account = self.account
        if account.credential is not None:
            return account.credential
        if account.sas:
            return AzureSasCredential(account.sas)
        return AzureNamedKeyCredential(account.name, account.key)

    def _transport(self) -> Any:
        from azure.core.pipeline.transport import AioHttpTransport

        transport = AioHttpTransport(
            session=self._opened(),
            session_owner=False,
            connection_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            connection_data_block_size=_BLOCK,
        )
        return _with_retries_counted(transport)

    def _rest_transport(self) -> Transport:
        from shared.storage.gateways.rest_pipeline import Transport

        return _with_retries_counted(Transport(self._opened(), _CONNECT_SECONDS, _READ_SECONDS))

    def _opened(self) -> ClientSession:
        from aiohttp import ClientSession, DummyCookieJar, TCPConnector

        if self._session is None:
            self._session = ClientSession(
                trace_configs=[_counted()] if telemetry.enabled() else None,
                connector=TCPConnector(limit=CONNECTIONS, keepalive_timeout=_KEEP_SECONDS),
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,  # azure-core does it, where it is wanted
                trust_env=False,  # else each request looks for a netrc and a proxy, in another thread, twice
            )
        return self._session


def _counted() -> TraceConfig:
    """Counts the requests to the account, a repeated one again, by service and status; 0: there was no answer."""
    from aiohttp import TraceConfig

    async def answered(_: Any, __: Any, end: TraceRequestEndParams) -> None:
        _count(end.url.host or "", end.method, end.response.status)

    async def failed(_: Any, __: Any, end: TraceRequestExceptionParams) -> None:
        _count(end.url.host or "", end.method, 0)

    traces = TraceConfig()
    traces.on_request_end.append(answered)
    traces.on_request_exception.append(failed)
    return traces


def _with_retries_counted[T](transport: T) -> T:
    """Counts the requests that are sent again, by how the try before ended: its status, or 0 without an answer.

    A request of azure-core is the same object in all of its tries.
    """
    if not telemetry.enabled():
        return transport
    ended = WeakKeyDictionary[Any, int]()
    sender: Any = transport
    send = sender.send

    async def counted(request: Any, **more: Any) -> Any:
        if request in ended:
            host = urlsplit(str(request.url)).hostname or ""
            telemetry.count(
                "labelbridge.storage.retries", host=host, method=request.method, status=ended[request]
            )
        ended[request] = 0
        answer = await send(request, **more)
        ended[request] = answer.status_code
        return answer

    sender.send = counted
    return transport


def _count(host: str, method: str, status: int) -> None:
    telemetry.count("labelbridge.storage.calls", host=host, method=method, status=status)
