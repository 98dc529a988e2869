"""Autolabel jobs, bulk decisions, categories and counts on the wire."""

from typing import Annotated, Literal

from pydantic import Field

from shared.domain.jobs import Outcome
from shared.wire.api import CategoryName, ErrorModel, ModelLabel, Strict, Wire
from shared.wire.api_documents import PageQuery


class AutolabelBody(Strict):
    """Without fields: every unlabeled document, the project's engine, all categories."""

    engine: Annotated[str, Field(min_length=1, max_length=50)] | None = None
    model_label: ModelLabel | None = None
    documents: list[str] | None = None
    categories: list[str] | None = None


class OutcomeQuery(PageQuery):
    """Paging, and the one outcome that is asked for."""

    outcome: Outcome | None = None


class OutcomeModel(Wire):
    document_id: str
    location: str
    outcome: Outcome
    error: ErrorModel | None = None


class OutcomeList(Wire):
    value: list[OutcomeModel]
    continuation_token: str | None = None


class EstimateModel(Wire):
    documents: int
    text_records: int
    #: Only for engines that are paid by the token.
    tokens: int | None = None


class BulkBody(Strict):
    """Which suggestions to decide on; without filters all. Both confidences are included."""

    decision: Literal["accept", "reject"]
    min_confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    max_confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    categories: list[str] | None = None
    job_id: Annotated[str, Field(max_length=100)] | None = None
    location_prefix: Annotated[str, Field(max_length=1_024)] | None = None
    dry_run: bool = False


class CategoryModel(Wire):
    category: str
    description: str | None = None


class CategoryList(Wire):
    value: list[CategoryModel]


class CategoryItem(Strict):
    """A category to define or describe; `previousCategory` renames the one of that name."""

    category: CategoryName
    description: Annotated[str, Field(max_length=1_000)] | None = None
    previous_category: str | None = None


class CategoriesBody(Strict):
    value: Annotated[list[CategoryItem], Field(min_length=1, max_length=200)]


class CategoryNames(Strict):
    categories: Annotated[list[str], Field(min_length=1, max_length=200)]


class DocumentCounts(Wire):
    total: int
    unlabeled: int
    auto_labeled: int
    labeled: int
    rejected: int
    missing: int
    waiting: int


class CategoryLabels(Wire):
    category: str
    labels: int


class CalibrationBand(Wire):
    min_confidence: float
    max_confidence: float
    accepted: int
    rejected: int
    accepted_share: float | None


class Statistics(Wire):
    documents: DocumentCounts
    datasets: dict[str, int]
    categories: list[CategoryLabels]
    calibration: list[CalibrationBand]
