"""`labelbridge connection`: the connection of a project to another labeling studio."""

from enum import StrEnum
from typing import Annotated, Any, cast

import typer

from labelbridge.cli import session
from labelbridge.cli.output import JsonOption, Output, Stop, YesOption, counted, facts, moment, table
from labelbridge.cli.session import ProjectOption, WaitOption, ended
from labelbridge.client.models import ConnectBody, Connection, JobState, Studio

app = typer.Typer(
    no_args_is_help=True,
    help="Connect a project to another labeling studio.",
)
NAMES = {"languageStudio": "Labelbridge", "azureMachineLearning": "the labeling project"}


def side(studio: str) -> str:
    """Where labels are set, in words."""
    return NAMES.get(studio, studio)


class StudioOption(StrEnum):
    """Where a connected project is labeled."""

    AZURE_ML = "azure-ml"
    WORKSPACE = "workspace"


class To(StrEnum):
    """Both sides of a connection."""

    HERE = "here"
    THERE = "there"


class NotConnectable(Stop):
    """Conditions of connecting are not met."""

    status = 6


@app.command()
def show(project: ProjectOption = "", as_json: JsonOption = False) -> None:
    """Show the state of the connection."""
    out = Output(as_json)
    with session.project(out, project) as api:
        found = api.connection()
        name = api.name
    if found["state"] == "none":
        out.result(found, f"The project '{name}' is not connected.")
        return
    out.result(found, facts(_facts(found)))


def _facts(found: Connection) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = [
        ("state", found["state"]),
        ("labels are set in", side(found["activeStudio"])),
        ("studio", found.get("studio")),
        ("workspace", found.get("workspaceId")),
        ("labeling project", found.get("amlProjectName")),
        ("last import", moment(imported) if (imported := found.get("lastImportedDateTime")) else None),
        ("labels not imported", found.get("unsyncedLabels")),
        ("waiting for", found.get("waitingFor")),
        ("error", (found.get("error") or {}).get("message")),
    ]
    rows += [("warning", warning["message"]) for warning in found.get("warnings") or []]
    return [(name, value) for name, value in rows if value is not None]


@app.command()
def connect(
    labeling_project: Annotated[
        str, typer.Argument(help="Name of the new labeling project; it can be used only once.")
    ],
    studio: Annotated[
        StudioOption, typer.Option(help="Azure Machine Learning, or a label file in a container.")
    ],
    workspace: Annotated[
        str, typer.Option(help="Resource id of the workspace; for 'workspace', a container.")
    ],
    project: ProjectOption = "",
    vendor: Annotated[str | None, typer.Option(help="Vendor that labels.")] = None,
    instructions: Annotated[
        str | None, typer.Option(help="Instructions for the people who label; for 'azure-ml', a link.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only check the conditions.")] = False,
    yes: YesOption = False,
    wait: WaitOption = True,
    as_json: JsonOption = False,
) -> None:
    """Connect to a new labeling project.

    All conditions are checked first. With --studio workspace the labeling project is a label file in a container.
    """
    out = Output(as_json)
    body: Any = {"studio": studio.value, "workspaceId": workspace, "amlProjectName": labeling_project}
    body |= {"vendor": {"name": vendor}} if vendor else {}
    body |= {"instructions": instructions} if instructions else {}
    with session.project(out, project) as api:
        answer = api.check_connection(cast(ConnectBody, body))
        unmet = [condition for condition in answer["conditions"] if not condition["met"]]
        if check:
            rows = [
                ("yes" if condition["met"] else "no", condition["message"])
                for condition in answer["conditions"]
            ]
            out.result(answer, table(("met", "condition"), rows))
        if unmet:
            raise NotConnectable(
                "The project cannot be connected. " + " ".join(condition["message"] for condition in unmet)
            )
        if check:
            return
        out.confirm(f"The name '{labeling_project}' can be connected only once. Connect?", yes=yes)
        state = ended(out, api.connect(cast(ConnectBody, body)), "Connecting", project=project, wait=wait)
    _report(out, state, f"Connected to '{labeling_project}'.")


@app.command()
def switch(
    to: Annotated[To, typer.Argument(help="Label here in Labelbridge, or there in the labeling project.")],
    project: ProjectOption = "",
    yes: YesOption = False,
    wait: WaitOption = True,
    as_json: JsonOption = False,
) -> None:
    """Switch labeling to the other studio.

    While it switches, labels can be changed on neither side.
    """
    out = Output(as_json)
    studio: Studio = "languageStudio" if to is To.HERE else "azureMachineLearning"
    with session.project(out, project) as api:
        out.confirm(f"Labels of '{api.name}' will be set in {NAMES[studio]} only. Switch?", yes=yes)
        state = ended(out, api.switch(studio), "Switching", project=project, wait=wait)
    _report(out, state, f"Labels are set in {NAMES[studio]} from now on.")


@app.command()
def sync(project: ProjectOption = "", wait: WaitOption = True, as_json: JsonOption = False) -> None:
    """Import the latest labels of the labeling project."""
    out = Output(as_json)
    with session.project(out, project) as api:
        state = ended(out, api.sync(), "Import", project=project, wait=wait)
    _report(out, state, "Imported.")


@app.command()
def disconnect(
    project: ProjectOption = "",
    confirm: Annotated[
        str | None, typer.Option(help="Name of the labeling project, to skip the confirmation.")
    ] = None,
    discard: Annotated[
        bool, typer.Option("--discard-unsynced-labels", help="Give up labels that were not imported.")
    ] = False,
    wait: WaitOption = True,
    as_json: JsonOption = False,
) -> None:
    """Disconnect permanently.

    The labeling project can never be connected again. Its name must be typed.
    """
    out = Output(as_json)
    with session.project(out, project) as api:
        found = api.connection()
        name = found.get("amlProjectName")
        if found["state"] == "disconnected" or not name:
            raise NotConnectable(f"The project '{api.name}' is not connected.")
        out.confirm_by_name(
            f"This disconnects '{name}' permanently; it can never be connected again.", name, confirm
        )
        job = api.disconnect(name, discard_unsynced_labels=discard)
        state = ended(out, job, "Disconnecting", project=project, wait=wait)
    _report(out, state, f"Disconnected from '{name}'. The labels that were imported stay.")


def _report(out: Output, state: JobState | None, text: str) -> None:
    if state is None:
        return
    result = state.get("result") or {}
    lines = [text]
    if result.get("documentsImported") is not None:
        lines.append(f"Imported the labels of {counted(result['documentsImported'], 'document')}.")
    if result.get("linesRejected"):
        lines.append(f"{counted(result['linesRejected'], 'line')} of the label file could not be read.")
    out.result(state, *lines)
