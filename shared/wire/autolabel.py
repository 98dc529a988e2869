"""Autolabel jobs and engines on the wire."""

from typing import Annotated, ClassVar

from pydantic import Field

from shared.domain.jobs import Outcome
from shared.domain.project import MAX_CATEGORIES, MAX_PROJECT_DOCUMENTS
from shared.wire.api import ErrorModel, ModelLabel, Names
from shared.wire.documents import PageQuery
from shared.wire.json_codec import Strict, Wire


class AutolabelBody(Strict):
    """Without fields: every unlabeled document, the project's engine, all categories."""

    needs_body: ClassVar[bool] = True

    engine: Annotated[str, Field(min_length=1, max_length=50)] | None = None
    model_label: ModelLabel | None = None
    documents: Annotated[Names, Field(max_length=MAX_PROJECT_DOCUMENTS)] | None = None
    categories: Annotated[Names, Field(max_length=MAX_CATEGORIES)] | None = None
    #: Cost limit of the job, for engines that are paid by the token; the default is a setting.
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
    """Tokens only for engines that are paid by the token, the cost only where their prices are set.

    `unavailable`: why such a job would fail now.
    """

    engine: str
    documents: int
    text_records: int
    tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    unavailable: str | None = None


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
    """An engine, and how many of its suggestions in the project were made, accepted and rejected.

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
