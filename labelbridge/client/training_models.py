"""Bodies of training and evaluation."""

from typing import Any, Literal, NotRequired, TypedDict

from labelbridge.client.basic_models import (
    Entity,
    Error,
    ProjectKind,
    SplitKind,
    Studio,
)


class EvaluationOptions(TypedDict, total=False):
    kind: SplitKind | None
    trainingSplitPercentage: int | None
    testingSplitPercentage: int | None


class TrainBody(TypedDict):
    modelLabel: str
    trainingConfigVersion: NotRequired[Literal["2022-05-01", "latest"]]
    evaluationOptions: NotRequired[EvaluationOptions | None]
    labelOrigin: NotRequired[Studio | None]
    dataGenerationSettings: NotRequired[dict[str, Any] | None]


class PushTarget(TypedDict):
    """Where a push goes whose body names nothing."""

    endpoint: str
    projectName: str
    deploymentName: str
    modelLabel: str
    available: bool
    unavailable: NotRequired[str | None]
    replaces: bool


class PushBody(TypedDict, total=False):
    projectName: str | None
    deploymentName: str | None
    modelLabel: str | None
    evaluationOptions: EvaluationOptions | None
    replace: bool


class TrainedModel(TypedDict):
    label: str
    modelId: str
    engine: str
    lastTrainedDateTime: str
    lastTrainingDurationInSeconds: int
    modelExpirationDate: NotRequired[str]
    modelTrainingConfigVersion: NotRequired[str]
    hasSnapshot: NotRequired[bool]


class CategoryFigures(TypedDict):
    f1: float
    precision: float
    recall: float
    truePositiveCount: int
    trueNegativeCount: int
    falsePositiveCount: int
    falseNegativeCount: int


class ConfusionCell(TypedDict):
    normalizedValue: float
    rawValue: float


class MultiLabelFigures(TypedDict):
    microF1: float
    microPrecision: float
    microRecall: float
    macroF1: float
    macroPrecision: float
    macroRecall: float
    classes: dict[str, CategoryFigures]


class SingleLabelFigures(MultiLabelFigures):
    confusionMatrix: dict[str, dict[str, ConfusionCell]]


class EntityFigures(TypedDict):
    microF1: float
    microPrecision: float
    microRecall: float
    macroF1: float
    macroPrecision: float
    macroRecall: float
    entities: dict[str, CategoryFigures]
    confusionMatrix: dict[str, dict[str, ConfusionCell]]


class EvaluationSummary(TypedDict):
    projectKind: ProjectKind
    evaluationOptions: EvaluationOptions
    customSingleLabelClassificationEvaluation: NotRequired[SingleLabelFigures | None]
    customMultiLabelClassificationEvaluation: NotRequired[MultiLabelFigures | None]
    customEntityRecognitionEvaluation: NotRequired[EntityFigures | None]
    warnings: NotRequired[list[Error] | None]


class SingleLabelResult(TypedDict):
    expectedClass: str
    predictedClass: str


class MultiLabelResult(TypedDict):
    expectedClasses: list[str]
    predictedClasses: list[str]


class EntityRegion(TypedDict):
    expectedEntities: list[Entity]
    predictedEntities: list[Entity]
    regionOffset: int
    regionLength: int


class EntityResult(TypedDict):
    entities: list[EntityRegion]


class DocumentEvaluation(TypedDict):
    projectKind: ProjectKind
    location: str
    language: str
    customSingleLabelClassificationResult: NotRequired[SingleLabelResult | None]
    customMultiLabelClassificationResult: NotRequired[MultiLabelResult | None]
    customEntityRecognitionResult: NotRequired[EntityResult | None]
