"""The fitted classifier, single-label and multi-label: features, one linear layer, calibrated confidences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shared.domain.labels import Prediction
from shared.domain.names import ProjectKind
from shared.engines.base import ArtifactError
from shared.engines.embedded import logistic
from shared.engines.embedded.artifact import Artifact
from shared.engines.embedded.features import FeatureSpace
from shared.engines.embedded.logistic import Platt

_ALTERNATIVES: Final = 5
"""Single-label: predictions per document. There are several because the best may be rejected already or not
requested.
"""

type Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Decision:
    """Turns scores into predictions. `threshold` is for multi-label; `ceiling` is the highest confidence."""

    platt: Platt
    """For single-label only its slope is used, as the inverse of the temperature."""
    threshold: float
    ceiling: float


class Classifier:
    """A fitted model: features, a linear layer, a decision."""

    def __init__(
        self,
        kind: ProjectKind,
        categories: tuple[str, ...],
        space: FeatureSpace,
        weights: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
        decision: Decision,
    ) -> None:
        self.kind = kind
        self.categories = categories
        self._space = space
        self._sparse, self._dense, self._intercept = weights
        self._decision = decision

    def predict(self, texts: Sequence[str]) -> list[list[Prediction]]:
        """As `Model.predict`, for a chunk of texts; CPU bound."""
        features = self._space.transform(texts)
        scores: NDArray[np.float32] = (
            features.sparse @ self._sparse + features.dense @ self._dense + self._intercept
        )
        surest = confidences(self.kind, scores.astype(np.float64), self._decision)
        order: list[list[int]] = np.argsort(-surest, axis=1, kind="stable").tolist()
        if self.kind is ProjectKind.SINGLE_LABEL:
            counts = np.full(len(texts), _ALTERNATIVES)
        else:
            counts = (surest >= self._decision.threshold).sum(axis=1)
        return [
            [Prediction(self.categories[column], float(row[column])) for column in columns[:count]]
            for row, columns, count in zip(surest, order, counts.tolist(), strict=True)
        ]

    def store(self) -> Artifact:
        """The model as JSON and arrays."""
        space = self._space.store()
        decision = self._decision
        meta = {
            "kind": str(self.kind), "categories": list(self.categories), "slope": decision.platt.slope,
            "shift": decision.platt.shift, "threshold": decision.threshold, "ceiling": decision.ceiling,
        }  # fmt: skip
        # Half precision halves the artifact; it moves a confidence by less than a thousandth.
        arrays = {
            "sparse": self._sparse.astype("<f2"),
            "dense": self._dense.astype("<f2"),
            "intercept": self._intercept,
        }
        return Artifact({**space.meta, **meta}, {**space.arrays, **arrays})

    @classmethod
    def restore(cls, stored: Artifact) -> "Classifier":
        """Raises ArtifactError."""
        space = FeatureSpace.restore(stored)
        categories = stored.strings("categories")
        if not categories:
            raise ArtifactError("The model has no categories.")
        count = len(categories)
        weights = (
            stored.array("sparse", space.sparse_width, count).astype(np.float32),
            stored.array("dense", space.dense_width, count).astype(np.float32),
            stored.array("intercept", count),
        )
        platt = Platt(stored.number("slope"), stored.number("shift"))
        decision = Decision(platt, stored.number("threshold"), stored.number("ceiling"))
        return cls(ProjectKind(stored.meta["kind"]), tuple(categories), space, weights, decision)


def confidences(kind: ProjectKind, scores: Matrix, decision: Decision) -> Matrix:
    """One confidence for each document and category."""
    if kind is ProjectKind.SINGLE_LABEL:
        raw = logistic.softmax_confidences(scores, 1 / decision.platt.slope)
    else:
        raw = decision.platt(scores)
    return np.minimum(raw, decision.ceiling)
