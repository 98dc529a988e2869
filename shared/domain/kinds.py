"""The closed sets of words that the API, the storage and the rules share."""

from enum import StrEnum


class ProjectKind(StrEnum):
    """What a project labels. Azure writes the names in two cases, so `parse` ignores case."""

    SINGLE_LABEL = "CustomSingleLabelClassification"
    MULTI_LABEL = "CustomMultiLabelClassification"
    ENTITIES = "CustomEntityRecognition"

    @classmethod
    def parse(cls, text: str) -> "ProjectKind | None":
        return next((kind for kind in cls if kind.lower() == text.lower()), None)

    @property
    def label_field(self) -> str:
        """Name of the label field of a document, on the wire and in the Azure project file."""
        return _LABEL_FIELDS[self]

    @property
    def category_list(self) -> str:
        """Name of the list of categories in the assets of the Azure project file."""
        return "entities" if self is ProjectKind.ENTITIES else "classes"


_LABEL_FIELDS = {
    ProjectKind.SINGLE_LABEL: "class",
    ProjectKind.MULTI_LABEL: "classes",
    ProjectKind.ENTITIES: "entities",
}


class Dataset(StrEnum):
    TRAIN = "Train"
    TEST = "Test"


class DocumentStatus(StrEnum):
    UNLABELED = "unlabeled"
    AUTO_LABELED = "autoLabeled"
    LABELED = "labeled"
    REJECTED = "rejected"


class Studio(StrEnum):
    """Where people label: here, or in the connected Azure Machine Learning labeling project."""

    LANGUAGE_STUDIO = "languageStudio"
    AZURE_ML = "azureMachineLearning"
