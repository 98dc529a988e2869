"""`make bench-memory`: the host's memory for large bodies and files, each with a new host, and then for the embedded
engine (`engine_memory.py`).

The local host runs the app in its own process; on Azure, host and worker each hold a body. The status and the time of
the response show what the caller waits for.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator

from azure.storage.blob.aio import ContainerClient

from bench import engine_memory
from bench.api import Api
from bench.processes import usage
from bench.server import Server, end_on_sigterm, serve

MIB = 1024 * 1024
CONTAINER = "bench-memory"
ENTITIES = 40
CATEGORIES = ("Amount", "Name", "Product")


def document(index: int) -> str:
    """One document of a project file, with 40 entities."""
    labels = [
        {"category": CATEGORIES[n % len(CATEGORIES)], "offset": 20 * n, "length": 9} for n in range(ENTITIES)
    ]
    regions = [{"regionOffset": 0, "regionLength": 20 * ENTITIES, "labels": labels}]
    whole = {"location": f"doc{index:06d}.txt", "language": "en-us", "dataset": "Train", "entities": regions}
    return json.dumps(whole, separators=(",", ":"))


def project_file(size: int) -> Iterator[bytes]:
    """A project file for entities of at most `size` bytes, in pieces."""
    kind = "CustomEntityRecognition"
    metadata = {"projectKind": kind, "storageInputContainerName": CONTAINER, "language": "en-us"}
    metadata |= {"settings": {"autolabel": {"onUpload": False}}}  # only the import is measured
    head = {"projectFileVersion": "2022-05-01", "stringIndexType": "Utf16CodeUnit", "metadata": metadata}
    assets = {"projectKind": kind, "entities": [{"category": name} for name in CATEGORIES]}
    start = f'{json.dumps(head)[:-1]},"assets":{json.dumps(assets)[:-1]},"documents":[\n'.encode()
    yield start
    used, index = len(start) + len(document(0)) + 3, 1
    yield document(0).encode()
    while used + len(document(index)) + 1 <= size:
        piece = f",{document(index)}".encode()
        yield piece
        used, index = used + len(piece), index + 1
    yield b"]}}"


async def in_body(api: Api, size: int) -> tuple[int, float]:
    """Send a project file in a body, and wait for its job if there is one; return the status and the seconds to the
    response.
    """
    body = b"".join(project_file(size))
    begun = time.perf_counter()
    answer = await api.client.post(
        f"{api.projects}/large/:import", content=body, headers={"content-type": "application/json"}
    )
    seconds = time.perf_counter() - begun
    if answer.is_success:
        await api.wait(answer)
    return answer.status_code, seconds


async def from_blob(api: Api, server: Server, size: int) -> tuple[int, float]:
    """The same from a blob."""

    async def pieces() -> AsyncIterator[bytes]:
        for piece in project_file(size):
            yield piece

    async with ContainerClient.from_connection_string(server.connection_string, CONTAINER) as container:
        await container.create_container()
        await container.upload_blob("large.json", pieces(), max_concurrency=1)
    begun = time.perf_counter()
    where = {"containerName": CONTAINER, "blobName": "large.json"}
    answer = await api.post("large/:import", {"projectFile": where})
    seconds = time.perf_counter() - begun
    await api.wait(answer)
    return answer.status_code, seconds


async def measured(name: str, size: int, *, blob: bool = False) -> str:
    """One line: peak memory of the host before and after, and the response."""
    with serve() as server:
        api = Api(server)
        async with api.client:
            await api.client.get(f"{server.base}/health")
            before, begun = usage(server.host), time.perf_counter()
            status, seconds = await (from_blob(api, server, size) if blob else in_body(api, size))
            after, whole = usage(server.host), time.perf_counter() - begun
    return (
        f"{name:<44}{before.peak:>8.0f}{after.peak:>8.0f}{status:>8}{seconds:>10.2f}{whole:>8.1f}"
        f"{after.cpu - before.cpu:>8.1f}"
    )


async def main() -> None:
    end_on_sigterm()
    print(f"{'':<44}{'MiB':>8}{'peak':>8}{'status':>8}{'answer s':>10}{'all s':>8}{'CPU s':>8}")
    print(await measured("a body of 30 MiB", 30 * MIB), flush=True)
    print(await measured("a body over the app's limit (31 MiB)", 31 * MIB), flush=True)
    print(await measured("a body over the host's limit (40 MB)", 40_000_000), flush=True)
    print(await measured("a project file of 100 MiB in a blob", 100 * MIB, blob=True), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
    engine_memory.run()
