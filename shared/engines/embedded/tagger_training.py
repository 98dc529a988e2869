"""Fits an entity tagger: a conditional random field, its decisions learned out of fold."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import numpy as np

from shared.domain.labels import Example
from shared.engines.base import ADJUSTED, LEFT_OUT, FitReport, NotEnoughExamples
from shared.engines.embedded import chain_training, logistic, sentences, word_clusters
from shared.engines.embedded.attributes import (
    EDGES,
    POSITIONS,
    Gazetteer,
    Mention,
    known,
    mentions,
    of_clusters,
    of_word,
    pairs,
)
from shared.engines.embedded.chain import Candidate, Chain, without_overlaps
from shared.engines.embedded.chain_training import Seen
from shared.engines.embedded.classifier import Decision
from shared.engines.embedded.logistic import Platt
from shared.engines.embedded.numeric import Numbers, csr_array, ones_at
from shared.engines.embedded.tagger import Tagger, groups, probable_spans, scores
from shared.engines.embedded.tokens import OUTSIDE, Tokens, TokenSpan, align, cut, labels
from shared.engines.embedded.word_clusters import WordClusters

_FOLDS: Final = 3
_ENOUGH_SPANS: Final = 300
"""Labeled spans of held-out documents that suffice to learn a decision; further folds would cost a fit each."""
_HOLD: Final = 1.0
"""Probabilities of spans are nearly calibrated as they are, and few held-out spans shift them too far."""

_MOST_TOKENS: Final = 200_000
_MOST_CHARACTERS: Final = 3_000_000
"""Of all documents together, and so for tokens. More would cost minutes and change little."""
_MANY_TOKENS: Final = 50_000
_LEAST_TOKENS: Final = 200
_LEAST_CHARACTERS: Final = 1_000
"""Of a document; when not even so much of each can be read, documents are drawn."""
_ITERATIONS, _LEAST_ITERATIONS = 60, 30
_WORK: Final = 8_000_000
"""Tokens times iterations; a fit on more makes do with fewer iterations."""


@dataclass(frozen=True, slots=True)
class Document:
    """A labeled document, cut into tokens."""

    tokens: Tokens
    labels: list[int]
    mentions: set[tuple[Mention, int]]


def train(examples: Sequence[Example], seed: int, *, alone: bool = False) -> tuple[Tagger, FitReport]:
    """Raises NotEnoughExamples when no entity can be used. `alone`: nothing else in the process needs the encoder."""
    read, undrawn = _tokenize(examples, seed)
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
    words = [word for document in documents for word in document.tokens.words]
    encoder = sentences.available()
    if encoder and alone and len(words) > _MANY_TOKENS and word_clusters.encode(words):
        sentences.release()  # most of the time and memory of a fit is still to come
    fitter = _Fitter(categories, _Words(documents), seed, encoder)
    decision = _decide(documents, fitter, seed)
    return fitter.tagger(fitter.fit(documents), decision), report


def _tokenize(examples: Sequence[Example], seed: int) -> tuple[list[tuple[Example, Tokens]], int]:
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


class _Words:
    """The attributes of tokens, by number: what a token sees of a word is described once for each position, and what
    does not depend on the documents of a fit once for all fits.
    """

    def __init__(self, documents: Sequence[Document]) -> None:
        self.numbers = Numbers()
        words = dict.fromkeys(word for document in documents for word in (*EDGES, *document.tokens.words))
        self._number = {word: number for number, word in enumerate(words)}
        self._words = list(words)
        self._of_word = self._rows(of_word(word, position) for word in words for position in POSITIONS)
        sizes = [len(document.tokens.words) for document in documents]
        ends = accumulate(sizes)
        self._tokens = {
            id(d): range(end - size, end) for d, size, end in zip(documents, sizes, ends, strict=True)
        }
        self._pairs = self._rows(pair for document in documents for pair in pairs(document.tokens.words))
        self._of_cluster: dict[str, list[list[int]]] = {}

    def seen(
        self, documents: Sequence[Document], clusters: WordClusters, gazetteer: Gazetteer, *, own: bool
    ) -> Seen:
        """Of all tokens of these documents; `own`: the gazetteer was made of their mentions, too."""
        padded = [self._number[word] for d in documents for word in (*EDGES, *d.tokens.words, *EDGES)]
        used, places = np.unique(np.array(padded, dtype=np.int64), return_inverse=True)
        sizes = [len(document.tokens.words) for document in documents]
        margins = 2 * len(EDGES) * np.array(range(len(documents)), dtype=np.int64)
        at = np.arange(sum(sizes)) + np.repeat(margins, sizes) + len(EDGES)
        positions = np.arange(len(POSITIONS))
        columns = len(POSITIONS) * places[np.add.outer(at, np.array(POSITIONS))] + positions
        numbers: list[int] = used.tolist()
        of_clusters = self._numbers_of_clusters([self._words[number] for number in numbers], clusters)
        marks = [
            self._named(marks)
            for document in documents
            for marks in known(document.tokens.words, gazetteer, document.mentions if own else set())
        ]
        rows = np.concatenate(
            [np.array(self._tokens[id(document)], dtype=np.int64) for document in documents]
        )
        ones, ends = np.ones(columns.size, dtype=np.float32), np.arange(len(columns) + 1) * len(POSITIONS)
        tokens = csr_array((ones, columns.ravel(), ends), shape=(len(columns), len(of_clusters)))
        of_words = self._wide(self._of_word[np.add.outer(len(POSITIONS) * used, positions).ravel()])
        width = len(self.numbers)
        context = self._wide(self._pairs[rows]) + ones_at(marks, width)
        return Seen(of_words + ones_at(of_clusters, width), tokens, context)

    def _numbers_of_clusters(self, words: Sequence[str], clusters: WordClusters) -> list[list[int]]:
        """Of each word at each position."""
        names, known = clusters.names(words), self._of_cluster
        for name in sorted({name for word in words for name in names.get(word, ())} - known.keys()):
            known[name] = [self._named(of_clusters((name,), position)) for position in POSITIONS]
        return [
            [number for name in names.get(word, ()) for number in known[name][place]]
            for word in words
            for place in range(len(POSITIONS))
        ]

    def _rows(self, described: Iterable[Iterable[str]]) -> Any:
        """A row for each list of attributes."""
        rows = [self._named(attributes) for attributes in described]
        return ones_at(rows, len(self.numbers))

    def _wide(self, rows: Any) -> Any:
        """With columns for attributes that were numbered since."""
        return csr_array((rows.data, rows.indices, rows.indptr), shape=(rows.shape[0], len(self.numbers)))

    def _named(self, attributes: Iterable[str]) -> list[int]:
        return list(map(self.numbers.__getitem__, attributes))


@dataclass(frozen=True, slots=True)
class _Fit:
    """What was fitted on some documents."""

    chains: list[Chain]
    gazetteer: Gazetteer
    clusters: WordClusters


@dataclass(frozen=True, slots=True)
class _Fitter:
    """Fits taggers that differ only in the documents they see.

    Word clusters too come from these documents alone: with other texts of the project (measured: +.01 F1) the
    held-out documents were better known than new ones are, and confidences came out too high.
    """

    categories: tuple[str, ...]
    words: _Words
    seed: int
    encoder: bool
    """Whether there is one, also after it was released."""

    def fit(self, documents: Sequence[Document]) -> _Fit:
        gazetteer = Gazetteer.of(document.mentions for document in documents)
        all_words = [word for document in documents for word in document.tokens.words]
        clusters = WordClusters.fit(all_words, self.seed) if self.encoder else WordClusters(())
        seen = self.words.seen(documents, clusters, gazetteer, own=True)
        lengths = [end - begin for document in documents for begin, end in document.tokens.segments]
        given = [label for document in documents for label in document.labels]
        iterations = min(_ITERATIONS, max(_LEAST_ITERATIONS, _WORK // max(1, len(given))))
        chains = [
            chain_training.fit(seen, _of_group(given, first, count), lengths, 2 * count + 1, iterations)
            for first, count in groups(len(self.categories))
        ]
        return _Fit(chains, gazetteer, clusters)

    def candidates(self, fitted: _Fit, documents: Sequence[Document]) -> list[list[Candidate]]:
        """Probable spans of documents that the fit did not see."""
        seen = self.words.seen(documents, fitted.clusters, fitted.gazetteer, own=False)
        scored = (seen.scores(chain.weights).astype(np.float64) for chain in fitted.chains)
        return probable_spans(fitted.chains, len(self.categories), scored, [d.tokens for d in documents])

    def tagger(self, fitted: _Fit, decision: Decision) -> Tagger:
        """The model to be stored: attributes without a weight are left out."""
        used = np.flatnonzero(np.any([np.diff(chain.weights.indptr) > 0 for chain in fitted.chains], axis=0))
        names = list(self.words.numbers)
        vocabulary = [names[attribute] for attribute in used.tolist()]
        chains = [Chain(chain.weights[used], chain.transitions) for chain in fitted.chains]
        return Tagger(self.categories, vocabulary, chains, fitted.gazetteer, fitted.clusters, decision)


def _of_group(given: Sequence[int], first: int, count: int) -> list[int]:
    """The labels of `count` categories from number `first` on; those of the others count as outside."""
    return [label - 2 * first if 2 * first < label <= 2 * (first + count) else OUTSIDE for label in given]


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
        for document, candidates in zip(held_out, fitter.candidates(fitter.fit(rest), held_out), strict=True):
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
    platt = Platt.fit(scores(found), logistic.smoothed(right), hold=_HOLD)
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
