"""Packed rows are zlib streams of JSON, which every version reads, whether their content is compressed or not."""

import json
import zlib

import pytest

from shared.storage.rows import SMALL, TINY, pack, unpack


@pytest.mark.parametrize("size", [0, 1, TINY - 2, TINY - 1, SMALL - 2, SMALL - 1, 300_000])
def test_what_is_packed_is_a_stream_that_zlib_reads(size: int) -> None:
    text = "ab" * (size // 2) + "c" * (size % 2)
    packed = pack(text)
    assert json.loads(zlib.decompress(packed)) == text == unpack(packed)
    # Two more bytes are quotes.
    assert (text.encode() in packed) == (size + 2 <= TINY)


def test_half_of_a_character_is_packed() -> None:
    assert unpack(pack(["\ud83d", "ñ"])) == ["\ud83d", "ñ"]
