"""Queue messages: references to work, never text; small, of one version, and understood from whatever queue."""

from functools import cache
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared import telemetry
from shared.domain.jobs import Job, JobKind
from shared.domain.project import OfProject

#: Queues by kind of work, for a plan that scales each function alone: short steps, engines, and CPU work.
WORK_QUEUE = "work"
BATCH_QUEUE = "batches"
FIT_QUEUE = "fit"
QUEUES = (WORK_QUEUE, BATCH_QUEUE, FIT_QUEUE)
#: Events that wait to be sent to receivers.
EVENT_QUEUE = "events"
#: Queues of the version before, whose messages are still understood.
FORMER_QUEUES = ("autolabel-plan", "autolabel-batch", "jobs", "training", "review-bulk", "connection")

#: Names and ids as we make them, so that what is put into a key of storage fits one.
type Id = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.-]+$")]


class Message(OfProject, BaseModel):
    """Names a project and the incarnation that was meant: what is left over of a deleted one touches nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    v: Literal[1] = 1
    project: Id
    incarnation: Id
    #: 1 for the first delivery; a message that failed is sent again with the next number.
    attempt: Annotated[int, Field(ge=1)] = 1
    #: The `traceparent` of who sent the message; "" when nothing is recorded.
    trace: str = Field(default_factory=telemetry.trace, max_length=100)


class PlanMessage(Message):
    """Look for what waits in a project: uploads seen, content not planned."""

    id: Id


class BatchMessage(Message):
    """Run one batch of a job."""

    kind: JobKind
    job: Id
    number: Annotated[int, Field(ge=0, le=100_000)]

    @classmethod
    def of(cls, job: Job, number: int, attempt: int = 1) -> "BatchMessage":
        return cls(
            project=job.project,
            incarnation=job.incarnation,
            kind=job.kind,
            job=job.id,
            number=number,
            attempt=attempt,
        )


class JobMessage(Message):
    """Start, or go on with, a job."""

    kind: Id
    job: Id

    @classmethod
    def of(cls, job: Job) -> "JobMessage":
        return cls(project=job.project, incarnation=job.incarnation, kind=job.kind, job=job.id)


type EventTable = Literal["projects", "connections"]


class EventMessage(BaseModel):
    """Send the events of one row of an outbox."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    v: Literal[1] = 1
    table: EventTable
    partition: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[$A-Za-z0-9_.-]+$")]
    id: Id
    trace: str = Field(default_factory=telemetry.trace, max_length=100)


class BadMessage(Exception):
    """The message cannot be read, now or later."""


#: A message by its fields: a batch has a number, a job has a kind, and a plan has neither.
type Work = BatchMessage | JobMessage | PlanMessage


@cache
def _any_message() -> TypeAdapter[Work]:
    return TypeAdapter(Annotated[Work, Field(union_mode="left_to_right")])


def parse(body: str) -> Work:
    """Raises BadMessage."""
    try:
        return _any_message().validate_json(body)
    except ValidationError as error:
        raise BadMessage(f"Not a message of this app ({error.error_count()} validation errors).") from error


def parse_event(body: str) -> EventMessage:
    """Raises BadMessage."""
    try:
        return EventMessage.model_validate_json(body)
    except ValidationError as error:
        raise BadMessage(f"Not a message of this app ({error.error_count()} validation errors).") from error


def queue_of(message: Work) -> str:
    """The queue for this work."""
    match message:
        case BatchMessage(kind=JobKind.REVIEW | JobKind.UNDO):
            return WORK_QUEUE
        case BatchMessage():
            return BATCH_QUEUE
        case JobMessage(kind=JobKind.FIT | JobKind.TRAIN | JobKind.EVALUATE):
            return FIT_QUEUE
        case _:
            return WORK_QUEUE
