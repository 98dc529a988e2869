"""TF-IDF over words or over the spelling of words: the same arithmetic when training and when predicting."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shared.engines.embedded.numeric import csr_array

MAX_CHARACTERS: Final = 20_000
"""Of a document that are looked at; the topic of a longer one is clear by then."""
MAX_TERMS: Final = 50_000

_TOKEN: Final = re.compile(r"\w+|[^\w\s]+")
_GRAM_LENGTHS: Final = range(2, 6)
_LONGEST_TOKEN: Final = 100
_COUNTED_TERMS: Final = 600_000

type Terms = Callable[[str], Iterable[str]]


def tokens(text: str) -> list[str]:
    """Words and runs of punctuation, in lower case."""
    return _TOKEN.findall(unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]).lower())


def words(text: str) -> Iterable[str]:
    """Single words."""
    return (token for token in tokens(text) if token[0].isalnum() or token[0] == "_")


def phrases(text: str) -> Iterable[str]:
    """Single words and pairs of neighbours."""
    single = list(words(text))
    return single + [f"{a} {b}" for a, b in pairwise(single)]


def spelling(text: str) -> Iterable[str]:
    """Sequences of 2 to 5 characters within words, a blank marking where a word begins and ends."""
    return (gram for token in tokens(text) for gram in _grams(token))


@lru_cache(maxsize=50_000)
def _grams(token: str) -> tuple[str, ...]:
    padded = f" {token[:_LONGEST_TOKEN]} "
    return tuple(
        padded[start : start + length]
        for length in _GRAM_LENGTHS
        for start in range(max(1, len(padded) - length + 1))
        if length <= len(padded)
    )


class Tfidf:
    """Weighs a term by its logarithmic count and by how few documents have it; rows have length 1."""

    def __init__(self, terms: Terms, vocabulary: Sequence[str], idf: NDArray[np.float32]) -> None:
        self._terms = terms
        self.vocabulary = vocabulary
        self.idf = idf
        self._index = {term: number for number, term in enumerate(vocabulary)}

    @classmethod
    def fit(cls, terms: Terms, texts: Sequence[str], *, least: int = 1, most: int = MAX_TERMS) -> "Tfidf":
        """Learns the terms that at least `least` texts have, the `most` frequent ones of them."""
        documents = _document_frequencies(terms, texts)
        ranked = sorted((-count, term) for term, count in documents.items() if count >= least)[:most]
        counts = np.array([-count for count, _ in ranked], dtype=np.float64)
        idf = np.log((1 + len(texts)) / (1 + counts)) + 1
        return cls(terms, [term for _, term in ranked], idf.astype(np.float32))

    def transform(self, texts: Sequence[str]) -> Any:
        """A sparse matrix (csr_array, float32), one row a text."""
        columns: list[int] = []
        counts: list[int] = []
        ends = [0]
        index = self._index
        for text in texts:
            for term, count in Counter(self._terms(text)).items():
                column = index.get(term)
                if column is not None:
                    columns.append(column)
                    counts.append(count)
            ends.append(len(columns))
        at = np.array(columns, dtype=np.int32)
        values = (1 + np.log(np.array(counts, dtype=np.float32))) * self.idf[at]
        return unit_rows(csr_array((values, at, np.array(ends)), shape=(len(texts), len(self.vocabulary))))


def unit_rows(matrix: Any) -> Any:
    """The sparse matrix with each row scaled to length 1; empty rows stay empty. Changes it in place."""
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    lengths[lengths == 0] = 1
    matrix.data /= np.repeat(lengths, np.diff(matrix.indptr)).astype(matrix.dtype)
    return matrix


def _document_frequencies(terms: Terms, texts: Sequence[str]) -> Counter[str]:
    """How many texts have each term. Beyond a size that bounds memory, terms seen only once are forgotten."""
    documents: Counter[str] = Counter()
    for text in texts:
        documents.update(set(terms(text)))
        if len(documents) > _COUNTED_TERMS:
            documents = Counter({term: count for term, count in documents.items() if count > 1})
    return documents
