"""Decisions, bulk decisions and searches on the wire."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from shared.domain.labels import MAX_ENTITY_LENGTH
from shared.domain.names import Dataset
from shared.domain.project import MAX_CATEGORIES
from shared.wire.api import DocumentId, ErrorModel, Names
from shared.wire.documents import MAX_PERSON, Confidence, DocumentFilters, DocumentModel
from shared.wire.json_codec import Strict, Wire

#: Of one document in a decision.
MAX_SUGGESTIONS: Final = 10_000


class DecisionModel(Strict):
    document_id: DocumentId
    e_tag: str
    accept: Names = Field(default_factory=list, max_length=MAX_SUGGESTIONS)
    reject: Names = Field(default_factory=list, max_length=MAX_SUGGESTIONS)
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


class BulkBody(Strict):
    """Which suggestions to decide on; without filters all. Both confidences are included."""

    decision: Literal["accept", "reject"]
    min_confidence: Confidence | None = None
    max_confidence: Confidence | None = None
    categories: Annotated[Names, Field(max_length=MAX_CATEGORIES)] | None = None
    job_id: Annotated[str, Field(max_length=100)] | None = None
    location_prefix: Annotated[str, Field(max_length=1_024)] | None = None
    #: Only entities with exactly this text.
    text: Annotated[str, Field(min_length=1, max_length=MAX_ENTITY_LENGTH)] | None = None
    #: Only suggestions of documents that are so; `assignedTo` as in the list of documents.
    flagged: bool | None = None
    assigned_to: Annotated[str, Field(max_length=MAX_PERSON)] | None = None
    dataset: Dataset | None = None
    dry_run: bool = False


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("'text' must contain more than white space.")
    return text


class SearchBody(DocumentFilters, Strict):
    """What to search for, and in which documents: the filters and orders of the list of documents.

    A match may begin and end within a word; white space matches any white space.
    """

    text: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_not_blank)]
    match_case: bool = False
    top: Annotated[int, Field(ge=1, le=100)] = 20
    continuation_token: Annotated[str, Field(max_length=4_000)] | None = None


class ContextModel(Wire):
    """The text around a match, in one line; `offset` and `length` (UTF-16) are the match in it."""

    text: str
    offset: int
    length: int


class MatchModel(Wire):
    """A document with its first match, in UTF-16 code units of its text; `matches` counts all, up to 1,000."""

    document: DocumentModel
    matches: int
    offset: int
    length: int
    context: ContextModel


class SearchModel(Wire):
    """`searched` documents of `total` so far, this call and those before it; `unread`: of them, without a text to read.

    Without a `continuationToken` all were searched; with it, there may be more matches, also after none.
    """

    value: list[MatchModel]
    searched: int
    unread: int
    total: int
    continuation_token: str | None = None
