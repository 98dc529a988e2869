"""Many blobs at once: Azurite's own database, written between two runs of it.

Azurite takes blobs more and more slowly the more it has (measured: 10 minutes for the first 43,000), so the blobs that
were uploaded are repeated under new names, with the same content and versions of their own.
"""

import asyncio
import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import raw
from bench.server import BY_KEY, Server, serve
from bench.texts import documents, name_of

UPLOADED = 500
"""Blobs that are uploaded; the others have their contents."""

DATABASE = "__azurite_db_blob__.json"
BLOBS = "$BLOBS_COLLECTION$"


@contextmanager
def serve_with_blobs(container: str, count: int) -> Iterator[Server]:
    """The product, on an Azurite with so many blobs in the container, which finds blobs and rows by their names."""
    with TemporaryDirectory() as folder:
        data_dir, texts = Path(folder), [text for _, text in documents(min(count, UPLOADED))]
        with serve(data_dir) as server:
            asyncio.run(raw.upload(server.connection_string, container, texts, name_of))
        multiply(data_dir, container, count)
        with serve(data_dir, NODE_OPTIONS=BY_KEY) as server:
            yield server


def multiply(data_dir: Path, container: str, count: int) -> None:
    """Make `count` blobs of the container's few; Azurite must not run."""
    file = data_dir / "azurite" / DATABASE
    database = json.loads(file.read_text())
    collection = next(entry for entry in database["collections"] if entry["name"] == BLOBS)
    given = [blob for blob in collection["data"] if blob["containerName"] == container]
    others = [blob for blob in collection["data"] if blob["containerName"] != container]
    blobs = others + [_again(given[index % len(given)], index) for index in range(count)]
    for number, blob in enumerate(blobs, 1):
        blob["$loki"] = number
    collection |= {"data": blobs, "maxId": len(blobs)}
    for field, index in collection["binaryIndices"].items():
        index["values"] = sorted(range(len(blobs)), key=lambda place: blobs[place][field])
    file.write_text(json.dumps(database))


def _again(blob: dict[str, Any], index: int) -> dict[str, Any]:
    made = copy.deepcopy(blob)
    made["name"] = name_of(index)
    made["properties"]["etag"] = f'"0x{index:015X}"'
    return made
