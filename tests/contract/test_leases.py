"""Leases on blobs: what holds others off the labels of a studio."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from shared.storage.gateways.ports import BlobLeased, Blobs
from tests.support.storage.memory import MemoryBlobs


@pytest.fixture
async def blob(blobs: Blobs, container: str) -> str:
    await blobs.write(container, "labels.jsonl", b"one")
    return "labels.jsonl"


@pytest.fixture
def lease() -> str:
    return str(uuid4())


async def test_only_the_holder_writes_and_deletes(
    blobs: Blobs, container: str, blob: str, lease: str
) -> None:
    assert await blobs.acquire_lease(container, blob, lease) is True

    with pytest.raises(BlobLeased) as caught:
        await blobs.write(container, blob, b"two")
    with pytest.raises(BlobLeased):
        await blobs.write(container, blob, b"two", lease=str(uuid4()))
    with pytest.raises(BlobLeased):
        await blobs.delete(container, blob)
    with pytest.raises(BlobLeased):
        await blobs.delete(container, blob, lease=str(uuid4()))
    assert caught.value.key == blob

    etag = await blobs.write(container, blob, b"three", lease=lease)
    await blobs.write(container, blob, b"four", lease=lease, etag=etag)
    content = await blobs.read(container, blob)
    assert content
    assert content.data == b"four"
    assert await blobs.delete(container, blob, lease=lease) is True


async def test_a_stream_cannot_be_committed_over_a_lease(
    blobs: Blobs, container: str, blob: str, lease: str
) -> None:
    async def chunks():
        yield b"two"

    await blobs.acquire_lease(container, blob, lease)

    with pytest.raises(BlobLeased):
        await blobs.stream_write(container, blob, chunks())

    content = await blobs.read(container, blob)
    assert content
    assert content.data == b"one"


async def test_taking_the_same_lease_again_is_the_same(
    blobs: Blobs, container: str, blob: str, lease: str
) -> None:
    assert await blobs.acquire_lease(container, blob, lease) is True
    assert await blobs.acquire_lease(container, blob, lease) is True
    with pytest.raises(BlobLeased) as caught:
        await blobs.acquire_lease(container, blob, str(uuid4()))

    assert caught.value.key == blob


async def test_a_lease_is_shown(blobs: Blobs, container: str, blob: str, lease: str) -> None:
    await blobs.acquire_lease(container, blob, lease)
    info = await blobs.stat(container, blob)
    assert info
    assert info.leased
    assert [i.leased async for page in blobs.list(container) for i in page] == [True]

    await blobs.release_lease(container, blob, lease)
    info = await blobs.stat(container, blob)
    assert info
    assert not info.leased


async def test_releasing_is_idempotent_and_frees(blobs: Blobs, container: str, blob: str, lease: str) -> None:
    await blobs.acquire_lease(container, blob, lease)
    await blobs.release_lease(container, blob, lease)
    await blobs.release_lease(container, blob, lease)
    await blobs.release_lease(container, "absent", lease)
    await blobs.release_lease(f"n{uuid4().hex}", "absent", lease)

    await blobs.write(container, blob, b"two")
    assert await blobs.acquire_lease(container, blob, str(uuid4())) is True


async def test_another_lease_is_not_released(blobs: Blobs, container: str, blob: str, lease: str) -> None:
    await blobs.acquire_lease(container, blob, lease)

    await blobs.release_lease(container, blob, str(uuid4()))

    with pytest.raises(BlobLeased):
        await blobs.write(container, blob, b"two")


async def test_a_lease_that_was_given_up_is_of_no_use(
    blobs: Blobs, container: str, blob: str, lease: str
) -> None:
    await blobs.acquire_lease(container, blob, lease)
    await blobs.release_lease(container, blob, lease)

    with pytest.raises(BlobLeased):
        await blobs.write(container, blob, b"two", lease=lease)


async def test_a_missing_blob_cannot_be_leased(blobs: Blobs, container: str, lease: str) -> None:
    assert await blobs.acquire_lease(container, "absent", lease) is False
    assert await blobs.acquire_lease(f"n{uuid4().hex}", "absent", lease) is False


async def test_a_short_lease_holds_others_off_meanwhile(
    blobs: Blobs, container: str, blob: str, lease: str
) -> None:
    assert await blobs.acquire_lease(container, blob, lease, 15) is True
    with pytest.raises(BlobLeased):
        await blobs.acquire_lease(container, blob, str(uuid4()), 15)


async def test_memory_lets_a_short_lease_run_out() -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    blobs = MemoryBlobs(clock=lambda: now[0])
    await blobs.create_container("abc")
    await blobs.write("abc", "x", b"")
    await blobs.acquire_lease("abc", "x", str(uuid4()), 15)

    now[0] += timedelta(seconds=14)
    with pytest.raises(BlobLeased):
        await blobs.write("abc", "x", b"")
    now[0] += timedelta(seconds=1)
    await blobs.write("abc", "x", b"")
