"""What an engine is, and how it says that something cannot be done.

EngineError                  an answer to the caller; the message is meant for a person
├── UnknownEngine            no engine has this name
├── EngineNotConfigured      a setting is missing
├── NotEnoughExamples        the engine cannot be fitted on these labels yet
├── ArtefactError            the bytes are not a model of this engine
└── EngineUnavailable        a remote engine does not answer; try again
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from shared.domain.kinds import ProjectKind
from shared.domain.prediction import Example, Prediction

type CostUnit = Literal["none", "textRecord", "token"]


class EngineError(Exception):
    """Base of the errors of engines."""


class UnknownEngine(EngineError):
    """No engine has this name."""


class EngineNotConfigured(EngineError):
    """A setting that the engine needs is missing."""


class NotEnoughExamples(EngineError):
    """The engine cannot be fitted on these labels yet."""


class ArtefactError(EngineError):
    """The bytes are not a model that this engine can read."""


class EngineUnavailable(EngineError):
    """The engine does not answer now; the same request may succeed later."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do. `None` for a limit: there is none."""

    kinds: frozenset[ProjectKind]
    trainable: bool
    max_documents: int | None = None
    """Documents in one call of `predict`."""
    max_characters: int | None = None
    """Characters in one call of `predict`, over all its documents."""
    languages: frozenset[str] | None = None
    cost_unit: CostUnit = "none"


class Model(Protocol):
    """A fitted model in memory. It may be used by several tasks at once."""

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories it can predict, sorted."""
        ...

    async def predict(self, texts: Sequence[str]) -> list[list[Prediction]]:
        """One list a text, in the order of the texts.

        Single-label: the best categories, surest first, never empty. Multi-label: the categories that the
        model decides for, surest first. Entities: spans in the order of the text, which do not overlap.
        """
        ...


class Engine(Protocol):
    """Makes models from labels, and reads them back."""

    @property
    def name(self) -> str:
        """What a job calls it."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        ...

    def missing_for(
        self, kind: ProjectKind, examples_per_category: Mapping[str, int], labeled: int
    ) -> str | None:
        """Why the engine cannot be fitted on so many labels yet, for a person; None when it can.

        `examples_per_category` counts labeled documents (entities: spans); `labeled` counts labeled
        documents, those labeled with nothing included.
        """
        ...

    async def fit(
        self, kind: ProjectKind, examples: Sequence[Example], *, unlabeled: Sequence[str] = (), seed: int = 0
    ) -> bytes:
        """A model as bytes for `load`. The same arguments give the same model.

        `unlabeled` are other texts of the project; the engine may learn their words. Raises
        NotEnoughExamples.
        """
        ...

    async def load(self, artefact: bytes) -> Model:
        """The model that `fit` made. Raises ArtefactError."""
        ...
