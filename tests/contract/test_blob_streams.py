"""Blobs that are read and written piece by piece."""

import os
from collections.abc import AsyncIterator

import pytest

from shared.storage.gateways.ports import (
    BlobChanged,
    Blobs,
)
from tests.contract.storages import chunks, joined


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 25])
async def test_a_stream_read_is_the_blob(blobs: Blobs, container: str, size: int) -> None:
    data = os.urandom(size)
    await blobs.write(container, "x", data)

    pieces = await joined(blobs.stream_read(container, "x", 10))

    assert b"".join(pieces) == data
    assert all(0 < len(piece) <= 10 for piece in pieces)


async def test_a_stream_read_never_mixes_versions(blobs: Blobs, container: str) -> None:
    await blobs.write(container, "x", b"a" * 20)
    stream = blobs.stream_read(container, "x", 10)
    assert await anext(stream) == b"a" * 10
    await blobs.write(container, "x", b"b" * 20)
    with pytest.raises(BlobChanged):
        await anext(stream)

    stream = blobs.stream_read(container, "x", 10)
    assert await anext(stream) == b"b" * 10
    await blobs.delete(container, "x")
    with pytest.raises(BlobChanged):
        await anext(stream)


async def test_a_stream_written_is_seen_whole_or_not_at_all(blobs: Blobs, container: str) -> None:
    async def watched() -> AsyncIterator[bytes]:
        yield b"one,"
        assert await blobs.read(container, "x") is None
        yield b""
        yield b"two"

    etag = await blobs.stream_write(container, "x", watched(), content_type="text/csv")

    content = await blobs.read(container, "x")
    assert content
    assert (content.data, content.etag, content.content_type) == (b"one,two", etag, "text/csv")


async def test_a_stream_that_fails_writes_nothing(blobs: Blobs, container: str) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"one"
        raise RuntimeError("the source broke")

    await blobs.write(container, "x", b"before")
    with pytest.raises(RuntimeError):
        await blobs.stream_write(container, "x", failing())

    content = await blobs.read(container, "x")
    assert content
    assert content.data == b"before"


async def test_a_stream_of_nothing_is_an_empty_blob(blobs: Blobs, container: str) -> None:
    await blobs.stream_write(container, "x", chunks())

    content = await blobs.read(container, "x")
    assert content
    assert content.data == b""
