"""`python -m bench.vectors`: what stored vectors of texts would cost and save the embedded engine.

Measured for one process with the app's storage client, and for Azurite, which here keeps its data in memory. Vectors
are stored in half precision, in a blob for each page of documents: alone, and with the page's texts, which are packed
like rows (`bench/packed_texts.py`).
"""

import asyncio
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import batched
from statistics import mean

import numpy as np

from bench.packed_texts import Timer, each, pack, run, unpack
from bench.texts import documents, name_of
from shared.engines.embedded.sentences import VECTOR_BYTES, WIDTH, Memory, require
from shared.storage.gateways.azure_blobs import AzureBlobs
from shared.storage.uploads import UploadedBlobs
from tests.support.azurite import Azurite

TEXTS, PAGES = "bench-texts", "bench-pages"
#: Texts that a batch of a job encodes at a time.
AT_ONCE = 100
LENGTH_BYTES = 4


def join(texts: Sequence[str], vectors: Sequence[bytes]) -> bytes:
    """Texts and vectors in one blob; vectors do not compress."""
    packed = pack(texts)
    return len(packed).to_bytes(LENGTH_BYTES) + packed + b"".join(vectors)


def split(data: bytes) -> list[str]:
    """The texts; the vectors are made numbers, as for use."""
    end = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES])
    numbers(data[end:])
    return unpack(data[LENGTH_BYTES:end])


def numbers(data: bytes) -> object:
    return np.frombuffer(data, "<f2").astype(np.float32).reshape(-1, WIDTH)


def encode(texts: Sequence[str]) -> Iterator[bytes]:
    """With nothing remembered of these texts."""
    memory = Memory()
    for some in batched(texts, AT_ONCE, strict=False):
        yield from memory.stored(some)


async def _measure(azurite: Azurite, count: int, sizes: Sequence[int]) -> None:
    texts = [text for _, text in documents(count)]
    names = [name_of(number) for number in range(count)]
    timed = Timer(azurite.pid, count)
    vectors: list[bytes] = []

    async def encoded() -> None:
        vectors[:] = await asyncio.to_thread(lambda: [*encode(texts)])

    async with azurite.storage("bench") as storage:
        blobs = storage.blobs
        for container in (TEXTS, PAGES):
            await blobs.create_container(container)
        await each(range(count), lambda i: blobs.write(TEXTS, names[i], texts[i].encode()))
        require()  # loads the encoder
        timed.head()
        await timed("encode the texts, in a new process", encoded, runs=1)
        await timed("encode them, when their words are known", encoded)
        uploads = UploadedBlobs(blobs)
        await timed("read each text from its blob", lambda: uploads.inspect_all(TEXTS, names))
        for size in sizes:
            pages = [
                ([texts[i] for i in part], [vectors[i] for i in part])
                for part in batched(range(count), size, strict=False)
            ]
            forms: dict[str, tuple[list[bytes], Callable[[bytes], object]]] = {
                "texts": ([pack(some) for some, _ in pages], unpack),
                "vectors": ([b"".join(own) for _, own in pages], numbers),
                "texts with vectors": ([join(some, own) for some, own in pages], split),
            }
            for what, (contents, decode) in forms.items():
                await _write_and_read(timed, blobs, f"{what}, {size} a blob", contents, decode)
    small = mean(len(zlib.compress(vector)) for vector in vectors)
    packed = sum(len(pack(some)) for some in batched(texts, sizes[-1], strict=False)) / count
    print(f"bytes of a vector: {VECTOR_BYTES:,}, compressed {small:,.0f}")
    print(
        f"bytes of a text: {mean(len(text.encode()) for text in texts):,.0f}, packed by {sizes[-1]} {packed:,.0f}"
    )


async def _write_and_read(
    timed: Timer, blobs: AzureBlobs, what: str, contents: Sequence[bytes], decode: Callable[[bytes], object]
) -> None:
    names = {str(number): content for number, content in enumerate(contents)}

    async def read(name: str) -> None:
        found = await blobs.read(PAGES, name)
        assert found is not None
        decode(found.data)

    await timed(f"write {what}", lambda: each([*names], lambda name: blobs.write(PAGES, name, names[name])))
    await timed(f"read {what}", lambda: each([*names], read))


if __name__ == "__main__":
    run(__doc__, _measure)
