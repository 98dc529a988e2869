"""The numeric libraries, as far as the engine uses them: without types (they ship none), and with one BLAS
thread.

One thread for the whole process, permanently: two made training 14 times slower on a busy machine.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
import scipy.linalg
import scipy.linalg.lapack
import scipy.optimize
import scipy.sparse
import scipy.special
from threadpoolctl import threadpool_limits

pivoted_cholesky: Final[Any] = scipy.linalg.lapack.dpstrf
solve_triangular: Final[Any] = scipy.linalg.solve_triangular
minimize: Final[Any] = scipy.optimize.minimize
minimize_scalar: Final[Any] = scipy.optimize.minimize_scalar
csr_array: Final[Any] = scipy.sparse.csr_array
hstack: Final[Any] = scipy.sparse.hstack
vstack: Final[Any] = scipy.sparse.vstack
log_softmax: Final[Any] = scipy.special.log_softmax
softmax: Final[Any] = scipy.special.softmax
logit: Final[Any] = scipy.special.logit

_ONE_THREAD: Final[Any] = threadpool_limits(1, "blas")


def ones_at(columns: Sequence[Sequence[int]], width: int) -> Any:
    """A sparse matrix (csr_array, float32): one row for each list of columns, 1 for each time it names one."""
    ends = np.cumsum([0, *map(len, columns)], dtype=np.int32)
    flat = np.fromiter(chain.from_iterable(columns), dtype=np.int32, count=int(ends[-1]))
    return csr_array((np.ones(len(flat), dtype=np.float32), flat, ends), shape=(len(columns), width))
