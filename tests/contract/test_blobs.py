"""Blobs: reading, writing with conditions, listing, streams, containers."""

import os
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from shared.storage.gateways.ports import (
    BadKey,
    BlobChanged,
    BlobExists,
    Blobs,
    ContainerMissing,
)
from tests.contract.storages import chunks, joined
from tests.support.azurite import QUIET

AWKWARD_NAMES = [
    "a b.txt",
    "100%.txt",
    "%2e%2e",
    "a+b&c=d?e#f.txt",
    "é😀.txt",
    "'quote'.txt",
    '"double".txt',
    "<b>&amp;.txt",
    "folder/sub/deep.txt",
    "/leading.txt",
    "double//slash.txt",
    "trailing.",
    "~",
    "..txt",
    "a..b/...",
    "[x]{y}",
    "name;semi:colon,comma",
    "\u202eright-to-left",
    "A.TXT",
    "x" * 1024,
]
IMPOSSIBLE_NAMES = ["", ".", "..", "../x", "a/../../other/x", "a/./b", "..\\x", "x" * 1025, "\x00", "\ud800"]
IMPOSSIBLE_CONTAINERS = ["", "..", "A", "ab", "a--b", "-ab", "a/b", "abc/../other", "x" * 64]


async def names(blobs: Blobs, container: str, prefix: str = "") -> list[str]:
    return [info.name async for page in blobs.list(container, prefix=prefix) for info in page]


async def test_a_blob_comes_back_as_it_was(blobs: Blobs, container: str) -> None:
    data = os.urandom(100_000)

    etag = await blobs.write(container, "x.bin", data, content_type="text/plain; charset=utf-8")

    content = await blobs.read(container, "x.bin")
    assert content
    assert content.data == data
    assert (content.etag, content.size, content.content_type) == (etag, 100_000, "text/plain; charset=utf-8")


@pytest.mark.parametrize(
    ("size", "most", "read"), [(10, 4, 4), (10, 10, 10), (10, 11, 10), (0, 1, 0), (1, 1, 1)]
)
async def test_a_read_with_a_cap_tells_the_whole_size(
    blobs: Blobs, container: str, size: int, most: int, read: int
) -> None:
    etag = await blobs.write(container, "x", b"x" * size)

    content = await blobs.read(container, "x", max_bytes=most)

    assert content
    assert (content.data, content.size, content.etag) == (b"x" * read, size, etag)


async def test_an_empty_blob(blobs: Blobs, container: str) -> None:
    etag = await blobs.write(container, "x", b"")

    content = await blobs.read(container, "x")
    info = await blobs.stat(container, "x")

    assert content
    assert (content.data, content.size, content.etag) == (b"", 0, etag)
    assert info
    assert info.size == 0


async def test_what_is_missing_reads_as_none(blobs: Blobs, container: str) -> None:
    nowhere = f"n{uuid4().hex}"
    for place in (container, nowhere, *IMPOSSIBLE_CONTAINERS):
        assert await blobs.read(place, "x") is None
        assert await blobs.read(place, "x", max_bytes=5) is None
        assert await blobs.stat(place, "x") is None
        assert await blobs.delete(place, "x") is False
        assert await joined(blobs.stream_read(place, "x")) == []


@pytest.mark.parametrize("name", AWKWARD_NAMES)
async def test_awkward_names(blobs: Blobs, container: str, name: str) -> None:
    etag = await blobs.write(container, name, b"data")

    content = await blobs.read(container, name)
    info = await blobs.stat(container, name)

    assert content
    assert content.data == b"data"
    assert info
    assert (info.name, info.etag) == (name, etag)
    assert await names(blobs, container) == [name]
    assert await names(blobs, container, name) == [name]
    assert await blobs.delete(container, name) is True
    assert await names(blobs, container) == []


@pytest.mark.parametrize("name", IMPOSSIBLE_NAMES)
async def test_names_that_no_blob_can_have(blobs: Blobs, container: str, name: str) -> None:
    await blobs.write(container, "x", b"secret")

    assert await blobs.read(container, name) is None
    assert await blobs.stat(container, name) is None
    assert await blobs.delete(container, name) is False
    with pytest.raises(BadKey):
        await blobs.write(container, name, b"")
    assert await names(blobs, container) == ["x"]


async def test_a_name_cannot_leave_its_container(blobs: Blobs, container: str) -> None:
    other = f"{QUIET}{uuid4().hex}"
    await blobs.create_container(other)
    await blobs.write(other, "x", b"secret")

    for name in (f"../{other}/x", f"a/../../{other}/x", f"./../{other}/x"):
        assert await blobs.read(container, name) is None
    content = await blobs.read(container, f"%2e%2e/{other}/x")
    assert content is None


async def test_stat_and_list_tell_the_same(blobs: Blobs, container: str) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    etag = await blobs.write(container, "x", b"hello")

    info = await blobs.stat(container, "x")

    assert info
    assert (info.name, info.etag, info.size, info.leased) == ("x", etag, 5, False)
    assert before <= info.modified <= before + timedelta(seconds=30)
    assert [info] == [item async for page in blobs.list(container) for item in page]


async def test_write_only_if_new(blobs: Blobs, container: str) -> None:
    await blobs.write(container, "x", b"one", create_only=True)

    with pytest.raises(BlobExists) as caught:
        await blobs.write(container, "x", b"two", create_only=True)

    content = await blobs.read(container, "x")
    assert caught.value.key == "x"
    assert content
    assert content.data == b"one"


async def test_write_only_if_unchanged(blobs: Blobs, container: str) -> None:
    old = await blobs.write(container, "x", b"one")
    new = await blobs.write(container, "x", b"two", etag=old)

    with pytest.raises(BlobChanged) as changed:
        await blobs.write(container, "x", b"three", etag=old)
    with pytest.raises(BlobChanged):
        await blobs.write(container, "gone", b"three", etag=old)

    content = await blobs.read(container, "x")
    assert new != old
    assert changed.value.key == "x"
    assert content
    assert (content.data, content.etag) == (b"two", new)


async def test_the_same_bytes_written_again_are_a_new_version(blobs: Blobs, container: str) -> None:
    assert await blobs.write(container, "x", b"same") != await blobs.write(container, "x", b"same")


async def test_writing_to_a_missing_container(blobs: Blobs) -> None:
    nowhere = f"n{uuid4().hex}"

    with pytest.raises(ContainerMissing):
        await blobs.write(nowhere, "x", b"")
    with pytest.raises(ContainerMissing):
        await blobs.stream_write(nowhere, "x", chunks(b"a"))
    with pytest.raises(ContainerMissing):
        await names(blobs, nowhere)
    with pytest.raises(ContainerMissing):
        await names(blobs, "..")


async def test_listing_pages_in_order(blobs: Blobs, container: str) -> None:
    expected = [*sorted(f"d/{n}.txt" for n in range(7)), "e.txt"]
    for name in reversed(expected):
        await blobs.write(container, name, b"")

    pages = [[info.name for info in page] async for page in blobs.list(container, page_size=3)]

    assert [name for page in pages for name in page] == expected
    assert max(len(page) for page in pages) == 3
    assert await names(blobs, container, "d/") == expected[:7]
    assert await names(blobs, container, "no") == []


async def test_an_empty_container_lists_nothing(blobs: Blobs, container: str) -> None:
    assert await names(blobs, container) == []


async def test_delete_by_prefix(blobs: Blobs, container: str) -> None:
    for n in range(20):
        await blobs.write(container, f"run/{n}", b"")
    await blobs.write(container, "runner", b"")

    assert await blobs.delete_prefix(container, "run/") == 20
    assert await blobs.delete_prefix(container, "run/") == 0
    assert await blobs.delete_prefix(f"n{uuid4().hex}", "run/") == 0
    assert await names(blobs, container) == ["runner"]
    with pytest.raises(ValueError, match="empty"):
        await blobs.delete_prefix(container, "")


async def test_containers(blobs: Blobs) -> None:
    stem = f"{QUIET}{uuid4().hex[:20]}"

    assert await blobs.container_exists(f"{stem}-a") is False
    assert await blobs.create_container(f"{stem}-b") is True
    assert await blobs.create_container(f"{stem}-a") is True
    assert await blobs.create_container(f"{stem}-a") is False
    assert await blobs.container_exists(f"{stem}-a") is True
    assert await blobs.list_containers(stem) == [f"{stem}-a", f"{stem}-b"]
    assert set(await blobs.list_containers()) >= {f"{stem}-a", f"{stem}-b"}
    assert await blobs.list_containers(f"{stem}-c") == []


@pytest.mark.parametrize("name", IMPOSSIBLE_CONTAINERS)
async def test_names_that_no_container_can_have(blobs: Blobs, name: str) -> None:
    assert await blobs.container_exists(name) is False
    with pytest.raises(BadKey):
        await blobs.create_container(name)
