"""Fits and reads models of every kind. Importing it imports numpy and scipy."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from shared.domain.labels import Example
from shared.domain.names import ProjectKind
from shared.engines.base import ArtifactError, FitReport
from shared.engines.embedded import attributes, classifier_training, tagger_training, tfidf
from shared.engines.embedded.artifact import Artifact, pack, unpack
from shared.engines.embedded.classifier import Classifier
from shared.engines.embedded.tagger import Tagger

type Predictor = Classifier | Tagger
"""A fitted model, used from one thread at a time."""


def fit(
    kind: ProjectKind,
    examples: Sequence[Example],
    unlabeled: Sequence[str],
    seed: int,
    *,
    alone: bool = False,
) -> bytes:
    """A model as bytes. CPU bound; not for the event loop. `alone`: in a process that does nothing else."""
    if kind is ProjectKind.ENTITIES:
        model, report = tagger_training.train(examples, seed, alone=alone)
    else:
        model, report = classifier_training.train(kind, examples, unlabeled, seed, alone=alone)
    stored = model.store()
    reported = {"leftOut": report.left_out, "adjusted": report.adjusted}
    return pack(replace(stored, meta={**stored.meta, "report": reported}))


def forget() -> None:
    """Free what a fit cached, except the encoder and the vectors of texts. What uses it next computes it again."""
    tfidf.forget()
    attributes.forget()


def load(artifact: bytes) -> tuple[Predictor, FitReport]:
    """The model, and what its fit left out. Raises ArtifactError."""
    stored = unpack(artifact)
    return _restore(stored), _report(stored.meta.get("report"))


def _report(stored: object) -> FitReport:
    """Empty for models of earlier versions."""
    if not isinstance(stored, dict):
        return FitReport()
    counts = cast("dict[str, Any]", stored)
    return FitReport(_counts(counts.get("leftOut")), _counts(counts.get("adjusted")))


def _counts(stored: object) -> Mapping[str, int]:
    counts = cast("dict[str, object]", stored) if isinstance(stored, dict) else {}
    return {reason: count for reason, count in counts.items() if isinstance(count, int)}


def _restore(stored: Artifact) -> Predictor:
    kind = stored.meta.get("kind")
    if kind == ProjectKind.ENTITIES:
        return Tagger.restore(stored)
    if kind not in (ProjectKind.SINGLE_LABEL, ProjectKind.MULTI_LABEL):
        raise ArtifactError(f"The model has an unknown kind ({kind!r}).")
    return Classifier.restore(stored)
