"""A trained model: its figures, and where its artefact lies."""

from dataclasses import dataclass
from datetime import datetime

from shared.domain.splitting import SplitOptions

MAX_MODELS = 10


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """`artefact`, `summary` and `results` name blobs of our container; `seconds` is how long the training took."""

    label: str
    model_id: str
    engine: str
    trained: datetime
    seconds: int
    artefact: str
    summary: str
    results: str
    split: SplitOptions
