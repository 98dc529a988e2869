"""What an evaluation compares: what people said of the test documents, and what the model says of them."""

from dataclasses import dataclass, field
from typing import Any

from shared.domain.labels import Labels


@dataclass(frozen=True, slots=True)
class EvaluatedDocument:
    """One test document. `length` and all offsets count UTF-16 code units.

    The regions of `predicted` do not matter: its entities are compared inside the regions of `expected`, for
    only those were labeled. Where `expected` has no region, the whole document counts as one.
    """

    location: str
    language: str
    length: int
    expected: Labels
    predicted: Labels


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An evaluation as the API answers it: the summary, and one result a document, in Azure's JSON."""

    summary: dict[str, Any]
    results: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
