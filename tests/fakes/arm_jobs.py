"""A labeling job as the fake Resource Manager keeps it, and what Azure asks of its body."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STATES = [
    "NotStarted",
    "Starting",
    "Provisioning",
    "Preparing",
    "Queued",
    "Running",
    "Finalizing",
    "CancelRequested",
    "Completed",
    "Failed",
    "Canceled",
    "NotResponding",
    "Paused",
    "Unknown",
    "Scheduled",
]


@dataclass
class FakeJob:
    name: str
    body: dict[str, Any]
    #: States still to go through, one with each GET; the last one stays.
    path: list[str]
    labels: dict[str, Any] = field(default_factory=dict[str, Any])
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    exports: int = 0

    @property
    def status(self) -> str:
        return self.path[0]

    def wire(self, workspace: str) -> dict[str, Any]:
        read_only = {
            "status": self.status,
            "provisioningState": "InProgress" if len(self.path) > 1 else "Succeeded",
            "projectId": "33333333-3333-3333-3333-333333333333",
            "createdDateTime": "2026-01-01T00:00:00Z",
            "progressMetrics": {
                "totalDatapointCount": 10,
                "completedDatapointCount": len(self.labels),
                "skippedDatapointCount": 0,
            },
            "statusMessages": self.messages,
        }
        if self.status in {"Failed", "Canceled"}:
            read_only["provisioningState"] = "Succeeded"
        return {
            "id": f"{workspace}/labelingJobs/{self.name}",
            "name": self.name,
            "properties": self.body | read_only,
        }


def body_error(body: Mapping[str, Any]) -> str | None:
    """Azure refuses a body without these; the fake refuses it too, so that the client sends them."""
    media = body.get("labelingJobMediaProperties", {})
    if body.get("jobType") != "Labeling" or media.get("mediaType") != "Text":
        return "jobType must be Labeling and mediaType Text."
    if media.get("annotationType") not in {"Classification", "NamedEntityRecognition"}:
        return "annotationType is not one of a text project."
    if not body.get("dataConfiguration", {}).get("dataId") or not body.get("labelCategories"):
        return "dataConfiguration.dataId and labelCategories are required."
    if {"status", "projectId", "provisioningState"} & set(body):
        return "A read-only property was sent."
    uri = body.get("jobInstructions", {}).get("uri", "https://ok")
    return None if uri.startswith("https://") else "jobInstructions.uri must be a link."
