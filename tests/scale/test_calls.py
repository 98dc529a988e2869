"""The calls of large jobs, independent of the machine."""

import json

import pytest

from shared.services.jobs import lifecycle
from tests.integration.kinds.files import project_file
from tests.support.api import SINGLE
from tests.support.lives import living
from tests.support.services import Clock
from tests.support.storage.memory import MemoryStorage


async def test_an_export_is_written_in_large_pieces(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lifecycle, "SECONDS", 60)  # the import has ended, however busy the machine
    clock = Clock()
    storage = MemoryStorage(clock=clock)
    app = living(storage, clock)
    await app.blobs.create_container("docs")
    file = project_file(SINGLE, "docs", 3_000)
    await app.container.imports.start("p", json.dumps(file).encode(), "tester", "import")
    before = storage.counter.snapshot()
    await app.container.exports.start("p", "export")

    result, _ = await app.container.exports.result("p", "export")
    assert result.count(b'{"location"') == 3_000
    calls = storage.counter.since(before)
    assert calls["blob", "write"] == 1  # 1,024 pages, one piece: it is less than 4 MiB
    assert ("blob", "stage") not in calls
