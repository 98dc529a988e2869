"""Documents and decisions on the wire."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from shared.domain.kinds import Dataset, DocumentStatus
from shared.wire.api import DocumentId, ErrorModel, Language, Strict, Wire


class ClassModel(Wire):
    category: str | None


class EntityModel(Wire):
    category: str
    offset: int
    length: int


class RegionModel(Wire):
    region_offset: int
    region_length: int
    labels: list[EntityModel]


class SuggestionModel(Wire):
    id: str
    category: str
    offset: int | None = None
    length: int | None = None
    confidence: Annotated[float, Field(ge=0, le=1)]
    job_id: str
    engine: str
    model: str | None


class RejectionModel(Wire):
    code: str
    message: str


class DocumentModel(Wire):
    """One document; of the label fields only that of the project's kind, and only when it is labeled."""

    id: str
    location: str
    language: str
    dataset: Dataset
    status: DocumentStatus
    e_tag: str
    content_changed: bool
    missing: bool
    length: int | None
    class_: ClassModel | None = Field(default=None, alias="class")
    classes: list[ClassModel] | None = None
    entities: list[RegionModel] | None = None
    suggestions: list[SuggestionModel]
    rejection: RejectionModel | None = None
    label_problems: list[str] | None = None


class DocumentListModel(Wire):
    value: list[DocumentModel]
    continuation_token: str | None = None


class DocumentListQuery(Wire):
    status: DocumentStatus | None = None
    dataset: Dataset | None = None
    category: str | None = None
    job_id: str | None = None
    location_prefix: str | None = None
    orderby: Literal["id", "location", "uncertainty"] = "id"
    top: Annotated[int, Field(ge=1, le=1_000)] = 100
    continuation_token: Annotated[str, Field(max_length=4_000)] | None = None


class PageQuery(Wire):
    """Paging of the shorter lists."""

    top: Annotated[int, Field(ge=1, le=1_000)] = 100
    continuation_token: Annotated[str, Field(max_length=4_000)] | None = None


def _only_false(value: bool) -> bool:
    if value:
        raise ValueError("'contentChanged' can only be set to false: a person confirms the labels.")
    return value


type Confirmed = Annotated[bool, AfterValidator(_only_false), WithJsonSchema({"const": False})]


class DocumentPatchBody(Strict):
    dataset: Dataset | None = None
    language: Language | None = None
    #: Only false: a person confirms that the labels still hold for the changed content.
    content_changed: Confirmed | None = None


class DocumentText(Wire):
    text: str
    length: int


class HistoryItem(Wire):
    date_time: datetime
    by: str
    action: str
    details: dict[str, Any]


class HistoryList(Wire):
    value: list[HistoryItem]
    continuation_token: str | None = None


class DecisionModel(Strict):
    document_id: DocumentId
    e_tag: str
    accept: list[str] = Field(default_factory=list)
    reject: list[str] = Field(default_factory=list)
    accept_all: bool = False
    reject_all: bool = False


class ReviewBody(Strict):
    decisions: Annotated[list[DecisionModel], Field(min_length=1, max_length=100)]


class ReviewResult(Wire):
    document_id: str
    status: Literal["saved", "conflict", "notFound", "invalid"]
    e_tag: str | None = None
    document: DocumentModel | None = None
    error: ErrorModel | None = None


class ReviewAnswer(Wire):
    results: list[ReviewResult]
