"""Fits an entity tagger: a conditional random field by python-crfsuite, its decisions learned out of fold."""

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import numpy as np

from shared.domain.labels import Example
from shared.engines.base import ADJUSTED, LEFT_OUT, FitReport, NotEnoughExamples
from shared.engines.embedded import logistic
from shared.engines.embedded.attributes import (
    EDGES,
    POSITIONS,
    Gazetteer,
    Mention,
    in_context,
    mentions,
    seen_at,
)
from shared.engines.embedded.chain import Candidate, Chain, without_overlaps
from shared.engines.embedded.classifier import Decision
from shared.engines.embedded.logistic import Platt
from shared.engines.embedded.numeric import CrfTagger, CrfTrainer, csr_array
from shared.engines.embedded.tagger import Tagger, groups, scores
from shared.engines.embedded.tokens import OUTSIDE, Tokens, TokenSpan, align, cut, labels
from shared.engines.embedded.word_clusters import WordClusters

_FOLDS: Final = 3
_ENOUGH_SPANS: Final = 300
"""Labeled spans of held-out documents that suffice to learn a decision; further folds would cost a fit each."""
_HOLD: Final = 5.0
"""Probabilities of spans are nearly honest as they are, and few held-out spans shift them too far."""

_PARAMETERS: Final = {"c1": 0.05, "c2": 0.05, "feature.possible_transitions": True}
_MOST_TOKENS: Final = 200_000
_MOST_CHARACTERS: Final = 3_000_000
"""Of all documents together, and so for tokens. More would cost minutes and change little."""
_LEAST_TOKENS: Final = 200
_LEAST_CHARACTERS: Final = 1_000
"""Of a document; when not even so much of each can be read, documents are drawn."""
_WORK: Final = 8_000_000
"""Tokens times iterations; beyond 80,000 tokens a fit makes do with fewer than 100 iterations."""

_UNDECIDED: Final = Decision(Platt(), 0.5, 1.0)


type Segment = tuple[list[list[str]], list[int]]
"""The attributes of its tokens, and their labels."""

type Weights = dict[tuple[int, int], float]
"""By attribute and label."""

type Transitions = dict[tuple[int, int], float]
"""From label to label."""


@dataclass(frozen=True, slots=True)
class Document:
    """A labeled document, cut into tokens."""

    tokens: Tokens
    labels: list[int]
    mentions: set[tuple[Mention, int]]


def train(examples: Sequence[Example], seed: int) -> tuple[Tagger, FitReport]:
    """Raises NotEnoughExamples when no entity can be used."""
    read, undrawn = _read(examples, seed)
    aligned = [align(tokens, len(example.text), example.spans) for example, tokens in read]
    reasons = sum((reasons for _, reasons in aligned), Counter({"unreadDocument": undrawn}))
    report = FitReport(
        {reason: reasons[reason] for reason in LEFT_OUT if reasons[reason]},
        {reason: reasons[reason] for reason in ADJUSTED if reasons[reason]},
    )
    categories = tuple(sorted({span.category for spans, _ in aligned for span in spans}))
    if not categories:
        raise NotEnoughExamples(" ".join(["No labeled entity can be learned from.", *report.lines]))
    documents = [
        _document(tokens, spans, categories) for (_, tokens), (spans, _) in zip(read, aligned, strict=True)
    ]
    fitter = _Fitter(categories, seed)
    return fitter.fit(documents, _decide(documents, fitter, seed)), report


def _read(examples: Sequence[Example], seed: int) -> tuple[list[tuple[Example, Tokens]], int]:
    """The examples with their tokens, as far as their size together is bounded, and how many were not drawn."""
    lengths = [len(example.text) for example in examples]
    characters, drawn = within(lengths, _MOST_CHARACTERS, _LEAST_CHARACTERS, seed)
    texts = [(examples[i], cut(examples[i].text, characters)) for i in drawn]
    most, drawn = within([len(tokens.words) for _, tokens in texts], _MOST_TOKENS, _LEAST_TOKENS, seed)
    read = [(example, tokens.head(most)) for example, tokens in (texts[i] for i in drawn)]
    return read, len(examples) - len(read)


def _document(tokens: Tokens, spans: Sequence[TokenSpan], categories: Sequence[str]) -> Document:
    given = labels(len(tokens.words), spans, categories)
    return Document(tokens, given, mentions(tokens.words, given))


def within(sizes: Sequence[int], total: int, least: int, seed: int) -> tuple[int, list[int]]:
    """How much of each document to read, and of which, to read at most `total`: the same of all of them, or,
    when that is less than `least`, so much of some at random.
    """
    most = max(least, depth(sizes, total))
    order: list[int] = np.random.default_rng(seed).permutation(len(sizes)).tolist()
    read = accumulate(min(sizes[i], most) for i in order)
    return most, sorted(i for i, so_far in zip(order, read, strict=True) if so_far <= total)


def depth(sizes: Sequence[int], total: int) -> int:
    """How much of each is left when none may have more than another and all together at most `total`."""
    left = total
    for place, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - place)
        if size > share:
            return share
        left -= size
    return max(sizes, default=0)


@dataclass(frozen=True, slots=True)
class _Fitter:
    """Fits taggers that differ only in the documents they see.

    Word clusters too come from these documents alone: with other texts of the project (measured: +.01 F1) the
    held-out documents were better known than new ones are, and confidences came out too high.
    """

    categories: tuple[str, ...]
    seed: int

    def fit(self, documents: Sequence[Document], decision: Decision) -> Tagger:
        gazetteer = Gazetteer.of(document.mentions for document in documents)
        all_words = [word for document in documents for word in document.tokens.words]
        clusters = WordClusters.fit(all_words, self.seed)
        clusters.names(all_words)  # all at once; a document at a time takes far longer
        names = _Names(clusters)
        segments: list[Segment] = []
        for document in documents:
            named = names.of(document, gazetteer)
            segments += [
                (named[begin:end], document.labels[begin:end]) for begin, end in document.tokens.segments
            ]
        learned = [_learn(segments, first, count) for first, count in groups(len(self.categories))]
        used = sorted({attribute for weights, _ in learned for attribute, _ in weights})
        row = {attribute: number for number, attribute in enumerate(used)}
        chains = [
            _chain(weights, transitions, row, 2 * count + 1)
            for (weights, transitions), (_, count) in zip(learned, groups(len(self.categories)), strict=True)
        ]
        attributes = list(names.numbers)
        vocabulary = [attributes[attribute] for attribute in used]
        return Tagger(self.categories, vocabulary, chains, gazetteer, clusters, decision)


class _Names:
    """The attributes of tokens, by number: what a token sees of a word is described once for each position.

    Numbers as names: whatever is in the text, the listing of the fitted weights can be read back.
    """

    def __init__(self, clusters: WordClusters) -> None:
        self.numbers: dict[str, str] = {}
        self._clusters = clusters
        self._seen: dict[tuple[str, int], list[str]] = {}

    def of(self, document: Document, gazetteer: Gazetteer) -> list[list[str]]:
        """All attributes of each token of a document, by whose own mentions it is not known."""
        words, seen = document.tokens.words, self._seen
        clusters = self._clusters.names(words)
        padded = [*EDGES, *words, *EDGES]
        named: list[list[str]] = []
        for token, context in enumerate(in_context(words, gazetteer, document.mentions), len(EDGES)):
            attributes: list[str] = []
            for position in POSITIONS:
                key = padded[token + position], position
                if key not in seen:
                    seen[key] = self._named(seen_at(*key, clusters))
                attributes += seen[key]
            named.append(attributes + self._named(context))
        return named

    def _named(self, attributes: Iterable[str]) -> list[str]:
        numbers = self.numbers
        return [numbers.setdefault(attribute, str(len(numbers))) for attribute in attributes]


def _learn(segments: Sequence[Segment], first: int, count: int) -> tuple[Weights, Transitions]:
    """Weights for the categories from number `first` on, `count` of them; the others count as outside."""
    tokens = sum(len(given) for _, given in segments)
    iterations = min(100, max(30, _WORK // max(1, tokens)))
    trainer = CrfTrainer(
        algorithm="lbfgs", params={**_PARAMETERS, "max_iterations": iterations}, verbose=False
    )
    for described, given in segments:
        own = [label - 2 * first if 2 * first < label <= 2 * (first + count) else OUTSIDE for label in given]
        trainer.append(described, [str(label) for label in own])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model")
        trainer.train(path)
        tagger = CrfTagger()
        tagger.open(path)
        info = tagger.info()
        tagger.close()
    transitions = {(int(a), int(b)): weight for (a, b), weight in info.transitions.items()}
    return {(int(a), int(label)): weight for (a, label), weight in info.state_features.items()}, transitions


def _chain(weights: Weights, transitions: Transitions, row: Mapping[int, int], labels: int) -> Chain:
    steps = np.zeros((labels, labels))
    for (before, after), weight in transitions.items():
        steps[before, after] = weight
    places = ([row[attribute] for attribute, _ in weights], [label for _, label in weights])
    values = np.array(list(weights.values()), dtype=np.float32)
    return Chain(csr_array((values, places), shape=(len(row), labels)), steps)


def _decide(documents: Sequence[Document], fitter: _Fitter, seed: int) -> Decision:
    """From which probability on a span is predicted, and how sure that is: learned out of fold."""
    found: list[Candidate] = []
    right: list[bool] = []
    total = 0
    order: list[int] = np.random.default_rng(seed).permutation(len(documents)).tolist()
    for start in range(_FOLDS):
        held_out = [documents[i] for i in order[start::_FOLDS]]
        rest = [documents[i] for place, i in enumerate(order) if place % _FOLDS != start]
        if not any(document.mentions for document in rest):
            continue
        tagger = fitter.fit(rest, _UNDECIDED)
        for document, candidates in zip(
            held_out, tagger.candidates([d.tokens for d in held_out]), strict=True
        ):
            gold = _gold(document.labels)
            total += len(gold)
            chosen = without_overlaps(candidates, 0)
            found += chosen
            right += [(span.start, span.end, span.category) in gold for span in chosen]
        if total >= _ENOUGH_SPANS:
            break
    return _learn_decision(found, np.array(right, dtype=np.float64), total, len(documents))


def _learn_decision(found: list[Candidate], right: Any, total: int, documents: int) -> Decision:
    probabilities = np.array([span.probability for span in found])
    threshold = logistic.best_threshold(probabilities, right, total)
    # Fitted on all: the chosen ones alone look better than they are, for the threshold was chosen by them.
    platt = Platt.fit(scores(found), right, hold=_HOLD)
    claimed = platt(scores(found)[probabilities >= threshold])
    return Decision(platt, threshold, logistic.ceiling(documents, claimed))


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
