"""HTTP: the connection with a labeling studio, and a new project from its label file."""

from functions.http import Call, P, Routes
from functions.reply import Reply
from shared.domain.jobs import Job
from shared.services.import_labels import LabelsRequest
from shared.wire.answers import job_json, moment
from shared.wire.api import JobModel
from shared.wire.connection import (
    CheckAnswer,
    ConnectBody,
    ConnectionHistory,
    ConnectionModel,
    DisconnectBody,
    ImportLabelsBody,
    SwitchBody,
    check_json,
    connection_json,
)

routes = Routes()
CONNECTION = f"{P}/connection"


@routes.add("GET", CONNECTION, {200: ConnectionModel})
async def get_connection(call: Call) -> Reply:
    """Get the connection of a project: its state, the active studio, and how many labels wait to be imported."""
    view = await call.container.connection.get(call.project_name)
    return Reply(200, connection_json(view.connection, view.unsynced))


@routes.add("POST", f"{CONNECTION}/:check", {200: CheckAnswer})
async def check_connection(call: Call, body: ConnectBody) -> Reply:
    """Check all conditions of connecting; nothing is changed."""
    return Reply(200, check_json(await call.container.connection.check(call.project_name, body.bond())))


@routes.add("PUT", CONNECTION, {202: None}, headers=("operation-location",))
async def put_connection(call: Call, body: ConnectBody) -> Reply:
    """Connect the project with a new labeling project."""
    job = await call.container.connection.connect(
        call.project_name, body.bond(), call.caller.name, call.job_id()
    )
    return _accepted(call, job)


@routes.add("POST", f"{CONNECTION}/:switch", {202: None}, headers=("operation-location",))
async def switch_connection(call: Call, body: SwitchBody) -> Reply:
    """Switch labeling to the other studio."""
    caller = await call.container.caller_credential(call.caller)
    job = await call.container.connection.switch(
        call.project_name, body.to, call.caller.name, call.job_id(), caller
    )
    return _accepted(call, job)


@routes.add("POST", f"{CONNECTION}/:sync", {202: None}, headers=("operation-location",))
async def sync_connection(call: Call) -> Reply:
    """Import the latest labels of the labeling project."""
    job = await call.container.connection.sync(call.project_name, call.caller.name, call.job_id())
    return _accepted(call, job)


@routes.add("POST", f"{CONNECTION}/:disconnect", {202: None}, headers=("operation-location",))
async def disconnect_connection(call: Call, body: DisconnectBody) -> Reply:
    """Disconnect for ever: the labeling project can never be connected again."""
    job = await call.container.connection.disconnect(
        call.project_name, body.confirm, body.discard_unsynced_labels, call.caller.name, call.job_id()
    )
    return _accepted(call, job)


@routes.add("GET", f"{CONNECTION}/history", {200: ConnectionHistory})
async def get_connection_history(call: Call) -> Reply:
    """List what happened to the connection, newest first."""
    entries = await call.container.connection.history(call.project_name)
    value = [{"dateTime": moment(e.at), "by": e.actor, "details": dict(e.facts)} for e in entries]
    return Reply(200, {"value": value})


@routes.add("GET", f"{CONNECTION}/jobs/{{jobId}}", {200: JobModel})
async def get_connection_job(call: Call) -> Reply:
    """Get the state of an operation on the connection."""
    job = await call.container.connection.job(call.project_name, call.path("jobId"))
    return Reply(200, job_json(job), {} if job.status.ended else {"Retry-After": "1"})


@routes.add("POST", f"{P}/:import-labels", {202: None}, headers=("operation-location",))
async def import_labels(call: Call, body: ImportLabelsBody) -> Reply:
    """Make a new project from a label file; its state is that of an import."""
    file = body.labels_file
    request = LabelsRequest(
        body.metadata,
        file.container_name,
        file.blob_name,
        body.offset_unit,
        body.datastore_name,
        body.test_percentage,
    )
    job = await call.container.import_labels.start(
        call.project_name, request, call.caller.name, call.job_id()
    )
    return call.accepted(f"import/jobs/{job.id}")


def _accepted(call: Call, job: Job) -> Reply:
    return call.accepted(f"connection/jobs/{job.id}")
