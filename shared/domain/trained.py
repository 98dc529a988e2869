"""A trained model: its figures, and where its artefact lies."""

from dataclasses import dataclass, field
from datetime import datetime

from shared.domain.kinds import ProjectKind
from shared.domain.splitting import SplitOptions

MAX_MODELS = 10


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """`artefact`, `summary` and `results` name blobs of our container; `seconds` is how long the training took.

    `kind` is that of the project when it was trained; None in rows written before that was stored.
    """

    label: str
    model_id: str
    engine: str
    trained: datetime
    seconds: int
    artefact: str
    summary: str
    results: str
    split: SplitOptions
    kind: ProjectKind | None = None
    etag: str = field(default="", compare=False)

    def fits(self, kind: ProjectKind) -> bool:
        """Whether a project of this kind can use it: an import may have changed the project's kind since."""
        return self.kind is None or self.kind is kind

    @property
    def blobs(self) -> tuple[str, ...]:
        return self.artefact, self.summary, self.results
