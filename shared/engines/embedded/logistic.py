"""Logistic regression, and confidences calibrated on documents that the scorer had not seen.

The regression is softmax or one-against-the-rest, for all categories in one optimization. scikit-learn fits
one-against-the-rest category by category (200 categories in 6 folds: 1,200 fits). Here it is one problem with the same
optimum, and neither training nor prediction needs scikit-learn (48 MB and over a second).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.engines.embedded.numeric import log_softmax, minimize, minimize_scalar, softmax

type Matrix = NDArray[np.float64]
type Points = NDArray[np.float64] | NDArray[np.float32]
type Rows = NDArray[np.int64]

#: The intercept is almost unregularized, but not completely: that of a category without examples must stay finite.
_INTERCEPT_PENALTY = 0.01
_CHUNK: Final = 256


def fit(
    points: Points, targets: Matrix, weights: Matrix, rows: Rows, *, strength: float, exclusive: bool
) -> Matrix:
    """Coefficients of shape (columns of `points` + 1, categories); the last row is the intercept.

    `targets` holds 0 and 1 (documents x categories); `exclusive` means that exactly one applies (softmax). Only these
    `rows` of points and targets count, with one weight each. `strength` is scikit-learn's C. `points` may be float32,
    which takes half the time and memory; then the loss has seven digits.
    """
    shape = (points.shape[1] + 1, targets.shape[1])
    loss_and_slope = _softmax_loss if exclusive else _sigmoid_loss
    penalty = np.full((shape[0], 1), 1 / strength)
    penalty[-1] *= _INTERCEPT_PENALTY

    def objective(flat: Matrix) -> tuple[float, Matrix]:
        coefficients = flat.reshape(shape)
        value, gradient = 0.5 * float((penalty * coefficients**2).sum()), penalty * coefficients
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            part = points[chunk]  # a copy, which is large for all rows together
            logits = scores(part, coefficients)
            lost, slope = loss_and_slope(logits, targets[chunk], weights[start : start + _CHUNK])
            value += lost
            gradient[:-1] += part.T @ slope.astype(points.dtype)
            gradient[-1] += slope.sum(axis=0)
        return value, gradient.ravel()

    options = {"maxiter": 300, "ftol": 1e-9 if points.dtype == np.float64 else 1e-7, "gtol": 1e-4}
    found = minimize(objective, np.zeros(shape[0] * shape[1]), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x, dtype=np.float64).reshape(shape)


def scores(points: Points, coefficients: Matrix) -> Matrix:
    """Log-odds (or softmax logits) of each category for each document."""
    return points @ coefficients[:-1].astype(points.dtype) + coefficients[-1]


def loss(logits: Matrix, targets: Matrix, *, exclusive: bool) -> float:
    """Negative log-likelihood of the targets under these scores."""
    return (_softmax_loss if exclusive else _sigmoid_loss)(logits, targets, np.ones(len(targets)))[0]


def sigmoid(values: Matrix) -> Matrix:
    """1 / (1 + exp(-values)), without overflow."""
    return np.exp(-np.logaddexp(0, -values))


def _softmax_loss(logits: Matrix, targets: Matrix, weights: Matrix) -> tuple[float, Matrix]:
    value = -float((weights * (targets * log_softmax(logits)).sum(axis=1)).sum())
    return value, (softmax(logits) - targets) * weights[:, None]


def _sigmoid_loss(logits: Matrix, targets: Matrix, weights: Matrix) -> tuple[float, Matrix]:
    value = float((weights[:, None] * (np.logaddexp(0, logits) - targets * logits)).sum())
    return value, (sigmoid(logits) - targets) * weights[:, None]


CONFIDENT: Final = 0.8
"""Above this confidence, people do not check suggestions closely."""

_UNPROVEN: Final = 0.79
_PROVEN_DOCUMENTS: Final = 30
_PROVEN_ITEMS: Final = 8

_PLATT_STEPS: Final = 100
_PLATT_PRECISION: Final = 1e-5

type Vector = NDArray[np.float64]


def ceiling(documents: int, confidences: Vector) -> float:
    """The highest confidence to report: below `CONFIDENT` until enough held-out items support it."""
    proven = documents >= _PROVEN_DOCUMENTS and int((confidences >= CONFIDENT).sum()) >= _PROVEN_ITEMS
    return 1.0 if proven else _UNPROVEN


def temperature(logits: Vector, truth: NDArray[np.int64]) -> float:
    """The temperature that calibrates softmax on held-out logits; a weak prior keeps it near 1."""
    rows = np.arange(len(truth))

    def loss(log_temperature: float) -> float:
        likelihood = log_softmax(logits / np.exp(log_temperature))[rows, truth].sum()
        return float(2 * log_temperature**2 - likelihood)

    return float(np.exp(minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded").x)) if len(truth) else 1.0


def softmax_confidences(logits: Vector, by: float) -> Vector:
    """Probabilities of the columns, at this temperature."""
    return softmax(logits / by)


@dataclass(frozen=True, slots=True)
class Platt:
    """confidence = sigmoid(slope * score + shift)."""

    slope: float = 1.0
    shift: float = 0.0

    @classmethod
    def fit(cls, scores: Vector, truth: Vector, *, hold: float = 0.1) -> "Platt":
        """From held-out scores and whether each was right.

        A weak prior keeps it near the scores; `hold` is how strongly it keeps the shift near 0.
        """

        def loss(slope: float, shift: float) -> float:
            logits = np.exp(slope) * scores + shift
            return float((np.logaddexp(0, logits) - truth * logits).sum() + 2 * slope**2 + hold * shift**2)

        if not len(scores):
            return cls()
        slope = shift = 0.0  # the slope as its logarithm
        value = loss(slope, shift)
        for _ in range(_PLATT_STEPS):
            along = np.exp(slope) * scores
            surest = sigmoid(along + shift)
            wrong, spread = surest - truth, surest * (1 - surest)
            downhill = -np.array([wrong @ along + 4 * slope, wrong.sum() + 2 * hold * shift])
            mixed = spread @ along
            curve = np.array([[spread @ along**2 + 4, mixed], [mixed, spread.sum() + 2 * hold]])
            step: Vector = np.linalg.solve(curve, downhill)
            there = loss(slope + step[0], shift + step[1])
            while there > value and np.abs(step).max() > _PLATT_PRECISION:
                step /= 2
                there = loss(slope + step[0], shift + step[1])
            if np.abs(step).max() <= _PLATT_PRECISION:
                break
            slope, shift, value = slope + step[0], shift + step[1], there
        return cls(float(np.exp(slope)), float(shift))

    def __call__(self, scores: Vector) -> Vector:
        """The confidence of each score."""
        return sigmoid(self.slope * scores + self.shift)


def smoothed(truth: Vector) -> Vector:
    """Targets for few items, as Platt proposed: a little below 1 and above 0, by what one more item could change."""
    right = float(truth.sum())
    return np.where(truth > 0, (right + 1) / (right + 2), 1 / (len(truth) - right + 2))


def best_threshold(confidences: Vector, truth: Vector, total: int | None = None) -> float:
    """The confidence threshold with the best micro-F1 (both arrays are flat); 0.5 without evidence.

    `total` is the number of items to find, if some are not in the arrays.
    """
    order = np.argsort(-confidences, kind="stable")
    ranked, hits = confidences[order], np.cumsum(truth[order])
    if not len(ranked) or hits[-1] == 0:
        return 0.5
    following = np.append(ranked[1:], 0.0)
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + (hits[-1] if total is None else total))
    f1[:-1][ranked[:-1] == following[:-1]] = 0  # equal confidences cannot be told apart
    best = int(np.argmax(f1))
    return float((ranked[best] + following[best]) / 2)
