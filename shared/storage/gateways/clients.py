"""The one set of SDK clients of a process, and the names of what is ours in the user's storage account."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.storage.gateways.account import Account
from shared.storage.gateways.azure_blobs import AzureBlobs
from shared.storage.gateways.azure_queues import AzureQueues
from shared.storage.gateways.azure_tables import AzureTable
from shared.storage.gateways.counter import CallCounter
from shared.storage.gateways.errors import StorageUnavailable

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from azure.data.tables.aio import TableClient, TableServiceClient
    from azure.storage.blob.aio import BlobServiceClient, ContainerClient
    from azure.storage.queue.aio import QueueClient, QueueServiceClient

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
        """`training` -> `labelbridge-training`."""
        return f"{self.prefix}-{name}"

    def container(self, name: str = "") -> str:
        """`tombstones` -> `labelbridge-tombstones`; without a name the app's main container."""
        return f"{self.prefix}-{name}" if name else self.prefix


class StorageClients:
    """Gateways to one account over one pool of connections.

    The pool opens, and the SDK of a service is imported, with the first call, to whose event loop the pool
    belongs. The owner closes it; the credential stays the caller's to close.
    """

    def __init__(self, account: Account, *, names: StorageNames | None = None, retries: int = 4) -> None:
        self.account = account
        self.names = names or StorageNames()
        self.counter = CallCounter()
        self.blobs = AzureBlobs(self._blob_service, self._container_client, self.counter)
        self.queues = AzureQueues(self._queue_client, self.counter)
        self._retries = retries
        self._tables: dict[str, AzureTable] = {}
        self._clients: dict[tuple[str, ...], Any] = {}
        self._session: ClientSession | None = None

    def table(self, name: str) -> AzureTable:
        """The gateway to our table of that name (without prefix), the same each time."""
        if name not in self._tables:
            self._tables[name] = AzureTable(lambda: self._table_client(name), self.counter)
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
                self.account.table_endpoint, retry_backoff_factor=0.4, retry_backoff_max=10, **self._options()
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
        from aiohttp import ClientSession, DummyCookieJar, TCPConnector
        from azure.core.pipeline.transport import AioHttpTransport

        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(limit=CONNECTIONS, keepalive_timeout=_KEEP_SECONDS),
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,  # azure-core does it, where it is wanted
                trust_env=False,  # else each request looks for a netrc and a proxy, in another thread, twice
            )
        return AioHttpTransport(
            session=self._session,
            session_owner=False,
            connection_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            connection_data_block_size=_BLOCK,
        )
