"""The fitted entity tagger: attributes of tokens, a conditional random field, calibrated spans."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain as concatenated
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import logit

from shared.domain.kinds import ProjectKind
from shared.domain.prediction import Prediction
from shared.engines.base import ArtefactError
from shared.engines.embedded import sentences
from shared.engines.embedded.artefact import Artefact
from shared.engines.embedded.attributes import Gazetteer, Mention, describe
from shared.engines.embedded.calibration import Platt
from shared.engines.embedded.chain import Candidate, Chain, without_overlaps
from shared.engines.embedded.classifier import Decision
from shared.engines.embedded.tokens import Tokens, cut
from shared.engines.embedded.word_clusters import SIZES, WordClusters


class Tagger:
    """A fitted model. `vocabulary` gives each attribute its row in the weights of the chain."""

    def __init__(
        self,
        categories: tuple[str, ...],
        vocabulary: Mapping[str, int],
        chain: Chain,
        gazetteer: Gazetteer,
        clusters: WordClusters,
        decision: Decision,
    ) -> None:
        self.categories = categories
        self._vocabulary = vocabulary
        self._chain = chain
        self._gazetteer = gazetteer
        self._clusters = clusters
        self.decision = decision

    def predict(self, texts: Sequence[str]) -> list[list[Prediction]]:
        documents = [cut(text) for text in texts]
        return [
            [
                Prediction(
                    self.categories[span.category],
                    confidence(span, self.decision),
                    tokens.starts[span.start],
                    tokens.ends[span.end - 1] - tokens.starts[span.start],
                )
                for span in without_overlaps(candidates, self.decision.threshold)
            ]
            for tokens, candidates in zip(documents, self.candidates(documents), strict=True)
        ]

    def candidates(self, documents: Sequence[Tokens]) -> list[list[Candidate]]:
        """Probable spans of each document, by token numbers; they may overlap."""
        get = self._vocabulary.get
        known: list[list[int]] = []
        clusters = self._clusters.names({word for tokens in documents for word in tokens.words})
        for tokens in documents:
            for attributes in describe(tokens.words, self._gazetteer, set(), clusters):
                known.append([row for attribute in attributes if (row := get(attribute)) is not None])
        segments = [segment for tokens in documents for segment in tokens.segments]
        spans = iter(self._chain.candidates(_rows(known, len(self._vocabulary)), [b - a for a, b in segments]))
        return [
            [
                Candidate(span.probability, span.start + begin, span.end + begin, span.category)
                for begin, _ in tokens.segments
                for span in next(spans)
            ]
            for tokens in documents
        ]

    def store(self) -> Artefact:
        weights = self._chain.weights.tocoo()
        gazetteer = self._gazetteer.mentions.items()
        meta = {
            "kind": str(ProjectKind.ENTITIES), "categories": list(self.categories), "attributes": list(self._vocabulary),
            "mentions": [[list(mention), sorted(known.items())] for mention, known in gazetteer],
            "slope": self.decision.platt.slope, "shift": self.decision.platt.shift,
            "threshold": self.decision.threshold, "ceiling": self.decision.ceiling,
        }  # fmt: skip
        arrays = {
            "rows": weights.coords[0].astype("<i4"),
            "columns": weights.coords[1].astype("<i4"),
            "weights": weights.data.astype("<f4"),
            "transitions": self._chain.transitions.astype("<f4"),
        } | {f"centers{level}": centers.astype("<f2") for level, centers in enumerate(self._clusters.centers)}
        return Artefact(meta, arrays)

    @classmethod
    def restore(cls, stored: Artefact) -> "Tagger":
        """Raises ArtefactError."""
        categories = tuple(stored.strings("categories"))
        if not categories:
            raise ArtefactError("The model has no categories.")
        attributes = stored.strings("attributes")
        labels = 2 * len(categories) + 1
        rows, columns = stored.array("rows", None), stored.array("columns", None)
        values = stored.array("weights", len(rows))
        if len(columns) != len(rows) or not (_within(rows, len(attributes)) and _within(columns, labels)):
            raise ArtefactError("The weights of the model do not fit together.")
        weights = sparse.csr_array((values, (rows, columns)), shape=(len(attributes), labels))
        chain = Chain(weights, stored.array("transitions", labels, labels).astype(np.float64))
        platt = Platt(stored.number("slope"), stored.number("shift"))
        decision = Decision(platt, stored.number("threshold"), stored.number("ceiling"))
        vocabulary = {attribute: row for row, attribute in enumerate(attributes)}
        return cls(categories, vocabulary, chain, _gazetteer(stored, len(categories)), _clusters(stored), decision)


def confidence(span: Candidate, decision: Decision) -> float:
    """How sure the model is of a span, calibrated."""
    return min(float(decision.platt(scores([span]))[0]), decision.ceiling)


def scores(spans: Sequence[Candidate]) -> NDArray[np.float64]:
    """Log-odds of spans, the scale on which they are calibrated."""
    return logit(np.clip(np.array([span.probability for span in spans]), 1e-6, 1 - 1e-6))


def _rows(columns: Sequence[Sequence[int]], width: int) -> Any:
    """A sparse matrix of ones, one row for each list of columns."""
    ends = np.concatenate([[0], np.cumsum([len(row) for row in columns], dtype=np.int64)])
    flat = np.fromiter(concatenated.from_iterable(columns), dtype=np.int32, count=int(ends[-1]))
    return sparse.csr_array((np.ones(len(flat), dtype=np.float32), flat, ends), shape=(len(columns), width))


def _within(numbers: NDArray[Any], count: int) -> bool:
    return numbers.dtype.kind == "i" and (not len(numbers) or (numbers.min() >= 0 and numbers.max() < count))


def _clusters(stored: Artefact) -> WordClusters:
    names = [name for level in range(len(SIZES)) if (name := f"centers{level}") in stored.arrays]
    if names:
        sentences.require()
    return WordClusters([stored.array(name, None, sentences.WIDTH).astype(np.float32) for name in names])


def _gazetteer(stored: Artefact, categories: int) -> Gazetteer:
    try:
        mentions: dict[Mention, Counter[int]] = {}
        for words, known in cast(list[tuple[list[str], list[tuple[int, int]]]], stored.meta["mentions"]):
            counts = Counter({int(category): int(count) for category, count in known})
            if any(not 0 <= category < categories for category in counts):
                raise ArtefactError("The mentions of the model name an unknown category.")
            mentions[tuple(map(str, words))] = counts
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError("The model has no list of mentions.") from error
    return Gazetteer(mentions)
