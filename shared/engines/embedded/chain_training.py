"""Fits a linear-chain conditional random field: all sequences at once, with numpy and scipy.

What a token sees is mostly words, each for itself, and words repeat. So the part of a word is computed once for each
position it can be seen at, not once for each token: a fit takes a fraction of the time that it takes token by token.

The weights minimize the negative log-likelihood of the labels, `_ABSOLUTE` times the sum of their absolute values, and
`_SQUARED` times the sum of their squares. Only attributes that were seen with a label have a weight for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shared.engines.embedded.chain import Chain, Matrix
from shared.engines.embedded.numeric import csr_array

_ABSOLUTE, _SQUARED = 0.05, 0.05
_HISTORY: Final = 6
_TRIES: Final = 20
"""Of a step, each half as long as the one before."""
_SUFFICIENT: Final = 1e-4
_PERIOD, _IMPROVEMENT = 5, 1e-3
"""A fit ends when so many iterations together improved the loss by less than this share of it."""
_FLATTEST: Final = -200.0

type Vector = NDArray[np.float64]
type Weights = NDArray[np.float32]
type Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Seen:
    """What tokens see, as sparse matrices (csr_array): the attributes of words at positions, which of these each token
    sees (1 for each), and the attributes that a token has besides.
    """

    words: Any
    tokens: Any
    context: Any

    def scores(self, weights: Weights) -> Weights:
        """Tokens x labels, of weights as attributes x labels."""
        found: Weights = self.tokens @ (self.words @ weights)
        found += self.context @ weights
        return found

    def slope(self, of_scores: Weights) -> Weights:
        """What a change of the scores is as a change of the weights."""
        found: Weights = self.words.T @ (self.tokens.T @ of_scores)
        found += self.context.T @ of_scores
        return found

    def reordered(self, order: Numbers) -> "Seen":
        """The tokens in another order."""
        return Seen(self.words, self.tokens[order], self.context[order])


class _Steps:
    """Tokens in the order of their places in their sequences: all first ones, all second ones, and so on.

    Longer sequences come first, so the tokens of a step continue the first ones of the step before.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        sizes = np.array(lengths, dtype=np.int64)
        longest_first = np.argsort(-sizes, kind="stable")
        starts = (np.cumsum(sizes) - sizes)[longest_first]
        # How many sequences have a token at each place.
        self.counts: list[int] = [int((sizes > place).sum()) for place in range(int(sizes.max(initial=0)))]
        parts = [starts[:count] + place for place, count in enumerate(self.counts)]
        self.order: Numbers = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
        bounds = np.cumsum([0, *self.counts]).tolist()
        self.slices = [slice(begin, end) for begin, end in pairwise(bounds)]
        previous = [
            np.arange(s.start, s.start + after)
            for s, after in zip(self.slices, self.counts[1:], strict=False)
        ]
        self.before: Numbers = np.concatenate(previous) if previous else np.zeros(0, dtype=np.int64)
        """Of each token but the first ones: the token before it."""

    @property
    def first(self) -> int:
        """How many tokens are the first of their sequence."""
        return self.counts[0] if self.counts else 0

    def posterior(self, of_tokens: Weights, transitions: Matrix) -> tuple[float, Matrix, Matrix]:
        """The logarithm of the sum over all label sequences, P(label) of each token, and how often each label is
        expected to follow each.
        """
        # In place: with many labels, each array of all tokens takes tens of MiB.
        own = of_tokens.astype(np.float64)
        highest = own.max(axis=1, keepdims=True)
        own -= highest
        np.exp(np.maximum(own, _FLATTEST, out=own), out=own)
        shift = transitions.max()
        step = np.exp(np.maximum(transitions - shift, _FLATTEST))
        forward, total, ones = own.copy(), np.empty((len(own), 1)), np.ones((own.shape[1], 1))
        for place, at in enumerate(self.slices):
            now = forward[at]
            if place:
                last = self.slices[place - 1].start
                now *= forward[last : last + len(now)] @ step
            np.matmul(now, ones, out=total[at])  # a sum takes several times as long
            now /= total[at]
        own /= total  # from here on with the step to the token
        backward = np.ones_like(own)
        for before, at in zip(reversed(self.slices[:-1]), reversed(self.slices[1:]), strict=True):
            own[at] *= backward[at]
            backward[before.start : before.start + at.stop - at.start] = own[at] @ step.T
        backward *= forward
        follows = step * (self._continued(forward).T @ own[self.first :])
        logarithm = float(np.log(total).sum() + highest.sum() + shift * len(self.before))
        return logarithm, backward, follows

    def _continued(self, rows: Matrix) -> Matrix:
        """The rows of tokens that have a next one, moved to the beginning of `rows`."""
        end = 0
        for at, after in zip(self.slices, self.counts[1:], strict=False):
            rows[end : end + after] = rows[at.start : at.start + after]
            end += after
        return rows[:end]


def fit(seen: Seen, labels: Sequence[int], lengths: Sequence[int], count: int, iterations: int) -> Chain:
    """The chain with the weights of all attributes.

    `labels` of the tokens, from 0 to `count` - 1; `lengths` of the sequences, one after the other.
    """
    steps = _Steps(lengths)
    seen = seen.reordered(steps.order)
    truth = np.zeros((len(labels), count), dtype=np.float32)
    truth[np.arange(len(labels)), np.array(labels, dtype=np.int64)[steps.order]] = 1
    follow = (truth[steps.before].T @ truth[steps.first :]).astype(np.float64)
    expected = seen.slope(truth)
    free = np.flatnonzero(expected > 0)
    wanted = expected.ravel()[free].astype(np.float64)
    weights = expected
    weights.fill(0)  # where no attribute was seen with the label, it stays 0

    def apart(values: Vector) -> tuple[Weights, Matrix]:
        weights.ravel()[free] = values[: len(free)]
        return weights, values[len(free) :].reshape(count, count)

    def loss(values: Vector) -> tuple[float, Vector]:
        weights, transitions = apart(values)
        logarithm, found, follows = steps.posterior(seen.scores(weights), transitions)
        right = float(values[: len(free)] @ wanted + (transitions * follow).sum())
        slope = 2 * _SQUARED * values
        slope[: len(free)] += seen.slope(found.astype(np.float32)).ravel()[free] - wanted
        slope[len(free) :] += (follows - follow).ravel()
        return logarithm - right + _SQUARED * float(values @ values), slope

    weights, transitions = apart(minimize(loss, np.zeros(len(free) + count * count), iterations))
    return Chain(csr_array(weights), transitions)


def minimize(loss: Callable[[Vector], tuple[float, Vector]], start: Vector, iterations: int) -> Vector:
    """Where `loss` (its value and slope) plus `_ABSOLUTE` times the sum of absolute values is least: the
    orthant-wise limited-memory quasi-Newton method of Andrew and Gao (2007).
    """
    here, (value, slope) = start, loss(start)
    totals = [value + _ABSOLUTE * float(np.abs(here).sum())]
    history: list[tuple[Vector, Vector]] = []
    for _ in range(iterations):
        downhill = -_one_sided(here, slope)
        direction = _newton(downhill, history)
        direction[direction * downhill <= 0] = 0
        size = 1.0 if history else 1 / max(float(np.linalg.norm(downhill)), 1e-12)
        step = _step(loss, here, size * direction, downhill, totals[-1])
        if step is None:
            break
        there, total, slope_there = step
        moved, bent = there - here, slope_there - slope
        here, slope = there, slope_there
        if float(moved @ bent) > 0:
            history = [*history[1 - _HISTORY :], (moved, bent)]
        totals.append(total)
        if len(totals) > _PERIOD and totals[-1 - _PERIOD] - total < _IMPROVEMENT * abs(total):
            break
    return here


def _step(
    loss: Callable[[Vector], tuple[float, Vector]],
    here: Vector,
    direction: Vector,
    downhill: Vector,
    before: float,
) -> tuple[Vector, float, Vector] | None:
    """The first of shorter and shorter steps, which change no sign, that gains enough: where it leads, the loss with
    absolute values there, and the slope of the loss alone.
    """
    orthant = np.where(here != 0, np.sign(here), np.sign(downhill))
    for _ in range(_TRIES):
        there = here + direction
        there[there * orthant <= 0] = 0
        value, slope = loss(there)
        total = value + _ABSOLUTE * float(np.abs(there).sum())
        if total <= before - _SUFFICIENT * float(downhill @ (there - here)):
            return there, total, slope
        direction = direction / 2
    return None


def _one_sided(here: Vector, slope: Vector) -> Vector:
    """The slope with the absolute values, whose own has two sides at 0: the one that leads down, or 0."""
    at_zero = np.sign(slope) * np.maximum(np.abs(slope) - _ABSOLUTE, 0)
    return np.where(here != 0, slope + _ABSOLUTE * np.sign(here), at_zero)


def _newton(downhill: Vector, history: Sequence[tuple[Vector, Vector]]) -> Vector:
    """The direction corrected by how the slope bent in the last steps (the two-loop recursion)."""
    direction = downhill.copy()
    parts: list[float] = []
    for moved, bent in reversed(history):
        parts.append(float(moved @ direction) / float(moved @ bent))
        direction -= parts[-1] * bent
    if history:
        moved, bent = history[-1]
        direction *= float(moved @ bent) / float(bent @ bent)
    for (moved, bent), part in zip(history, reversed(parts), strict=True):
        direction += (part - float(bent @ direction) / float(moved @ bent)) * moved
    return direction
