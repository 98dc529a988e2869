"""The row of a page. Documents too large for a row lie in blobs named by their content, written before the row."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from shared.domain.page import SLOTS, Page
from shared.storage import document_codec, head_codec, keys, packing
from shared.storage.gateways.ports import Row, Value

SLOT_NAMES = tuple(f"g{i}" for i in range(SLOTS))

type ReadSpill = Callable[[str], Awaitable[bytes]]
type WriteSpill = Callable[[str, bytes], Awaitable[None]]


async def encode(page: Page, spill_prefix: str, write_spill: WriteSpill) -> dict[str, Value]:
    """The values of the row; slots are carried along, for a replace would lose them."""
    documents = document_codec.encode_all(page.documents.values())
    others = [head_codec.encode_tallies(page.tallies), document_codec.encode_gone(page.gone)]
    packed = packing.pack([documents, *others])
    if len(packed) > packing.MAX_PACKED:
        documents = await _spill(documents, spill_prefix, write_spill)
        packed = packing.pack([documents, *others])
    values: dict[str, Value] = {"v": 1, "seq": page.seq, "rev": page.revision}
    values.update((name, number) for name, number in zip(SLOT_NAMES, page.slots, strict=True) if number)
    return values | packing.to_parts(packed)


async def _spill(documents: list[dict[str, Any]], prefix: str, write: WriteSpill) -> list[dict[str, Any]]:
    """Move the largest documents out, each to a blob of its own, until the rest fits.

    The rest is measured unpacked against the limit of the packed row, so that it fits whatever the compression.
    """
    sizes = [(len(json.dumps(d)), i) for i, d in enumerate(documents)]
    left = sum(size for size, _ in sizes)
    kept = list(documents)
    for size, index in sorted(sizes, reverse=True):
        if left <= packing.MAX_PACKED:
            break
        packed = packing.pack(documents[index])
        name = f"{prefix}/{hashlib.sha256(packed).hexdigest()[:32]}"
        await write(name, packed)
        kept[index] = {"spill": name}
        left -= size
    return kept


async def decode(row: Row, read_spill: ReadSpill) -> Page:
    values = row.values
    packed = packing.from_parts(values)
    content: list[list[Any]] = packing.unpack(packed) if packed else [[], []]
    documents, tallies, *more = content  # rows of before know nothing of what is gone
    whole = [packing.unpack(await read_spill(d["spill"])) if "spill" in d else d for d in documents]
    return Page(
        number=keys.number_of(row.key),
        documents=document_codec.decode_all(whole),
        tallies=head_codec.decode_tallies(tallies),
        seq=packing.integer(values, "seq"),
        revision=packing.string(values, "rev"),
        slots=tuple(packing.integer(values, name) for name in SLOT_NAMES),
        gone=document_codec.decode_gone(more[0] if more else []),
        etag=row.etag,
    )
