"""What Azurite alone can do through the official SDK: the baseline of every ratio."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from azure.data.tables.aio import TableServiceClient
from azure.storage.blob.aio import BlobServiceClient, ContainerClient

CONCURRENCY = 32


async def upload(connection: str, container: str, texts: Sequence[str]) -> None:
    """Put the texts into a fresh container as doc00000.txt, ..."""
    async with BlobServiceClient.from_connection_string(connection) as service:
        client = service.get_container_client(container)
        await client.create_container()
        await each(
            range(len(texts)), lambda i: client.upload_blob(name_of(i), texts[i].encode(), overwrite=True)
        )


def name_of(index: int) -> str:
    return f"doc{index:05d}.txt"


async def read_rate(connection: str, container: str, count: int) -> float:
    """Blobs a second, read whole through the aio SDK."""
    async with BlobServiceClient.from_connection_string(connection) as service:
        client = service.get_container_client(container)
        started = time.perf_counter()
        await each(range(count), lambda i: _read(client, name_of(i)))
        return count / (time.perf_counter() - started)


async def read_and_insert_rate(connection: str, container: str, count: int) -> float:
    """Documents a second, for one blob read and one row inserted for each."""
    async with (
        BlobServiceClient.from_connection_string(connection) as blobs,
        TableServiceClient.from_connection_string(connection) as tables,
    ):
        client = blobs.get_container_client(container)
        table = await tables.create_table_if_not_exists("rawbaseline")
        run = str(time.time_ns())

        async def one(index: int) -> None:
            await table.create_entity({"PartitionKey": run, "RowKey": str(index), "location": name_of(index)})
            await _read(client, name_of(index))

        started = time.perf_counter()
        await each(range(count), one)
        return count / (time.perf_counter() - started)


async def _read(client: ContainerClient, name: str) -> bytes:
    stream = await client.download_blob(name)
    return await stream.readall()


async def each(items: Sequence[int], work: Callable[[int], Awaitable[object]]) -> None:
    """The work for every item, CONCURRENCY at a time."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
