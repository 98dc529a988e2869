"""Many blobs at once: Azurite's own database, written between two runs of it.

The more blobs Azurite has, the more slowly it accepts new ones (measured: 10 minutes for the first 43,000). So the
texts are uploaded together as a few large blobs, and the database then gets a blob for each part.
"""

import asyncio
import copy
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import raw
from bench.server import BY_KEY, Server, serve
from bench.texts import name_of

#: Texts per uploaded blob.
TOGETHER = 10_000

DATABASE = "__azurite_db_blob__.json"
BLOBS = "$BLOBS_COLLECTION$"


@contextmanager
def serve_with_blobs(container: str, texts: Sequence[str]) -> Iterator[Server]:
    """The product on an Azurite that has the texts as blobs of the container, and finds blobs and rows by name."""
    with TemporaryDirectory() as folder:
        data_dir = Path(folder)
        encoded = [text.encode() for text in texts]
        parts = [encoded[first : first + TOGETHER] for first in range(0, len(encoded), TOGETHER)]
        with serve(data_dir) as server:
            joined = ["".join(texts[first : first + TOGETHER]) for first in range(0, len(texts), TOGETHER)]
            asyncio.run(raw.upload(server.connection_string, container, joined, name_of))
        divide(data_dir, container, parts)
        del encoded, parts, joined
        options = os.environ.get("NODE_OPTIONS", "")
        with serve(data_dir, NODE_OPTIONS=f"{options} {BY_KEY}") as server:
            yield server


def divide(data_dir: Path, container: str, parts: Sequence[Sequence[bytes]]) -> None:
    """Replace the blobs of a container by their parts, named in order; Azurite must not run."""
    file = data_dir / "azurite" / DATABASE
    database = json.loads(file.read_text())
    collection = next(entry for entry in database["collections"] if entry["name"] == BLOBS)
    given = {blob["name"]: blob for blob in collection["data"] if blob["containerName"] == container}
    blobs = [blob for blob in collection["data"] if blob["containerName"] != container]
    index = 0
    for number, contents in enumerate(parts):
        whole, start = given[name_of(number)], 0
        for content in contents:
            blobs.append(_part(whole, index, start, content))
            start, index = start + len(content), index + 1
    for number, blob in enumerate(blobs, 1):
        blob["$loki"] = number
    collection |= {"data": blobs, "maxId": len(blobs)}
    for field, order in collection["binaryIndices"].items():
        order["values"] = sorted(range(len(blobs)), key=lambda place: blobs[place][field])
    file.write_text(json.dumps(database))


def _part(whole: dict[str, Any], index: int, start: int, content: bytes) -> dict[str, Any]:
    """The blob with this content, which begins at `start` in the large blob."""
    made = copy.deepcopy(whole)
    made["name"] = name_of(index)
    made["persistency"]["offset"] += start
    made["persistency"]["count"] = made["properties"]["contentLength"] = len(content)
    made["properties"]["etag"] = f'"0x{index:015X}"'
    made["properties"]["contentMD5"]["data"] = [*hashlib.md5(content, usedforsecurity=False).digest()]
    return made
