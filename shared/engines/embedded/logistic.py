"""Logistic regression, softmax or one-against-the-rest, for all categories in one optimization.

scikit-learn fits one-against-the-rest category by category (200 categories in 6 folds: 1,200 fits). Here it
is one problem with the same optimum, and neither training nor prediction needs scikit-learn (120 MB and over
a second).
"""

import numpy as np
from numpy.typing import NDArray

from shared.engines.embedded.numeric import log_softmax, minimize, softmax

type Matrix = NDArray[np.float64]
type Points = NDArray[np.float64] | NDArray[np.float32]

#: The intercept is all but free. Not wholly: a category without an example must not run off to infinity.
_INTERCEPT_PENALTY = 0.01


def fit(points: Points, targets: Matrix, weights: Matrix, *, strength: float, exclusive: bool) -> Matrix:
    """Coefficients of shape (columns of `points` + 1, categories); the last row is the intercept.

    `targets` holds 0 and 1 (documents x categories); `exclusive` means that exactly one applies (softmax).
    `strength` is scikit-learn's C. `points` may be float32, which takes half the time and memory; then a loss is
    good to seven digits.
    """
    shape = (points.shape[1] + 1, targets.shape[1])
    loss_and_slope = _softmax_loss if exclusive else _sigmoid_loss
    penalty = np.full((shape[0], 1), 1 / strength)
    penalty[-1] *= _INTERCEPT_PENALTY

    def objective(flat: Matrix) -> tuple[float, Matrix]:
        coefficients = flat.reshape(shape)
        value, slope = loss_and_slope(scores(points, coefficients), targets, weights)
        gradient = (
            np.vstack([points.T @ slope.astype(points.dtype), slope.sum(axis=0)]) + penalty * coefficients
        )
        return value + 0.5 * float((penalty * coefficients**2).sum()), gradient.ravel()

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
    value = -float((weights * (targets * log_softmax(logits, axis=1)).sum(axis=1)).sum())
    return value, (softmax(logits, axis=1) - targets) * weights[:, None]


def _sigmoid_loss(logits: Matrix, targets: Matrix, weights: Matrix) -> tuple[float, Matrix]:
    value = float((weights[:, None] * (np.logaddexp(0, logits) - targets * logits)).sum())
    return value, (sigmoid(logits) - targets) * weights[:, None]
