from hypothesis import given
from hypothesis import strategies as st

from shared.domain.prediction import Span
from shared.engines.embedded.attributes import mentions
from shared.engines.embedded.tokens import cut, labels

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


def test_scripts_without_blanks_are_cut_into_characters():
    assert _words("東京へ2026年") == ["東", "京", "へ", "2026", "年"]


def test_a_line_ends_a_segment():
    tokens = cut("one two\r\nthree\n\nfour")
    assert tokens.segments == [(0, 2), (2, 3), (3, 4)]


def test_spans_become_labels_and_overlaps_give_way():
    tokens = cut("Anna Maria of New York City")
    spans = (Span("place", 14, 13), Span("person", 0, 10), Span("person", 18, 4), Span("place", 200, 3))
    given_labels = labels(tokens, spans, ("person", "place"))
    assert given_labels == [1, 2, 0, 3, 4, 4]
    assert mentions(tokens.words, given_labels) == {(("anna", "maria"), 0), (("new", "york", "city"), 1)}


def test_neighbouring_mentions_stay_two():
    tokens = cut("Anna Boris")
    both = labels(tokens, (Span("p", 0, 4), Span("p", 5, 5)), ("p",))
    assert both == [1, 1]
    assert len(mentions(tokens.words, both)) == 2


def test_a_span_within_a_word_takes_the_word():
    assert labels(cut("unhappy day"), (Span("mood", 2, 5),), ("mood",)) == [1, 0]
