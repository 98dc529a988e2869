import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.engines.embedded import tfidf
from shared.engines.embedded.tfidf import Tfidf


def test_weights_by_hand():
    fitted = Tfidf.fit(tfidf.words, ["red red blue", "blue"])
    row = dict(zip(fitted.vocabulary, fitted.transform(["red red blue green"]).toarray()[0], strict=True))
    red, blue = (1 + math.log(2)) * (math.log(3 / 2) + 1), 1 * (math.log(3 / 3) + 1)
    length = math.hypot(red, blue)
    assert row["red"] == pytest.approx(red / length, rel=1e-6)
    assert row["blue"] == pytest.approx(blue / length, rel=1e-6)


def test_spelling_has_grams_of_two_to_five_characters_within_words():
    assert sorted(tfidf.spelling("Ab c")) == sorted(
        [" a", "ab", "b ", " ab", "ab ", " ab ", " c", "c ", " c "]
    )


def test_rare_terms_can_be_left_out_and_the_most_frequent_kept():
    texts = ["a b c", "a b", "a"]
    assert list(Tfidf.fit(tfidf.words, texts, least=2).vocabulary) == ["a", "b"]
    assert list(Tfidf.fit(tfidf.words, texts, most=1).vocabulary) == ["a"]


def test_counting_forgets_single_terms_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(tfidf, "_COUNTED_TERMS", 10)
    texts = [f"common w{number}" for number in range(50)]
    vocabulary = Tfidf.fit(tfidf.words, texts).vocabulary
    assert vocabulary[0] == "common"
    assert len(vocabulary) <= 11


@given(st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_rows_have_length_one_or_are_empty(texts: list[str]):
    for terms in (tfidf.words, tfidf.phrases, tfidf.spelling):
        rows = Tfidf.fit(terms, texts).transform(texts).toarray()
        lengths = np.linalg.norm(rows, axis=1)
        assert np.all(np.isclose(lengths, 1, atol=1e-5) | (lengths == 0))
        assert np.array_equal(lengths == 0, [not list(terms(text)) for text in texts])
