"""Strict JSON: what is no JSON is refused with its place, whatever it costs to find out."""

import json
import sys
import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import InvalidRequest
from shared.wire.json_codec import (
    MAX_AT_ONCE,
    MAX_CONTAINERS,
    MAX_NESTED,
    MAX_VALUE,
    MAX_VALUES,
    WINDOW,
    JsonReader,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)


def read_all(text: str | bytes, window: int = WINDOW) -> object:
    """Walks objects and lists piece by piece, as deep as they go at the outer two levels."""
    reader = JsonReader(text if isinstance(text, bytes) else text.encode(), window=window)
    found: object
    if reader.peek() == "{":
        found = {
            key: list(reader.elements()) if reader.peek() == "[" else reader.value()
            for key in reader.members()
        }
    elif reader.peek() == "[":
        found = list(reader.elements())
    else:
        found = reader.value()
    reader.end()
    return found


WINDOWS = st.sampled_from([1, 2, 3, 5, 17, 64, WINDOW])


@given(JSON, st.sampled_from([None, 1, "\t"]), st.booleans(), WINDOWS)
def test_pieces_give_what_the_standard_reader_gives(
    value: object, indent: int | str | None, ascii_only: bool, window: int
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert read_all(f" \n{text}\r\t", window) == value


@given(JSON, st.data(), WINDOWS)
def test_whatever_is_cut_off_is_refused(value: object, data: st.DataObject, window: int) -> None:
    text = json.dumps([value, {"k": value}])
    end = data.draw(st.integers(1, len(text) - 1))
    with pytest.raises(InvalidRequest):
        read_all(text[:end], window)


@given(JSON, st.data(), WINDOWS)
def test_an_error_has_the_same_place_however_much_is_read_at_once(
    value: object, data: st.DataObject, window: int
) -> None:
    text = json.dumps([value, {"k": value}], indent=1)
    at = data.draw(st.integers(0, len(text) - 1))
    wrong = text[:at] + data.draw(st.sampled_from(["\x01", "}", "]", "nul", '"', "\\"])) + text[at:]

    def outcome(window: int) -> object:
        try:
            return read_all(wrong, window)
        except InvalidRequest as error:
            return error.message

    assert outcome(window) == outcome(WINDOW)


@pytest.mark.parametrize("number", [0, -0.5, 12345678901234567890, 1e-300, 1.5e300])
@pytest.mark.parametrize("window", [1, 2, 3, 4])
def test_a_number_at_the_end_of_what_was_read_is_whole(number: float, window: int) -> None:
    assert read_all(f"[{number!r},{number!r}]", window) == [number, number]
    assert read_all(repr(number), window) == number


def test_memory_does_not_grow_with_the_file() -> None:
    item = b'{"k":"' + b"x" * 1_000 + b'"}'

    def pieces() -> Iterator[bytes]:
        yield b"["
        for _ in range(40_000):
            yield item + b","
        yield b"0]"

    source = Slow(pieces())
    tracemalloc.start()
    count = sum(1 for _ in JsonReader(source).elements())  # pyright: ignore[reportArgumentType]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (count, source.given) == (40_001, 40_000 * (len(item) + 1) + 3)
    assert peak < 12 * WINDOW


def test_a_value_without_end_is_not_read_to_its_end() -> None:
    source = Slow(b"x" * WINDOW if n else b'["' for n in range(1_000))
    with pytest.raises(InvalidRequest, match="more than 33,554,432 characters"):
        list(JsonReader(source).elements())  # pyright: ignore[reportArgumentType]
    assert source.given < 3 * MAX_VALUE


class Slow:
    """A file that makes its content as it is read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""
        self.given = 0

    def read(self, size: int) -> bytes:
        made = bytearray(self._rest)
        while len(made) < size and (piece := next(self._pieces, b"")):
            made += piece
        self._rest = bytes(made[size:])
        self.given += min(size, len(made))
        return bytes(made[:size])


@given(st.binary(max_size=60))
def test_garbage_never_raises_anything_else(body: bytes) -> None:
    with suppress(InvalidRequest):
        read_all(body)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a":1,}', "line 1, column 8"),
        ("[1,]", "Expecting value (line 1, column 4)"),
        ("[1 2]", "Expecting ',' (line 1, column 4)"),
        ('{"a" 1}', "Expecting ':'"),
        ("{1:2}", "Expecting a key in double quotes (line 1, column 2)"),
        ("{'a':2}", "Expecting a key in double quotes"),
        ('{"a":1}\n\n x', "Extra data after the end (line 3, column 2)"),
        ('{"a":[1,\n  oops]}', "line 2, column 3"),
        ('{"a":"\x01"}', "Invalid control character"),
        ('{"a":"\\x"}', "escape"),
        ('{"a":01}', "Expecting ','"),
        ("[" * 500_000, "nested too deeply"),
        ('{"a":' * 500_000, "nested too deeply"),
        ('{"a":' + "9" * 5_000 + "}", "too many digits"),
    ],
)
def test_syntax_errors_have_their_place(text: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_all(text)
    assert message in caught.value.message


def test_bytes_that_are_not_utf8() -> None:
    with pytest.raises(InvalidRequest, match="invalid byte at position 6"):
        read_all(b'{"a":"\xff"}')
    with pytest.raises(InvalidRequest, match="not valid UTF-8"):
        read_all('{"a":1}'.encode("utf-16"))


def test_a_key_twice_is_a_complaint_at_any_depth() -> None:
    reader = JsonReader(b'{"a":{"b":[{"c":1,"c":2}],"b":NaN},"a":Infinity}')
    for _ in reader.members():
        reader.value()
    assert reader.complaints == [
        "The key 'c' occurs more than once in an object.",
        "NaN is not a JSON value.",
        "The key 'b' occurs more than once in an object.",
        "The key 'a' occurs more than once in an object.",
        "Infinity is not a JSON value.",
    ]


def test_a_million_repeated_keys_are_found_at_once_and_few_are_reported() -> None:
    reader = JsonReader(b'{"a":{' + b'"k":0,' * 500_000 + b'"z":0}}')
    for _ in reader.members():
        reader.value()
    assert reader.complaints == ["The key 'k' occurs more than once in an object."]


@pytest.mark.parametrize("item", [b"[],", b"{},", b"0,"])
def test_a_body_that_would_take_gigabytes_is_refused_before_it_does(item: bytes) -> None:
    count = MAX_VALUES + 1 if item == b"0," else MAX_CONTAINERS
    body = b'{"x":[' + item * count + b"0]}"
    tracemalloc.start()
    with pytest.raises(InvalidRequest, match="more values"):
        JsonReader(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


NESTED = b"[" * 900 + b"]" * 900 + b","


@pytest.mark.parametrize(
    ("item", "count", "limit"),
    [
        *((item, MAX_AT_ONCE + 1, "1,200,000 values") for item in (b"[],", b"{},", b"0,")),
        (NESTED, MAX_NESTED // 900 + 1, "300,000 nested lists"),
    ],
)
def test_a_value_that_would_be_decoded_for_long_is_refused_before(
    item: bytes, count: int, limit: str
) -> None:
    reader = JsonReader(b'{"x":["' + b" " * 1_000_000 + b'",' + item * count + b"0]}")
    with pytest.raises(InvalidRequest, match=f"contains more than {limit}"):
        reader.value()


def test_many_small_documents_ahead_are_no_lists_in_lists() -> None:
    document = b'{"location":"a","classes":[{"category":"x"}]}'
    reader = JsonReader(b'["' + b"x" * 4_300_000 + b'"' + (b"," + document) * 110_000 + b"]")
    assert sum(1 for _ in reader.elements()) == 110_001


def test_what_is_ahead_is_counted_once_and_not_for_each_value() -> None:
    """Much text lies ahead after a long value; counted for each value that follows, reading would take hours."""
    counts = 0

    def profile(_frame: FrameType, event: str, called: Any) -> None:
        nonlocal counts
        counts += event == "c_call" and called.__name__ == "count"

    items = 20_000
    reader = JsonReader(b'["' + b"x" * 4_300_000 + b'"' + (b',"' + b"y" * 180 + b'"') * items + b"]")
    sys.setprofile(profile)
    try:
        assert sum(1 for _ in reader.elements()) == items + 1
    finally:
        sys.setprofile(None)
    assert counts < 1_000


def test_a_document_with_a_label_on_every_character_is_read() -> None:
    label = b'{"category":"a","offset":1,"length":1}'
    document = b'{"location":"a","entities":[' + b",".join([label] * 128_000) + b"]}"
    reader = JsonReader(b"[" + document + b"," + document + b"]")
    assert [len(value["entities"]) for value in reader.elements()] == [128_000] * 2


def test_the_elements_of_a_list_exist_one_at_a_time() -> None:
    reader = JsonReader(b"[" + b",".join([json.dumps({"k": list(range(50))}).encode()] * 20_000) + b"]")
    tracemalloc.start()
    assert sum(1 for _ in reader.elements()) == 20_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
