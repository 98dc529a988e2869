"""Fits and reads models of every kind. Importing it imports numpy and scipy."""

from collections.abc import Sequence

from shared.domain.kinds import ProjectKind
from shared.domain.prediction import Example
from shared.engines.base import ArtefactError
from shared.engines.embedded import classifier_training, tagger_training
from shared.engines.embedded.artefact import pack, unpack
from shared.engines.embedded.classifier import Classifier
from shared.engines.embedded.tagger import Tagger


def fit(kind: ProjectKind, examples: Sequence[Example], unlabeled: Sequence[str], seed: int) -> bytes:
    """A model as bytes. CPU bound; not for the event loop."""
    if kind is ProjectKind.ENTITIES:
        return pack(tagger_training.train(examples, seed).store())
    return pack(classifier_training.train(kind, examples, unlabeled, seed).store())


def load(artefact: bytes) -> Classifier | Tagger:
    """Raises ArtefactError."""
    stored = unpack(artefact)
    kind = stored.meta.get("kind")
    if kind == ProjectKind.ENTITIES:
        return Tagger.restore(stored)
    if kind not in (ProjectKind.SINGLE_LABEL, ProjectKind.MULTI_LABEL):
        raise ArtefactError(f"The model is of an unknown kind ({kind!r}).")
    return Classifier.restore(stored)
