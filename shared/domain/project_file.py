"""The contents of an Azure project file as domain objects: a project without its history."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.domain.jobs import JobError
from shared.domain.labels import Labels
from shared.domain.names import Dataset, ProjectKind
from shared.domain.project import Category, ProjectSettings


@dataclass(frozen=True, slots=True)
class ProjectDetails:
    """The `metadata` of a project file."""

    name: str
    kind: ProjectKind
    container: str
    language: str
    multilingual: bool = False
    description: str = ""
    settings: ProjectSettings = field(default_factory=ProjectSettings)


@dataclass(frozen=True, slots=True)
class LabeledDocument:
    """A document as a file of labels knows it.

    `labels` None is "unlabeled", empty ones are "labeled with nothing" (rule D6).
    """

    location: str
    language: str
    dataset: Dataset
    labels: Labels | None


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A whole project file, valid in itself. `warnings` are for the job that imports it."""

    details: ProjectDetails
    categories: tuple[Category, ...]
    documents: Sequence[LabeledDocument]
    warnings: tuple[JobError, ...] = ()
