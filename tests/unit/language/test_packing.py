"""Long documents in pieces and back: every character is in a piece, and every place maps back."""

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain.labels import Prediction
from shared.domain.text import MAX_CHARACTERS as MAX_DOCUMENT
from shared.domain.text import utf16_length
from shared.engines.azure_language.packing import (
    MAX_CHARACTERS,
    MAX_REQUEST_DOCUMENTS,
    Piece,
    merge_classes,
    merge_entities,
    pack,
    split,
)

PARTS = (
    "word",
    " ",
    "\r\n",
    "\n",
    "\r",
    "\u2028",
    ".",
    "! ",
    "。",
    "e\u0301",
    "👩‍👩‍👧",
    "🇩🇪",
    "👍🏽",
    "😀",
    "\t",
    "”",
)
texts = st.lists(st.sampled_from(PARTS), max_size=120).map("".join)


@given(texts, st.integers(min_value=8, max_value=200))
def test_the_pieces_cover_the_text_and_fit(text, limit):
    pieces = split(text, limit)

    assert pieces[0].start == 0
    assert pieces[-1].end == len(text)
    for piece in pieces:
        assert piece.size == utf16_length(text[piece.start : piece.end]) <= limit
    for before, after in pairwise(pieces):
        assert before.start < after.start <= before.end < after.end
        assert before.cut_after == after.cut_before == (after.start < before.end)


@example(f"{'word' * 5}👩\u200d👩\u200d👧 word", 30)
@example(f"wordword{'👩\u200d👩\u200d👧' * 2}wordword", 30)
@given(texts, st.integers(min_value=30, max_value=200))
def test_no_piece_begins_or_ends_within_what_is_shown_as_one_character(text, limit):
    for piece in split(text, limit):
        for place in (piece.start, piece.end):
            if 0 < place < len(text):
                assert (text[place - 1], text[place]) != ("\r", "\n")
                assert not unicodedata.category(text[place]).startswith("M")
                assert "\u200d" not in text[place - 1 : place + 1]


@given(st.lists(st.sampled_from(("one two three", "naïve 😀 test", "x")), min_size=1, max_size=60))
def test_lines_are_not_divided_and_nothing_is_sent_twice(lines):
    text = "\r\n".join(lines)

    pieces = split(text, 64)

    assert "".join(text[p.start : p.end] for p in pieces) == text
    assert all(text[p.end - 2 : p.end] == "\r\n" for p in pieces[:-1])


def test_a_document_at_the_limit_is_one_piece():
    assert split("a" * MAX_CHARACTERS) == [Piece(0, MAX_CHARACTERS, MAX_CHARACTERS)]


@pytest.mark.parametrize(
    "text",
    ["a" * MAX_DOCUMENT, "." * MAX_DOCUMENT, "😀" * MAX_DOCUMENT, " " * MAX_DOCUMENT, "e\u0301" * 64_000],
)
def test_the_longest_documents_without_a_place_to_split(text):
    pieces = split(text)

    assert len(pieces) in {2, 3}
    assert all(piece.size <= MAX_CHARACTERS for piece in pieces)
    assert all(before.end - after.start >= 250 for before, after in pairwise(pieces))


def test_a_sentence_end_comes_before_a_line_end_and_that_before_a_space():
    text = "a" * 40 + ". " + "b" * 20 + "\n" + "c" * 37

    assert [p.end for p in split(text, 80)] == [42, 100]
    assert [p.end for p in split(text.replace(".", ","), 80)] == [63, 100]
    assert next(p.end for p in split(text.replace(".", ",").replace("\n", "-"), 80)) == 42


@given(st.lists(st.integers(min_value=1, max_value=MAX_CHARACTERS), max_size=200))
def test_requests_hold_what_the_service_takes(sizes):
    groups = pack(list(enumerate(sizes)))

    assert [item for group in groups for item in group] == list(range(len(sizes)))
    for group in groups:
        assert 1 <= len(group) <= MAX_REQUEST_DOCUMENTS
        assert sum(sizes[item] for item in group) <= MAX_CHARACTERS
    for group, after in pairwise(groups):
        full = len(group) == MAX_REQUEST_DOCUMENTS
        assert full or sum(sizes[item] for item in group) + sizes[after[0]] > MAX_CHARACTERS


@given(st.integers(min_value=40, max_value=120), st.integers(min_value=0, max_value=590))
def test_an_entity_is_found_once_wherever_a_text_without_sentences_is_cut(limit, start):
    text = "word " * 120
    length = min(limit // 8, 5)
    found = []
    for piece in split(text, limit):
        low, high = max(start, piece.start), min(start + length, piece.end)
        whole = [Prediction("Thing", 0.9, low - piece.start, high - low)] if low < high else []
        found.append((piece, whole))

    merged = merge_entities(found)

    assert [(p.offset, p.length) for p in merged] == [(start, length)]


def test_the_surest_of_overlapping_entities_stays():
    left, right = Piece(0, 20, 20, cut_after=True), Piece(10, 30, 20, cut_before=True)

    merged = merge_entities(
        [
            (left, [Prediction("A", 0.6, 11, 5)]),
            (right, [Prediction("B", 0.8, 3, 4), Prediction("C", 0.5, 9, 3)]),
        ]
    )

    assert [(p.category, p.offset, p.length) for p in merged] == [("B", 13, 4), ("C", 19, 3)]


def test_classes_of_pieces_count_by_size_or_are_all_of_the_document():
    found = [
        (Piece(0, 30, 30), [Prediction("A", 0.6)]),
        (Piece(30, 100, 70), [Prediction("B", 0.9), Prediction("A", 0.8)]),
    ]

    assert merge_classes(found, single=False) == [Prediction("B", 0.9), Prediction("A", 0.8)]
    single = merge_classes([(p, predictions[:1]) for p, predictions in found], single=True)
    assert [(p.category, round(p.confidence, 2)) for p in single] == [("B", 0.63), ("A", 0.18)]
