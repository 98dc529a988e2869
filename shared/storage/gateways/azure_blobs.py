"""The blobs of the account, through azure-storage-blob."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from shared.storage.gateways.azure_errors import error_code, status_of, unavailable
from shared.storage.gateways.errors import (
    BlobChanged,
    BlobExists,
    BlobLeased,
    ContainerMissing,
    StorageError,
)
from shared.storage.gateways.ports import (
    CHUNK,
    BlobContent,
    BlobInfo,
    BlobPage,
    Blobs,
    CallCounter,
    Names,
)
from shared.storage.gateways.prefixes import delete_prefix

if TYPE_CHECKING:
    from azure.storage.blob import BlobProperties
    from azure.storage.blob.aio import BlobClient, BlobServiceClient, ContainerClient

_BLOCK_NAME = "{:06d}"  # all block names of a blob have one length


class AzureBlobs(Blobs):
    """Any container of the account; etags go in and out without quotes."""

    def __init__(self, service: Callable[[], BlobServiceClient], counter: CallCounter) -> None:
        self._service = service
        self._counter = counter
        self._containers: dict[str, ContainerClient] = {}

    async def read(self, container: str, name: str, *, max_bytes: int | None = None) -> BlobContent | None:
        return await self._read_range(container, name, 0 if max_bytes else None, max_bytes)

    async def stat(self, container: str, name: str) -> BlobInfo | None:
        from azure.core.exceptions import AzureError

        self._counter.add("blob", "stat")
        try:
            properties = await self._blob(container, name).get_blob_properties()
        except AzureError as error:
            if status_of(error) == 404:
                return None
            raise _translated(error, name) from error
        return _info(properties)

    async def list(
        self, container: str, *, prefix: str = "", page_size: int = 5000
    ) -> AsyncIterator[BlobPage]:
        from azure.core.exceptions import AzureError

        pages = (
            self._container(container)
            .list_blobs(name_starts_with=prefix or None, results_per_page=page_size)
            .by_page()
        )
        while True:
            try:
                page = await anext(pages)
                self._counter.add("blob", "list")
                infos = [_info(properties) async for properties in page]
            except StopAsyncIteration:
                return
            except AzureError as error:
                self._counter.add("blob", "list")
                raise _translated(error, container) from error
            yield infos

    async def write(
        self,
        container: str,
        name: str,
        data: bytes,
        *,
        create_only: bool = False,
        etag: str | None = None,
        lease: str | None = None,
        content_type: str = "application/octet-stream",
    ) -> str:
        from azure.core.exceptions import AzureError
        from azure.storage.blob import ContentSettings

        self._counter.add("blob", "write")
        try:
            answer = await self._blob(container, name).upload_blob(
                data,
                overwrite=not create_only,
                content_settings=ContentSettings(content_type=content_type),
                **_if_match(etag),
                **_leased(lease),
            )
        except AzureError as error:
            raise _translated(error, name) from error
        return _bare(answer["etag"])

    async def delete(self, container: str, name: str, *, lease: str | None = None) -> bool:
        from azure.core.exceptions import AzureError

        self._counter.add("blob", "delete")
        try:
            await self._blob(container, name).delete_blob(**_leased(lease))
        except AzureError as error:
            if status_of(error) == 404:
                return False
            raise _translated(error, name) from error
        return True

    async def delete_prefix(self, container: str, prefix: str) -> int:
        return await delete_prefix(self, container, prefix)

    async def stream_read(self, container: str, name: str, chunk: int = CHUNK) -> AsyncIterator[bytes]:
        first = await self._read_range(container, name, 0, chunk)
        if first is None or not first.size:
            return
        yield first.data
        for start in range(chunk, first.size, chunk):
            part = await self._read_range(container, name, start, chunk, first.etag)
            if part is None:
                raise BlobChanged(key=name)
            yield part.data

    async def stream_write(
        self,
        container: str,
        name: str,
        chunks: AsyncIterable[bytes],
        *,
        content_type: str = "application/octet-stream",
    ) -> str:
        from azure.core.exceptions import AzureError
        from azure.storage.blob import BlobBlock, ContentSettings

        blob = self._blob(container, name)
        blocks: list[BlobBlock] = []
        async for part in chunks:
            if not part:
                continue
            block = BlobBlock(base64.b64encode(_BLOCK_NAME.format(len(blocks)).encode()).decode())
            self._counter.add("blob", "stage")
            try:
                await blob.stage_block(block.id, part, length=len(part))
            except AzureError as error:
                raise _translated(error, name) from error
            blocks.append(block)
        self._counter.add("blob", "write")
        try:
            answer = await blob.commit_block_list(
                blocks, content_settings=ContentSettings(content_type=content_type)
            )
        except AzureError as error:
            raise _translated(error, name) from error
        return _bare(answer["etag"])

    async def create_container(self, container: str) -> bool:
        from azure.core.exceptions import AzureError

        self._counter.add("blob", "create_container")
        try:
            await self._container(container).create_container()
        except AzureError as error:
            if error_code(error) == "ContainerAlreadyExists":
                return False
            raise unavailable(error) from error
        return True

    async def container_exists(self, container: str) -> bool:
        from azure.core.exceptions import AzureError

        self._counter.add("blob", "container_exists")
        try:
            return await self._container(container).exists()
        except AzureError as error:
            raise unavailable(error) from error

    async def list_containers(self, prefix: str = "") -> Names:
        from azure.core.exceptions import AzureError

        self._counter.add("blob", "list_containers")
        try:
            found = self._service().list_containers(name_starts_with=prefix or None)
            return [str(properties.name) async for properties in found]
        except AzureError as error:
            raise unavailable(error) from error

    async def acquire_lease(self, container: str, name: str, lease_id: str, seconds: int = -1) -> bool:
        from azure.core.exceptions import AzureError
        from azure.storage.blob.aio import BlobLeaseClient

        self._counter.add("blob", "acquire_lease")
        try:
            await BlobLeaseClient(self._blob(container, name), lease_id).acquire(lease_duration=seconds)
        except AzureError as error:
            if status_of(error) == 404:
                return False
            raise _translated(error, name) from error
        return True

    async def release_lease(self, container: str, name: str, lease_id: str) -> None:
        from azure.core.exceptions import AzureError
        from azure.storage.blob.aio import BlobLeaseClient

        self._counter.add("blob", "release_lease")
        try:
            await BlobLeaseClient(self._blob(container, name), lease_id).release()
        except AzureError as error:
            if status_of(error) not in (404, 409):
                raise unavailable(error) from error

    async def _read_range(
        self, container: str, name: str, start: int | None, length: int | None, etag: str | None = None
    ) -> BlobContent | None:
        """A range of a blob, or with `start` None the whole; None if the blob is missing."""
        from azure.core.exceptions import AzureError

        self._counter.add("blob", "read")
        try:
            stream = await self._blob(container, name).download_blob(
                start, length, max_concurrency=1, **_if_match(etag)
            )
            data = await stream.readall()
        except AzureError as error:
            if status_of(error) == 404:
                return None
            if status_of(error) == 416 and start == 0:  # no range fits an empty blob
                return await self._read_range(container, name, None, None, etag)
            raise _translated(error, name) from error
        properties = stream.properties
        total = int(str(properties.content_range).rpartition("/")[2])
        return BlobContent(data, _bare(properties.etag), total, properties.content_settings.content_type)

    def _container(self, container: str) -> ContainerClient:
        if container not in self._containers:
            self._containers[container] = self._service().get_container_client(container)
        return self._containers[container]

    def _blob(self, container: str, name: str) -> BlobClient:
        return self._container(container).get_blob_client(name)


def _info(properties: BlobProperties) -> BlobInfo:
    return BlobInfo(
        properties.name,
        _bare(properties.etag),
        properties.size,
        properties.last_modified,
        properties.lease.state == "leased",
    )


def _bare(etag: Any) -> str:
    """Headers quote etags, listings and events do not."""
    return str(etag).strip('"')


def _if_match(etag: str | None) -> dict[str, Any]:
    from azure.core import MatchConditions

    return {} if etag is None else {"etag": f'"{etag}"', "match_condition": MatchConditions.IfNotModified}


def _leased(lease: str | None) -> dict[str, Any]:
    return {} if lease is None else {"lease": lease}


def _translated(error: Exception, key: str) -> StorageError:
    code = error_code(error)
    if code.startswith("Lease"):
        return BlobLeased(key=key)
    if code == "ContainerNotFound":
        return ContainerMissing(key=key)
    if code == "BlobAlreadyExists":
        return BlobExists(key=key)
    if status_of(error) == 412:
        return BlobChanged(key=key)
    return unavailable(error)
