"""Fits a classifier: logistic regression over the features, with confidences learned out of fold.

There are many more features than documents. So the problem is solved in coordinates that preserve the inner products of
the documents, which gives the same model in a fraction of the time. With thousands of documents, a random part of them
spans these coordinates.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shared.domain.labels import Example
from shared.domain.names import ProjectKind
from shared.engines.base import FitReport, NotEnoughExamples
from shared.engines.embedded import logistic, sentences
from shared.engines.embedded.classifier import Classifier, Decision, confidences
from shared.engines.embedded.features import Features, FeatureSpace, InnerProducts, Rows
from shared.engines.embedded.logistic import Matrix, Platt, Points
from shared.engines.embedded.numeric import pivoted_cholesky, solve_triangular

_STRENGTH: Final = 20.0
_NAME_WEIGHT: Final = 1.0
_MANY_DOCUMENTS: Final = 1_000
_CHUNK: Final = 256
_THRESHOLD_DOCUMENTS: Final = 5
_MOST_SPANNING: Final = 2_000
"""The maximum number of documents that span the coordinates; limits memory and time."""
_LEAST_DIFFERENCE: Final = 1e-6
"""The least squared distance of a row from the space of others, relative to its length, that counts as a difference."""


def train(
    kind: ProjectKind,
    examples: Sequence[Example],
    unlabeled: Sequence[str],
    seed: int,
    *,
    alone: bool = False,
) -> tuple[Classifier, FitReport]:
    """Raises NotEnoughExamples without two categories (single-label) or one (multi-label).

    `alone`: nothing else in the process needs the encoder at the same time.
    """
    examples, report = _usable(kind, examples)
    categories = tuple(sorted({category for example in examples for category in example.categories}))
    if len(categories) < (2 if kind is ProjectKind.SINGLE_LABEL else 1):
        raise NotEnoughExamples(" ".join(["Too few classes can be learned from.", *report.lines]))
    texts = [example.text for example in examples]
    # The name of a category counts as a short document of it, unless held-out documents show that it misleads.
    with_names = [*texts, *map(readable, categories)]
    stored = sentences.MEMORY.stored(with_names) if sentences.available() else None
    center = None if stored is None else sentences.read(stored[: len(texts)]).mean(axis=0)
    if alone and len(texts) > _MANY_DOCUMENTS:  # most of the time and memory of a fit is still to come
        sentences.release()
    space = FeatureSpace.fit(texts, unlabeled, center, seed)

    def features(rows: Rows) -> Features:
        numbers: list[int] = rows.tolist()
        vectors = None if stored is None else sentences.read([stored[number] for number in numbers])
        return space.transform([with_names[number] for number in numbers], vectors)

    points, coordinates = _Coordinates.of(features, len(with_names), len(texts), seed)
    targets = _targets(examples, categories)
    problem = _Problem(points, targets, kind is ProjectKind.SINGLE_LABEL, seed)
    name_weight, held_out = problem.choose_name_weight()
    decision = _decide(kind, held_out, problem)
    coefficients = problem.solve(np.arange(len(texts)), name_weight)
    del points, problem  # they are large
    sparse, dense = coordinates.in_features(coefficients[:-1])
    weights = (sparse.astype(np.float32), dense.astype(np.float32), coefficients[-1].astype(np.float32))
    return Classifier(kind, categories, space, weights, decision), report


def _usable(kind: ProjectKind, examples: Sequence[Example]) -> tuple[Sequence[Example], FitReport]:
    """Single-label: the examples with exactly one class."""
    if kind is not ProjectKind.SINGLE_LABEL:
        return examples, FitReport()
    counts = [len(set(example.categories)) for example in examples]
    reasons = {"noClass": counts.count(0), "severalClasses": sum(count > 1 for count in counts)}
    usable = [example for example, count in zip(examples, counts, strict=True) if count == 1]
    return usable, FitReport({reason: count for reason, count in reasons.items() if count})


def readable(category: str) -> str:
    """The name of a category as words: `card_paymentFee` is "card payment Fee"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[\W_]+", " ", category).strip()


@dataclass(frozen=True, slots=True)
class _Coordinates:
    """Coordinates of the space that some rows of features span."""

    products: InnerProducts
    """Those with the chosen rows."""
    spanning: Rows
    """Places among the chosen rows."""
    triangle: Matrix
    """The inner products of the spanning rows, as `triangle @ triangle.T`."""

    @classmethod
    def of(
        cls, features: Callable[[Rows], Features], count: int, documents: int, seed: int
    ) -> tuple[Points, "_Coordinates"]:
        """All rows in the coordinates. `features` of some of the `count` rows: those of all take much memory. The
        first `documents` rows are documents, the others are names of categories.

        Rows that depend on others (equal or empty documents) do not span, so no matrix here is singular.
        """
        drawn = np.random.default_rng(seed).permutation(documents)[:_MOST_SPANNING]
        chosen = np.concatenate([np.sort(drawn), np.arange(documents, count)])
        described = features(chosen)
        products = InnerProducts(described)
        square = products.of(described)
        del described
        least = _LEAST_DIFFERENCE * square.diagonal().max(initial=0)
        # It is symmetric, so its transpose, which LAPACK accepts without a copy, is the same.
        factor, order, rank, _ = pivoted_cholesky(square.T, tol=least, lower=1, overwrite_a=True)
        del square
        kept: Rows = order[:rank].astype(np.int64) - 1  # LAPACK counts from 1
        triangle = factor[:rank, :rank]
        for column in range(1, rank):
            triangle[:column, column] = 0
        # For many documents half the digits suffice.
        points: Any = np.empty((count, rank), np.float32 if documents > _MANY_DOCUMENTS else np.float64)
        rows = np.arange(count)
        for start in range(0, count, _CHUNK):
            part = rows[start : start + _CHUNK]
            found = products.of(features(part))[:, kept]
            points[part] = solve_triangular(triangle, found.T, lower=True).T
        return points, cls(products, kept, triangle)

    def in_features(self, coefficients: Matrix) -> tuple[Matrix, Matrix]:
        """Converts coefficients of these coordinates to weights of the features, sparse and dense."""
        rows = solve_triangular(self.triangle.T, coefficients, lower=False)
        of_chosen = np.zeros((self.products.count, rows.shape[1]))
        of_chosen[self.spanning] = rows
        return self.products.combined(of_chosen)


class _Problem:
    """The documents in their own coordinates, followed by one row for the name of each category."""

    def __init__(self, points: Points, targets: Matrix, exclusive: bool, seed: int) -> None:
        self.targets = targets
        self._points = points
        self._with_names = np.vstack([targets, np.eye(targets.shape[1])])
        self._exclusive = exclusive
        self._folds = _folds(targets, 3 if len(targets) > _MANY_DOCUMENTS else 5, seed)

    def solve(self, documents: Rows, name_weight: float) -> Matrix:
        """The coefficients of a fit on these documents, and on the names with this weight."""
        count, categories = self.targets.shape
        names = np.array(range(count, count + (categories if name_weight else 0)), dtype=np.int64)
        rows = np.concatenate([documents, names])
        weights = np.concatenate([np.ones(len(documents)), np.full(len(names), name_weight)])
        return logistic.fit(
            self._points, self._with_names, weights, rows, strength=_STRENGTH, exclusive=self._exclusive
        )

    def choose_name_weight(self) -> tuple[float, Matrix]:
        """The better weight for the names, and the scores of all documents when held out."""
        with_names = self._held_out_scores(_NAME_WEIGHT)
        if len(self.targets) > _MANY_DOCUMENTS:  # the names hardly matter then
            return _NAME_WEIGHT, with_names
        without = self._held_out_scores(0.0)
        if self._loss(with_names) <= self._loss(without):
            return _NAME_WEIGHT, with_names
        return 0.0, without

    def known(self) -> NDArray[np.bool_]:
        """Documents whose categories all have an example outside their own fold: only these are informative."""
        known = np.ones(len(self.targets), dtype=bool)
        for fold in self._folds:
            seen = np.delete(self.targets, fold, axis=0).any(axis=0)
            known[fold] = ~(self.targets[fold].astype(bool) & ~seen).any(axis=1)
        return known

    def _held_out_scores(self, name_weight: float) -> Matrix:
        scores = np.zeros_like(self.targets)
        everything = np.arange(len(self.targets))
        for fold in self._folds:
            coefficients = self.solve(np.delete(everything, fold), name_weight)
            scores[fold] = logistic.scores(self._points[fold], coefficients)
        return scores

    def _loss(self, scores: Matrix) -> float:
        known = self.known()
        return logistic.loss(scores[known], self.targets[known], exclusive=self._exclusive)


def _targets(examples: Sequence[Example], categories: Sequence[str]) -> Matrix:
    column = {category: number for number, category in enumerate(categories)}
    targets = np.zeros((len(examples), len(categories)))
    for row, example in enumerate(examples):
        targets[row, [column[category] for category in example.categories]] = 1
    return targets


def _folds(targets: Matrix, count: int, seed: int) -> list[Rows]:
    """Deals documents to folds at random; those of a category (their rarest one) evenly."""
    rarity = np.where(targets > 0, targets.sum(axis=0), np.inf)
    leading = np.where(targets.any(axis=1), rarity.argmin(axis=1), targets.shape[1])
    shuffled = np.random.default_rng(seed).permutation(len(targets))
    dealt = shuffled[np.argsort(leading[shuffled], kind="stable")]
    return [fold for start in range(count) if len(fold := dealt[start::count])]


def _decide(kind: ProjectKind, held_out: Matrix, problem: _Problem) -> Decision:
    """Learns from held-out scores how to turn scores into predictions."""
    known = problem.known()
    scores, targets = held_out[known], problem.targets[known]
    if kind is ProjectKind.SINGLE_LABEL:
        raw = Decision(Platt(1 / logistic.temperature(scores, targets.argmax(axis=1))), 0.0, 1.0)
        claimed = confidences(kind, scores, raw).max(axis=1)
        threshold = 0.0
    else:
        raw = Decision(Platt.fit(scores.ravel(), targets.ravel()), 0.5, 1.0)
        claimed = confidences(kind, scores, raw).ravel()
        enough = len(targets) >= _THRESHOLD_DOCUMENTS
        threshold = logistic.best_threshold(claimed, targets.ravel()) if enough else 0.5
    ceiling = logistic.ceiling(len(targets), claimed)
    return Decision(raw.platt, min(threshold, ceiling), ceiling)
