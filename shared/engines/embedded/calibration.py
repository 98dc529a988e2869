"""Honest confidences: how sure a score makes us, learned from documents that the scorer had not seen."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.engines.embedded.logistic import sigmoid
from shared.engines.embedded.numeric import log_softmax, minimize, minimize_scalar, softmax

CONFIDENT: Final = 0.8
"""People read a confidence from here on as "need not look closely"."""

_UNPROVEN: Final = 0.79
_PROVEN_DOCUMENTS: Final = 30
_PROVEN_ITEMS: Final = 8

type Vector = NDArray[np.float64]


def ceiling(documents: int, confidences: Vector) -> float:
    """The highest confidence to claim: below `CONFIDENT` until enough held-out items have stood for it."""
    proven = documents >= _PROVEN_DOCUMENTS and int((confidences >= CONFIDENT).sum()) >= _PROVEN_ITEMS
    return 1.0 if proven else _UNPROVEN


def temperature(logits: Vector, truth: NDArray[np.int64]) -> float:
    """What held-out logits are divided by to make softmax honest; a weak prior keeps it near 1."""
    rows = np.arange(len(truth))

    def loss(log_temperature: float) -> float:
        likelihood = log_softmax(logits / np.exp(log_temperature), axis=1)[rows, truth].sum()
        return float(2 * log_temperature**2 - likelihood)

    return float(np.exp(minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded").x)) if len(truth) else 1.0


def softmax_confidences(logits: Vector, by: float) -> Vector:
    """Probabilities of the columns, at this temperature."""
    return softmax(logits / by, axis=1)


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

        def loss(parameters: Vector) -> float:
            slope, shift = parameters
            logits = np.exp(slope) * scores + shift
            return float((np.logaddexp(0, logits) - truth * logits).sum() + 2 * slope**2 + hold * shift**2)

        if not len(scores):
            return cls()
        slope, shift = minimize(
            loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-4}
        ).x
        return cls(float(np.exp(slope)), float(shift))

    def __call__(self, scores: Vector) -> Vector:
        """The confidence of each score."""
        return sigmoid(self.slope * scores + self.shift)


def best_threshold(confidences: Vector, truth: Vector, total: int | None = None) -> float:
    """The confidence from which on predicting gives the best micro-F1 (both arrays flat); 0.5 when nothing
    tells.

    `total` is how many there were to find, if some are not among the items.
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
