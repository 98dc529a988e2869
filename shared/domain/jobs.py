"""Long-running work: its states, and what an autolabel job says of each document (rule A5)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

EXPIRES_AFTER = timedelta(days=7)


class JobKind(StrEnum):
    AUTOLABEL = "autolabel"
    REGISTER = "register"
    SCAN = "scan"
    DELETION = "deletion"
    CANCEL = "cancel"
    REVIEW = "review"
    UNDO = "undo"
    IMPORT = "import"
    EXPORT = "export"
    TRAIN = "train"
    EVALUATE = "evaluate"
    CONNECTION = "connection"


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
        return self in _ENDED


_ENDED = frozenset(
    {JobStatus.SUCCEEDED, JobStatus.PARTIALLY_COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}
)


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


#: Why a job ended that nobody cancelled.
TRAINING_STARTED = JobError(
    "TrainingStarted", "Training began, which ends all suggestions that were not accepted."
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
    """What the row of a batch holds when it is done."""

    outcomes: tuple[DocumentOutcome, ...] = ()
    text_records: int = 0
    error: JobError | None = None
    #: What a bulk decision counts instead of outcomes: matched, changed, conflicts.
    counts: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One long-running operation. `parameters` is what its runner needs, `result` what its answer shows (JSON)."""

    id: str
    kind: JobKind
    project: str
    incarnation: str
    edition: str
    created: datetime
    updated: datetime
    status: JobStatus = JobStatus.NOT_STARTED
    generation: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    batches: tuple[Batch, ...] = ()
    result: Mapping[str, Any] = field(default_factory=dict[str, Any])
    errors: tuple[JobError, ...] = ()
    warnings: tuple[JobError, ...] = ()
    etag: str = field(default="", compare=False)

    @property
    def expires(self) -> datetime:
        return self.created + EXPIRES_AFTER


def count_outcomes(outcomes: Iterable[DocumentOutcome]) -> dict[str, int]:
    counts = Counter(o.outcome for o in outcomes)
    return {outcome.value: counts[outcome] for outcome in Outcome}


def ended_status(counts: Mapping[str, int], *, cancelled: bool) -> JobStatus:
    """How a batch job ends (rule A5): an empty selection succeeds, all failed is failed, some failed is partial."""
    if cancelled:
        return JobStatus.CANCELLED
    failed, total = counts.get(Outcome.FAILED, 0), sum(counts.values())
    if not failed:
        return JobStatus.SUCCEEDED
    return JobStatus.FAILED if failed == total else JobStatus.PARTIALLY_COMPLETED
