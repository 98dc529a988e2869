"""The blobs of the account."""

import base64
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from typing import override

from shared.storage.gateways.blob_wire import (
    bare,
    blob_path,
    condition_headers,
    decode_blobs,
    decode_containers,
    encode_block_list,
    info_of_headers,
    total_size,
)
from shared.storage.gateways.errors import (
    BadKey,
    BlobChanged,
    BlobExists,
    BlobLeased,
    ContainerMissing,
    StorageError,
)
from shared.storage.gateways.limits import check_container
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
from shared.storage.gateways.rest import Answer, Service

_OCTETS = "application/octet-stream"
_UNSATISFIABLE = 416


class AzureBlobs(Blobs):
    """Any container of the account; etags go in and out without quotes."""

    def __init__(self, service: Callable[[], Service], counter: CallCounter) -> None:
        self._service = service
        self._counter = counter

    @override
    async def read(self, container: str, name: str, *, max_bytes: int | None = None) -> BlobContent | None:
        span = None if max_bytes is None else (0, max_bytes)
        return await self._read(container, name, span)

    @override
    async def stat(self, container: str, name: str) -> BlobInfo | None:
        answer = await self._send("stat", "HEAD", container, name)
        if answer is None or answer.status == 404:
            return None
        if not answer.ok:
            raise _error(answer, name)
        return info_of_headers(name, answer.headers)

    @override
    async def list(
        self, container: str, *, prefix: str = "", page_size: int = 5000
    ) -> AsyncIterator[BlobPage]:
        query = {"restype": "container", "comp": "list", "maxresults": str(page_size)}
        if prefix:
            query["prefix"] = prefix
        while True:
            answer = await self._send("list", "GET", container, query=query)
            if answer is None or not answer.ok:
                raise _error(answer, container)
            page, marker = decode_blobs(answer.body)
            yield page
            if not marker:
                return
            query["marker"] = marker

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
        headers = condition_headers(create_only=create_only, etag=etag, lease=lease)
        headers |= {"x-ms-blob-type": "BlockBlob", "x-ms-blob-content-type": content_type}
        return await self._put("write", container, name, data, headers)

    @override
    async def delete(self, container: str, name: str, *, lease: str | None = None) -> bool:
        headers = condition_headers(lease=lease)
        answer = await self._send("delete", "DELETE", container, name, headers=headers)
        if answer is None or answer.status == 404:
            return False
        if not answer.ok:
            raise _error(answer, name)
        return True

    @override
    async def delete_prefix(self, container: str, prefix: str) -> int:
        return await delete_prefix(self, container, prefix)

    @override
    async def stream_read(self, container: str, name: str, chunk: int = CHUNK) -> AsyncIterator[bytes]:
        first = await self._read(container, name, (0, chunk))
        if first is None or not first.size:
            return
        yield first.data
        for start in range(chunk, first.size, chunk):
            part = await self._read(container, name, (start, chunk), etag=first.etag)
            if part is None:
                raise BlobChanged(key=name)
            yield part.data

    @override
    async def stream_write(
        self, container: str, name: str, chunks: AsyncIterable[bytes], *, content_type: str = _OCTETS
    ) -> str:
        blocks: list[str] = []
        async for part in chunks:
            if part:
                block = base64.b64encode(f"{len(blocks):06d}".encode()).decode()
                await self._put("stage", container, name, part, {}, {"comp": "block", "blockid": block})
                blocks.append(block)
        headers = {"x-ms-blob-content-type": content_type}
        return await self._put(
            "write", container, name, encode_block_list(blocks), headers, {"comp": "blocklist"}
        )

    @override
    async def create_container(self, container: str) -> bool:
        check_container(container)
        self._counter.add("blob", "create_container")
        answer = await self._service().send("PUT", container, query={"restype": "container"})
        if not answer.ok and answer.code != "ContainerAlreadyExists":
            raise answer.unexpected()
        return answer.ok

    @override
    async def container_exists(self, container: str) -> bool:
        answer = await self._send("container_exists", "HEAD", container, query={"restype": "container"})
        if answer is not None and not answer.ok and answer.status != 404:
            raise answer.unexpected()
        return answer is not None and answer.ok

    @override
    async def list_containers(self, prefix: str = "") -> Names:
        names: Names = []
        query = {"comp": "list", "prefix": prefix} if prefix else {"comp": "list"}
        while True:
            self._counter.add("blob", "list_containers")
            answer = await self._service().send("GET", "", query=query)
            if not answer.ok:
                raise answer.unexpected()
            page, marker = decode_containers(answer.body)
            names += page
            if not marker:
                return names
            query["marker"] = marker

    @override
    async def acquire_lease(self, container: str, name: str, lease_id: str, seconds: int = -1) -> bool:
        headers = {
            "x-ms-lease-action": "acquire",
            "x-ms-lease-duration": str(seconds),
            "x-ms-proposed-lease-id": lease_id,
        }
        answer = await self._send(
            "acquire_lease", "PUT", container, name, query={"comp": "lease"}, headers=headers
        )
        if answer is None or answer.status == 404:
            return False
        if not answer.ok:
            raise _error(answer, name)
        return True

    @override
    async def release_lease(self, container: str, name: str, lease_id: str) -> None:
        headers = {"x-ms-lease-action": "release", "x-ms-lease-id": lease_id}
        answer = await self._send(
            "release_lease", "PUT", container, name, query={"comp": "lease"}, headers=headers
        )
        if answer is not None and not answer.ok and answer.status not in (404, 409):
            raise answer.unexpected()

    async def _read(
        self, container: str, name: str, span: tuple[int, int] | None, *, etag: str | None = None
    ) -> BlobContent | None:
        """A blob, or of it `span` (start, length in bytes); None if it is missing."""
        headers = condition_headers(etag=etag)
        if span is not None:
            headers["x-ms-range"] = f"bytes={span[0]}-{span[0] + span[1] - 1}"
        answer = await self._send("read", "GET", container, name, headers=headers)
        if answer is None or answer.status == 404:
            return None
        if answer.status == _UNSATISFIABLE and span is not None:  # of an empty blob no range can be had
            return await self._read(container, name, None, etag=etag)
        if not answer.ok:
            raise _error(answer, name)
        return BlobContent(
            answer.body,
            bare(answer.headers["ETag"]),
            total_size(answer.headers),
            answer.headers.get("Content-Type"),
        )

    async def _put(
        self,
        operation: str,
        container: str,
        name: str,
        body: bytes,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
    ) -> str:
        """Send content and return the etag, bare."""
        path = blob_path(container, name)
        headers = {"Content-Type": _OCTETS, **headers}
        self._counter.add("blob", operation)
        answer = await self._service().send("PUT", path, query=query, headers=headers, body=body)
        if not answer.ok:
            raise _error(answer, name)
        return bare(answer.headers.get("ETag") or "")

    async def _send(
        self,
        operation: str,
        method: str,
        container: str,
        name: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer | None:
        """Send a request without content; None where no blob or container of that name can exist."""
        try:
            path = _path(container, name)
        except BadKey:
            return None
        self._counter.add("blob", operation)
        return await self._service().send(method, path, query=query, headers=headers)


def _path(container: str, name: str | None) -> str:
    if name is not None:
        return blob_path(container, name)
    check_container(container)
    return container


def _error(answer: Answer | None, key: str) -> StorageError:
    """The port's error for a refusal; None stands for a container that cannot exist."""
    if answer is None or answer.code == "ContainerNotFound":
        return ContainerMissing(key=key)
    if answer.code.startswith("Lease"):
        return BlobLeased(key=key)
    if answer.code == "BlobAlreadyExists":
        return BlobExists(key=key)
    if answer.status == 412:
        return BlobChanged(key=key)
    return answer.unexpected()
