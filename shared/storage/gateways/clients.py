"""The one set of clients of a process, and the names of what is ours in the user's storage account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.storage.gateways.account import Account
from shared.storage.gateways.azure_blobs import AzureBlobs
from shared.storage.gateways.azure_queues import AzureQueues
from shared.storage.gateways.azure_tables import AzureTable
from shared.storage.gateways.counter import CallCounter
from shared.storage.gateways.counter import Service as ServiceName
from shared.storage.gateways.rest import Service, policies

if TYPE_CHECKING:
    from aiohttp import ClientSession

__all__ = ["Account", "StorageClients", "StorageNames"]

CONNECTIONS = 200
"""Open connections at most; aiohttp's own limit is 100."""
_CONNECT_SECONDS = 10
#: Azurite closes a connection that was idle for 5 s; a transaction sent on one that is just being closed fails.
_KEEP_SECONDS = 3
_READ_SECONDS = 60
_SCOPE = "https://storage.azure.com/.default"
_VERSIONS: dict[ServiceName, str] = {"table": "2019-02-02", "blob": "2023-11-03", "queue": "2023-11-03"}
"""The version of each REST API that is spoken."""


@dataclass(frozen=True, slots=True)
class StorageNames:
    """What our tables, queues and containers are called; the account is the user's, so a prefix leads."""

    prefix: str = "labelbridge"

    def table(self, name: str) -> str:
        """`projects` -> `labelbridgeprojects`: table names are letters and digits."""
        return f"{self.prefix}{name}"

    def queue(self, name: str) -> str:
        """`training` -> `labelbridge-training`."""
        return f"{self.prefix}-{name}"

    def container(self, name: str = "") -> str:
        """`tombstones` -> `labelbridge-tombstones`; without a name the app's main container."""
        return f"{self.prefix}-{name}" if name else self.prefix


class StorageClients:
    """Gateways to one account over one pool of connections.

    The pool opens, and azure-core is imported, with the first call, to whose event loop it belongs. The owner
    closes it; the credential stays the caller's to close.
    """

    def __init__(self, account: Account, *, names: StorageNames | None = None, retries: int = 4) -> None:
        self.account = account
        self.names = names or StorageNames()
        self.counter = CallCounter()
        self.blobs = AzureBlobs(lambda: self._service("blob"), self.counter)
        self.queues = AzureQueues(lambda: self._service("queue"), self.names.queue, self.counter)
        self._retries = retries
        self._tables: dict[str, AzureTable] = {}
        self._services: dict[ServiceName, Service] = {}
        self._session: ClientSession | None = None

    def table(self, name: str) -> AzureTable:
        """The gateway to our table of that name (without prefix), the same each time."""
        if name not in self._tables:
            self._tables[name] = AzureTable(
                lambda: self._service("table"), self.names.table(name), self.counter
            )
        return self._tables[name]

    async def close(self) -> None:
        """Close the pool; a later call opens a new one."""
        session, self._session = self._session, None
        self._services.clear()
        if session is not None:
            await session.close()

    def _service(self, kind: ServiceName) -> Service:
        """The client of one service, built at its first use."""
        service = self._services.get(kind)
        if service is None:
            service = self._services[kind] = self._build(kind)
        return service

    def _build(self, kind: ServiceName) -> Service:
        from azure.core import AsyncPipelineClient

        endpoints = {
            "table": self.account.table_endpoint,
            "blob": self.account.blob_endpoint,
            "queue": self.account.queue_endpoint,
        }
        client: AsyncPipelineClient[Any, Any] = AsyncPipelineClient(
            endpoints[kind],
            policies=policies(*self._authorization(kind), retries=self._retries),
            transport=self._transport(),
        )
        return Service(endpoints[kind], client, _VERSIONS[kind])

    def _authorization(self, kind: ServiceName) -> list[Any]:
        from azure.core.credentials import AzureSasCredential
        from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy, AzureSasCredentialPolicy

        from shared.storage.gateways.signing import StampDate, StorageSharedKey, TableSharedKey

        account = self.account
        if account.credential is not None:
            return [StampDate(), AsyncBearerTokenCredentialPolicy(account.credential, _SCOPE)]
        if account.sas:
            return [StampDate(), AzureSasCredentialPolicy(AzureSasCredential(account.sas))]
        signature = TableSharedKey if kind == "table" else StorageSharedKey
        return [StampDate(), signature(account.name, account.key)]

    def _transport(self) -> Any:
        from aiohttp import ClientSession, DummyCookieJar, TCPConnector
        from azure.core.pipeline.transport import AioHttpTransport

        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(limit=CONNECTIONS, keepalive_timeout=_KEEP_SECONDS),
                cookie_jar=DummyCookieJar(),
                auto_decompress=True,  # so that azure-core leaves it to aiohttp, which `Service.send` tells not to
                trust_env=False,  # else each request looks for a netrc and a proxy, in another thread, twice
            )
        return AioHttpTransport(
            session=self._session,
            session_owner=False,
            connection_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
        )
