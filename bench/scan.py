"""`python -m bench.scan`: registers a container, then compares it again; with raw storage calls in the same run."""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable

from azure.storage.blob.aio import BlobServiceClient, ContainerClient

from bench import raw
from bench.api import Api
from bench.many_blobs import serve_with_blobs
from bench.server import Server, end_on_sigterm
from bench.texts import documents, name_of

CONTAINER = "bench-scan"
CHANGES = 100
"""Blobs that are changed, deleted and added between two scans."""


async def _measure(server: Server, count: int) -> None:
    api = Api(server)
    async with api.client, BlobServiceClient.from_connection_string(server.connection_string) as service:
        container = service.get_container_client(CONTAINER)
        await _timed("raw: listing", count, lambda: _list(container))
        sample = min(count, 5_000)
        async with raw.RawStorage(server.connection_string) as storage:
            started = time.perf_counter()
            await raw.each(range(sample), lambda i: storage.read(CONTAINER, name_of(i)))
            read = count / sample * (time.perf_counter() - started)
        print(f"{f'raw: reading every blob (from {sample:,})':<44}{read:>9.1f} s{count / read:>12,.0f} /s")
        await api.create("scanned", CONTAINER)
        await _timed("first scan, until all are registered", count, lambda: _registered(api, count))
        await _timed("scan again, nothing changed", count, lambda: _scan(api))
        await _change(container, count)
        await _timed(f"scan again, {3 * CHANGES} differences", count, lambda: _scan(api))
        await _require_counts(api, count)


async def _timed(name: str, count: int, work: Callable[[], Awaitable[object]]) -> None:
    started = time.perf_counter()
    result = await work()
    seconds = time.perf_counter() - started
    print(f"{name:<44}{seconds:>9.1f} s{count / seconds:>12,.0f} /s  {result or ''}", flush=True)


async def _list(container: ContainerClient) -> None:
    async for _ in container.list_blob_names():
        pass


async def _registered(api: Api, count: int) -> None:
    await api.until("scanned", "total", count, seconds=1_800)


async def _scan(api: Api) -> object:
    accepted = await api.client.post(f"{api.projects}/scanned/documents/:scan")
    return (await api.wait(accepted, seconds=3_600))["result"]


async def _change(container: ContainerClient, count: int) -> None:
    for index in range(CHANGES):
        await container.upload_blob(name_of(index + 1), b"The text is another now.", overwrite=True)
        await container.delete_blob(name_of(index + 1 + CHANGES))
        await container.upload_blob(name_of(count + index), b"This document came later.")


async def _require_counts(api: Api, count: int) -> None:
    counts = await api.counts("scanned")
    expected = count  # as many blobs were added as removed
    if counts["total"] != expected:
        raise RuntimeError(f"{counts} instead of {expected} documents.")
    print(f"counts at the end: {counts}")


def main() -> None:
    end_on_sigterm()
    parser = argparse.ArgumentParser(prog="python -m bench.scan", description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    count = parser.parse_args().documents
    texts = [text for _, text in documents(count)]
    with serve_with_blobs(CONTAINER, texts) as server:
        asyncio.run(_measure(server, count))


if __name__ == "__main__":
    main()
