"""Many blobs at once: Azurite's own database, written between two runs of it.

Azurite takes blobs more and more slowly the more it has (measured: 10 minutes for the first 43,000), so the blobs that
were uploaded are repeated under new names, with the same content and versions of their own.
"""

import copy
import json
from pathlib import Path
from typing import Any

from bench.texts import name_of

DATABASE = "__azurite_db_blob__.json"
BLOBS = "$BLOBS_COLLECTION$"


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
