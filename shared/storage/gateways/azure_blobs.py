"""The blobs of the account, through azure-storage-blob."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, override

from shared.storage.gateways.azure_errors import code_of, refused, status_of, translated
from shared.storage.gateways.limits import check_blob_name, check_container
from shared.storage.gateways.ports import (
    CHUNK,
    LIST_PAGE,
    BadKey,
    BlobChanged,
    BlobContent,
    BlobExists,
    BlobInfo,
    BlobLeased,
    BlobPage,
    Blobs,
    BlobUnreadable,
    ContainerMissing,
    Names,
    StorageError,
    StorageUnavailable,
)

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError
    from azure.storage.blob import BlobProperties
    from azure.storage.blob.aio import BlobClient, BlobServiceClient, ContainerClient

_OCTETS = "application/octet-stream"


class _BlobMissing(StorageUnavailable):
    """There is no such blob."""


class _ContainerExists(StorageUnavailable):
    """The container to create is there already."""


class _NoSuchRange(StorageUnavailable):
    """The blob ends before the range begins: of an empty blob no range can be had."""


_NOT_THERE = (BadKey, _BlobMissing, ContainerMissing)
_BY_CODE: dict[str, type[StorageError]] = {
    "BlobAlreadyExists": BlobExists,
    "ContainerAlreadyExists": _ContainerExists,
    "ContainerNotFound": ContainerMissing,
}
#: With a code that is not of `_OF_ALL`, these responses are about one blob and permanent.
_LASTING = frozenset({400, 403, 409})
#: What meets every blob alike, by how its code begins: accounts, credentials, rights, containers, the form of requests,
#: and what is over in a moment. https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
_OF_ALL = (
    "Account", "Authentication", "Authorization", "Container", "InsufficientAccountPermissions", "InternalError",
    "InvalidAuthenticationInfo", "InvalidHeaderValue", "InvalidHttpVerb", "InvalidQueryParameterValue",
    "KeyBasedAuthentication", "MissingRequired", "NoAuthentication", "OperationTimedOut", "PublicAccess", "ServerBusy",
    "SystemInUse", "TooManyRequests", "Unsupported",
)  # fmt: skip
#: For an account, a missing role; for one blob, a condition of the role or an access control list.
_PERMISSION = "AuthorizationPermissionMismatch"
#: For an account with a key of its own, every blob; with an encryption scope, the blobs of that scope.
_KEY = "KeyVault"
_BY_STATUS: dict[int | None, type[StorageError]] = {404: _BlobMissing, 412: BlobChanged, 416: _NoSuchRange}


class AzureBlobs(Blobs):
    """Any container of the account; etags go in and out without quotes.

    `service` gives the account's client, `client` the container's. A blob is the bytes that lie there,
    whatever its Content-Encoding claims.
    """

    def __init__(
        self,
        service: Callable[[], BlobServiceClient],
        client: Callable[[str], ContainerClient],
    ) -> None:
        self._service = service
        self._client = client

    @override
    async def read(self, container: str, name: str, *, max_bytes: int | None = None) -> BlobContent | None:
        try:
            blob = self._blob(container, name)
            if max_bytes is None:
                return await self._call(name, _download(blob))
            return await self._read_range(blob, name, 0, max_bytes)
        except _NOT_THERE:
            return None

    @override
    async def stat(self, container: str, name: str) -> BlobInfo | None:
        try:
            blob = self._blob(container, name)
            return _info(await self._call(name, blob.get_blob_properties()))
        except _NOT_THERE:
            return None

    @override
    async def list(
        self, container: str, *, prefix: str = "", page_size: int = LIST_PAGE
    ) -> AsyncIterator[BlobPage]:
        try:
            client = self._container(container)
        except BadKey:
            raise ContainerMissing(key=container) from None
        blobs = client.list_blobs(
            name_starts_with=prefix or None, include=["metadata"], results_per_page=page_size
        )
        pages: Any = blobs.by_page()
        while True:
            page = await self._call(container, anext(pages))
            yield [_info(properties) async for properties in page if not _is_directory(properties)]
            if not pages.continuation_token:
                return

    @override
    async def write(
        self,
        container: str,
        name: str,
        data: bytes,
        *,
        create_only: bool = False,
        etag: str | None = None,
        lease: str | None = None,
        content_type: str = _OCTETS,
    ) -> str:
        from azure.storage.blob import ContentSettings

        call = self._blob(container, name).upload_blob(
            data,
            length=len(data),
            overwrite=not create_only,
            content_settings=ContentSettings(content_type=content_type),
            max_concurrency=1,
            **_if_match(etag),
            **_leased(lease),
        )
        return bare_etag((await self._call(name, call))["etag"])

    @override
    async def delete(self, container: str, name: str, *, lease: str | None = None) -> bool:
        try:
            await self._call(name, self._blob(container, name).delete_blob(**_leased(lease)))
        except _NOT_THERE:
            return False
        return True

    @override
    async def stream_read(self, container: str, name: str, chunk: int = CHUNK) -> AsyncIterator[bytes]:
        first = await self.read(container, name, max_bytes=chunk)
        if first is None or not first.size:
            return
        yield first.data
        blob = self._blob(container, name)
        for start in range(chunk, first.size, chunk):
            try:
                part = await self._read_range(blob, name, start, chunk, first.etag)
            except _NOT_THERE:
                raise BlobChanged(key=name) from None
            yield part.data

    @override
    async def stream_write(
        self, container: str, name: str, chunks: AsyncIterable[bytes], *, content_type: str = _OCTETS
    ) -> str:
        from azure.storage.blob import BlobBlock, ContentSettings

        blob = self._blob(container, name)
        blocks: list[BlobBlock] = []
        async for part in chunks:
            if part:
                block = base64.b64encode(f"{len(blocks):06d}".encode()).decode()
                await self._call(name, blob.stage_block(block, part, length=len(part)))
                blocks.append(BlobBlock(block))
        call = blob.commit_block_list(blocks, content_settings=ContentSettings(content_type=content_type))
        return bare_etag((await self._call(name, call))["etag"])

    @override
    async def create_container(self, container: str) -> bool:
        call = self._container(container).create_container()
        try:
            await self._call(container, call)
        except _ContainerExists:
            return False
        return True

    @override
    async def container_exists(self, container: str) -> bool:
        try:
            return await self._call(container, self._container(container).exists())
        except BadKey:
            return False

    @override
    async def list_containers(self, prefix: str = "") -> Names:
        names: Names = []
        pages: Any = self._service().list_containers(name_starts_with=prefix or None).by_page()
        while True:
            page = await self._call(prefix, anext(pages))
            names += [properties.name async for properties in page]
            if not pages.continuation_token:
                return names

    @override
    async def acquire_lease(self, container: str, name: str, lease_id: str, seconds: int = -1) -> bool:
        from azure.storage.blob.aio import BlobLeaseClient

        try:
            lease = BlobLeaseClient(self._blob(container, name), lease_id)
            await self._call(name, lease.acquire(lease_duration=seconds))
        except _NOT_THERE:
            return False
        return True

    @override
    async def release_lease(self, container: str, name: str, lease_id: str) -> None:
        from azure.storage.blob.aio import BlobLeaseClient

        with suppress(*_NOT_THERE, BlobLeased):
            lease = BlobLeaseClient(self._blob(container, name), lease_id)
            await self._call(name, lease.release())

    async def _read_range(
        self, blob: BlobClient, name: str, start: int, length: int, etag: str | None = None
    ) -> BlobContent:
        """At most `length` bytes from `start`."""
        try:
            return await self._call(name, _download(blob, start, length, etag))
        except _NoSuchRange:
            found = await self._call(name, blob.get_blob_properties())
        if found.size:  # written in the meantime
            return await self._read_range(blob, name, start, length, etag)
        return BlobContent(b"", bare_etag(found.etag), 0, found.content_settings.content_type)

    async def _call[T](self, key: str, call: Awaitable[T]) -> T:
        """What `call` returns; `key` is the name that errors carry."""
        return await translated(call, lambda error: _translated(error, key))

    def _container(self, container: str) -> ContainerClient:
        check_container(container)
        return self._client(container)

    def _blob(self, container: str, name: str) -> BlobClient:
        check_container(container)
        check_blob_name(name)
        return self._client(container).get_blob_client(name)


async def _download(
    blob: Any, start: int | None = None, length: int | None = None, etag: str | None = None
) -> BlobContent:
    """A blob or a range of it; `blob` is a `BlobClient`, whose own types end here."""
    stream = await blob.download_blob(start, length, max_concurrency=1, decompress=False, **_if_match(etag))
    data = await stream.readall()
    found = stream.properties
    size = int(str(found.content_range).rpartition("/")[2])
    return BlobContent(data, bare_etag(found.etag), size, found.content_settings.content_type)


def _info(properties: BlobProperties) -> BlobInfo:
    return BlobInfo(
        properties.name,
        bare_etag(properties.etag),
        properties.size,
        properties.last_modified,
        properties.lease.state == "leased",
        archived=properties.blob_tier == "Archive",
    )


def _is_directory(properties: BlobProperties) -> bool:
    """An account with a hierarchical namespace lists its directories among the blobs; the SDK drops their type."""
    metadata: dict[str, str] = properties.metadata or {}
    return metadata.get("hdi_isfolder", "").lower() == "true"


def bare_etag(etag: Any) -> str:
    """An etag without quotes: headers have them, listings and events do not."""
    return str(etag).strip('"')


def _if_match(etag: str | None) -> dict[str, Any]:
    from azure.core import MatchConditions

    return {} if etag is None else {"etag": f'"{etag}"', "match_condition": MatchConditions.IfNotModified}


def _leased(lease: str | None) -> dict[str, Any]:
    return {} if lease is None else {"lease": lease}


def _translated(error: AzureError, key: str) -> StorageError:
    return blob_error(status_of(error), code_of(error), str(error), key)


def blob_error(status: int | None, code: str, text: str, key: str) -> StorageError:
    """The port's error for what the service refused; `key` is the name of the blob or container."""
    kind = BlobLeased if code.startswith("Lease") else _BY_CODE.get(code) or _BY_STATUS.get(status)
    if kind is not None:
        return kind(key=key)
    if status in _LASTING and code and (code == _PERMISSION or not code.startswith(_OF_ALL)):
        doubtful = code == _PERMISSION or code.startswith(_KEY)
        return BlobUnreadable(f"Answer {status} {code}.", code=code, key=key, doubtful=doubtful)
    return refused(status, code, text)
