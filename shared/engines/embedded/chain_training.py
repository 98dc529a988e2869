"""Fits a linear-chain conditional random field: all sequences at once, with numpy and scipy.

Most attributes of a token are single words, and words repeat. So the score of a word is computed once for each
position, not once for each token: a fit takes a fraction of the time that it would take token by token.

The weights minimize the sum of the negative log-likelihood of the labels, `_ABSOLUTE` times the sum of the weights'
absolute values, and `_SQUARED` times the sum of their squares. An attribute has a weight only for labels that it
occurs with.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shared.engines.embedded.chain import Chain, Matrix
from shared.engines.embedded.numeric import csr_array

_ABSOLUTE, _SQUARED = 0.05, 0.05
_HISTORY: Final = 6
_TRIES: Final = 12
"""Attempts at a step, each half as long as the one before."""
_SUFFICIENT: Final = 1e-4
_PERIOD, _IMPROVEMENT, _ROUNDING = 5, 1e-3, 1e-6
"""A fit ends when this many iterations together improved the loss by less than this share of it, or of the first
loss: scores have seven digits, and steps for smaller gains keep failing.
"""
_FLATTEST: Final = -200.0
_TOGETHER: Final = 32_768
"""Tokens computed together: intermediate results take memory in proportion."""

type Vector = NDArray[np.float64]
type Weights = NDArray[np.float32]
type Numbers = NDArray[np.int64]
type _Bend = tuple[Vector, Vector, float]
"""A step, the change of the slope, and their product."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The attributes of tokens, as sparse matrices (csr_array): the attributes of words at positions, which of these
    each token has (1 for each), and the other attributes of each token.
    """

    words: Any
    tokens: Any
    context: Any

    def scores(self, weights: Any) -> Weights:
        """Scores (tokens x labels) from weights (csr_array, attributes x labels); the last attributes may lack
        weights.
        """
        known = weights.shape[0]
        found: Weights = self.tokens @ (self.words[:, :known] @ weights).toarray()
        found += (self.context[:, :known] @ weights).toarray()
        return found

    def summed(self, values: Vector) -> Vector:
        """For each attribute, the sum of the values of the tokens that have it."""
        found: Vector = self.words.T @ (self.tokens.T @ values) + self.context.T @ values
        return found


class _Steps:
    """Tokens in the order of their places in their sequences: all first ones, all second ones, and so on.

    Longer sequences come first, so the tokens of a step follow the first tokens of the previous step.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        sizes = np.array(lengths, dtype=np.int64)
        longest_first = np.argsort(-sizes, kind="stable")
        starts = (np.cumsum(sizes) - sizes)[longest_first]
        # The number of sequences that have a token at each place.
        self.counts: list[int] = [int((sizes > place).sum()) for place in range(int(sizes.max(initial=0)))]
        parts = [starts[:count] + place for place, count in enumerate(self.counts)]
        self.order: Numbers = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
        bounds = np.cumsum([0, *self.counts]).tolist()
        self.slices = [slice(begin, end) for begin, end in pairwise(bounds)]

    @property
    def first(self) -> int:
        """The number of tokens that are the first of their sequence."""
        return self.counts[0] if self.counts else 0

    def posterior(self, of_tokens: Weights, transitions: Matrix) -> tuple[float, Matrix, Matrix]:
        """The logarithm of the sum over all label sequences, P(label) of each token, and how often each label is
        expected to follow each other one.
        """
        # Column by column: `max` over rows takes ten times as long.
        highest = reduce(np.maximum, of_tokens.T).astype(np.float64)[:, None]
        own = of_tokens - highest
        np.exp(np.maximum(own, _FLATTEST, out=own), out=own)
        shift = transitions.max()
        step = np.exp(np.maximum(transitions - shift, _FLATTEST))
        forward, total, ones = own.copy(), np.empty((len(own), 1)), np.ones((own.shape[1], 1))
        for place, at in enumerate(self.slices):
            now = forward[at]
            if place:
                last = self.slices[place - 1].start
                now *= forward[last : last + len(now)] @ step
            np.matmul(now, ones, out=total[at])  # `sum` takes several times as long
            now /= total[at]
        own /= total  # from here on it includes the step to the token
        backward = np.ones_like(own)
        for before, at in zip(reversed(self.slices[:-1]), reversed(self.slices[1:]), strict=True):
            own[at] *= backward[at]
            backward[before.start : before.start + at.stop - at.start] = own[at] @ step.T
        backward *= forward
        follows = step * (self.continued(forward).T @ own[self.first :])
        logarithm = float(np.log(total).sum() + highest.sum() + shift * (len(own) - self.first))
        return logarithm, backward, follows

    def continued[T: np.generic](self, rows: NDArray[T]) -> NDArray[T]:
        """The rows of tokens that have a next token, moved to the beginning of `rows`."""
        end = 0
        for at, after in zip(self.slices, self.counts[1:], strict=False):
            rows[end : end + after] = rows[at.start : at.start + after]
            end += after
        return rows[:end]


@dataclass(frozen=True, slots=True)
class _Block:
    """Sequences that are computed together; their tokens are in the order of `steps`."""

    steps: _Steps
    tokens: Any
    context: Any
    """The attributes that several tokens share."""
    alone: slice
    """Where the weights of this block's single tokens are."""
    at: Numbers
    """The token and label of each of these weights, as a place in the flat scores."""


class _Loss:
    """The negative log-likelihood plus `_SQUARED` times the sum of squares, with its slope, of one vector.

    An attribute of only one token can have a weight only for this token's label. At the minimum, all such attributes
    of a token have the same weight, so the vector has just their sum. First it has the weights of the other attributes,
    for labels that they occur with, then a sum for each token with such attributes, then the transitions.
    """

    def __init__(self, seen: Seen, labels: Numbers, lengths: Sequence[int], count: int) -> None:
        uses = seen.summed(np.ones(len(labels)))
        self._attributes, self._labels = len(uses), labels
        self._shared, self._single = np.flatnonzero(uses > 1), np.flatnonzero(uses == 1)
        numbers = seen.summed(np.arange(len(labels), dtype=np.float64))
        self._token = np.rint(numbers[self._single]).astype(np.int64)
        """The token of each attribute that only one token has."""
        alike = np.bincount(self._token, minlength=len(labels))
        self._words, context = seen.words[:, self._shared], seen.context[:, self._shared]
        self._blocks: list[_Block] = []
        self._place = np.zeros(len(labels), dtype=np.int64)
        """For each token with such attributes: the place of its sum."""
        self._weights: Weights = np.zeros((len(self._shared), count), dtype=np.float32)
        of_words: Weights = np.zeros((self._words.shape[0], count), dtype=np.float32)
        follow = np.zeros(count * count)
        alone: list[Numbers] = []
        sums = 0
        for steps, order in _ordered(lengths):
            given = labels[order]
            marked = np.flatnonzero(alike[order])
            self._place[order[marked]] = np.arange(sums, sums + len(marked))
            block = _Block(
                steps, seen.tokens[order], context[order],
                slice(sums, sums + len(marked)), marked * count + given[marked],
            )  # fmt: skip
            sums += len(marked)
            alone.append(alike[order[marked]])
            self._blocks.append(block)
            truth: Weights = np.zeros((len(order), count), dtype=np.float32)
            truth[np.arange(len(order)), given] = 1
            of_words += block.tokens.T @ truth
            self._weights += block.context.T @ truth
            pairs = count * steps.continued(given.copy()) + given[steps.first :]
            follow += np.bincount(pairs, minlength=count * count)
        self._weights += self._words.T @ of_words
        self._free = np.flatnonzero(self._weights > 0)
        wanted = self._weights.ravel()[self._free].astype(np.float64)
        self._alike = np.concatenate([np.zeros(0, dtype=np.int64), *alone])
        self._wanted: Vector = np.concatenate([wanted, np.ones(sums), follow])
        self._squared = (
            np.concatenate([np.ones(len(wanted)), 1 / self._alike, np.ones(count * count)]) * _SQUARED
        )
        self._weights.fill(0)  # stays 0 for attributes that do not occur with the label

    @property
    def start(self) -> Vector:
        """Zero weights."""
        return np.zeros(len(self._wanted))

    def __call__(self, values: Vector) -> tuple[float, Vector]:
        weights, alone, transitions = self._apart(values)
        of_words, single = self._words @ weights, alone.astype(np.float32)
        slope = 2 * self._squared * values
        slope -= self._wanted
        value = float(values @ (self._squared * values - self._wanted))
        free, sums = len(self._free), slice(len(self._free), len(self._free) + len(alone))
        for_words, for_context = np.zeros_like(of_words), np.zeros_like(weights)
        follows: Matrix = np.zeros_like(transitions)
        for block in self._blocks:
            scores = block.tokens @ of_words
            scores += block.context @ weights
            scores.ravel()[block.at] += single[block.alone]
            logarithm, found, block_follows = block.steps.posterior(scores, transitions)
            value += logarithm
            follows += block_follows
            rounded = found.astype(np.float32)
            for_words += block.tokens.T @ rounded
            for_context += block.context.T @ rounded
            slope[sums][block.alone] += rounded.ravel()[block.at]
        for_context += self._words.T @ for_words
        slope[:free] += for_context.ravel()[self._free]
        slope[sums.stop :] += follows.ravel()
        return value, slope

    def chain(self, values: Vector) -> Chain:
        """The chain with these weights."""
        weights, alone, transitions = self._apart(values)
        rows, columns = weights.nonzero()
        each = (alone / self._alike)[self._place[self._token]].astype(np.float32)
        some = np.flatnonzero(each)
        data = np.concatenate([weights[rows, columns], each[some]])
        at = (
            np.concatenate([self._shared[rows], self._single[some]]),
            np.concatenate([columns, self._labels[self._token[some]]]),
        )
        return Chain(csr_array((data, at), shape=(self._attributes, len(transitions))), transitions)

    def _apart(self, values: Vector) -> tuple[Weights, Vector, Matrix]:
        free, labels = len(self._free), self._weights.shape[1]
        self._weights.ravel()[self._free] = values[:free]
        alone, transitions = np.split(values[free:], [len(self._alike)])
        return self._weights, alone, transitions.reshape(labels, labels)


def _ordered(lengths: Sequence[int]) -> Iterator[tuple[_Steps, Numbers]]:
    """Blocks of sequences of similar length, and the numbers of their tokens in the order of their steps."""
    sizes = np.array(lengths, dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    longest_first = np.argsort(-sizes, kind="stable")
    ends = np.cumsum(sizes[longest_first])
    block = (ends - 1) // _TOGETHER
    for sequences in np.split(longest_first, np.flatnonzero(np.diff(block)) + 1):
        own = sizes[sequences]
        tokens = np.repeat(starts[sequences] - (np.cumsum(own) - own), own) + np.arange(own.sum())
        steps = _Steps(own.tolist())
        yield steps, tokens[steps.order]


def fit(seen: Seen, labels: Sequence[int], lengths: Sequence[int], count: int, iterations: int) -> Chain:
    """The chain with the weights of all attributes.

    `labels` of the tokens, from 0 to `count` - 1; `lengths` of the sequences, one after the other.
    """
    loss = _Loss(seen, np.array(labels, dtype=np.int64), lengths, count)
    return loss.chain(minimize(loss, loss.start, iterations))


def minimize(loss: Callable[[Vector], tuple[float, Vector]], start: Vector, iterations: int) -> Vector:
    """The minimum of `loss` (its value and slope) plus `_ABSOLUTE` times the sum of absolute values, by the
    orthant-wise limited-memory quasi-Newton method of Andrew and Gao (2007).
    """
    here, (value, slope) = start, loss(start)
    totals = [value + _ABSOLUTE * float(np.abs(here).sum())]
    history: list[_Bend] = []
    for _ in range(iterations):
        downhill = -_one_sided(here, slope)
        direction = _newton(downhill, history)
        direction[direction * downhill <= 0] = 0
        direction *= 1.0 if history else 1 / max(float(np.linalg.norm(downhill)), 1e-12)
        step = _step(loss, here, direction, downhill, totals[-1])
        if step is None:
            break
        there, total, slope_there = step
        moved, bent = there - here, slope_there - slope
        here, slope = there, slope_there
        if (product := float(moved @ bent)) > 0:
            history = [*history[1 - _HISTORY :], (moved, bent, product)]
        totals.append(total)
        least = max(_IMPROVEMENT * abs(total), _ROUNDING * abs(totals[0]))
        if len(totals) > _PERIOD and totals[-1 - _PERIOD] - total < least:
            break
    return here


def _step(
    loss: Callable[[Vector], tuple[float, Vector]],
    here: Vector,
    direction: Vector,
    downhill: Vector,
    before: float,
) -> tuple[Vector, float, Vector] | None:
    """Tries shorter and shorter steps, which change no sign, until one gains enough. Returns its end, the loss with
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
    """The slope including the absolute values. They have two slopes at 0: the one that leads down counts, or 0."""
    at_zero = np.sign(slope) * np.maximum(np.abs(slope) - _ABSOLUTE, 0)
    return np.where(here != 0, slope + _ABSOLUTE * np.sign(here), at_zero)


def _newton(downhill: Vector, history: Sequence[_Bend]) -> Vector:
    """The direction, corrected for the curvature in the last steps (the two-loop recursion)."""
    direction = downhill.copy()
    parts: list[float] = []
    for moved, bent, product in reversed(history):
        parts.append(float(moved @ direction) / product)
        direction -= parts[-1] * bent
    if history:
        _, bent, product = history[-1]
        direction *= product / float(bent @ bent)
    for (moved, bent, product), part in zip(history, reversed(parts), strict=True):
        direction += (part - float(bent @ direction) / product) * moved
    return direction
