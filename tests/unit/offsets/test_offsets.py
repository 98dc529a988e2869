"""The one conversion of offsets, over 12,000 drawn texts: what a span covers is the same in every unit."""

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.text import Offsets, decode_document, utf16_length
from tests.unit.offsets.strings import spans, texts, unit_slice, units

many = settings(max_examples=3_000, deadline=None)


@many
@given(spans())
def test_a_span_covers_the_same_text_in_both_units(drawn: tuple[str, list[tuple[int, int]]]):
    text, places = drawn
    offsets = Offsets(text)
    for offset, length in places:
        start, size = offsets.span_to_utf16(offset, length)
        assert unit_slice(text, start, size) == text[offset : offset + length]
        assert offsets.span_to_code_points(start, size) == (offset, length)


@many
@given(texts)
def test_every_offset_there_is_converts_or_splits_a_pair(text: str):
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


@many
@given(texts, st.booleans())
def test_a_document_is_read_as_the_browser_reads_it(text: str, mark: bool):
    """A byte-order mark at the start is not counted; line ends are left as they are."""
    read = decode_document(text.encode("utf-8-sig" if mark else "utf-8"))
    shown = text.removeprefix("\ufeff") if not mark else text
    if not shown or shown.isspace():
        assert not isinstance(read, str)
    else:
        assert read == shown
