"""TF-IDF over words or their spelling, with the same arithmetic for training and predictions."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise, repeat
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shared.engines.embedded.numeric import Numbers, csr_array, ones_at
from shared.engines.embedded.tokens import MARKS, UNSPACED

MAX_FEATURE_CHARACTERS: Final = 20_000
"""Characters of a document that are read; the topic of a longer one is clear by then."""
MAX_TERMS: Final = 50_000

_LONGEST_TOKEN: Final = 100
# Vowel signs are part of their word, although they are not letters.
_TOKEN: Final = re.compile(rf"[\w{MARKS}{UNSPACED}]{{1,{_LONGEST_TOKEN}}}|[^\w\s]{{1,{_LONGEST_TOKEN}}}")
_PICTURES: Final = "\u2190-\u2bff\U0001f000-\U0001faff"  # arrows, signs, emoji
_ALONE: Final = UNSPACED + _PICTURES
_WORD: Final = re.compile(rf"[{_ALONE}][{MARKS}]*|(?:(?![{_ALONE}])\w[{MARKS}]*)+")
_GRAM_LENGTHS: Final = range(2, 6)
_COUNTED_TERMS: Final = 600_000

CHUNK: Final = 256
"""Documents counted at a time; limits memory. Most words occur many times in such a chunk."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a text are those of its units. Units repeat, so the terms of each are computed once."""

    units: Callable[[str], Iterable[str]]
    within: Callable[[str], Sequence[str]]

    def __call__(self, text: str) -> Iterable[str]:
        """All terms of a text, each as often as it occurs."""
        return (term for unit in self.units(text) for term in self.within(unit))

    def counts(
        self,
        texts: Sequence[str],
        columns: Callable[[Iterable[str]], Iterable[int]],
        width: int | None = None,
    ) -> Any:
        """How often each text has each term, as a sparse matrix. `columns` finds the columns of terms, -1 for none."""
        number = Numbers()
        units = [list(map(number.__getitem__, self.units(text))) for text in texts]
        terms = list(map(self.within, number))
        sizes = np.fromiter(map(len, terms), dtype=np.intp, count=len(terms))
        found = columns(chain.from_iterable(terms))
        places = np.fromiter(found, dtype=np.int32, count=int(sizes.sum()))
        known = places >= 0
        ends = np.concatenate([[0], np.cumsum(known)])[np.concatenate([[0], np.cumsum(sizes)])]
        places = places[known]
        width = 1 + int(places.max(initial=-1)) if width is None else width
        ones = np.ones(len(places), dtype=np.float32)
        within = csr_array((ones, places, ends.astype(np.int32)), shape=(len(terms), width))
        return ones_at(units, len(terms)) @ within


def tokens(text: str) -> list[str]:
    """Words and runs of punctuation, in lower case."""
    return _TOKEN.findall(unicodedata.normalize("NFKC", text[:MAX_FEATURE_CHARACTERS]).lower())


def _words(text: str) -> list[str]:
    return [word for token in tokens(text) for word in _words_of(token)]


@lru_cache(maxsize=50_000)
def _words_of(token: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(token))


def _phrases(text: str) -> list[str]:
    single = _words(text)
    return single + [f"{a} {b}" for a, b in pairwise(single)]


def _itself(unit: str) -> tuple[str]:
    return (unit,)


@lru_cache(maxsize=50_000)
def _grams(token: str) -> tuple[str, ...]:
    padded = f" {token} "
    return tuple(
        padded[start : start + length]
        for length in _GRAM_LENGTHS
        for start in range(max(1, len(padded) - length + 1))
        if length <= len(padded)
    )


words: Final = Terms(_words, _itself)
"""Single words; single characters in scripts without spaces between words, and single emoji."""
phrases: Final = Terms(_phrases, _itself)
"""Single words and pairs of neighbors."""
spelling: Final = Terms(tokens, _grams)
"""Sequences of 2 to 5 characters within words, a blank marking where a word begins and ends."""


class Tfidf:
    """Weights a term by its logarithmic count and its rarity among documents; rows have length 1."""

    def __init__(self, terms: Terms, vocabulary: Sequence[str], idf: NDArray[np.float32]) -> None:
        self._terms = terms
        self.vocabulary = vocabulary
        self.idf = idf
        self._index = {term: number for number, term in enumerate(vocabulary)}

    @classmethod
    def fit(cls, terms: Terms, texts: Sequence[str], *, least: int = 1, most: int = MAX_TERMS) -> "Tfidf":
        """Learns the terms that occur in at least `least` texts, up to the `most` frequent ones."""
        documents = _document_frequencies(terms, texts)
        ranked = sorted((-count, term) for term, count in documents.items() if count >= least)[:most]
        counts = np.array([-count for count, _ in ranked], dtype=np.float64)
        idf = np.log((1 + len(texts)) / (1 + counts)) + 1
        return cls(terms, [term for _, term in ranked], idf.astype(np.float32))

    def transform(self, texts: Sequence[str]) -> Any:
        """A sparse matrix (csr_array, float32), one row per text."""
        counts = self._terms.counts(texts, self._columns, len(self._index))
        counts.data = (1 + np.log(counts.data)) * self.idf[counts.indices]
        return unit_rows(counts)

    def _columns(self, terms: Iterable[str]) -> Iterable[int]:
        return map(self._index.get, terms, repeat(-1))


def forget() -> None:
    """Free the terms of units, which are cached."""
    _words_of.cache_clear()
    _grams.cache_clear()


def unit_rows(matrix: Any) -> Any:
    """The sparse matrix with each row scaled to length 1; empty rows stay empty. Changes it in place."""
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    lengths[lengths == 0] = 1
    matrix.data /= np.repeat(lengths, np.diff(matrix.indptr)).astype(matrix.dtype)
    return matrix


def _document_frequencies(terms: Terms, texts: Sequence[str]) -> Counter[str]:
    """How many texts have each term. Above a size that limits memory, terms seen only once are dropped."""
    documents: Counter[str] = Counter()
    for start in range(0, len(texts), CHUNK):
        documents.update(_frequencies(terms, texts[start : start + CHUNK]))
        if len(documents) > _COUNTED_TERMS:
            documents = Counter({term: count for term, count in documents.items() if count > 1})
    return documents


def _frequencies(terms: Terms, texts: Sequence[str]) -> dict[str, int]:
    places = Numbers()
    counts = terms.counts(texts, lambda found: map(places.__getitem__, found))
    return dict(zip(places, np.bincount(counts.indices, minlength=len(places)).tolist(), strict=True))
