"""HTTP: the connection with a labeling studio, and a new project from a label file."""

from functions.call import Call, P, Reply, job_state
from functions.http import Routes
from shared.connection.wire import (
    CheckAnswer,
    ConnectBody,
    ConnectionHistory,
    ConnectionModel,
    DisconnectBody,
    ImportLabelsBody,
    SwitchBody,
    check_json,
    connection_json,
    event_json,
)
from shared.domain.jobs import Job
from shared.runtime.auth import Role
from shared.wire.api import JobModel
from shared.wire.json_codec import ValidationErrors

routes = Routes()
CONNECTION = f"{P}/connection"


@routes.add("GET", CONNECTION, {200: ConnectionModel}, role=Role.READ)
async def get_connection(call: Call) -> Reply:
    """Get the connection of a project: its state, the active studio, and how many labels have not been imported."""
    view = await call.container.connection.get(call.project_name)
    return Reply(200, connection_json(view.connection, view.unsynced))


@routes.add("POST", f"{CONNECTION}/:check", {200: CheckAnswer}, role=Role.READ)
async def check_connection(call: Call, body: ConnectBody) -> Reply:
    """Check all conditions of connecting, without changing anything."""
    return Reply(200, check_json(await call.container.connection.check(call.project_name, body.binding())))


@routes.add("PUT", CONNECTION, {202: None}, role=Role.OWN)
async def put_connection(call: Call, body: ConnectBody) -> Reply:
    """Connect the project to a new labeling project."""
    job = await call.container.connection.connect(
        call.project_name, body.binding(), call.caller.name, call.job_id()
    )
    return _accepted(call, job)


@routes.add("POST", f"{CONNECTION}/:switch", {202: None}, role=Role.SWITCH)
async def switch_connection(call: Call, body: SwitchBody) -> Reply:
    """Switch labeling to the other studio."""
    credentials = call.container.caller_credentials
    caller = await credentials.of(call.caller.token) if credentials else None
    job = await call.container.connection.switch(
        call.project_name, body.to, call.caller.name, call.job_id(), caller
    )
    return _accepted(call, job)


@routes.add("POST", f"{CONNECTION}/:sync", {202: None}, role=Role.SWITCH)
async def sync_connection(call: Call) -> Reply:
    """Import the latest labels of the labeling project."""
    job = await call.container.connection.sync(call.project_name, call.caller.name, call.job_id())
    return _accepted(call, job)


@routes.add("POST", f"{CONNECTION}/:disconnect", {202: None}, role=Role.OWN)
async def disconnect_connection(call: Call, body: DisconnectBody) -> Reply:
    """Disconnect permanently: the labeling project can never be connected again."""
    job = await call.container.connection.disconnect(
        call.project_name, body.confirm, body.discard_unsynced_labels, call.caller.name, call.job_id()
    )
    return _accepted(call, job)


@routes.add("GET", f"{CONNECTION}/history", {200: ConnectionHistory}, role=Role.READ)
async def get_connection_history(call: Call) -> Reply:
    """List the history of the connection, newest first."""
    entries = await call.container.connection.history(call.project_name)
    return Reply(200, {"value": [event_json(entry) for entry in entries]})


@routes.add("GET", f"{CONNECTION}/jobs/{{jobId}}", {200: JobModel}, role=Role.READ)
async def get_connection_job(call: Call) -> Reply:
    """Get the state of an operation on the connection."""
    job = await call.container.connection.job(call.project_name, call.path("jobId"))
    return job_state(job)


@routes.add(
    "POST",
    f"{P}/:import-labels",
    {202: None},
    role=Role.WRITE,
    project_names="new",
)
async def import_labels(call: Call, body: ImportLabelsBody) -> Reply:
    """Create a project from a label file. The job is an import job."""
    from shared.services.project_files.import_labels import LabelsRequest
    from shared.wire.project_file import metadata_warnings, read_metadata

    errors = ValidationErrors()
    details = read_metadata(body.metadata, errors)
    errors.raise_any()
    file = body.labels_file
    request = LabelsRequest(
        details,
        file.container_name,
        file.blob_name,
        body.offset_unit,
        body.datastore_name,
        body.test_percentage,
        metadata_warnings(body.metadata),
    )
    job = await call.container.import_labels.start(
        call.project_name, request, call.caller.name, call.job_id()
    )
    return call.accepted(f"import/jobs/{job.id}")


def _accepted(call: Call, job: Job) -> Reply:
    return call.accepted(f"connection/jobs/{job.id}")
