"""The features of a text for the classifier: its words, its spelling, its topics and its meaning.

Words and spelling are sparse TF-IDF vectors, learned from the labeled documents only. Topics (latent semantic
analysis) are learned from all documents of the project, including unlabeled ones. The meaning comes from the sentence
encoder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shared.engines.embedded import sentences, tfidf
from shared.engines.embedded.artifact import Artifact
from shared.engines.embedded.numeric import csr_array, hstack, vstack
from shared.engines.embedded.tfidf import Tfidf, unit_rows

POOL: Final = 2_000
"""The maximum of unlabeled texts for learning topics; more take time and add no accuracy."""

_TOPICS: Final = 100
_TOPIC_TERMS: Final = 20_000
_SPARE_TOPICS: Final = 20
_POWER_ROUNDS: Final = 5
_LEAST_VARIANCE: Final = 1e-4
"""The least variance of a topic, relative to the strongest; weaker ones are noise."""

_COMMON: Final = 0.05
_FEW_ROWS: Final = 20
_TOGETHER, _ROWS = 256, 512
"""Common columns, and rows, that are multiplied together; limits memory."""
_LEAST_LENGTH: Final = 1e-4
_TOPIC_WEIGHT: Final = 1.5
_MEANING_WEIGHT: Final = 2.0

type Dense = NDArray[np.float32]
type Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Features:
    """Texts as rows: a sparse part (csr_array) and a dense one."""

    sparse: Any
    dense: Dense


class InnerProducts:
    """Inner products with the rows `chosen`, which are the columns of the result.

    Sparse columns that many rows share are multiplied as dense matrices, a few columns at a time: the time of a sparse
    product grows with the square of the number of rows that share a column.
    """

    def __init__(self, chosen: Features) -> None:
        rows, width = chosen.sparse.shape
        is_common = np.bincount(chosen.sparse.indices, minlength=width) > max(_FEW_ROWS, rows * _COMMON)
        common, self._rare = np.flatnonzero(is_common), np.flatnonzero(~is_common)
        blocks = [common[start : start + _TOGETHER] for start in range(0, len(common), _TOGETHER)]
        self._common = [(block, chosen.sparse[:, block]) for block in blocks]
        self._rare_columns = csr_array(chosen.sparse[:, self._rare].T.astype(np.float64))
        self._dense_columns = chosen.dense.T.astype(np.float64)
        self.count = rows

    def of(self, features: Features) -> NDArray[np.float64]:
        """The inner products of these rows."""
        products = np.empty((len(features.dense), self._dense_columns.shape[1]))
        for start in range(0, len(products), _ROWS):
            part = slice(start, start + _ROWS)
            sparse, dense = features.sparse[part], features.dense[part]
            chunk: Any = np.matmul(dense.astype(np.float64), self._dense_columns, out=products[part])
            chunk += (sparse[:, self._rare] @ self._rare_columns).toarray()
            for block, columns in self._common:
                chunk += sparse[:, block].toarray() @ columns.toarray().T
        return products

    def combined(self, coefficients: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The sums of the chosen rows with these coefficients, sparse and dense."""
        width = len(self._rare) + sum(len(block) for block, _ in self._common)
        sums = np.empty((width, coefficients.shape[1]))
        sums[self._rare] = self._rare_columns @ coefficients
        for block, columns in self._common:
            sums[block] = columns.T @ coefficients
        return sums, self._dense_columns @ coefficients


@dataclass(frozen=True, slots=True)
class FeatureSpace:
    """Turns texts into features, the same way for training and for predictions."""

    phrases: Tfidf
    spelling: Tfidf
    topic_words: Tfidf
    topic_axes: Dense
    """Topic words x topics."""
    center: Dense | None
    """Mean of the labeled texts' sentence vectors; None without the encoder."""

    @classmethod
    def fit(
        cls, labeled: Sequence[str], unlabeled: Sequence[str], center: Dense | None, seed: int
    ) -> "FeatureSpace":
        """Learns words and spelling from the labeled texts, and topics from all. `center` as in the class."""
        pool = [*labeled, *unlabeled[:POOL]]
        topic_words = Tfidf.fit(tfidf.words, pool, least=2, most=_TOPIC_TERMS)
        return cls(
            Tfidf.fit(tfidf.phrases, labeled),
            Tfidf.fit(tfidf.spelling, labeled),
            topic_words,
            _topic_axes(topic_words.transform(pool), seed),
            center,
        )

    @property
    def sparse_width(self) -> int:
        """Columns of the sparse part."""
        return len(self.phrases.vocabulary) + len(self.spelling.vocabulary)

    @property
    def dense_width(self) -> int:
        """Columns of the dense part."""
        return self.topic_axes.shape[1] + (0 if self.center is None else sentences.WIDTH)

    def transform(self, texts: Sequence[str], vectors: Dense | None = None) -> Features:
        """One row per text. `vectors` are those of the sentence encoder, if the caller has them."""
        starts = range(0, len(texts), tfidf.CHUNK)
        parts = [texts[start : start + tfidf.CHUNK] for start in starts] or [texts]
        sparse = csr_array(vstack([self._words(part) for part in parts], format="csr"))
        topics = [self.topic_words.transform(part) @ self.topic_axes for part in parts]
        dense = [_TOPIC_WEIGHT * _unit(np.vstack(topics))]
        if self.center is not None:
            meant = sentences.encode(texts) if vectors is None else vectors
            dense.append(_MEANING_WEIGHT * _unit(meant - self.center))
        return Features(sparse, np.hstack(dense))

    def _words(self, texts: Sequence[str]) -> Any:
        parts = [self.phrases.transform(texts), self.spelling.transform(texts)]
        return unit_rows(csr_array(hstack(parts, format="csr")))

    def store(self) -> Artifact:
        """The feature space as JSON and arrays."""
        vocabularies = {name: list(part.vocabulary) for name, part in self._parts()}
        arrays = {f"{name}_idf": part.idf for name, part in self._parts()} | {"topic_axes": self.topic_axes}
        if self.center is not None:
            arrays["center"] = self.center
        return Artifact(vocabularies, arrays)

    @classmethod
    def restore(cls, stored: Artifact) -> "FeatureSpace":
        """Raises ArtifactError."""
        center = stored.array("center", sentences.WIDTH) if "center" in stored.arrays else None
        if center is not None:
            sentences.require()
        phrases, spelling, topic_words = (_restore(stored, name, terms) for name, terms in _TERMS.items())
        axes = stored.array("topic_axes", len(topic_words.vocabulary), None)
        return cls(phrases, spelling, topic_words, axes, center)

    def _parts(self) -> list[tuple[str, Tfidf]]:
        return list(zip(_TERMS, (self.phrases, self.spelling, self.topic_words), strict=True))


_TERMS: Final = {"phrases": tfidf.phrases, "spelling": tfidf.spelling, "topic_words": tfidf.words}


def _restore(stored: Artifact, name: str, terms: tfidf.Terms) -> Tfidf:
    vocabulary = stored.strings(name)
    return Tfidf(terms, vocabulary, stored.array(f"{name}_idf", len(vocabulary)))


def _topic_axes(pool: Any, seed: int) -> Dense:
    """The directions in which the texts of the pool differ most, strongest first (randomised SVD).

    ARPACK is no alternative: with equal or zero singular values, its results differ from call to call.
    """
    documents, terms = pool.shape
    basis = np.random.default_rng(seed).normal(size=(terms, min(_TOPICS + _SPARE_TOPICS, documents, terms)))
    for _ in range(_POWER_ROUNDS):
        basis, _ = np.linalg.qr(pool.T @ (pool @ basis))
    values, turn = np.linalg.eigh((pool @ basis).T @ (pool @ basis))  # ascending
    strong = values > _LEAST_VARIANCE * max(1e-12, values.max(initial=0))
    return np.ascontiguousarray((basis @ turn[:, strong])[:, ::-1][:, :_TOPICS], dtype=np.float32)


def _unit(rows: Dense) -> Dense:
    """Scales rows to length 1. A row of almost zero stays as it is, because it is only rounding errors."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.maximum(lengths, _LEAST_LENGTH)).astype(np.float32)
