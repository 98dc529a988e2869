"""An AML labeling job on the wire: the body that makes one, and what its state means for us.

Fields of API version 2024-01-01-preview; the combination with media type Text follows from them, no example
shows it.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, cast

from shared.domain.kinds import ProjectKind
from shared.studios.base import Site, StudioFailed, Waiting

TAG: Final = "labelbridge"
ASK_AGAIN: Final = 5
_READ_ONLY: Final = frozenset(
    {"status", "provisioningState", "projectId", "createdDateTime", "progressMetrics", "statusMessages"}
)

type LabelingJob = Mapping[str, Any]


class Door(Enum):
    """What the 15 states of a labeling job mean for whether people can label in it."""

    OPEN = "open"
    SHUT = "shut"
    MOVING = "moving"
    BROKEN = "broken"


DOORS: Final = {
    "NotStarted": Door.MOVING,
    "Starting": Door.MOVING,
    "Provisioning": Door.MOVING,
    "Preparing": Door.MOVING,
    "Queued": Door.MOVING,
    "Scheduled": Door.MOVING,
    "Running": Door.OPEN,
    "Finalizing": Door.MOVING,
    "CancelRequested": Door.MOVING,
    "Completed": Door.SHUT,
    "Paused": Door.SHUT,
    "Failed": Door.BROKEN,
    "Canceled": Door.BROKEN,
    "NotResponding": Door.MOVING,
    "Unknown": Door.MOVING,
}


def labeling_job(site: Site, data_id: str) -> dict[str, Any]:
    """The body that makes the labeling project."""
    entities = site.kind is ProjectKind.ENTITIES
    several = site.kind is ProjectKind.MULTI_LABEL
    classes: dict[str, Any] = {name: {"displayName": name, "subclasses": {}} for name in site.categories}
    properties: dict[str, Any] = {
        "jobType": "Labeling",
        "description": f"Labeling of the project '{site.project}'",
        "tags": {TAG: site.owner},
        "properties": {},
        "dataConfiguration": {"dataId": data_id, "incrementalDataRefresh": "Enabled"},
        "labelCategories": {
            "labels": {
                "displayName": "labels",
                "multiSelect": "Enabled" if several else "Disabled",
                "classes": classes,
            }
        },
        "labelingJobMediaProperties": {
            "mediaType": "Text",
            "annotationType": "NamedEntityRecognition" if entities else "Classification",
        },
        "mlAssistConfiguration": {"mlAssist": "Disabled"},
    }
    if site.bond.instructions and is_link(site.bond.instructions):
        properties["jobInstructions"] = {"uri": site.bond.instructions}
    return {"properties": properties}


def is_link(text: str) -> bool:
    return text.startswith("https://") and not any(c.isspace() for c in text)


def status(job: LabelingJob) -> str:
    return str(job["properties"].get("status", "Unknown"))


def door(job: LabelingJob) -> Door:
    if job["properties"].get("provisioningState") in {"Failed", "Canceled"}:
        return Door.BROKEN
    return DOORS.get(status(job), Door.MOVING)


def owner(job: LabelingJob) -> str | None:
    tags = cast("Mapping[str, str]", job["properties"].get("tags") or {})
    return tags.get(TAG)


def ready(job: LabelingJob) -> Waiting | None:
    match door(job):
        case Door.MOVING:
            return waiting(job, "to be made")
        case Door.BROKEN:
            raise broken(job)
        case _:
            return None


def waiting(job: LabelingJob, what: str) -> Waiting:
    return Waiting(ASK_AGAIN, f"The labeling project is waited for {what} (it is '{status(job)}').")


def broken(job: LabelingJob) -> StudioFailed:
    messages = cast("list[Mapping[str, Any]]", job["properties"].get("statusMessages") or [])
    told = " ".join(str(m.get("message", ""))[:300] for m in messages if m.get("level") == "Error")
    state = status(job)
    return StudioFailed(
        "LabelingJobFailed", f"The labeling project is '{state}': {told or 'Azure gives no reason.'}"
    )


def writable(job: LabelingJob) -> dict[str, Any]:
    """The body to write back, without what is read-only."""
    return {"properties": {k: v for k, v in job["properties"].items() if k not in _READ_ONLY}}
