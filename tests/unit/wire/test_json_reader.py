"""Strict JSON: what is no JSON is refused with its place, whatever it costs to find out."""

import json
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import InvalidRequest
from shared.wire.json_reader import MAX_CONTAINERS, MAX_VALUES, JsonReader

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)


def read_all(text: str | bytes) -> object:
    """Walks objects and lists piece by piece, as deep as they go at the outer two levels."""
    reader = JsonReader(text if isinstance(text, bytes) else text.encode())
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


@given(JSON, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_pieces_give_what_the_standard_reader_gives(
    value: object, indent: int | str | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert read_all(f" \n{text}\r\t") == value


@given(JSON, st.data())
def test_whatever_is_cut_off_is_refused(value: object, data: st.DataObject) -> None:
    text = json.dumps([value, {"k": value}])
    end = data.draw(st.integers(1, len(text) - 1))
    with pytest.raises(InvalidRequest):
        read_all(text[:end])


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
    with pytest.raises(InvalidRequest, match="byte 6 does not fit"):
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


def test_a_million_repeated_keys_are_found_at_once_and_few_are_told() -> None:
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


def test_the_elements_of_a_list_exist_one_at_a_time() -> None:
    reader = JsonReader(b"[" + b",".join([json.dumps({"k": list(range(50))}).encode()] * 20_000) + b"]")
    tracemalloc.start()
    assert sum(1 for _ in reader.elements()) == 20_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
