"""The parts of the numeric libraries that the engine uses: untyped (they ship no types), and with one BLAS thread.

The whole process keeps to one thread: two made training 14 times slower on a busy machine. Parts that only fits need
are imported with the first fit, so a process that only predicts saves their 50 MiB.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

import os
from collections.abc import Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

csr_array: Final[Any] = scipy.sparse.csr_array
hstack: Final[Any] = scipy.sparse.hstack
vstack: Final[Any] = scipy.sparse.vstack

_ONE_THREAD: Final[Any] = threadpool_limits(1, "blas")

type Matrix = NDArray[np.float64]

_LIMIT: Final = Path("/sys/fs/cgroup/cpu.max")
"""A container's limit: microseconds of processor time per period, or `max`, and the period."""


def processors(limit: Path = _LIMIT) -> int:
    """The number of processors that this process can use, at least one."""
    count = os.process_cpu_count() or 1
    try:
        quota, period = limit.read_text().split()
        return max(1, min(count, int(quota) // int(period)))
    except (OSError, ValueError, ZeroDivisionError):  # no limit
        return count


def minimize(*arguments: Any, **options: Any) -> Any:
    """As `scipy.optimize.minimize`."""
    return _optimize().minimize(*arguments, **options)


def minimize_scalar(*arguments: Any, **options: Any) -> Any:
    """As `scipy.optimize.minimize_scalar`."""
    return _optimize().minimize_scalar(*arguments, **options)


def solve_triangular(*arguments: Any, **options: Any) -> Any:
    """As `scipy.linalg.solve_triangular`."""
    return _linalg().solve_triangular(*arguments, **options)


def pivoted_cholesky(*arguments: Any, **options: Any) -> Any:
    """As `scipy.linalg.lapack.dpstrf`."""
    return _linalg().lapack.dpstrf(*arguments, **options)


def log_softmax(values: Matrix) -> Matrix:
    """Of each row."""
    below = values - values.max(axis=1, keepdims=True)
    return below - np.log(np.exp(below).sum(axis=1, keepdims=True))


def softmax(values: Matrix) -> Matrix:
    """Of each row."""
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def logit(probabilities: Matrix) -> Matrix:
    """log(p / (1 - p))."""
    return np.log(probabilities / (1 - probabilities))


class Numbers(dict[str, int]):
    """Assigns numbers to keys, in the order of their first lookup.

    A `defaultdict` with its own length as its factory would refer to itself, and stay in memory.
    """

    def __missing__(self, key: str) -> int:
        number = self[key] = len(self)
        return number


@cache
def _linalg() -> ModuleType:
    import scipy.linalg

    threadpool_limits(1, "blas")  # it has its own copy of the library
    return scipy.linalg


@cache
def _optimize() -> ModuleType:
    import scipy.optimize

    threadpool_limits(1, "blas")
    return scipy.optimize


def ones_at(columns: Sequence[Sequence[int]], width: int) -> Any:
    """A sparse matrix (csr_array, float32) with a row for each list of columns, adding 1 for each mention."""
    ends = np.cumsum([0, *map(len, columns)], dtype=np.int32)
    flat = np.fromiter(chain.from_iterable(columns), dtype=np.int32, count=int(ends[-1]))
    return csr_array((np.ones(len(flat), dtype=np.float32), flat, ends), shape=(len(columns), width))
