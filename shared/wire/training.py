"""Training, models and evaluation on the wire, in the names of Azure's authoring API (FACTS A).

Ours are `labelOrigin` in a train request and `suggestionsDropped` in its result.
"""

from datetime import date, datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from shared.domain.jobs import JobStatus
from shared.domain.kinds import Studio
from shared.domain.splitting import SplitKind, SplitOptions
from shared.wire.api import JobModel, Kind, ModelLabel, Wire
from shared.wire.api_projects import ProjectListQuery
from shared.wire.languages import LANGUAGE_NAMES

CONFIG_VERSION: Final = "2022-05-01"
#: Models of this app do not expire; the field is required, so it says the last date there is.
NEVER: Final = date.max
DEFAULT_TESTING: Final = 20

type Percentage = Annotated[int, Field(strict=True, ge=1, le=99)]
type PercentDone = Annotated[int, Field(ge=0, le=100)]


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class EvaluationOptionsModel(Wire):
    """How documents are divided; body of `:evaluate` and part of a train request.

    Without a kind it is `percentage`, 80 to 20. Of the two percentages one may be left out.
    """

    kind: Annotated[SplitKind, BeforeValidator(_lower)] | None = None
    training_split_percentage: Percentage | None = None
    testing_split_percentage: Percentage | None = None

    @model_validator(mode="after")
    def _sums_up(self) -> Self:
        training, testing = self.training_split_percentage, self.testing_split_percentage
        if self.kind is SplitKind.MANUAL or training is None or testing is None or training + testing == 100:
            return self
        raise ValueError("'trainingSplitPercentage' and 'testingSplitPercentage' must add up to 100.")

    def split(self) -> SplitOptions:
        """The options of the domain."""
        if self.kind is SplitKind.MANUAL:
            return SplitOptions(SplitKind.MANUAL)
        if self.testing_split_percentage is not None:
            return SplitOptions(testing=self.testing_split_percentage)
        training = self.training_split_percentage
        return SplitOptions(testing=DEFAULT_TESTING if training is None else 100 - training)

    @classmethod
    def of(cls, options: SplitOptions) -> Self:
        """The options on the wire, with both percentages."""
        if options.kind is SplitKind.MANUAL:
            return cls(kind=options.kind)
        training = 100 - options.testing
        return cls(
            kind=options.kind, training_split_percentage=training, testing_split_percentage=options.testing
        )


class TrainBody(Wire):
    """Body of `:train`. `labelOrigin` is the studio whose labels are meant; without it the active one's."""

    model_label: ModelLabel
    training_config_version: Literal["2022-05-01", "latest"]
    evaluation_options: EvaluationOptionsModel | None = None
    label_origin: Studio | None = None
    data_generation_settings: dict[str, Any] | None = None

    @field_validator("data_generation_settings")
    @classmethod
    def _no_data_generation(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is None or value.get("enableDataGeneration") is False:
            return value
        raise ValueError("Training with generated data is not offered; leave 'dataGenerationSettings' out.")

    @property
    def config_version(self) -> str:
        """The version that is meant: "latest" is a name for it."""
        return CONFIG_VERSION

    def split(self) -> SplitOptions:
        """The options of the domain."""
        return (self.evaluation_options or EvaluationOptionsModel()).split()


class Answer(Wire):
    """An answer or a part of one."""

    def to_wire(self) -> dict[str, Any]:
        """As JSON values, without the fields that are None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class SubTrainingStateModel(Answer):
    """State of the training or of the evaluation inside a train job."""

    percent_complete: PercentDone
    start_date_time: datetime | None = None
    end_date_time: datetime | None = None
    status: JobStatus


class TrainingJobResultModel(Answer):
    """`result` of a train job."""

    model_label: str
    training_config_version: str = CONFIG_VERSION
    training_status: SubTrainingStateModel
    evaluation_status: SubTrainingStateModel | None = None
    estimated_end_date_time: datetime | None = None
    suggestions_dropped: Annotated[int, Field(ge=0)] | None = None


class EvaluationJobResultModel(Answer):
    """`result` of an evaluation job."""

    evaluation_options: EvaluationOptionsModel
    model_label: str
    training_config_version: str = CONFIG_VERSION
    percent_complete: PercentDone


class TrainedModelModel(Answer):
    """A trained model; `engine` (ours) is what made it."""

    label: str
    model_id: str
    engine: str
    last_trained_date_time: datetime
    last_training_duration_in_seconds: Annotated[int, Field(ge=0)]
    model_expiration_date: date = NEVER
    model_training_config_version: str = CONFIG_VERSION
    has_snapshot: bool = False


class TrainedModelList(Answer):
    """Models of a project, in pages."""

    value: list[TrainedModelModel]
    next_link: str | None = None


class LanguageModel(Answer):
    """A language that documents may have."""

    language_name: str
    language_code: str


class LanguageList(Answer):
    """All languages; they are the same for every kind."""

    value: list[LanguageModel]
    next_link: str | None = None


class TrainingConfigVersionModel(Answer):
    """A version that a train request may name."""

    training_config_version: str
    model_expiration_date: date = NEVER


class TrainingConfigVersionList(Answer):
    """All versions; there is one."""

    value: list[TrainingConfigVersionModel]
    next_link: str | None = None


class TrainJobList(Answer):
    """Train jobs of a project, in pages."""

    value: list[JobModel]
    next_link: str | None = None


class ListQuery(ProjectListQuery):
    """Azure's paging, as for projects: `top` of all after `skip`, `maxpagesize` of them a page."""


class EvaluationResultQuery(ListQuery):
    """`stringIndexType` has one value, and Azure requires it."""

    string_index_type: Literal["Utf16CodeUnit"]


class GlobalQuery(ListQuery):
    """Query of the two global lists. Azure requires the kind; here both lists are the same for all."""

    project_kind: Kind | None = None


def languages() -> LanguageList:
    """Every supported language, by code."""
    return LanguageList(
        value=[LanguageModel(language_name=name, language_code=code) for code, name in LANGUAGE_NAMES.items()]
    )


def training_config_versions() -> TrainingConfigVersionList:
    """Every version that `trainingConfigVersion` may have besides "latest"."""
    return TrainingConfigVersionList(
        value=[TrainingConfigVersionModel(training_config_version=CONFIG_VERSION)]
    )
