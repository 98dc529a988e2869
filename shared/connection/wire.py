"""Request and response bodies of the connection."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from shared.connection.binding import Binding, StudioKind
from shared.connection.state import Connection, LogEntry, State
from shared.domain.names import Studio
from shared.wire.aml_jsonl import OffsetUnit
from shared.wire.api import job_error_json
from shared.wire.json_codec import Strict, Wire, moment, to_json

if TYPE_CHECKING:
    from shared.connection.conditions import Condition


class VendorModel(Strict):
    """A vendor that labels. The contract must already exist."""

    name: Annotated[str, Field(min_length=1, max_length=200)]


class ConnectBody(Strict):
    """Body of PUT connection and of `:check`. For the studio `workspace`, `workspaceId` is a container."""

    studio: Literal["azure-ml", "workspace"]
    workspace_id: Annotated[str, Field(max_length=1_000)]
    aml_project_name: Annotated[str, Field(max_length=300)]
    vendor: VendorModel | None = None
    instructions: Annotated[str, Field(max_length=4_000)] | None = None

    def binding(self) -> Binding:
        vendor = self.vendor.name if self.vendor else None
        kind = StudioKind(self.studio)
        return Binding(kind, self.workspace_id, self.aml_project_name, vendor, self.instructions or None)


class SwitchBody(Strict):
    """Body of `:switch`."""

    to: Studio


class DisconnectBody(Strict):
    """Body of `:disconnect`. `confirm` is the name of the labeling project."""

    confirm: Annotated[str, Field(max_length=300)] = ""
    discard_unsynced_labels: bool = False


class LabelsFileModel(Strict):
    """A label file in this storage account."""

    container_name: Annotated[str, Field(min_length=3, max_length=63)]
    blob_name: Annotated[str, Field(min_length=1, max_length=1_024)]


class ImportLabelsBody(Strict):
    """Body of `:import-labels`. `testPercentage` of the documents, chosen by name, become the test set."""

    metadata: dict[str, Any]
    labels_file: LabelsFileModel
    offset_unit: OffsetUnit = OffsetUnit.UTF16
    datastore_name: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    test_percentage: Annotated[int, Field(ge=0, le=100)] = 0


class ConnectionModel(Wire):
    """A connection. `unsyncedLabels`: documents labeled in AML since the last import, if known."""

    state: State
    active_studio: Studio
    studio: StudioKind | None = None
    workspace_id: str | None = None
    aml_project_name: str | None = None
    aml_project_path: str | None = None
    last_imported_date_time: datetime | None = None
    unsynced_labels: int | None = None
    pending_step: str | None = None
    waiting_for: str | None = None
    error: dict[str, Any] | None = None
    warnings: list[dict[str, Any]] | None = None


class ConditionModel(Wire):
    code: str
    met: bool
    message: str
    target: str | None = None


class CheckAnswer(Wire):
    """All conditions of connecting, and whether all are met."""

    connectable: bool
    conditions: list[ConditionModel]


class ConnectionEvent(Wire):
    date_time: datetime
    by: str
    details: dict[str, Any]


class ConnectionHistory(Wire):
    value: list[ConnectionEvent]


def connection_json(connection: Connection, unsynced: int | None) -> dict[str, Any]:
    binding = connection.binding
    data: dict[str, Any] = {"state": connection.state.value, "activeStudio": connection.active.value}
    if binding is not None:
        data |= {
            "studio": binding.studio.value,
            "workspaceId": binding.workspace_id,
            "amlProjectName": binding.name,
            "amlProjectPath": binding.path,
        }
    if connection.last_imported is not None:
        data["lastImportedDateTime"] = moment(connection.last_imported)
    if unsynced is not None and connection.bound:
        data["unsyncedLabels"] = unsynced
    if connection.step is not None:
        data["pendingStep"] = connection.step.value
    if connection.waiting:
        data["waitingFor"] = connection.waiting
    if connection.error is not None:
        data["error"] = job_error_json(connection.error)
    if connection.warnings:
        data["warnings"] = [job_error_json(warning) for warning in connection.warnings]
    return data


def event_json(entry: LogEntry) -> dict[str, Any]:
    return {"dateTime": moment(entry.at), "by": entry.actor, "details": to_json(entry.transition)}


def check_json(conditions: "list[Condition]") -> dict[str, Any]:
    values: list[dict[str, Any]] = [
        {"code": c.code, "met": c.met, "message": c.message} | ({"target": c.target} if c.target else {})
        for c in conditions
    ]
    return {"connectable": all(c.met for c in conditions), "conditions": values}
