"""The evaluation of a model on the wire: the summary, and the result of each test document (FACTS A).

The engine's evaluation writes this JSON; the models say what it is, and OpenAPI is made from them.
"""

from typing import Annotated

from pydantic import Field

from shared.domain.kinds import ProjectKind
from shared.wire.training import Answer, EvaluationOptionsModel

type Share = Annotated[float, Field(ge=0, le=1)]
type Count = Annotated[int, Field(ge=0)]


class CategoryFiguresModel(Answer):
    """How well one category is found. Of spans there are no true negatives: 0."""

    f1: Share
    precision: Share
    recall: Share
    true_positive_count: Count
    true_negative_count: Count
    false_positive_count: Count
    false_negative_count: Count


class ConfusionCellModel(Answer):
    """How often the row was taken for the column; normalised: in percent of the row."""

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
    """Answer of `summary-result`; of the three fields that of the project's kind is there."""

    project_kind: ProjectKind
    evaluation_options: EvaluationOptionsModel
    custom_single_label_classification_evaluation: SingleLabelFiguresModel | None = None
    custom_multi_label_classification_evaluation: MultiLabelFiguresModel | None = None
    custom_entity_recognition_evaluation: EntityFiguresModel | None = None


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
