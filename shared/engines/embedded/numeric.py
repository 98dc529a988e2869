"""The numeric libraries, as far as the engine uses them: without types (they ship none), and with one BLAS
thread.

One thread for the whole process and for good: two made training 14 times slower on a busy machine.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from typing import Any, Final

import pycrfsuite
import scipy.linalg
import scipy.optimize
import scipy.sparse
import scipy.special
from threadpoolctl import threadpool_limits

cholesky: Final[Any] = scipy.linalg.cholesky
solve_triangular: Final[Any] = scipy.linalg.solve_triangular
minimize: Final[Any] = scipy.optimize.minimize
minimize_scalar: Final[Any] = scipy.optimize.minimize_scalar
csr_array: Final[Any] = scipy.sparse.csr_array
hstack: Final[Any] = scipy.sparse.hstack
log_softmax: Final[Any] = scipy.special.log_softmax
softmax: Final[Any] = scipy.special.softmax
logit: Final[Any] = scipy.special.logit
CrfTrainer: Final[Any] = pycrfsuite.Trainer
CrfTagger: Final[Any] = pycrfsuite.Tagger

_ONE_THREAD: Final[Any] = threadpool_limits(1, "blas")
