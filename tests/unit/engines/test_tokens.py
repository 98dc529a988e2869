from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.labels import Span
from shared.engines.base import ADJUSTED, LEFT_OUT
from shared.engines.embedded.attributes import mentions
from shared.engines.embedded.tokens import Tokens, align, cut, labels

TEXTS = st.text(st.one_of(st.characters(), st.sampled_from("aB1 .\r\n\u0301😀中שไ")), max_size=200)


@given(TEXTS)
def test_tokens_are_the_text_in_order(text: str):
    tokens = cut(text)
    assert [text[a:b] for a, b in zip(tokens.starts, tokens.ends, strict=True)] == tokens.words
    assert all(a >= b for a, b in zip(tokens.starts[1:], tokens.ends, strict=False))
    covered = {place for a, b in zip(tokens.starts, tokens.ends, strict=True) for place in range(a, b)}
    assert all(text[place].isspace() for place in set(range(len(text))) - covered)


@given(TEXTS)
def test_segments_cover_all_tokens_once(text: str):
    tokens = cut(text * 5)
    assert [i for begin, end in tokens.segments for i in range(begin, end)] == list(range(len(tokens.words)))
    assert all(0 < end - begin <= 200 for begin, end in tokens.segments)


def _words(text: str) -> list[str]:
    return cut(text).words


def test_words_digits_and_signs_stand_alone():
    assert _words("Dr. Ünal-Weiß: 10mg/kg") == ["Dr", ".", "Ünal", "-", "Weiß", ":", "10", "mg", "/", "kg"]


def test_marks_stay_with_their_letter():
    assert _words("e\u0301te\u0301 नमस्ते") == ["e\u0301te\u0301", "नमस्ते"]


def test_scripts_without_spaces_are_cut_into_characters():
    assert _words("東京へ2026年") == ["東", "京", "へ", "2026", "年"]


def test_a_line_ends_a_segment():
    tokens = cut("one two\r\nthree\n\nfour")
    assert tokens.segments == [(0, 2), (2, 3), (3, 4)]


def test_spans_become_labels_and_overlaps_give_way():
    tokens = cut("Anna Maria of New York City")
    spans = (Span("place", 14, 13), Span("person", 0, 10), Span("person", 18, 4), Span("place", 200, 3))
    given_labels = _labels(tokens, spans, ("person", "place"))
    assert given_labels == [1, 2, 0, 3, 4, 4]
    assert mentions(tokens.words, given_labels) == {(("anna", "maria"), 0), (("new", "york", "city"), 1)}


def test_neighboring_mentions_stay_two():
    tokens = cut("Anna Boris")
    both = _labels(tokens, (Span("p", 0, 4), Span("p", 5, 5)), ("p",))
    assert both == [1, 1]
    assert len(mentions(tokens.words, both)) == 2


def test_a_span_within_a_word_takes_the_word():
    assert _labels(cut("unhappy day"), (Span("mood", 2, 5),), ("mood",)) == [1, 0]


def _labels(tokens: Tokens, spans: Sequence[Span], categories: Sequence[str]) -> list[int]:
    return labels(len(tokens.words), align(tokens, 27, spans)[0], categories)


@pytest.mark.parametrize(
    ("offset", "length", "tokens", "reasons"),
    [
        (0, 4, (0, 1), []),
        (0, 6, (0, 1), ["blankEdges"]),
        (4, 7, (1, 2), ["blankEdges"]),
        (1, 4, (0, 1), ["blankEdges", "partOfWord"]),
        (2, 6, (0, 2), ["partOfWord"]),
        (4, 2, None, ["blank"]),
        (4, 0, None, ["outsideText"]),
        (6, -2, None, ["outsideText"]),
        (-1, 5, None, ["outsideText"]),
        (6, 60, None, ["outsideText"]),
        (11, 9, None, ["unread"]),
        (11, 5, None, ["unread"]),
        (17, 3, None, ["unread"]),
    ],
)
def test_spans_as_whole_tokens(offset: int, length: int, tokens: tuple[int, int] | None, reasons: list[str]):
    text = "Anna  Maria and Boris"
    found, why = align(cut(text, 15), len(text), (Span("p", offset, length),))
    assert [(span.start, span.end) for span in found] == ([tokens] if tokens else [])
    assert sorted(why.elements()) == reasons


def test_of_overlapping_spans_the_first_and_longest_is_kept_and_equal_ones_are_one():
    spans = (Span("p", 0, 4), Span("p", 0, 10), Span("q", 5, 5), Span("q", 11, 1), Span("q", 11, 1))
    found, why = align(cut("Anna Maria x"), 12, spans)
    assert [(span.category, span.start, span.end) for span in found] == [("p", 0, 2), ("q", 2, 3)]
    assert why == {"overlap": 2}


@given(TEXTS, st.lists(st.tuples(st.integers(-5, 200), st.integers(-5, 200)), max_size=8))
def test_every_span_is_aligned_or_left_out_for_a_reason(text: str, places: list[tuple[int, int]]):
    spans = {Span("p", *place) for place in places}
    found, why = align(cut(text).head(20), len(text), list(spans))
    assert len(found) + sum(why[reason] for reason in LEFT_OUT) == len(spans)
    assert set(why) <= LEFT_OUT.keys() | ADJUSTED.keys()
    assert all(a.end <= b.start for a, b in pairwise(found))
