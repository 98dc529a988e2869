"""Jobs: long-running work, its states, and the parameters and results of each kind; of autolabel jobs, see rule A5."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from shared.domain.names import Dataset, ProjectKind, Studio
from shared.domain.project import OfProject, Project
from shared.domain.text import NO_TOKENS, Prices, Tokens
from shared.domain.training import EvaluationSplit, LeftOut, SplitKind, SplitOptions, TrainedModel
from shared.domain.transfers import ImportParameters, ImportResult, PushParameters, PushResult

EXPIRES_AFTER = timedelta(days=7)


class JobKind(StrEnum):
    AUTOLABEL = "autolabel"
    REGISTER = "register"
    SCAN = "scan"
    DELETION = "deletion"
    REVIEW = "review"
    UNDO = "undo"
    IMPORT = "import"
    EXPORT = "export"
    FIT = "fit"
    TRAIN = "train"
    EVALUATE = "evaluate"
    CONNECTION = "connection"
    PUSH = "push"


class JobStatus(StrEnum):
    NOT_STARTED = "notStarted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIALLY_COMPLETED = "partiallyCompleted"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self not in {JobStatus.NOT_STARTED, JobStatus.RUNNING, JobStatus.CANCELLING}


class Outcome(StrEnum):
    SUGGESTED = "suggested"
    NOTHING_FOUND = "nothingFound"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class JobError:
    code: str
    message: str
    target: str | None = None


CANCELED_BY_CALLER = JobError("Cancelled", "The job was canceled by a caller.")
TRAINING_SUCCEEDED = JobError(
    "TrainingSucceeded", "A training succeeded, which ends all suggestions that were not accepted."
)
REPLACED = JobError("ProjectReplaced", "The project was replaced by an import.")


@dataclass(frozen=True, slots=True)
class DocumentOutcome:
    document_id: str
    location: str
    outcome: Outcome
    error: JobError | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A contiguous range of pages of one job: pages `low` to before `high`, `planned` documents by the plan."""

    low: int
    high: int
    planned: int


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What the row of a finished batch contains. `left_out`: predictions of a service that were dropped."""

    outcomes: tuple[DocumentOutcome, ...] = ()
    text_records: int = 0
    error: JobError | None = None
    tokens: Tokens = NO_TOKENS
    left_out: int = 0
    counts: Mapping[str, int] | None = None  # of a bulk decision: matched, changed, conflicts


class JobSource(StrEnum):
    """Where the documents of an autolabel job come from: a request, pending uploads, or content that waits."""

    HTTP = "http"
    UPLOAD = "upload"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class NoParameters:
    """The parameters of a job that needs none: export, deletion."""


@dataclass(frozen=True, slots=True)
class AutolabelParameters:
    """`engine`, `model_label` and `categories`: as asked for until the job is planned, then what it uses.

    Planning adds the kind of the project, the blob with the model, the threshold in hundredths, what was reserved of
    the engine's budget (text records of a month), and of a service the name of its model, its prices and, unless the
    caller gave one, the limit of the job's cost. `edits`: how often categories had been renamed or removed when
    `categories` were named; `model_edits`: when the labels of the model were read.
    """

    model_label: str | None
    source: JobSource = JobSource.HTTP
    engine: str | None = None
    documents: tuple[str, ...] | None = None
    categories: tuple[str, ...] | None = None
    project_kind: ProjectKind | None = field(default=None, metadata={"key": "kind"})
    artifact: str | None = field(default=None, metadata={"key": "artefact"})  # as stored
    threshold: int | None = None
    reserved: int | None = None
    month: str | None = None
    prices: Prices | None = None
    cost_limit: float | None = None
    service_model: str | None = None
    edits: int = 0
    model_edits: int = 0


@dataclass(frozen=True, slots=True)
class RegisterParameters:
    source: JobSource = JobSource.UPLOAD


@dataclass(frozen=True, slots=True)
class ScanParameters:
    """`rounds`: how many times the container was listed so far; `confirm_removals`: a person confirms them.

    `folders`: only what is in these is compared, each with `/` at its end; none: the whole container. `retried`: of the
    blobs that could not be read, the last, in the order of names, that was inspected again; each is inspected once.
    """

    rounds: int = 0
    confirm_removals: bool = False
    folders: tuple[str, ...] = ()
    retried: str = ""


@dataclass(frozen=True, slots=True)
class BulkParameters:
    """A bulk decision on pending suggestions. Confidences in hundredths, inclusive; `edits`: as of an autolabel job."""

    by: str
    accept: bool
    low: int | None
    high: int | None
    categories: tuple[str, ...] | None
    from_job: str | None
    prefix: str | None
    dry_run: bool = False
    edits: int = 0
    #: Only entities with exactly this text.
    text: str | None = None
    #: Only of documents that are so now; `assignee` "": that are assigned to nobody.
    flagged: bool | None = None
    assignee: str | None = None
    dataset: Dataset | None = None


@dataclass(frozen=True, slots=True)
class UndoParameters:
    """`undoes`: id of the bulk decision; `documents`: how many it still holds for."""

    by: str
    undoes: str
    documents: int = 0


@dataclass(frozen=True, slots=True)
class FitParameters:
    """The engine to fit on the labels as they are when the job runs. `learned`: their digest when it was requested.
    `tries`: how many such jobs were given up, `failed`: how many of them for another reason than an outage of storage.
    """

    engine: str
    tries: int = 0
    learned: str = ""
    failed: int = 0


@dataclass(frozen=True, slots=True)
class TrainParameters:
    """`origin`: whose labels are meant. `model`: made and evaluated, and about to be visible: nothing stops it now."""

    model_label: str
    engine: str
    split: SplitKind
    testing: int
    origin: Studio | None
    model: TrainedModel | None = None

    @property
    def options(self) -> SplitOptions:
        return SplitOptions(self.split, self.testing)


@dataclass(frozen=True, slots=True)
class EvaluateParameters:
    model_label: str
    split: SplitKind
    testing: int

    @property
    def options(self) -> SplitOptions:
        return SplitOptions(self.split, self.testing)


@dataclass(frozen=True, slots=True)
class ConnectionParameters:
    """`actor`: who asked for the operation."""

    actor: str = ""


type Parameters = (
    NoParameters
    | AutolabelParameters
    | RegisterParameters
    | ScanParameters
    | BulkParameters
    | UndoParameters
    | ImportParameters
    | FitParameters
    | TrainParameters
    | EvaluateParameters
    | ConnectionParameters
    | PushParameters
)


@dataclass(frozen=True, slots=True)
class AutolabelResult:
    """`outcomes`: how many documents had each outcome so far. `tokens`, `cost`, `left_out` (predictions that were
    dropped) and `model` (its model or deployment) only of a service that has any.
    """

    engine: str | None
    model_label: str | None
    documents_total: int = 0
    documents_done: int = 0
    percent_complete: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict[str, int])
    text_records: int = 0
    tokens: Tokens | None = None
    cost: float | None = None
    left_out: int | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class ScanResult:
    """`inspections`: blobs recorded as pending uploads; `removals_held_back`: documents that await a confirmation."""

    blobs: int = 0
    new: int = 0
    changed: int = 0
    gone: int = 0
    inspections: int = field(default=0, metadata={"key": "looks"})  # as stored and answered
    listed_date_time: datetime | None = None  # when the listing was complete
    removals_held_back: int | None = None


@dataclass(frozen=True, slots=True)
class BulkResult:
    """Suggestions that matched and that were decided, those that a person must decide, and documents changed."""

    matched: int = 0
    changed: int = 0
    conflicts: int = 0
    documents: int = 0
    percent_complete: int = 0


@dataclass(frozen=True, slots=True)
class UndoResult:
    """Documents undone; `documents` and `conflicts` are added when the job is shown."""

    undone: int = 0
    percent_complete: int = 0
    documents: int | None = None
    conflicts: int | None = None


@dataclass(frozen=True, slots=True)
class ExportResult:
    """`file_id`: of the file, which has so many parts; each is a project file with some of the documents."""

    documents: int = 0
    parts: int = 0
    file_id: str = ""


@dataclass(frozen=True, slots=True)
class TrainingState:
    """One half of a training: fitting, or the evaluation after it."""

    percent_complete: int = 0
    status: JobStatus = JobStatus.NOT_STARTED
    start_date_time: datetime | None = None
    end_date_time: datetime | None = None

    def begun(self, now: datetime) -> "TrainingState":
        """A worker that continues after a crash keeps the start time of the first one."""
        start = self.start_date_time or now
        return TrainingState(self.percent_complete or 10, JobStatus.RUNNING, start)

    def succeeded(self, now: datetime) -> "TrainingState":
        return replace(self, percent_complete=100, status=JobStatus.SUCCEEDED, end_date_time=now)

    def stopped(self, status: JobStatus, now: datetime) -> "TrainingState":
        """The unfinished part keeps its percentage."""
        if self.status is JobStatus.SUCCEEDED:
            return self
        return replace(self, status=status, end_date_time=now)


@dataclass(frozen=True, slots=True)
class FitResult:
    """`labeled_documents`: how many the project has; times from the first read of a document to the stored model."""

    engine: str
    labeled_documents: int = 0
    training_status: TrainingState = field(default_factory=TrainingState)

    def stopped(self, status: JobStatus, now: datetime) -> "FitResult":
        return replace(self, training_status=self.training_status.stopped(status, now))


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Azure's result, the documents whose suggestions it ended (rule T4), and the labels that it does not use."""

    model_label: str
    training_config_version: str
    training_status: TrainingState | None = None
    evaluation_status: TrainingState | None = None
    suggestions_dropped: int | None = None
    left_out: tuple[LeftOut, ...] | None = None

    def fitting(self, now: datetime) -> "TrainResult":
        """The documents are read and the engine is fitted from `now` on."""
        return replace(self, training_status=(self.training_status or TrainingState()).begun(now))

    def evaluating(self, now: datetime) -> "TrainResult":
        """The model exists, and is evaluated from `now` on."""
        return replace(
            self,
            training_status=(self.training_status or TrainingState()).succeeded(now),
            evaluation_status=(self.evaluation_status or TrainingState()).begun(now),
        )

    def succeeded(self, now: datetime) -> "TrainResult":
        return replace(self, evaluation_status=(self.evaluation_status or TrainingState()).succeeded(now))

    def stopped(self, status: JobStatus, now: datetime) -> "TrainResult":
        """The training failed or was canceled."""
        fitting, evaluation = self.training_status, self.evaluation_status
        return replace(
            self,
            training_status=fitting and fitting.stopped(status, now),
            evaluation_status=evaluation and evaluation.stopped(status, now),
        )


@dataclass(frozen=True, slots=True)
class EvaluateResult:
    model_label: str
    training_config_version: str
    evaluation_options: EvaluationSplit
    percent_complete: int = 0
    left_out: tuple[LeftOut, ...] | None = None


@dataclass(frozen=True, slots=True)
class ConnectionResult:
    """`lines_rejected`: lines of the label file that could not be imported."""

    state: str
    active_studio: Studio
    documents_imported: int | None = None
    lines_rejected: int | None = None


type Result = (
    AutolabelResult
    | ScanResult
    | BulkResult
    | UndoResult
    | ExportResult
    | ImportResult
    | FitResult
    | TrainResult
    | EvaluateResult
    | ConnectionResult
    | PushResult
)


@dataclass(frozen=True, slots=True)
class Job(OfProject):
    """One long-running operation; `result` is what the API shows, None while there is nothing to show.

    `generation` and `edition` are those of the project when the job was made, or planned. `trace`: the `traceparent`
    of who made it; "" when nothing was recorded.
    """

    id: str
    kind: JobKind
    project: str
    incarnation: str
    edition: str
    created: datetime
    updated: datetime
    status: JobStatus = JobStatus.NOT_STARTED
    generation: int = 0
    parameters: Parameters = NoParameters()
    batches: tuple[Batch, ...] = ()
    result: Result | None = None
    errors: tuple[JobError, ...] = ()
    warnings: tuple[JobError, ...] = ()
    trace: str = field(default="", compare=False)
    etag: str = field(default="", compare=False)

    @classmethod
    def new(
        cls, kind: JobKind, job_id: str, project: Project, now: datetime, parameters: Parameters | None = None
    ) -> "Job":
        """A new job of a project in its current state."""
        job = cls.of_name(kind, job_id, project.name, project.incarnation, now, parameters or NoParameters())
        return replace(job, edition=project.edition, generation=project.generation)

    @classmethod
    def of_name(
        cls, kind: JobKind, job_id: str, name: str, incarnation: str, now: datetime, parameters: Parameters
    ) -> "Job":
        """A new job of a project that is not read, because it may not exist yet, or no longer."""
        return cls(job_id, kind, name, incarnation, "", now, now, parameters=parameters)

    @property
    def expires(self) -> datetime:
        return self.created + EXPIRES_AFTER

    @property
    def source(self) -> JobSource | None:
        """Where the documents of an autolabel or register job come from."""
        parameters = self.parameters
        return parameters.source if isinstance(parameters, AutolabelParameters | RegisterParameters) else None

    def parameters_as[P](self, kind: type[P]) -> P:
        """The parameters as those of a kind of job. Raises TypeError when they are not."""
        if not isinstance(self.parameters, kind):
            raise TypeError(f"The parameters of the {self.kind} job {self.id} are not {kind.__name__}.")
        return self.parameters

    def result_as[R](self, kind: type[R]) -> R | None:
        """The result as that of a kind of job; None while there is none."""
        return self.result if isinstance(self.result, kind) else None

    def is_current(self, project: Project) -> bool:
        """Whether no import replaced the content, and no training ended the suggestions, that the job is about."""
        return (project.incarnation, project.edition, project.generation) == (
            self.incarnation,
            self.edition,
            self.generation,
        )


#: The code of a document that the content filter of a service refused.
CONTENT_FILTERED: Final = "ContentFiltered"


def ended_status(counts: Mapping[str, int], *, canceled: bool, filtered: bool = False) -> JobStatus:
    """How a batch job ends (rules A5, A12): an empty selection succeeds, all failed is failed, some failed is partial.

    `filtered`: the content filter of a service refused a document. Then also all failed is partial: it did its work.
    """
    if canceled:
        return JobStatus.CANCELLED
    failed, total = counts.get(Outcome.FAILED, 0), sum(counts.values())
    if not failed:
        return JobStatus.SUCCEEDED
    return JobStatus.FAILED if failed == total and not filtered else JobStatus.PARTIALLY_COMPLETED
