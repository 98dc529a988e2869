"""Fits an entity tagger: a conditional random field, with decisions learned out of fold."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

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
    pair,
    shortened,
)
from shared.engines.embedded.chain import Candidate, Chain, without_overlaps
from shared.engines.embedded.chain_training import Seen
from shared.engines.embedded.classifier import Decision
from shared.engines.embedded.logistic import Platt
from shared.engines.embedded.numeric import Numbers, csr_array, ones_at
from shared.engines.embedded.tagger import Tagger, groups, probable_spans, scores
from shared.engines.embedded.tokens import OUTSIDE, Tokens, TokenSpan, align, cut, labels
from shared.engines.embedded.word_clusters import WordClusters, cluster_names

_FOLDS: Final = 3
_ENOUGH_SPANS: Final = 300
"""This many labeled spans of held-out documents are enough to learn a decision; each further fold takes another fit."""
_HOLD: Final = 1.0
"""Probabilities of spans are almost calibrated already, and a few held-out spans would shift them too far."""

_MOST_TOKENS: Final = 200_000
_MOST_CHARACTERS: Final = 3_000_000
"""The maximum tokens and characters of all documents together. More would take minutes and change little."""
_MANY_TOKENS: Final = 50_000
_LEAST_TOKENS: Final = 200
_LEAST_CHARACTERS: Final = 1_000
"""The least part of a document that is read; if the maximum does not allow that much of each, documents are sampled."""
_ITERATIONS, _LEAST_ITERATIONS = 60, 30
_WORK: Final = 8_000_000
"""Tokens times iterations; with more tokens, a fit has fewer iterations."""

type Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Document:
    """A labeled document, cut into tokens."""

    tokens: Tokens
    labels: list[int]
    mentions: set[tuple[Mention, int]]


def train(examples: Sequence[Example], seed: int, *, alone: bool = False) -> tuple[Tagger, FitReport]:
    """Raises NotEnoughExamples if no entity can be used. `alone`: nothing else in the process needs the encoder."""
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
    """The examples with their tokens, up to the maximum size, and how many were not sampled."""
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
    """How much of each document to read, and of which documents, to read at most `total`: an equal part of all or, if
    that is less than `least`, `least` of a random sample.
    """
    most = max(least, depth(sizes, total))
    order: list[int] = np.random.default_rng(seed).permutation(len(sizes)).tolist()
    read = accumulate(min(sizes[i], most) for i in order)
    return most, sorted(i for i, so_far in zip(order, read, strict=True) if so_far <= total)


def depth(sizes: Sequence[int], total: int) -> int:
    """The largest equal maximum for each, so that all together have at most `total`."""
    left = total
    for place, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - place)
        if size > share:
            return share
        left -= size
    return max(sizes, default=0)


class _Names:
    """Numbers attributes in blocks, so that only attributes with a weight need a string."""

    def __init__(self) -> None:
        self.count = 0
        self._starts: list[int] = []
        self._blocks: list[Callable[[int], str]] = []

    def add(self, count: int, name: Callable[[int], str]) -> int:
        """Add a block of `count` attributes and return the number of the first; `name` names them by their place in
        it.
        """
        self._starts.append(self.count)
        self._blocks.append(name)
        self.count += count
        return self._starts[-1]

    def of(self, number: int) -> str:
        """The name of an attribute."""
        block = bisect_right(self._starts, number) - 1
        return self._blocks[block](number - self._starts[block])


class _Words:
    """The attributes of tokens, by number. Those of a word are computed once for each position, and those that do not
    depend on a fit's documents once for all fits.
    """

    def __init__(self, documents: Sequence[Document]) -> None:
        self.names = _Names()
        words = dict.fromkeys(word for document in documents for word in (*EDGES, *document.tokens.words))
        self._number = {word: number for number, word in enumerate(words)}
        self._words = list(words)
        self._of_word = self._describe()
        self._cluster = {name: number for number, name in enumerate(cluster_names())}
        of_any = list(self._cluster)
        self._of_clusters = [
            (place, self.names.add(len(of_any), lambda n, p=position: of_clusters((of_any[n],), p)[0]))
            for place, position in enumerate(POSITIONS)
            if of_clusters(("any",), position)
        ]
        sizes = [len(document.tokens.words) for document in documents]
        ends = accumulate(sizes)
        self._tokens = {
            id(d): range(end - size, end) for d, size, end in zip(documents, sizes, ends, strict=True)
        }
        self._pairs = self._pair(documents, sizes)
        marks = self._marks = Numbers()
        self._first_mark = self.names.add(0, lambda n: list(marks)[n])

    @property
    def width(self) -> int:
        """The number of attributes; known mentions add some with each fit."""
        return self._first_mark + len(self._marks)

    def seen(
        self, documents: Sequence[Document], clusters: WordClusters, gazetteer: Gazetteer, *, own: bool
    ) -> Seen:
        """The attributes of all tokens of these documents; `own`: the gazetteer includes their mentions."""
        padded = [self._number[word] for d in documents for word in (*EDGES, *d.tokens.words, *EDGES)]
        used, places = np.unique(np.array(padded, dtype=np.int32), return_inverse=True)
        sizes = [len(document.tokens.words) for document in documents]
        at = _places(sizes)
        positions = np.arange(len(POSITIONS))
        columns = len(POSITIONS) * places.astype(np.int32)[np.add.outer(at, np.array(POSITIONS))]
        columns += positions.astype(np.int32)
        marks = [
            [self._first_mark + self._marks[mark] for mark in marks]
            for document in documents
            for marks in known(document.tokens.words, gazetteer, document.mentions if own else set())
        ]
        width, count = self.width, len(used) * len(POSITIONS)
        rows = np.concatenate(
            [np.array(self._tokens[id(document)], dtype=np.int64) for document in documents]
        )
        ones, ends = np.ones(columns.size, dtype=np.float32), np.arange(len(columns) + 1) * len(POSITIONS)
        tokens = csr_array((ones, columns.ravel(), ends), shape=(len(columns), count))
        of_words = _wide(self._of_word[np.add.outer(len(POSITIONS) * used, positions).ravel()], width)
        numbers: list[int] = used.tolist()
        words = of_words + self._in_clusters([self._words[number] for number in numbers], clusters)
        return Seen(words, tokens, _wide(self._pairs[rows], width) + ones_at(marks, width))

    def _describe(self) -> Any:
        """The attributes of each word at each position: the same before and after a token, under different names."""
        rows: list[Integers] = []
        columns: list[Integers] = []
        for position in sorted({-abs(position) for position in POSITIONS}):
            numbers = Numbers()
            found = [[numbers[a] for a in of_word(word, position)] for word in self._words]
            sizes = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
            flat = np.fromiter(chain.from_iterable(found), dtype=np.int64, count=int(sizes.sum()))
            names = list(numbers)
            for side in sorted({position, -position}):
                first = self.names.add(len(names), lambda n, names=names, side=side: _at(names[n], side))
                rows.append(np.repeat(np.arange(len(found)) * len(POSITIONS) + POSITIONS.index(side), sizes))
                columns.append(first + flat)
        return _ones(rows, columns, len(self._words) * len(POSITIONS), self.names.count)

    def _pair(self, documents: Sequence[Document], sizes: Sequence[int]) -> Any:
        """The pairs of each token, as in `pairs`: with the word before, and with the one after."""
        lower = Numbers()
        of_word = np.array([lower[shortened(word)] for word in self._words], dtype=np.int64)
        texts = [self._number[word] for d in documents for word in (*EDGES, *d.tokens.words, *EDGES)]
        numbers = of_word[np.array(texts, dtype=np.int64)]
        found, places = np.unique(numbers[:-1] * len(lower) + numbers[1:], return_inverse=True)
        words, at = list(lower), _places(sizes)

        def name(number: int, side: int) -> str:
            before, after = divmod(int(found[number]), len(words))
            return pair(words[before], words[after])[side]

        # Two pairs have the same name only if a word contains the separator: a prediction has one attribute then.
        ambiguous = np.array(["|" in word for word in words])
        first_of, number_of = dict[str, int](), np.arange(len(found))
        for number in np.flatnonzero(ambiguous[found // len(words)] | ambiguous[found % len(words)]).tolist():
            number_of[number] = first_of.setdefault(name(number, 0), number)
        places = number_of[places]
        # As the second word of a pair, and as the first.
        first = [self.names.add(len(found), lambda n, side=side: name(n, side)) for side in (0, 1)]
        columns = np.stack([first[0] + places[at - 1], first[1] + places[at]], axis=1).astype(np.int32)
        ones, ends = np.ones(columns.size, dtype=np.float32), 2 * np.arange(len(columns) + 1)
        return csr_array((ones, columns.ravel(), ends), shape=(len(columns), self.names.count))

    def _in_clusters(self, words: Sequence[str], clusters: WordClusters) -> Any:
        """The clusters of each word, at each position."""
        names = clusters.names(words)
        found = [[self._cluster[name] for name in names.get(word, ())] for word in words]
        sizes = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        flat = np.fromiter(chain.from_iterable(found), dtype=np.int64, count=int(sizes.sum()))
        word = np.repeat(np.arange(len(words)), sizes) * len(POSITIONS)
        rows = [word + place for place, _ in self._of_clusters]
        columns = [first + flat for _, first in self._of_clusters]
        return _ones(rows, columns, len(words) * len(POSITIONS), self.width)


def _places(sizes: Sequence[int]) -> Integers:
    """The places of the documents' tokens, if each document has edges around it."""
    margins = 2 * len(EDGES) * np.arange(len(sizes))
    return np.arange(sum(sizes)) + np.repeat(margins, sizes) + len(EDGES)


def _at(name: str, position: int) -> str:
    """The name, at this position, of an attribute that is named for the word before a token."""
    return name if position <= 0 else name.replace(str(-position), str(position), 1)


def _ones(rows: Sequence[Integers], columns: Sequence[Integers], height: int, width: int) -> Any:
    """A sparse matrix (csr_array, float32) with 1 at these places."""
    at = np.concatenate(rows), np.concatenate(columns)
    return csr_array((np.ones(len(at[0]), dtype=np.float32), at), shape=(height, width))


def _wide(rows: Any, width: int) -> Any:
    """Adds columns for attributes that were numbered later."""
    return csr_array((rows.data, rows.indices, rows.indptr), shape=(rows.shape[0], width))


@dataclass(frozen=True, slots=True)
class _Fit:
    """The result of a fit on some documents."""

    chains: list[Chain]
    gazetteer: Gazetteer
    clusters: WordClusters


@dataclass(frozen=True, slots=True)
class _Fitter:
    """Fits taggers that differ only in the documents they see.

    Word clusters, too, come from these documents only. With other texts of the project (measured: +.01 F1), held-out
    documents would be better known than new ones, and confidences too high.
    """

    categories: tuple[str, ...]
    words: _Words
    seed: int
    encoder: bool
    """Whether there is an encoder, even after it was released."""

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
        """Probable spans in documents that the fit did not see."""
        seen = self.words.seen(documents, fitted.clusters, fitted.gazetteer, own=False)
        scored = (seen.scores(c.weights).astype(np.float64) for c in fitted.chains)
        return probable_spans(fitted.chains, len(self.categories), scored, [d.tokens for d in documents])

    def tagger(self, fitted: _Fit, decision: Decision) -> Tagger:
        """The model to be stored: attributes without a weight are left out."""
        used = np.flatnonzero(np.any([np.diff(c.weights.indptr) > 0 for c in fitted.chains], axis=0))
        vocabulary = [self.words.names.of(attribute) for attribute in used.tolist()]
        chains = [Chain(c.weights[used], c.transitions) for c in fitted.chains]
        return Tagger(self.categories, vocabulary, chains, fitted.gazetteer, fitted.clusters, decision)


def _of_group(given: Sequence[int], first: int, count: int) -> list[int]:
    """The labels of `count` categories from number `first` on; those of the others count as outside."""
    return [label - 2 * first if 2 * first < label <= 2 * (first + count) else OUTSIDE for label in given]


def _decide(documents: Sequence[Document], fitter: _Fitter, seed: int) -> Decision:
    """Learns out of fold above which probability a span is predicted, and with what confidence."""
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
    # Fitted on all spans: the chosen ones alone look too good, because they determined the threshold.
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
