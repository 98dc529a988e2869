"""Bodies of the API as typed dictionaries, with the names of the JSON.

A test compares every field with the OpenAPI document. Offsets are UTF-16 code units. Times are ISO 8601, UTC.
"""

from typing import Any, Literal, NotRequired, TypedDict

from labelbridge.client.basic_models import (
    ENDED,
    BulkBody,
    Check,
    CloudEvent,
    ConnectionState,
    Dataset,
    DeadLetter,
    DocumentStatus,
    Entity,
    Error,
    EventType,
    ExportJobState,
    Health,
    InnerError,
    JobState,
    JobStatus,
    OffsetUnit,
    Outcome,
    ProjectKind,
    Readiness,
    SplitKind,
    Studio,
    StudioConfig,
    StudioKind,
    WhoAmI,
)
from labelbridge.client.team_models import (
    AgreementAnswer,
    AssignAnswer,
    AssignBody,
    Assignment,
    BlindItem,
    Disagreement,
    DocumentFilter,
    ProgressAnswer,
    ResolveBody,
    SecondReview,
    SecondReviewBody,
    Work,
)
from labelbridge.client.training_models import (
    CategoryFigures,
    ConfusionCell,
    DocumentEvaluation,
    EntityFigures,
    EntityRegion,
    EntityResult,
    EvaluationOptions,
    EvaluationSummary,
    MultiLabelFigures,
    MultiLabelResult,
    PushBody,
    PushTarget,
    SingleLabelFigures,
    SingleLabelResult,
    TrainBody,
    TrainedModel,
)

__all__ = [
    "ENDED",
    "AgreementAnswer",
    "AssignAnswer",
    "AssignBody",
    "Assignment",
    "BlindItem",
    "BulkBody",
    "CategoryFigures",
    "Check",
    "CloudEvent",
    "ConfusionCell",
    "ConnectionState",
    "Dataset",
    "DeadLetter",
    "Disagreement",
    "DocumentEvaluation",
    "DocumentFilter",
    "DocumentStatus",
    "Entity",
    "EntityFigures",
    "EntityRegion",
    "EntityResult",
    "Error",
    "EvaluationOptions",
    "EvaluationSummary",
    "EventType",
    "ExportJobState",
    "Health",
    "InnerError",
    "JobState",
    "JobStatus",
    "MultiLabelFigures",
    "MultiLabelResult",
    "OffsetUnit",
    "Outcome",
    "ProgressAnswer",
    "ProjectKind",
    "PushBody",
    "PushTarget",
    "Readiness",
    "ResolveBody",
    "SecondReview",
    "SecondReviewBody",
    "SingleLabelFigures",
    "SingleLabelResult",
    "SplitKind",
    "Studio",
    "StudioConfig",
    "StudioKind",
    "TrainBody",
    "TrainedModel",
    "WhoAmI",
    "Work",
]


class AutolabelSettings(TypedDict, total=False):
    onUpload: bool | None
    engine: str | None
    modelLabel: str | None
    categories: list[str] | None


class Settings(TypedDict, total=False):
    confidenceThreshold: float | None
    runGptPredictions: bool | None
    gptPredictiveLookahead: int | None
    autolabel: AutolabelSettings | None


class ProjectSettings(Settings, total=False):
    amlProjectPath: str | None
    isLabelingLocked: bool | None


class ProjectBody(TypedDict, total=False):
    """To create a project: kind, container and language at least. To change one: what changes."""

    projectName: str | None
    projectKind: ProjectKind | None
    storageInputContainerName: str | None
    language: str | None
    multilingual: bool | None
    description: str | None
    displayName: str | None
    settings: Settings | None


class DeployedModel(TypedDict):
    projectName: str
    deploymentName: str


class Project(TypedDict):
    createdDateTime: str
    lastModifiedDateTime: str
    lastTrainedDateTime: NotRequired[str | None]
    lastDeployedDateTime: NotRequired[str | None]
    projectKind: ProjectKind
    storageInputContainerName: str
    settings: ProjectSettings
    projectName: str
    multilingual: bool
    description: str
    displayName: NotRequired[str | None]
    language: str
    deployedModel: NotRequired[DeployedModel | None]


class GuidelineVersion(TypedDict):
    """A version of the labeling guidelines without its text; 0: there are none."""

    version: int
    by: str | None
    dateTime: str | None
    length: int


class Guidelines(GuidelineVersion):
    text: str


class Category(TypedDict):
    category: str
    description: NotRequired[str | None]


class CategoryItem(TypedDict):
    category: str
    description: NotRequired[str | None]
    previousCategory: NotRequired[str | None]


class CategoryLabels(TypedDict):
    category: str
    labels: int


class CalibrationBand(TypedDict):
    minConfidence: float
    maxConfidence: float
    accepted: int
    rejected: int
    acceptedShare: float | None


class DocumentCounts(TypedDict):
    total: int
    unlabeled: int
    autoLabeled: int
    labeled: int
    rejected: int
    missing: int
    waiting: int
    flagged: int


class Statistics(TypedDict):
    documents: DocumentCounts
    datasets: dict[str, int]
    categories: list[CategoryLabels]
    calibration: list[CalibrationBand]


class ClassLabel(TypedDict):
    """`category` is None for a document that is labeled with nothing."""

    category: str | None


class Region(TypedDict):
    regionOffset: int
    regionLength: int
    labels: list[Entity]


Labels = TypedDict(
    "Labels",
    {
        "class": NotRequired[ClassLabel | None],
        "classes": NotRequired[list[ClassLabel] | None],
        "entities": NotRequired[list[Region] | None],
    },
)
"""The label field of the project's kind. None removes the labels; an empty list is "labeled with nothing"."""


class Suggestion(TypedDict):
    id: str
    category: str
    offset: NotRequired[int | None]
    length: NotRequired[int | None]
    confidence: float
    jobId: str
    engine: str
    model: str | None


class Rejection(TypedDict):
    code: str
    message: str


class Document(Labels):
    """One document; without its label field it is unlabeled."""

    id: str
    location: str
    language: str
    dataset: Dataset
    status: DocumentStatus
    eTag: str
    contentChanged: bool
    missing: bool
    length: int | None
    flagged: bool
    assignee: str | None
    note: NotRequired[str | None]
    excerpt: str
    suggestions: list[Suggestion]
    rejection: NotRequired[Rejection | None]
    labelProblems: NotRequired[list[str] | None]


class SearchBody(DocumentFilter):
    """What to search for, and the filters and orders of the list of documents."""

    text: str
    matchCase: NotRequired[bool]
    top: NotRequired[int]
    continuationToken: NotRequired[str | None]


class Context(TypedDict):
    """The text around a match, in one line, and the place of the match in it (UTF-16)."""

    text: str
    offset: int
    length: int


class Match(TypedDict):
    """A document with its first match; `matches` counts all, up to 1,000."""

    document: Document
    matches: int
    offset: int
    length: int
    context: Context


class SearchAnswer(TypedDict):
    """`searched` documents of `total` so far; with a token, there may be more matches, also after none."""

    value: list[Match]
    searched: int
    unread: int
    total: int
    continuationToken: NotRequired[str | None]


class DocumentPatchBody(TypedDict, total=False):
    dataset: Dataset | None
    language: str | None
    contentChanged: Literal[False] | None
    flagged: bool | None
    note: str | None


class HistoryItem(TypedDict):
    dateTime: str
    by: str
    action: str
    details: dict[str, Any]


class Decision(TypedDict):
    documentId: str
    eTag: str
    accept: NotRequired[list[str]]
    reject: NotRequired[list[str]]
    acceptAll: NotRequired[bool]
    rejectAll: NotRequired[bool]


class ReviewResult(TypedDict):
    documentId: str
    status: Literal["saved", "conflict", "notFound", "invalid"]
    eTag: NotRequired[str | None]
    document: NotRequired[Document | None]
    error: NotRequired[Error | None]


class AutolabelBody(TypedDict, total=False):
    engine: str | None
    modelLabel: str | None
    documents: list[str] | None
    categories: list[str] | None
    costLimit: float | None


class Estimate(TypedDict):
    engine: str
    documents: int
    textRecords: int
    tokens: NotRequired[int | None]
    inputTokens: NotRequired[int | None]
    outputTokens: NotRequired[int | None]
    cost: NotRequired[float | None]
    unavailable: NotRequired[str | None]


class EngineBand(TypedDict):
    minConfidence: float
    maxConfidence: float
    suggested: int
    accepted: int
    rejected: int
    precision: float | None


class ModelFigures(TypedDict):
    """`model` is None for suggestions that name none, such as those of a fit."""

    model: str | None
    suggested: int
    accepted: int
    rejected: int
    precision: float | None


class Tokens(TypedDict):
    input: int
    output: int


class Engine(TypedDict):
    """An engine, and the counts of its suggestions in a project."""

    engine: str
    available: bool
    unavailable: NotRequired[str | None]
    needsLabels: bool
    model: str | None
    suggested: int
    accepted: int
    rejected: int
    precision: float | None
    bands: list[EngineBand]
    models: list[ModelFigures]
    tokens: Tokens
    cost: float | None


class DocumentOutcome(TypedDict):
    documentId: str
    location: str
    outcome: Outcome
    error: NotRequired[Error | None]


class LabelsFile(TypedDict):
    containerName: str
    blobName: str


class ImportLabelsBody(TypedDict):
    metadata: dict[str, Any]
    labelsFile: LabelsFile
    offsetUnit: NotRequired[OffsetUnit]
    datastoreName: NotRequired[str | None]
    testPercentage: NotRequired[int]


class Vendor(TypedDict):
    name: str


class ConnectBody(TypedDict):
    studio: StudioKind
    workspaceId: str
    amlProjectName: str
    vendor: NotRequired[Vendor | None]
    instructions: NotRequired[str | None]


class Condition(TypedDict):
    code: str
    met: bool
    message: str
    target: NotRequired[str | None]


class CheckAnswer(TypedDict):
    connectable: bool
    conditions: list[Condition]


class Connection(TypedDict):
    state: ConnectionState
    activeStudio: Studio
    studio: NotRequired[StudioKind | None]
    workspaceId: NotRequired[str | None]
    amlProjectName: NotRequired[str | None]
    amlProjectPath: NotRequired[str | None]
    lastImportedDateTime: NotRequired[str | None]
    unsyncedLabels: NotRequired[int | None]
    pendingStep: NotRequired[str | None]
    waitingFor: NotRequired[str | None]
    error: NotRequired[dict[str, Any] | None]
    warnings: NotRequired[list[dict[str, Any]] | None]


class ConnectionEvent(TypedDict):
    dateTime: str
    by: str
    details: dict[str, Any]
