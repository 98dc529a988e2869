"""Requests and answers of the HTTP API as models: requests are parsed by them, and OpenAPI is made from them.

Field names are those of Azure's authoring API (FACTS A) and of design section 4.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from shared.domain.jobs import JobStatus
from shared.domain.kinds import Dataset, DocumentStatus, ProjectKind
from shared.domain.names import category_fault, language_fault, model_label_fault


class Wire(BaseModel):
    """camelCase on the wire; unknown fields are ignored, as Azure does."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class Strict(Wire):
    """A request of our own operations: a misspelt field is an error rather than ignored."""

    model_config = ConfigDict(extra="forbid")


def _rule(fault: Any) -> AfterValidator:
    def check(value: str) -> str:
        wrong = fault(value)
        if wrong:
            raise ValueError(wrong)
        return value

    return AfterValidator(check)


def _kind(value: Any) -> Any:
    """Azure writes the kinds in two cases."""
    found = ProjectKind.parse(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("The kind of a project is one of: " + ", ".join(ProjectKind) + ".")
    return found


type Kind = Annotated[ProjectKind, BeforeValidator(_kind)]
type Language = Annotated[str, _rule(language_fault)]
type CategoryName = Annotated[str, _rule(category_fault)]
type ModelLabel = Annotated[str, _rule(model_label_fault)]
type DocumentId = Annotated[str, Field(min_length=1, max_length=64)]


# Errors and jobs


class InnerErrorModel(Wire):
    code: str
    message: str | None = None


class ErrorModel(Wire):
    code: str
    message: str
    target: str | None = None
    details: list["ErrorModel"] | None = None
    innererror: InnerErrorModel | None = Field(default=None, alias="innererror")


class ErrorAnswer(Wire):
    error: ErrorModel


class JobModel(Wire):
    """State of a long-running operation."""

    job_id: str
    created_date_time: datetime
    last_updated_date_time: datetime
    expiration_date_time: datetime | None = None
    status: JobStatus
    warnings: list[ErrorModel] = []
    errors: list[ErrorModel] = []
    result: dict[str, Any] | None = None


class JobList(Wire):
    value: list[JobModel]
    continuation_token: str | None = None


# Projects


class AutolabelSettingsModel(Strict):
    """How uploads are labeled."""

    on_upload: bool = True
    engine: Annotated[str, Field(max_length=50)] | None = None
    model_label: ModelLabel | None = None
    categories: list[CategoryName] | None = None


class SettingsModel(Wire):
    """Project settings. `amlProjectPath` and `isLabelingLocked` tell of the connection and are read-only."""

    confidence_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    aml_project_path: str | None = None
    is_labeling_locked: bool | None = None
    run_gpt_predictions: bool | None = None
    gpt_predictive_lookahead: Annotated[int, Field(ge=0)] | None = None
    autolabel: AutolabelSettingsModel | None = None


class ProjectBody(Wire):
    """Body of `PATCH P`. Kind, container and language are required for a new project."""

    model_config = ConfigDict(json_schema_extra={"title": "ProjectPatch"})

    project_name: str | None = None
    project_kind: Kind | None = None
    storage_input_container_name: str | None = None
    language: str | None = None
    multilingual: Annotated[bool, Field(strict=True)] | None = None
    description: Annotated[str, Field(max_length=4_000)] | None = None
    settings: SettingsModel | None = None


class ProjectModel(Wire):
    created_date_time: datetime
    last_modified_date_time: datetime
    last_trained_date_time: datetime | None = None
    last_deployed_date_time: datetime | None = None
    project_kind: ProjectKind
    storage_input_container_name: str
    settings: SettingsModel
    project_name: str
    multilingual: bool
    description: str
    language: str


class ProjectList(Wire):
    value: list[ProjectModel]
    next_link: str | None = None


class ProjectListQuery(Wire):
    top: Annotated[int, Field(ge=0)] | None = None
    skip: Annotated[int, Field(ge=0)] = 0
    maxpagesize: Annotated[int, Field(ge=1, le=100)] = Field(default=100, alias="maxpagesize")


# Documents


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


class DocumentPatchBody(Strict):
    dataset: Dataset | None = None
    language: Language | None = None
    #: Only false: a person confirms that the labels still hold for the changed content.
    content_changed: Literal[False] | None = None


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


# Review


class DecisionModel(Strict):
    document_id: DocumentId
    e_tag: Annotated[str, Field(min_length=1, max_length=200)]
    accept: list[str] = []
    reject: list[str] = []
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


# Autolabel


class AutolabelBody(Strict):
    """Without fields: every unlabeled document, the project's engine, all categories."""

    engine: Annotated[str, Field(min_length=1, max_length=50)] | None = None
    model_label: ModelLabel | None = None
    documents: list[str] | None = None
    categories: list[str] | None = None


class OutcomeModel(Wire):
    document_id: str
    location: str
    outcome: Literal["suggested", "nothingFound", "skipped", "failed"]
    error: ErrorModel | None = None


class OutcomeList(Wire):
    value: list[OutcomeModel]
    continuation_token: str | None = None


class EstimateModel(Wire):
    documents: int
    text_records: int
    #: Only for engines that are paid by the token.
    tokens: int | None = None


# Bulk decisions, categories, counts


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


# System


class Health(Wire):
    status: Literal["healthy"]
    version: str


class WhoAmI(Wire):
    name: str
    roles: list[str]


class StudioConfig(Wire):
    """What the review page needs to sign a person in; no secrets."""

    auth_mode: Literal["local", "entra", "easyauth"]
    tenant_id: str | None
    client_id: str | None
    scope: str | None
    authority: str | None
    api_version: str


API_VERSIONS = ("2023-04-01", "2023-04-15-preview", "2024-11-15-preview", "2025-05-15-preview")
