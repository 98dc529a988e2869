"""A linear-chain conditional random field for predictions: exact probabilities of spans, for many documents at once,
with numpy only. `chain_training` fits it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_LEAST: Final = 0.04
"""Spans with a lower probability are ignored."""
_LONGEST: Final = 60
_TINY: Final = 1e-300
_FLATTEST: Final = -200.0
"""The lowest log-potential, relative to the highest: it keeps products above zero."""

type Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Tokens `start` to `end` (exclusive) of the sequence as a mention of category number `category`."""

    probability: float
    start: int
    end: int
    category: int


@dataclass(frozen=True, slots=True)
class Chain:
    """`weights` (csr_array): attributes x labels. `transitions`: from label x to label, as log-potentials."""

    weights: Any
    transitions: Matrix

    @property
    def labels(self) -> int:
        """How many labels a token can have."""
        return len(self.transitions)

    def candidates(self, scores: Matrix, lengths: Sequence[int]) -> list[list[Candidate]]:
        """Probable spans of each sequence, in any order; they may overlap.

        `scores` (tokens x labels): the tokens of all sequences, one after the other.
        """
        ends = np.cumsum(lengths)
        found: list[list[Candidate]] = [[] for _ in lengths]
        for batch in _batches(lengths):
            size = max(lengths[i] for i in batch)
            padded = np.zeros((len(batch), size, self.transitions.shape[0]))
            for row, i in enumerate(batch):
                padded[row, : lengths[i]] = scores[ends[i] - lengths[i] : ends[i]]
            marginals, onward = self._posterior(padded, np.array([lengths[i] for i in batch]))
            for row, i in enumerate(batch):
                found[i] = _spans(marginals[row, : lengths[i]], onward[row, : lengths[i]])
        return found

    def _posterior(self, scores: Matrix, lengths: NDArray[np.int64]) -> tuple[Matrix, Matrix]:
        """P(label) of each token, and P(the mention continues | this label): 0 for "outside" and at the end."""
        batch, size, labels = scores.shape
        potential = _exp(scores - scores.max(axis=2, keepdims=True))
        potential[:, 0, 2::2] = 0  # no mention has begun before the first token
        step = np.where(_allowed(labels), _exp(self.transitions - self.transitions.max()), 0)
        forward = np.empty_like(potential)
        backward = np.ones_like(potential)
        alpha = potential[:, 0]
        forward[:, 0] = alpha / alpha.sum(axis=1, keepdims=True)
        for t in range(1, size):
            alpha = (forward[:, t - 1] @ step) * potential[:, t]
            forward[:, t] = alpha / alpha.sum(axis=1, keepdims=True)
        onward = np.zeros((batch, size, labels))
        starts = np.array(range(1, labels), dtype=np.int64)
        inside = _inside(labels)
        for t in range(size - 2, -1, -1):
            after = potential[:, t + 1] * backward[:, t + 1]
            beta = np.maximum(after @ step.T, _TINY)
            ended = (t + 1 >= lengths)[:, None]
            onward[:, t, 1:] = np.where(ended, 0, step[starts, inside] * after[:, inside] / beta[:, 1:])
            backward[:, t] = np.where(ended, 1, beta / beta.sum(axis=1, keepdims=True))
        marginals = forward * backward
        return marginals / np.maximum(marginals.sum(axis=2, keepdims=True), _TINY), onward


def _exp(potentials: Matrix) -> Matrix:
    return np.exp(np.maximum(potentials, _FLATTEST))


def _inside(labels: int) -> NDArray[np.int64]:
    """For each label except "outside": the label of the next token if the mention continues."""
    return 2 * (np.arange(labels - 1) // 2) + 2


def _allowed(labels: int) -> NDArray[np.bool_]:
    """Which label may follow which: "inside" follows only its own mention."""
    allowed = np.zeros((labels, labels), dtype=bool)
    allowed[:, 0] = allowed[:, 1::2] = True
    allowed[np.arange(1, labels), _inside(labels)] = True
    return allowed


def without_overlaps(candidates: Sequence[Candidate], least: float) -> list[Candidate]:
    """The most probable spans without overlaps, with at least this probability, in the order of the text."""
    kept: list[Candidate] = []
    taken: set[int] = set()
    for candidate in sorted(candidates, key=lambda c: (-c.probability, c.start, c.end, c.category)):
        if candidate.probability < least:
            break
        if taken.isdisjoint(range(candidate.start, candidate.end)):
            kept.append(candidate)
            taken.update(range(candidate.start, candidate.end))
    return sorted(kept, key=lambda c: c.start)


def _spans(marginals: Matrix, onward: Matrix) -> list[Candidate]:
    found: list[Candidate] = []
    for token, begin in np.argwhere(marginals[:, 1::2] >= _LEAST).tolist():
        probability, label, end = float(marginals[token, 2 * begin + 1]), 2 * begin + 1, token + 1
        while probability >= _LEAST and end - token <= _LONGEST:
            further = float(onward[end - 1, label])
            if probability * (1 - further) >= _LEAST:
                found.append(Candidate(probability * (1 - further), token, end, begin))
            probability, label, end = probability * further, 2 * begin + 2, end + 1
    return found


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Groups of sequences of similar length: at most 64 of them, and 8,192 tokens with padding."""
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if not lengths[i]:
            continue
        if not batches or len(batches[-1]) >= 64 or (len(batches[-1]) + 1) * lengths[i] > 8_192:
            batches.append([])
        batches[-1].append(i)
    return batches
