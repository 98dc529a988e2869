"""A push of a project to an Azure Language resource: what its job is asked to do, and how far it is."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.domain.names import ProjectKind
from shared.domain.training import SplitKind, SplitOptions


class PushStep(StrEnum):
    """What a push does in the Language resource, in this order."""

    IMPORT = "import"
    TRAIN = "train"
    DEPLOY = "deploy"


@dataclass(frozen=True, slots=True)
class PushParameters:
    """Where a project is pushed, and how far that is.

    `operation` is the id of the service's job of the step, "" until there is one; `begun` is when the step began, and
    `tries` counts the polls. `project_kind` is the kind that was imported, `imported` when the service's job of
    the import was created, by the clock of the service.
    """

    project_name: str
    deployment_name: str
    model_label: str
    split: SplitKind
    testing: int
    project_kind: ProjectKind | None = None
    step: PushStep = PushStep.IMPORT
    operation: str = ""
    begun: datetime | None = None
    imported: str = ""
    tries: int = 0

    @property
    def options(self) -> SplitOptions:
        return SplitOptions(self.split, self.testing)


@dataclass(frozen=True, slots=True)
class PushResult:
    """Names in the Language resource; `documents` were imported there. `waiting_for`: why the step has not ended."""

    project_name: str
    deployment_name: str
    model_label: str
    step: PushStep = PushStep.IMPORT
    percent_complete: int = 0
    documents: int | None = None
    waiting_for: str | None = None
