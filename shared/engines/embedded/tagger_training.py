"""Fits an entity tagger: a conditional random field by python-crfsuite, its decisions learned out of fold."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pycrfsuite
from scipy import sparse

from shared.domain.prediction import Example
from shared.engines.embedded import calibration
from shared.engines.embedded.attributes import Gazetteer, Mention, describe, mentions
from shared.engines.embedded.calibration import Platt
from shared.engines.embedded.chain import Candidate, Chain, without_overlaps
from shared.engines.embedded.classifier import Decision
from shared.engines.embedded.tagger import Tagger, scores
from shared.engines.embedded.tokens import Tokens, cut, labels
from shared.engines.embedded.word_clusters import WordClusters

POOL: Final = 2_000
"""Texts without labels whose words are clustered too."""

_FOLDS: Final = 3
_PARAMETERS: Final = {"c1": 0.05, "c2": 0.05, "max_iterations": 100, "feature.possible_transitions": True}
_UNDECIDED: Final = Decision(Platt(), 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Document:
    """A labeled document, cut into tokens."""

    tokens: Tokens
    labels: list[int]
    mentions: set[tuple[Mention, int]]


def train(examples: Sequence[Example], unlabeled: Sequence[str], seed: int) -> Tagger:
    """Needs at least one span."""
    categories = tuple(sorted({span.category for example in examples for span in example.spans}))
    documents = [_document(example, categories) for example in examples]
    texts = [document.tokens for document in documents] + [cut(text) for text in unlabeled[:POOL]]
    clusters = WordClusters.fit((word for tokens in texts for word in tokens.words), seed)
    fitter = _Fitter(categories, clusters)
    return fitter.fit(documents, _decide(documents, fitter, seed))


def _document(example: Example, categories: Sequence[str]) -> Document:
    tokens = cut(example.text)
    given = labels(tokens, example.spans, categories)
    return Document(tokens, given, mentions(tokens.words, given))


@dataclass(frozen=True, slots=True)
class _Fitter:
    """Fits taggers that differ only in the documents they see."""

    categories: tuple[str, ...]
    clusters: WordClusters

    def fit(self, documents: Sequence[Document], decision: Decision) -> Tagger:
        gazetteer = Gazetteer.of(document.mentions for document in documents)
        trainer = pycrfsuite.Trainer(algorithm="lbfgs", params=_PARAMETERS, verbose=False)
        vocabulary: dict[str, int] = {}
        for document in documents:
            words = document.tokens.words
            described = describe(words, gazetteer, document.mentions, self.clusters.names(words))
            # Numbers as names: whatever is in the text, the listing of the fitted weights can be read back.
            numbered = [[str(vocabulary.setdefault(a, len(vocabulary))) for a in token] for token in described]
            for begin, end in document.tokens.segments:
                trainer.append(numbered[begin:end], [str(label) for label in document.labels[begin:end]])
        kept, chain = _learn(trainer, vocabulary, 2 * len(self.categories) + 1)
        return Tagger(self.categories, kept, chain, gazetteer, self.clusters, decision)


def _learn(trainer: Any, vocabulary: dict[str, int], count: int) -> tuple[dict[str, int], Chain]:
    """Runs the optimisation; attributes that got no weight are dropped."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model")
        trainer.train(path)
        tagger = pycrfsuite.Tagger()
        tagger.open(path)
        info = tagger.info()
        tagger.close()
    transitions = np.zeros((count, count))
    for (before, after), weight in info.transitions.items():
        transitions[int(before), int(after)] = weight
    names = list(vocabulary)
    kept: dict[str, int] = {}
    entries = [(kept.setdefault(names[int(a)], len(kept)), int(b), w) for (a, b), w in info.state_features.items() if w]
    rows, columns, weights = zip(*entries, strict=True) if entries else ((), (), ())
    matrix = sparse.csr_array((np.array(weights, dtype=np.float32), (rows, columns)), shape=(len(kept), count))
    return kept, Chain(matrix, transitions)


def _decide(documents: Sequence[Document], fitter: _Fitter, seed: int) -> Decision:
    """From which probability on a span is predicted, and what it is worth, from taggers that had not seen it."""
    found: list[Candidate] = []
    right: list[bool] = []
    total = 0
    order = np.random.default_rng(seed).permutation(len(documents))
    for fold in (order[start::_FOLDS].tolist() for start in range(_FOLDS)):
        held_out, rest = [documents[i] for i in fold], [documents[i] for i in set(order.tolist()) - set(fold)]
        if not any(document.mentions for document in rest):
            continue
        tagger = fitter.fit(rest, _UNDECIDED)
        for document, candidates in zip(held_out, tagger.candidates([d.tokens for d in held_out]), strict=True):
            gold = _gold(document.labels)
            total += len(gold)
            chosen = without_overlaps(candidates, 0)
            found += chosen
            right += [(span.start, span.end, span.category) in gold for span in chosen]
    return _learn_decision(found, np.array(right, dtype=np.float64), total, len(documents))


def _learn_decision(found: list[Candidate], right: Any, total: int, documents: int) -> Decision:
    probabilities = np.array([span.probability for span in found])
    threshold = calibration.best_threshold(probabilities, right, total)
    chosen = probabilities >= threshold
    platt = Platt.fit(scores(found)[chosen], right[chosen])
    return Decision(platt, threshold, calibration.ceiling(documents, platt(scores(found)[chosen])))


def _gold(given: Sequence[int]) -> set[tuple[int, int, int]]:
    """The labeled spans as (first token, end, category number)."""
    spans: set[tuple[int, int, int]] = set()
    for start, label in enumerate(given):
        if label % 2:
            end = start + 1
            while end < len(given) and given[end] == label + 1:
                end += 1
            spans.add((start, end, (label - 1) // 2))
    return spans
