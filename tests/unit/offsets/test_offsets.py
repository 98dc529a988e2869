"""The one conversion of offsets, over 10,000 texts: what a span covers is the same in every unit."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.text import Offsets, decode_document, utf16_length
from tests.unit.offsets.strings import (
    BLOCK,
    Spans,
    block,
    made_spans,
    made_text,
    seeds,
    spans,
    texts,
    unit_slice,
    units,
)

few = settings(max_examples=300, deadline=None)
many = settings(max_examples=3_000 // BLOCK, deadline=None)


@few
@given(spans())
def test_a_span_covers_the_same_text_in_both_units(drawn: Spans):
    _covers_the_same(*drawn)


@many
@given(seeds)
def test_spans_of_thousands_of_texts_cover_the_same_in_both_units(seed: int):
    for text, places in block(made_spans, seed):
        _covers_the_same(text, places)


def _covers_the_same(text: str, places: Sequence[tuple[int, int]]) -> None:
    offsets = Offsets(text)
    for offset, length in places:
        start, size = offsets.span_to_utf16(offset, length)
        assert unit_slice(text, start, size) == text[offset : offset + length]
        assert offsets.span_to_code_points(start, size) == (offset, length)


@few
@given(texts)
def test_every_offset_there_is_converts_or_splits_a_pair(text: str):
    _converts_or_splits(text)


@many
@given(seeds)
def test_every_offset_of_thousands_of_texts_converts_or_splits_a_pair(seed: int):
    for text in block(made_text, seed):
        _converts_or_splits(text)


def _converts_or_splits(text: str) -> None:
    offsets, found = Offsets(text), units(text)
    assert offsets.utf16_length == utf16_length(text) == len(found)
    for unit in range(len(found) + 1):
        point = offsets.to_code_point(unit)
        inside = unit < len(found) and 0xDC00 <= found[unit] < 0xE000
        assert (point is None) == inside
        if point is not None:
            assert offsets.to_utf16(point) == unit == utf16_length(text[:point])


@settings(max_examples=1_000, deadline=None)
@given(texts, st.integers())
def test_beyond_the_text_there_is_no_offset(text: str, offset: int):
    offsets = Offsets(text)
    if not 0 <= offset <= offsets.utf16_length:
        assert offsets.to_code_point(offset) is None
    assert offsets.span_to_code_points(0, offsets.utf16_length + 1) is None
    assert offsets.span_to_code_points(0, offsets.utf16_length) == (0, len(text))


@few
@given(texts, st.booleans())
def test_a_document_is_read_as_the_browser_reads_it(text: str, mark: bool):
    """A byte-order mark at the start is not counted; line ends are left as they are."""
    _is_read_as_by_the_browser(text, mark)


@many
@given(seeds)
def test_thousands_of_documents_are_read_as_the_browser_reads_them(seed: int):
    for text in block(made_text, seed):
        _is_read_as_by_the_browser(text, True)
        _is_read_as_by_the_browser(text, False)


def _is_read_as_by_the_browser(text: str, mark: bool) -> None:
    read = decode_document(text.encode("utf-8-sig" if mark else "utf-8"))
    shown = text.removeprefix("\ufeff") if not mark else text
    if not shown or shown.isspace():
        assert not isinstance(read, str)
    else:
        assert read == shown
