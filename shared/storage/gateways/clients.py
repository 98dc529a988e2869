"""The one set of SDK clients of a process, and the names of what is ours in the user's storage account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.storage.gateways.azure_blobs import AzureBlobs
from shared.storage.gateways.azure_queues import AzureQueues
from shared.storage.gateways.azure_tables import AzureTable
from shared.storage.gateways.counter import CallCounter

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.pipeline.transport import AioHttpTransport
    from azure.data.tables.aio import TableServiceClient
    from azure.storage.blob.aio import BlobServiceClient
    from azure.storage.queue.aio import QueueServiceClient

CONNECTIONS = 200
"""Open connections to the account at most; aiohttp's own limit of 100 is for all hosts together."""
_CONNECT_SECONDS = 10
_READ_SECONDS = 60
_RETRIES = 4
_WHOLE_BLOB = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StorageNames:
    """What our tables, queues and containers are called; the account is the user's, so a prefix stands before each."""

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


@dataclass(frozen=True, slots=True)
class Account:
    """A storage account: a connection string, or its three endpoints and a credential of azure-identity."""

    connection_string: str = ""
    table_endpoint: str = ""
    blob_endpoint: str = ""
    queue_endpoint: str = ""
    credential: AsyncTokenCredential | None = None


class StorageClients:
    """Gateways to one account over one shared pool of connections.

    Imports the SDKs and opens the pool at the first call; belongs to the event loop it was first used in. Close it.
    """

    def __init__(self, account: Account, *, names: StorageNames | None = None) -> None:
        self.account = account
        self.names = names or StorageNames()
        self.counter = CallCounter()
        self.blobs = AzureBlobs(self.blob_service, self.counter)
        self.queues = AzureQueues(self.queue_service, self.names.queue, self.counter)
        self._tables: dict[str, AzureTable] = {}
        self._session: ClientSession | None = None
        self._table_service: TableServiceClient | None = None
        self._blob_service: BlobServiceClient | None = None
        self._queue_service: QueueServiceClient | None = None

    def table(self, name: str) -> AzureTable:
        """The gateway to our table of that name (without prefix), the same each time."""
        if name not in self._tables:
            self._tables[name] = AzureTable(self.table_service, self.names.table(name), self.counter)
        return self._tables[name]

    def table_service(self) -> TableServiceClient:
        if self._table_service is None:
            from azure.data.tables.aio import TableServiceClient

            if self.account.connection_string:
                self._table_service = TableServiceClient.from_connection_string(
                    self.account.connection_string, **self._options()
                )
            else:
                self._table_service = TableServiceClient(
                    self.account.table_endpoint, credential=self.account.credential, **self._options()
                )
        return self._table_service

    def blob_service(self) -> BlobServiceClient:
        if self._blob_service is None:
            from azure.storage.blob.aio import BlobServiceClient

            options = self._options() | {
                "max_single_get_size": _WHOLE_BLOB,
                "max_single_put_size": _WHOLE_BLOB,
            }
            if self.account.connection_string:
                self._blob_service = BlobServiceClient.from_connection_string(
                    self.account.connection_string, **options
                )
            else:
                self._blob_service = BlobServiceClient(
                    self.account.blob_endpoint, credential=self.account.credential, **options
                )
        return self._blob_service

    def queue_service(self) -> QueueServiceClient:
        if self._queue_service is None:
            from azure.storage.queue.aio import QueueServiceClient

            if self.account.connection_string:
                self._queue_service = QueueServiceClient.from_connection_string(
                    self.account.connection_string, **self._options()
                )
            else:
                self._queue_service = QueueServiceClient(
                    self.account.queue_endpoint, credential=self.account.credential, **self._options()
                )
        return self._queue_service

    async def close(self) -> None:
        """Close the pool; the credential is its owner's to close."""
        self._table_service = self._blob_service = self._queue_service = None
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _options(self) -> dict[str, Any]:
        """What all clients are made with; `transport` is shared and outlives each of them."""
        return {
            "transport": self._transport(),
            "retry_total": _RETRIES,
            "retry_backoff_factor": 0.4,
            "connection_timeout": _CONNECT_SECONDS,
            "read_timeout": _READ_SECONDS,
        }

    def _transport(self) -> AioHttpTransport:
        from aiohttp import ClientSession, DummyCookieJar, TCPConnector
        from azure.core.pipeline.transport import AioHttpTransport

        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(limit=CONNECTIONS),
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
                trust_env=True,
            )
        return AioHttpTransport(
            session=self._session,
            session_owner=False,
            connection_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
        )
