"""Import and push of projects: parameters and results of their jobs."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.domain.names import ProjectKind
from shared.domain.project import Project
from shared.domain.training import SplitKind, SplitOptions


@dataclass(frozen=True, slots=True)
class ImportSource:
    """A blob with a project file, as it was when the import was asked for."""

    container: str
    blob: str
    etag: str


@dataclass(frozen=True, slots=True)
class ImportParameters:
    """`places`: incarnations that pages were written to; `landed`: the incarnation that the import became visible in;
    `source`: the blob of a file that is not copied yet.
    """

    by: str = ""
    places: tuple[str, ...] = ()
    landed: str | None = None
    source: ImportSource | None = None

    def landed_in(self, project: Project) -> bool:
        return self.landed == project.incarnation


@dataclass(frozen=True, slots=True)
class ImportResult:
    documents: int = 0
    categories: int = 0


class PushStep(StrEnum):
    """What a push does in the Language resource, in this order."""

    IMPORT = "import"
    TRAIN = "train"
    DEPLOY = "deploy"


@dataclass(frozen=True, slots=True)
class PushParameters:
    """Where a project is pushed, and the progress.

    `operation` is the id of the service's job of the step, "" until there is one; `begun` is when the step began, and
    `tries` counts the polls. `project_kind` is the kind that was imported, `imported` when the service's job of
    the import was created, by the clock of the service. `endpoint` is the address of the resource, "" in jobs of a
    former version. `edits` is `Project.edits` of what was imported.
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
    edits: int | None = None
    tries: int = 0
    endpoint: str = ""

    @property
    def imported_there(self) -> bool:
        """Whether the project in the resource is, or may be, what this push imported."""
        return self.step is not PushStep.IMPORT or bool(self.operation)

    @property
    def deployed_there(self) -> bool:
        """Whether the deployment in the resource is, or may be, of this push."""
        return self.step is PushStep.DEPLOY and bool(self.operation)

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
