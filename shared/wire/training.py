"""Training, models and evaluation on the wire, with the field names of Azure's authoring API.

Our own are `labelOrigin` in a train request, `suggestionsDropped` in its result and `warnings` of an evaluation.
The evaluation writes its JSON itself; the models here describe it for OpenAPI.
"""

from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from shared.domain.names import LANGUAGES, ProjectKind, Studio
from shared.domain.training import SplitKind, SplitOptions
from shared.wire.api import DeploymentName, ErrorModel, IndexType, JobModel, ModelLabel, ProjectName
from shared.wire.json_codec import Body, Strict, Wire
from shared.wire.projects import ProjectListQuery

CONFIG_VERSION: Final = "2022-05-01"
#: Models of this app do not expire; the field is required, so it says the last date there is.
NEVER: Final = date.max
DEFAULT_TESTING: Final = 20
#: Kinds of Azure's custom text that Labelbridge does not have, in lower case.
OTHER_KINDS: Final = frozenset({"customabstractivesummarization", "customhealthcare", "customtextsentiment"})

type Percentage = Annotated[int, Field(strict=True, ge=1, le=99)]
type Share = Annotated[float, Field(ge=0, le=1)]
type Count = Annotated[int, Field(ge=0)]


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class EvaluationOptionsModel(Body):
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


class TrainBody(Body):
    """Body of `:train`. `labelOrigin` is the studio whose labels are meant; without it the active one's."""

    model_label: ModelLabel
    training_config_version: Literal["2022-05-01", "latest"] = "latest"
    evaluation_options: EvaluationOptionsModel | None = None
    label_origin: Studio | None = None
    data_generation_settings: dict[str, Any] | None = None

    @field_validator("data_generation_settings")
    @classmethod
    def _no_data_generation(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is None or value.get("enableDataGeneration") is False:
            return value
        raise ValueError("Training with generated data is not supported; omit 'dataGenerationSettings'.")

    def split(self) -> SplitOptions:
        """The options of the domain."""
        return (self.evaluation_options or EvaluationOptionsModel()).split()


class PushBody(Strict):
    """Body of `:push`, all fields optional: where the project goes in the Azure Language resource."""

    needs_body: ClassVar[bool] = True

    #: Without it, the name of this project; the project of that name there is replaced, if it was pushed from here.
    project_name: ProjectName | None = None
    #: Without it, that of the setting LANGUAGE_DEPLOYMENT, else `labelbridge`.
    deployment_name: DeploymentName | None = None
    #: Without it `labelbridge`: each push trains that model again.
    model_label: ModelLabel | None = None
    evaluation_options: EvaluationOptionsModel | None = None
    #: Replace also a project or deployment that was not pushed from here; without it, the answer is then 409.
    replace: bool = False

    def split(self) -> SplitOptions:
        """The options of the domain."""
        return (self.evaluation_options or EvaluationOptionsModel()).split()


class PushTargetModel(Wire):
    """Where a push goes whose body names nothing.

    `endpoint`: address of the Azure Language resource, empty where none is set. `unavailable`: why nothing can be
    pushed. `replaces`: whether this project was pushed to that name before: then that project is replaced.
    """

    endpoint: str
    project_name: str
    deployment_name: str
    model_label: str
    available: bool
    unavailable: str | None = None
    replaces: bool


class Answer(Wire):
    """An answer or a part of one."""

    def to_wire(self) -> dict[str, Any]:
        """As JSON values, without the fields that are None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


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

    string_index_type: IndexType


def _listed_kind(value: str) -> str:
    if ProjectKind.parse(value) is None and value.lower() not in OTHER_KINDS:
        raise ValueError("The kind of a project must be one of: " + ", ".join(ProjectKind) + ".")
    return value


class GlobalQuery(ListQuery):
    """Query of the two global lists, which are the same for all kinds of Labelbridge and empty for Azure's others."""

    project_kind: Annotated[str, AfterValidator(_listed_kind)] | None = None

    @property
    def is_of_other_kind(self) -> bool:
        return self.project_kind is not None and ProjectKind.parse(self.project_kind) is None


def languages() -> LanguageList:
    """Every supported language, by code."""
    return LanguageList(
        value=[LanguageModel(language_name=name, language_code=code) for code, name in LANGUAGES.items()]
    )


def training_config_versions() -> TrainingConfigVersionList:
    """Every version that `trainingConfigVersion` may have besides "latest"."""
    return TrainingConfigVersionList(
        value=[TrainingConfigVersionModel(training_config_version=CONFIG_VERSION)]
    )


class CategoryFiguresModel(Answer):
    """The scores of one category. Spans have no true negatives: 0."""

    f1: Share
    precision: Share
    recall: Share
    true_positive_count: Count
    true_negative_count: Count
    false_positive_count: Count
    false_negative_count: Count


class ConfusionCellModel(Answer):
    """How often the row's category was predicted as the column's; normalized: in percent of the row."""

    normalized_value: Annotated[float, Field(ge=0, le=100)]
    raw_value: Annotated[float, Field(ge=0)]


class FiguresModel(Answer):
    """Averages over all decisions (micro) and over the categories (macro)."""

    micro_f1: Share
    micro_precision: Share
    micro_recall: Share
    macro_f1: Share
    macro_precision: Share
    macro_recall: Share


class MultiLabelFiguresModel(FiguresModel):
    """Figures of a multi-label model, by class."""

    classes: dict[str, CategoryFiguresModel]


class SingleLabelFiguresModel(MultiLabelFiguresModel):
    """Figures of a single-label model; rows of the matrix are what was expected."""

    confusion_matrix: dict[str, dict[str, ConfusionCellModel]]


class EntityFiguresModel(FiguresModel):
    """Figures of an entity model, by entity; rows of the matrix are what was expected."""

    entities: dict[str, CategoryFiguresModel]
    confusion_matrix: dict[str, dict[str, ConfusionCellModel]]


class EvaluationSummaryModel(Answer):
    """Answer of `summary-result`; of the three fields that of the project's kind is there.

    `warnings` (ours) say which labels were left out or adjusted, with counts.
    """

    project_kind: ProjectKind
    evaluation_options: EvaluationOptionsModel
    custom_single_label_classification_evaluation: SingleLabelFiguresModel | None = None
    custom_multi_label_classification_evaluation: MultiLabelFiguresModel | None = None
    custom_entity_recognition_evaluation: EntityFiguresModel | None = None
    warnings: list[ErrorModel] | None = None


class SingleLabelResultModel(Answer):
    """Classes of a document; "None" (or "$none", where there is such a class) stands for no class."""

    expected_class: str
    predicted_class: str


class MultiLabelResultModel(Answer):
    """Classes of a document."""

    expected_classes: list[str]
    predicted_classes: list[str]


class EntitySpanModel(Answer):
    """One entity, in UTF-16 code units."""

    category: str
    offset: Count
    length: Count


class EntityRegionModel(Answer):
    """Entities of one labeled region."""

    expected_entities: list[EntitySpanModel]
    predicted_entities: list[EntitySpanModel]
    region_offset: Count
    region_length: Count


class EntityResultModel(Answer):
    """Entities of a document, by region."""

    entities: list[EntityRegionModel]


class DocumentEvaluationModel(Answer):
    """One test document; of the three fields that of the project's kind is there."""

    project_kind: ProjectKind
    location: str
    language: str
    custom_single_label_classification_result: SingleLabelResultModel | None = None
    custom_multi_label_classification_result: MultiLabelResultModel | None = None
    custom_entity_recognition_result: EntityResultModel | None = None


class DocumentEvaluationList(Answer):
    """Test documents of a model, in pages."""

    value: list[DocumentEvaluationModel]
    next_link: str | None = None
