"""What large work costs in calls, whatever the machine."""

import json
from collections.abc import AsyncIterable

import pytest

from tests.integration.kinds.files import project_file
from tests.support.api import SINGLE
from tests.support.lives import living
from tests.support.services import Clock
from tests.support.storage.memory import MemoryStorage


async def test_an_export_is_written_in_large_pieces(monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    storage = MemoryStorage(clock=clock)
    app = living(storage, clock)
    await app.blobs.create_container("docs")
    file = project_file(SINGLE, "docs", 3_000)
    await app.container.imports.start("p", json.dumps(file).encode(), "tester", "import")
    pieces: list[int] = []
    write = storage.blobs.stream_write

    async def counted(chunks: AsyncIterable[bytes]):
        async for chunk in chunks:
            pieces.append(len(chunk))
            yield chunk

    monkeypatch.setattr(
        storage.blobs, "stream_write", lambda c, n, chunks, **more: write(c, n, counted(chunks), **more)
    )
    await app.container.exports.start("p", "export")

    result, _ = await app.container.exports.result("p", "export")
    assert result.count(b'{"location"') == 3_000
    assert pieces == [len(result)]  # 1,024 pages, one piece: it is less than 4 MiB
