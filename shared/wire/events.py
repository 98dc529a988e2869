"""Outgoing events, as CloudEvents 1.0. They hold names, ids, counts and states, never text.

An id follows from what happened, so that an event that is made or sent twice has the same id twice.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import batched
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from shared.domain.jobs import AutolabelResult, Job, JobKind, JobStatus, Outcome, TrainParameters
from shared.domain.names import EventType, derived_job_id
from shared.wire.api import Names
from shared.wire.json_codec import Strict, Wire, moment

if TYPE_CHECKING:
    from shared.domain.page import Action, HistoryEntry


@dataclass(frozen=True, slots=True)
class Event:
    """`subject`: what it is about, below its project; `data`: JSON."""

    id: str
    type: EventType
    project: str
    subject: str
    time: datetime
    data: Mapping[str, Any]


#: Documents of one event; a transaction that changes more has several.
MAX_EVENT_DOCUMENTS: Final = 500


@cache
def _labeling() -> "frozenset[Action]":
    """The changes of a document that change its labels."""
    from shared.domain.page import Action  # imported late: nothing needs pages when a worker starts

    return frozenset(
        {
            Action.DECIDED,
            Action.DECISION_UNDONE,
            Action.LABELS_SET,
            Action.LABELS_UNDONE,
            Action.LABELS_IMPORTED,
            Action.LABELS_ADOPTED,
            Action.CATEGORY_RENAMED,
            Action.CATEGORY_REMOVED,
        }
    )


def cloud_event(event: Event) -> dict[str, Any]:
    """The event in the JSON format of CloudEvents. `source` is the path of the project in the API."""
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": source_of(event),
        "type": event.type.value,
        "subject": event.subject,
        "time": moment(event.time),
        "datacontenttype": "application/json",
        "data": {"projectName": event.project, **event.data},
    }


def source_of(event: Event) -> str:
    return f"/language/authoring/analyze-text/projects/{event.project}"


def of_job(job: Job) -> Iterator[Event]:
    """The events of a job's end; none while it has not ended."""
    if not job.status.ended:
        return
    codes = list(dict.fromkeys(error.code for error in job.errors))
    data: dict[str, Any] = {
        "jobId": job.id,
        "kind": job.kind.value,
        "status": job.status.value,
        "createdDateTime": moment(job.created),
        "errorCodes": codes,
    }
    labeling = job.result_as(AutolabelResult)
    if labeling is not None:
        data["outcomes"] = dict(labeling.outcomes)
    yield _of_job(job, EventType.JOB_FINISHED, f"jobs/{job.kind}/{job.id}", data)
    suggested = labeling.outcomes.get(Outcome.SUGGESTED, 0) if labeling else 0
    if labeling is not None and suggested and job.status in _USABLE:
        engine = {"engine": labeling.engine, "modelLabel": labeling.model_label}
        ready = {"jobId": job.id, "documents": suggested, **engine}
        yield _of_job(job, EventType.SUGGESTIONS_READY, f"jobs/{job.kind}/{job.id}", ready)
    if job.kind is JobKind.TRAIN and job.status is JobStatus.SUCCEEDED:
        asked = job.parameters_as(TrainParameters)
        model = {"modelLabel": asked.model_label, "jobId": job.id, "engine": asked.engine}
        yield _of_job(job, EventType.MODEL_TRAINED, f"models/{asked.model_label}", model)


_USABLE: Final = frozenset({JobStatus.SUCCEEDED, JobStatus.PARTIALLY_COMPLETED})


def _of_job(job: Job, kind: EventType, subject: str, data: Mapping[str, Any]) -> Event:
    key = derived_job_id(kind, job.incarnation, job.kind, job.id)
    return Event(key, kind, job.project, subject, job.updated, data)


def of_labels(
    project: str, write: tuple[str, ...], at: datetime, changes: "Iterable[HistoryEntry]"
) -> Iterator[Event]:
    """The documents whose labels one transaction changed. `write` names the transaction, and no other."""
    labeled = ({"id": c.document_id, "action": c.action.value} for c in changes if c.action in _labeling())
    for number, documents in enumerate(batched(labeled, MAX_EVENT_DOCUMENTS, strict=False)):
        key = derived_job_id(EventType.LABELS_SAVED, *write, str(number))
        yield Event(key, EventType.LABELS_SAVED, project, "documents", at, {"documents": list(documents)})


# Dead letters


class CloudEventModel(Wire):
    """An event in the JSON format of CloudEvents 1.0; docs/events.md describes `data` for each type."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: EventType
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"]
    data: dict[str, Any]


class DeadLetterModel(Wire):
    """An event that a receiver did not accept; `reason` is that of the last attempt."""

    id: str
    receiver: str
    attempts: int
    reason: str
    failed_date_time: datetime
    event: CloudEventModel


class DeadLetterList(Wire):
    value: list[DeadLetterModel]
    continuation_token: str | None = None


class DeadLetterQuery(Wire):
    top: Annotated[int, Field(ge=1, le=1_000)] = 100
    continuation_token: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] | None = None


class ResendBody(Strict):
    """The dead letters to send again; without `ids` all, up to 100."""

    needs_body: ClassVar[bool] = True

    ids: Annotated[Names, Field(min_length=1, max_length=100)] | None = None


class Resent(Wire):
    """How many dead letters were sent again; 0: there are no more whose receiver is in the settings."""

    resent: int
