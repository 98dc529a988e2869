"""Autolabel jobs, bulk decisions and searches on the wire."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from shared.domain.jobs import Outcome
from shared.domain.names import Dataset
from shared.domain.project import MAX_CATEGORIES, MAX_PROJECT_DOCUMENTS
from shared.domain.suggestions import MAX_ENTITY_LENGTH
from shared.wire.api import ErrorModel, ModelLabel, Names, Strict, Wire
from shared.wire.documents import MAX_PERSON, Confidence, DocumentFilters, DocumentModel, PageQuery


class AutolabelBody(Strict):
    """Without fields: every unlabeled document, the project's engine, all categories."""

    needs_body: ClassVar[bool] = True

    engine: Annotated[str, Field(min_length=1, max_length=50)] | None = None
    model_label: ModelLabel | None = None
    documents: Annotated[Names, Field(max_length=MAX_PROJECT_DOCUMENTS)] | None = None
    categories: Annotated[Names, Field(max_length=MAX_CATEGORIES)] | None = None
    #: Money that the job may cost, for engines that are paid by the token; the default is a setting.
    cost_limit: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


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
    """Tokens only for engines that are paid by the token, the cost only where their prices are set."""

    engine: str
    documents: int
    text_records: int
    tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None


class EngineBand(Wire):
    """Suggestions with such a confidence; `precision`: the share accepted of those decided on."""

    min_confidence: float
    max_confidence: float
    suggested: int
    accepted: int
    rejected: int
    precision: float | None


class ModelFigures(Wire):
    """Suggestions of one model or deployment; null: those that name none, as those of a fit do."""

    model: str | None
    suggested: int
    accepted: int
    rejected: int
    precision: float | None


class TokensModel(Wire):
    input: int
    output: int


class EngineModel(Wire):
    """An engine, and what became of its suggestions in the project.

    `unavailable`: why jobs cannot use it, such as a setting that is missing. `model`: what jobs use now, of an engine
    that runs elsewhere: a deployment, for Azure Language with its project before a slash. Tokens and cost are those of
    jobs that have ended; the cost is null where no prices are set.
    """

    engine: str
    available: bool
    unavailable: str | None = None
    needs_labels: bool
    model: str | None
    suggested: int
    accepted: int
    rejected: int
    precision: float | None
    bands: list[EngineBand]
    models: list[ModelFigures]
    tokens: TokensModel
    cost: float | None


class EngineList(Wire):
    value: list[EngineModel]


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
