"""Queue messages: references to work, never text. One version, one shape for each queue."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.domain.jobs import JobKind

PLAN_QUEUE = "autolabel-plan"
BATCH_QUEUE = "autolabel-batch"
TRAINING_QUEUE = "training"
REVIEW_QUEUE = "review-bulk"
CONNECTION_QUEUE = "connection"
JOB_QUEUE = "jobs"
QUEUES = (PLAN_QUEUE, BATCH_QUEUE, TRAINING_QUEUE, REVIEW_QUEUE, CONNECTION_QUEUE, JOB_QUEUE)

#: Names and ids as we make them, so that what is put into a key of storage fits one.
type Id = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.-]+$")]


class Message(BaseModel):
    """Names a project and the incarnation that was meant: what is left over of a deleted one touches nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = 1
    project: Id
    incarnation: Id


class PlanMessage(Message):
    """Look for what waits in a project: uploads seen, content not planned."""

    id: Id


class BatchMessage(Message):
    """Run one batch of a job."""

    kind: JobKind
    job: Id
    number: Annotated[int, Field(ge=0, le=100_000)]


class JobMessage(Message):
    """Start, or go on with, a job."""

    kind: Id
    job: Id


class BadMessage(Exception):
    """The message cannot be read, and never will be."""


def parse[M: Message](kind: type[M], body: str) -> M:
    """Raises BadMessage."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise BadMessage(f"Not a {kind.__name__}: {error.error_count()} faults.") from error
