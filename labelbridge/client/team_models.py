"""Bodies of the operations of a lead. `models.py` says how to read them."""

from typing import Any, Literal, NotRequired, TypedDict

from labelbridge.client.basic_models import Dataset, DocumentStatus


class Work(TypedDict):
    date: str
    by: str
    documents: int
    accepted: int
    rejected: int
    labeled: int
    bulk: int
    undone: int


class ProgressAnswer(TypedDict):
    value: list[Work]
    complete: bool
    continuationToken: NotRequired[str | None]


class DocumentFilter(TypedDict):
    status: NotRequired[DocumentStatus | None]
    dataset: NotRequired[Dataset | None]
    category: NotRequired[str | None]
    jobId: NotRequired[str | None]
    locationPrefix: NotRequired[str | None]
    flagged: NotRequired[bool | None]
    minConfidence: NotRequired[float | None]
    maxConfidence: NotRequired[float | None]
    assignedTo: NotRequired[str | None]
    evaluatedModel: NotRequired[str | None]
    expectedCategory: NotRequired[str | None]
    predictedCategory: NotRequired[str | None]
    orderby: NotRequired[Literal["id", "location", "uncertainty"]]


class AssignBody(TypedDict):
    assignee: str
    count: NotRequired[int]
    filter: NotRequired[DocumentFilter]


class AssignAnswer(TypedDict):
    assigned: int
    more: bool


class Assignment(TypedDict):
    assignee: str | None
    documents: int
    unlabeled: int
    autoLabeled: int
    labeled: int
    rejected: int


class SecondReviewBody(TypedDict):
    reviewer: str
    size: NotRequired[int | None]
    percent: NotRequired[float | None]
    seed: NotRequired[int]


class SecondReview(TypedDict):
    id: str
    reviewer: str
    by: str
    createdDateTime: str
    documents: int
    seed: int


class BlindItem(TypedDict):
    id: str
    location: str
    reviewed: bool


class CategoryAgreement(TypedDict):
    category: str
    first: int
    second: int
    both: int
    kappa: float | None
    f1: float | None


class AgreementAnswer(TypedDict):
    documents: int
    agreed: int
    disagreements: int
    resolved: int
    kappa: float | None
    f1: float | None
    categories: list[CategoryAgreement]


class Resolution(TypedDict):
    by: str
    dateTime: str
    labels: dict[str, Any]


class Disagreement(TypedDict):
    documentId: str
    location: str
    firstBy: str | None
    first: dict[str, Any]
    second: dict[str, Any]
    resolution: NotRequired[Resolution | None]


class ResolveBody(TypedDict):
    choice: NotRequired[Literal["first", "second"] | None]
    labels: NotRequired[dict[str, Any] | None]
