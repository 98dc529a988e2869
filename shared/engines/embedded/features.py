"""What the classifier sees of a text: its words, its spelling, its topics and its meaning.

Words and spelling are sparse TF-IDF, learned from the labeled documents alone. Topics (latent semantic analysis) are
learned from all documents of the project, the unlabeled ones included. The meaning comes from the sentence encoder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds

from shared.engines.base import ArtefactError
from shared.engines.embedded import sentences, tfidf
from shared.engines.embedded.artefact import Artefact
from shared.engines.embedded.tfidf import Tfidf, unit_rows

POOL: Final = 2_000
"""Texts without labels that the topics are learned from; more add time and no accuracy."""

_TOPICS: Final = 100
_TOPIC_TERMS: Final = 20_000
_TOPIC_WEIGHT: Final = 1.5
_MEANING_WEIGHT: Final = 2.0

type Dense = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Features:
    """Texts as rows: a sparse part (csr_array) and a dense one."""

    sparse: Any
    dense: Dense

    def gram(self) -> NDArray[np.float64]:
        """Inner products of all pairs of rows."""
        return (self.sparse @ self.sparse.T).toarray().astype(np.float64) + self.dense.astype(
            np.float64
        ) @ self.dense.T


@dataclass(frozen=True, slots=True)
class FeatureSpace:
    """Turns texts into features, the same way when training and when predicting."""

    phrases: Tfidf
    spelling: Tfidf
    topic_words: Tfidf
    topic_axes: Dense
    """Topic words x topics."""
    center: Dense | None
    """Mean of the sentence vectors of the labeled texts; None: made without the encoder."""

    @classmethod
    def fit(cls, labeled: Sequence[str], unlabeled: Sequence[str], seed: int) -> "FeatureSpace":
        pool = [*labeled, *unlabeled[:POOL]]
        topic_words = Tfidf.fit(tfidf.words, pool, least=2, most=_TOPIC_TERMS)
        center = sentences.encode(labeled).mean(axis=0) if sentences.available() else None
        return cls(
            Tfidf.fit(tfidf.phrases, labeled),
            Tfidf.fit(tfidf.spelling, labeled),
            topic_words,
            _topic_axes(topic_words.transform(pool), seed),
            center,
        )

    @property
    def sparse_width(self) -> int:
        return len(self.phrases.vocabulary) + len(self.spelling.vocabulary)

    @property
    def dense_width(self) -> int:
        return self.topic_axes.shape[1] + (0 if self.center is None else sentences.WIDTH)

    def transform(self, texts: Sequence[str]) -> Features:
        parts = [self.phrases.transform(texts), self.spelling.transform(texts)]
        dense = [_TOPIC_WEIGHT * _unit(self.topic_words.transform(texts) @ self.topic_axes)]
        if self.center is not None:
            dense.append(_MEANING_WEIGHT * _unit(sentences.encode(texts) - self.center))
        return Features(unit_rows(sparse.csr_array(sparse.hstack(parts, format="csr"))), np.hstack(dense))

    def store(self) -> Artefact:
        vocabularies = {name: list(part.vocabulary) for name, part in self._parts()}
        arrays = {f"{name}_idf": part.idf for name, part in self._parts()} | {"topic_axes": self.topic_axes}
        if self.center is not None:
            arrays["center"] = self.center
        return Artefact(vocabularies, arrays)

    @classmethod
    def restore(cls, stored: Artefact) -> "FeatureSpace":
        """Raises ArtefactError."""
        center = stored.array("center", sentences.WIDTH) if "center" in stored.arrays else None
        if center is not None:
            sentences.require()
        parts = [_restore(stored, name, terms) for name, terms in _TERMS.items()]
        return cls(*parts, stored.array("topic_axes", len(parts[2].vocabulary), None), center)

    def _parts(self) -> list[tuple[str, Tfidf]]:
        return list(zip(_TERMS, (self.phrases, self.spelling, self.topic_words), strict=True))


_TERMS: Final = {"phrases": tfidf.phrases, "spelling": tfidf.spelling, "topic_words": tfidf.words}


def _restore(stored: Artefact, name: str, terms: tfidf.Terms) -> Tfidf:
    vocabulary = stored.strings(name)
    return Tfidf(terms, vocabulary, stored.array(f"{name}_idf", len(vocabulary)))


def _topic_axes(pool: Any, seed: int) -> Dense:
    """The directions in which the texts of the pool differ most, strongest first."""
    count = min(_TOPICS, *(size - 1 for size in pool.shape))
    if count < 1 or pool.nnz == 0:
        return np.zeros((pool.shape[1], 0), dtype=np.float32)
    _, _, axes = svds(pool, count, rng=np.random.default_rng(seed))
    return np.ascontiguousarray(axes[::-1].T, dtype=np.float32)


def _unit(rows: Dense) -> Dense:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths == 0, 1, lengths)).astype(np.float32)
