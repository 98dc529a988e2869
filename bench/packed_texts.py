"""`python -m bench.packed_texts`: the cost of reading texts as separate blobs, and packed by page.

Measured for one process with the app's storage client and UploadedBlobs, and for Azurite, which here keeps its data in
memory. Copies are packed like rows: JSON, compressed by zlib. Writing them is what a copy costs with each change.
"""

import argparse
import asyncio
import json
import time
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import batched
from statistics import median
from typing import Any

from bench.processes import usage
from bench.texts import documents, name_of
from shared.storage.uploads import READERS_EACH, UploadedBlobs
from tests.support.azurite import Azurite, running_azurite

RUNS = 3
TEXTS, PACKS = "bench-texts", "bench-packs"


def pack(texts: Sequence[str]) -> bytes:
    return zlib.compress(json.dumps(texts, ensure_ascii=False).encode())


def unpack(data: bytes) -> list[str]:
    texts: list[str] = json.loads(zlib.decompress(data))
    return texts


async def each[T](items: Sequence[T], call: Callable[[T], Awaitable[object]]) -> None:
    turns = asyncio.Semaphore(READERS_EACH)

    async def in_turn(item: T) -> None:
        async with turns:
            await call(item)

    await asyncio.gather(*map(in_turn, items))


@dataclass(frozen=True, slots=True)
class Timer:
    """Prints the CPU of work for `count` documents, in ms for one of them."""

    azurite: int
    count: int

    def head(self) -> None:
        print(
            f"{f'CPU in ms for one of {self.count:,} documents':<46}{'process':>9}{'Azurite':>9}{'median':>9}"
        )

    async def __call__(self, what: str, work: Callable[[], Awaitable[object]], runs: int = RUNS) -> None:
        """The lowest of several runs, of this process and of Azurite; the median of this process."""
        own: list[float] = []
        others: list[float] = []
        for _ in range(runs):
            begun, before = time.process_time(), usage(self.azurite).cpu
            await work()
            own.append(time.process_time() - begun)
            others.append(usage(self.azurite).cpu - before)
        least = (1_000 * min(values) / self.count for values in (own, others))
        middle = 1_000 * median(own) / self.count
        print("{:<46}{:>9.3f}{:>9.3f}{:>9.3f}".format(what, *least, middle), flush=True)


async def _measure(azurite: Azurite, count: int, sizes: Sequence[int]) -> None:
    texts = [text for _, text in documents(count)]
    names = [name_of(number) for number in range(count)]
    async with azurite.storage("bench") as storage:
        blobs = storage.blobs
        for container in (TEXTS, PACKS):
            await blobs.create_container(container)

        timed = Timer(azurite.pid, count)
        timed.head()
        await each(range(count), lambda i: blobs.write(TEXTS, names[i], texts[i].encode()))
        uploads = UploadedBlobs(blobs)
        await timed("read each blob", lambda: uploads.inspect_all(TEXTS, names))

        async def listed() -> None:
            async for _ in blobs.list(TEXTS):
                pass

        await timed("list the blobs, for their versions", listed)
        for size in sizes:
            packs = {f"{size}/{n}": list(some) for n, some in enumerate(batched(texts, size, strict=False))}
            await timed(
                f"write them packed by {size}",
                lambda packs=packs: each(
                    list(packs), lambda name: blobs.write(PACKS, name, pack(packs[name]))
                ),
            )

            async def read(name: str) -> None:
                found = await blobs.read(PACKS, name)
                assert found is not None
                unpack(found.data)

            await timed(f"read them packed by {size}", lambda packs=packs: each(list(packs), read))


type Measure = Callable[[Azurite, int, Sequence[int]], Coroutine[Any, Any, None]]


def run(description: str | None, measure: Measure) -> None:
    """Call it with what the command line says: documents, and how many of them a page has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--documents", type=int, default=1_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5, 10, 100], help="documents of a page")
    options = parser.parse_args()
    with running_azurite() as azurite:
        asyncio.run(measure(azurite, options.documents, options.sizes))


if __name__ == "__main__":
    run(__doc__, _measure)
