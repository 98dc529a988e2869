"""The operations of a lead on the wire."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from shared.wire.documents import MAX_PERSON, ClassModel, DocumentFilters, RegionModel
from shared.wire.json_codec import Strict, Wire

#: Documents that one request assigns.
MAX_ASSIGNED = 1_000
#: Documents of a second review.
MAX_SAMPLE = 500


def _person(name: str) -> str:
    if not name.isprintable() or name != name.strip() or name.startswith("@"):
        raise ValueError(
            "Use the name that the person signs in with: printable characters, no space at either end, and no "
            "leading '@'."
        )
    return name


def _assignee(name: str) -> str:
    return name if name == "@none" else _person(name)


type Assignee = Annotated[str, Field(min_length=1, max_length=MAX_PERSON), AfterValidator(_assignee)]
type Person = Annotated[str, Field(min_length=1, max_length=MAX_PERSON), AfterValidator(_person)]


class ProgressQuery(Wire):
    """Days (UTC), both included; without them, the last 30."""

    from_date: date | None = None
    to_date: date | None = None
    top: Annotated[int, Field(ge=1, le=1_000)] = 1_000
    continuation_token: Annotated[str, Field(max_length=4_000)] | None = None


class WorkModel(Wire):
    """What a person did on a day."""

    date: str
    by: str
    #: Documents whose labels the person changed one by one, each once.
    documents: int
    #: Suggestions that were decided one by one.
    accepted: int
    rejected: int
    #: How often labels were set by hand.
    labeled: int
    #: Documents that were changed by bulk decisions.
    bulk: int
    #: Changes that were undone.
    undone: int


class ProgressAnswer(Wire):
    """`complete` false: not all of the history is counted yet; the next request counts on."""

    value: list[WorkModel]
    complete: bool
    continuation_token: str | None = None


class DocumentFilter(DocumentFilters, Strict):
    """The filters of the list of documents."""


class AssignBody(Strict):
    """The first `count` documents of a filter, in its order. `assignee` `@none`: they are assigned to nobody."""

    assignee: Assignee
    count: Annotated[int, Field(ge=1, le=MAX_ASSIGNED)] = MAX_ASSIGNED
    filter: DocumentFilter = Field(default_factory=DocumentFilter)


class AssignAnswer(Wire):
    """`assigned`: documents that are now as asked. `more`: whether further documents match the filter."""

    assigned: int
    more: bool


class AssignmentModel(Wire):
    """The documents of a person, by status; `assignee` null: those of nobody."""

    assignee: str | None
    documents: int
    unlabeled: int
    auto_labeled: int
    labeled: int
    rejected: int


class AssignmentList(Wire):
    value: list[AssignmentModel]


class SecondReviewBody(Strict):
    """A sample of labeled documents for a second person: `size` documents, or `percent` of those that are labeled."""

    reviewer: Person
    size: Annotated[int, Field(ge=1, le=MAX_SAMPLE)] | None = None
    percent: Annotated[float, Field(gt=0, le=100)] | None = None
    #: The same seed takes the same sample of the same labels.
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class SecondReviewModel(Wire):
    id: str
    reviewer: str
    by: str
    created_date_time: datetime
    documents: int
    seed: int


class SecondReviewList(Wire):
    value: list[SecondReviewModel]
    continuation_token: str | None = None


class BlindItemModel(Wire):
    """A document of a second review, without labels."""

    id: str
    location: str
    reviewed: bool


class BlindItemList(Wire):
    value: list[BlindItemModel]
    continuation_token: str | None = None


class BlindDocumentModel(Wire):
    """A document as the second person reads it: no labels of the first, no suggestions, no history.

    The label field has the labels of the second person, and is present for that person only.
    """

    id: str
    location: str
    language: str
    text: str
    reviewed: bool
    class_: ClassModel | None = Field(default=None, alias="class")
    classes: list[ClassModel] | None = None
    entities: list[RegionModel] | None = None


class CategoryAgreementModel(Wire):
    """`first`, `second`, `both`: how often each person gave the category, and both together. null: not defined."""

    category: str
    first: int
    second: int
    both: int
    kappa: float | None
    f1: float | None


class AgreementAnswer(Wire):
    """`documents`: labeled by both. `kappa` (Cohen) for classes, `f1` of exact spans for entities."""

    documents: int
    agreed: int
    disagreements: int
    resolved: int
    kappa: float | None
    f1: float | None
    categories: list[CategoryAgreementModel]


class ResolutionModel(Wire):
    by: str
    date_time: datetime
    labels: dict[str, Any]


class DisagreementModel(Wire):
    """`first`, `second`, `labels`: an object with the label field of the project's kind."""

    document_id: str
    location: str
    first_by: str | None
    first: dict[str, Any]
    second: dict[str, Any]
    resolution: ResolutionModel | None = None


class DisagreementList(Wire):
    value: list[DisagreementModel]
    continuation_token: str | None = None


class ResolveBody(Strict):
    """Whose labels become those of the document, or `labels`: an object with the label field of the project's kind."""

    choice: Literal["first", "second"] | None = None
    labels: dict[str, Any] | None = None
