"""Bodies of the API that several subjects share: errors, jobs, and the values that fields may have."""

from typing import Any, Literal, NotRequired, TypedDict

type ProjectKind = Literal[
    "CustomSingleLabelClassification", "CustomMultiLabelClassification", "CustomEntityRecognition"
]
type Dataset = Literal["Train", "Test"]
type DocumentStatus = Literal["unlabeled", "autoLabeled", "labeled", "rejected"]
type JobStatus = Literal[
    "notStarted", "running", "succeeded", "partiallyCompleted", "failed", "cancelling", "cancelled"
]
type Outcome = Literal["suggested", "nothingFound", "skipped", "failed"]
type Studio = Literal["languageStudio", "azureMachineLearning"]
type StudioKind = Literal["azure-ml", "workspace"]
type SplitKind = Literal["percentage", "manual"]
type OffsetUnit = Literal["utf16", "codePoint"]
type ConnectionState = Literal[
    "none", "connecting", "connected", "switching", "disconnecting", "disconnected"
]
type EventType = Literal[
    "Labelbridge.JobFinished", "Labelbridge.SuggestionsReady", "Labelbridge.LabelsSaved",
    "Labelbridge.ModelTrained", "Labelbridge.ConnectionChanged",
]  # fmt: skip

ENDED = frozenset({"succeeded", "partiallyCompleted", "failed", "cancelled"})


class Health(TypedDict):
    status: Literal["healthy"]
    version: str


class Check(TypedDict):
    name: Literal["tables", "blobs", "queues", "engine"]
    status: Literal["ok", "failed"]
    reason: NotRequired[str | None]


class Readiness(TypedDict):
    status: Literal["ready", "notReady"]
    checks: list[Check]


class WhoAmI(TypedDict):
    name: str
    roles: list[str]


class StudioConfig(TypedDict):
    authMode: Literal["local", "entra", "easyauth"]
    tenantId: str | None
    clientId: str | None
    scope: str | None
    authority: str | None
    studios: list[str]
    apiVersion: str


class InnerError(TypedDict):
    code: str
    message: NotRequired[str | None]


class Error(TypedDict):
    code: str
    message: str
    target: NotRequired[str | None]
    details: NotRequired["list[Error] | None"]
    innererror: NotRequired[InnerError | None]


class JobState(TypedDict):
    jobId: str
    createdDateTime: str
    lastUpdatedDateTime: str
    expirationDateTime: NotRequired[str | None]
    status: JobStatus
    warnings: NotRequired[list[Error]]
    errors: NotRequired[list[Error]]
    result: NotRequired[dict[str, Any] | None]


class ExportJobState(JobState):
    resultUrl: NotRequired[str | None]


class Entity(TypedDict):
    category: str
    offset: int
    length: int


class BulkBody(TypedDict):
    """Which suggestions to decide on; without filters all. Both confidences are included."""

    decision: Literal["accept", "reject"]
    minConfidence: NotRequired[float | None]
    maxConfidence: NotRequired[float | None]
    categories: NotRequired[list[str] | None]
    jobId: NotRequired[str | None]
    locationPrefix: NotRequired[str | None]
    text: NotRequired[str | None]
    flagged: NotRequired[bool | None]
    assignedTo: NotRequired[str | None]
    dataset: NotRequired[Dataset | None]
    dryRun: NotRequired[bool]


class CloudEvent(TypedDict):
    """An event in the format of CloudEvents 1.0."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: EventType
    subject: str
    time: str
    datacontenttype: Literal["application/json"]
    data: dict[str, Any]


class DeadLetter(TypedDict):
    """An event that a receiver did not accept."""

    id: str
    receiver: str
    attempts: int
    reason: str
    failedDateTime: str
    event: CloudEvent
