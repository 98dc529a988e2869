"""The fitted entity tagger: attributes of tokens, a conditional random field, calibrated spans."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from shared.domain.labels import Prediction
from shared.domain.names import ProjectKind
from shared.engines.base import ArtifactError
from shared.engines.embedded import sentences
from shared.engines.embedded.artifact import Artifact
from shared.engines.embedded.attributes import EDGES, POSITIONS, Gazetteer, Mention, in_context, seen_at
from shared.engines.embedded.chain import Candidate, Chain, Matrix, without_overlaps
from shared.engines.embedded.classifier import Decision
from shared.engines.embedded.logistic import Platt
from shared.engines.embedded.numeric import csr_array, hstack, logit, ones_at
from shared.engines.embedded.tokens import Tokens, cut
from shared.engines.embedded.word_clusters import SIZES, WordClusters

_GROUP: Final = 12
_KNOWN_SCORES: Final = 15_000_000
"""Scores of words kept in memory, 4 bytes each."""


class Tagger:
    """A fitted model. `vocabulary` names the rows of the weights of each chain."""

    def __init__(
        self,
        categories: tuple[str, ...],
        vocabulary: Sequence[str],
        chains: Sequence[Chain],
        gazetteer: Gazetteer,
        clusters: WordClusters,
        decision: Decision,
    ) -> None:
        self.categories = categories
        self._vocabulary = vocabulary
        self._chains = chains
        self._gazetteer = gazetteer
        self._clusters = clusters
        self._scores = TokenScores(vocabulary, [chain.weights for chain in chains], gazetteer, clusters)
        self.decision = decision

    def predict(self, texts: Sequence[str]) -> list[list[Prediction]]:
        """As `Model.predict`, for a chunk of texts; CPU bound."""
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
        scored = self._scores.of([tokens.words for tokens in documents])
        return probable_spans(self._chains, len(self.categories), scored, documents)

    def store(self) -> Artifact:
        """The model as JSON and arrays."""
        gazetteer = self._gazetteer.mentions.items()
        meta = {
            "kind": str(ProjectKind.ENTITIES), "categories": list(self.categories),
            "attributes": list(self._vocabulary),
            "mentions": [[list(mention), sorted(known.items())] for mention, known in gazetteer],
            "slope": self.decision.platt.slope, "shift": self.decision.platt.shift,
            "threshold": self.decision.threshold, "ceiling": self.decision.ceiling,
        }  # fmt: skip
        arrays: dict[str, NDArray[Any]] = {
            f"centers{level}": centers.astype("<f2") for level, centers in enumerate(self._clusters.centers)
        }
        for number, chain in enumerate(self._chains):
            weights = chain.weights.tocoo()
            arrays[f"rows{number}"] = weights.coords[0].astype("<i4")
            arrays[f"columns{number}"] = weights.coords[1].astype("<i4")
            arrays[f"weights{number}"] = weights.data.astype("<f4")
            arrays[f"transitions{number}"] = chain.transitions.astype("<f4")
        return Artifact(meta, arrays)

    @classmethod
    def restore(cls, stored: Artifact) -> "Tagger":
        """Raises ArtifactError."""
        categories = tuple(stored.strings("categories"))
        if not categories:
            raise ArtifactError("The model has no categories.")
        attributes = stored.strings("attributes")
        chains = [
            _chain(stored, number, len(attributes), 2 * count + 1)
            for number, (_, count) in enumerate(groups(len(categories)))
        ]
        platt = Platt(stored.number("slope"), stored.number("shift"))
        decision = Decision(platt, stored.number("threshold"), stored.number("ceiling"))
        gazetteer = _gazetteer(stored, len(categories))
        return cls(categories, attributes, chains, gazetteer, _clusters(stored), decision)


def probable_spans(
    chains: Sequence[Chain], categories: int, scored: Iterable[Matrix], documents: Sequence[Tokens]
) -> list[list[Candidate]]:
    """As `Tagger.candidates`; for each chain, `scored` has the scores of all tokens, one after the other."""
    lengths = [end - begin for tokens in documents for begin, end in tokens.segments]
    found: list[list[Candidate]] = [[] for _ in lengths]
    for chain, (first, _), scores in zip(chains, groups(categories), scored, strict=True):
        for all_spans, spans in zip(found, chain.candidates(scores, lengths), strict=True):
            all_spans += [replace(span, category=span.category + first) for span in spans]
    by_segment = iter(found)
    return [
        [
            replace(span, start=span.start + begin, end=span.end + begin)
            for begin, _ in tokens.segments
            for span in next(by_segment)
        ]
        for tokens in documents
    ]


def groups(categories: int) -> list[tuple[int, int]]:
    """Which categories share a chain: the number of the first, and how many.

    The time of a chain grows with the square of its labels, so many categories are divided into several chains. Each
    treats mentions of the others' categories as outside, and the surest of overlapping spans wins.
    """
    return [(first, min(_GROUP, categories - first)) for first in range(0, categories, _GROUP)]


def confidence(span: Candidate, decision: Decision) -> float:
    """How sure the model is of a span, calibrated."""
    return min(float(decision.platt(scores([span]))[0]), decision.ceiling)


def scores(spans: Sequence[Candidate]) -> NDArray[np.float64]:
    """Log-odds of spans, the scale on which they are calibrated."""
    return logit(np.clip(np.array([span.probability for span in spans]), 1e-6, 1 - 1e-6))


def _within(numbers: NDArray[Any], count: int) -> bool:
    return numbers.dtype.kind == "i" and (not len(numbers) or (numbers.min() >= 0 and numbers.max() < count))


def _chain(stored: Artifact, number: int, attributes: int, labels: int) -> Chain:
    rows, columns = stored.array(f"rows{number}", None), stored.array(f"columns{number}", None)
    values = stored.array(f"weights{number}", len(rows))
    if len(columns) != len(rows) or not (_within(rows, attributes) and _within(columns, labels)):
        raise ArtifactError("The weights of the model do not fit together.")
    weights = csr_array((values, (rows, columns)), shape=(attributes, labels))
    return Chain(weights, stored.array(f"transitions{number}", labels, labels).astype(np.float64))


def _clusters(stored: Artifact) -> WordClusters:
    names = [name for level in range(len(SIZES)) if (name := f"centers{level}") in stored.arrays]
    if names:
        sentences.require()
    centers = [stored.array(name, None, sentences.WIDTH).astype(np.float32) for name in names]
    return WordClusters(centers)


def _gazetteer(stored: Artifact, categories: int) -> Gazetteer:
    try:
        mentions: dict[Mention, Counter[int]] = {}
        for words, known in cast("list[tuple[list[str], list[tuple[int, int]]]]", stored.meta["mentions"]):
            counts = Counter({int(category): int(count) for category, count in known})
            if any(not 0 <= category < categories for category in counts):
                raise ArtifactError("The mentions of the model name an unknown category.")
            mentions[tuple(map(str, words))] = counts
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError("The model has no list of mentions.") from error
    return Gazetteer(mentions)


class TokenScores:
    """How well each label fits each token: the sum of the weights of its attributes.

    Most attributes are single words. The score of a word is the same wherever it occurs, so it is computed once for
    each position and cached.

    `vocabulary` names the rows of all `weights`; each chain has a matrix of its own.
    """

    def __init__(
        self, vocabulary: Sequence[str], weights: Sequence[Any], gazetteer: Gazetteer, clusters: WordClusters
    ) -> None:
        self._row = {attribute: row for row, attribute in enumerate(vocabulary)}
        self._weights = hstack(weights, format="csr")
        self._bounds = list(pairwise(np.cumsum([0, *(part.shape[1] for part in weights)]).tolist()))
        self._gazetteer = gazetteer
        self._clusters = clusters
        self._forget()

    def of(self, documents: Sequence[Sequence[str]]) -> Iterator[Matrix]:
        """For each chain, one after the other: tokens of all documents x labels."""
        words = self._numbers([word for words in documents for word in (*EDGES, *words, *EDGES)])
        sizes = [len(words) for words in documents]
        margins = 2 * len(EDGES) * np.array(range(len(documents)), dtype=np.int64)
        tokens = np.arange(sum(sizes)) + np.repeat(margins, sizes) + len(EDGES)
        context = self._rows(d for words in documents for d in in_context(words, self._gazetteer, set()))
        for begin, end in self._bounds:
            scores: Matrix = (context @ self._weights[:, begin:end]).toarray().astype(np.float64)
            for place, position in enumerate(POSITIONS):
                scores += self._table[words[tokens + position], place, begin:end]
            yield scores

    def _numbers(self, words: Sequence[str]) -> NDArray[np.int64]:
        """The row of each word in the table."""
        if self._table.size > _KNOWN_SCORES:
            self._forget()
        number = self._number
        new = list(dict.fromkeys(word for word in words if word not in number))
        if new:
            clusters = self._clusters.names(new)
            places = [self._rows(seen_at(w, p, clusters) for w in new) @ self._weights for p in POSITIONS]
            self._table = np.concatenate([self._table, np.stack([p.toarray() for p in places], axis=1)])
            number.update(zip(new, range(len(number), len(self._table)), strict=True))
        return np.fromiter(map(number.__getitem__, words), dtype=np.int64, count=len(words))

    def _rows(self, described: Iterable[Iterable[str]]) -> Any:
        """A row for each list of attributes; those without weights are left out."""
        get = self._row.get
        known = [
            [row for attribute in attributes if (row := get(attribute)) is not None]
            for attributes in described
        ]
        return ones_at(known, len(self._row))

    def _forget(self) -> None:
        self._number: dict[str, int] = {}
        self._table = np.zeros((0, len(POSITIONS), self._weights.shape[1]), dtype=np.float32)
