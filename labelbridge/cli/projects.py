"""`labelbridge projects`: list, create, show, delete, and set the default project of other commands."""

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any

import typer

from labelbridge.cli import config as settings
from labelbridge.cli.connection import side
from labelbridge.cli.output import (
    JsonOption,
    NotThere,
    Output,
    Stop,
    counted,
    facts,
    moment,
    table,
)
from labelbridge.cli.session import ChosenProject, ProjectArgument, WaitOption, client, ended
from labelbridge.cli.session import project as chosen_project
from labelbridge.client import ApiError
from labelbridge.client.models import Project, Statistics

app = typer.Typer(no_args_is_help=True, help="List, create, show and delete projects.")


class Kind(StrEnum):
    """Kinds of projects in short."""

    SINGLE = "single-label"
    MULTI = "multi-label"
    ENTITIES = "entities"


KINDS = {
    Kind.SINGLE: "CustomSingleLabelClassification",
    Kind.MULTI: "CustomMultiLabelClassification",
    Kind.ENTITIES: "CustomEntityRecognition",
}
SHORT: dict[str, str] = {name: kind.value for kind, name in KINDS.items()}


@app.command("list")
def list_projects(as_json: JsonOption = False) -> None:
    """List the projects by name."""
    out = Output(as_json)
    with client(out) as api:
        found = list(api.projects())
    chosen = settings.load().project
    rows = [
        (
            "*" if project["projectName"] == chosen else "",
            project["projectName"],
            SHORT.get(project["projectKind"], project["projectKind"]),
            project["storageInputContainerName"],
            project["language"],
            project.get("displayName") or "",
            project["description"],
        )
        for project in found
    ]
    if not found:
        out.say("There are no projects. Create one with: labelbridge projects create NAME")
    shown = (
        [table(("", "name", "kind", "container", "language", "display name", "description"), rows)]
        if found
        else []
    )
    out.result(found, *shown)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the new project.")],
    kind: Annotated[
        Kind, typer.Option(help="Kind of labels: one class, any number of classes, or entities.")
    ],
    container: Annotated[
        str, typer.Option(help="Blob container with the documents; default: the name.")
    ] = "",
    language: Annotated[str, typer.Option(help="Language of the documents.")] = "en-us",
    description: Annotated[str, typer.Option(help="A description for people.")] = "",
    category: Annotated[list[str] | None, typer.Option(help="A category; may be repeated.")] = None,
    on_upload: Annotated[bool, typer.Option(help="Suggest labels for new uploads automatically.")] = True,
    use: Annotated[bool, typer.Option("--use", help="Use it for later commands.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Create a project on a blob container.

    Documents that are in the container already are registered at once.
    """
    out = Output(as_json)
    body: Any = {
        "projectKind": KINDS[kind],
        "storageInputContainerName": container or name,
        "language": language,
        "settings": {"autolabel": {"onUpload": on_upload}},
    }
    with client(out) as api:
        project = api.project(name)
        _refuse_existing(project.get)
        made = project.put(body | ({"description": description} if description else {}))
        if category:
            project.put_categories([{"category": category_name} for category_name in category])
    if use:
        settings.save(replace(settings.stored(), project=name))
    place = made["storageInputContainerName"]
    out.result(made, f"Created the project '{name}' ({kind.value}) on the container '{place}'.")


def _refuse_existing(get: Callable[[], Project]) -> None:
    """The API would change an existing project; this command refuses that."""
    try:
        taken = get()["projectName"]
    except ApiError as error:
        if error.status == 404 and not error.from_host:
            return
        raise
    raise Exists(f"The project '{taken}' already exists.")


class Exists(Stop):
    """The name is taken."""

    status = 6


@app.command()
def show(name: ChosenProject = "", as_json: JsonOption = False) -> None:
    """Show a project with its document and label counts."""
    out = Output(as_json)
    with chosen_project(out, name, option="") as api:
        found, counts, connection = api.get(), api.statistics(), api.connection()
    lines = [facts(_facts(found, counts)), ""]
    if connection["state"] != "none":
        lines.append(
            f"Connection: {connection['state']}; labels are set in {side(connection['activeStudio'])}.\n"
        )
    if counts["categories"]:
        rows = [(category["category"], f"{category['labels']:,}") for category in counts["categories"]]
        lines.append(table(("category", "labels"), rows, right=[1]))
    else:
        lines.append("It has no categories.")
    out.result({"project": found, "statistics": counts, "connection": connection}, *lines)


def _facts(project: Project, counts: Statistics) -> list[tuple[str, str]]:
    documents, made = counts["documents"], project["settings"]
    shown = project.get("displayName")
    known = [
        ("name", project["projectName"]),
        *([("display name", shown)] if shown else []),
        ("kind", SHORT.get(project["projectKind"], project["projectKind"])),
        ("container", project["storageInputContainerName"]),
        ("language", project["language"]),
        ("created", moment(project["createdDateTime"])),
        ("last trained", moment(project.get("lastTrainedDateTime") or "never")),
        ("suggestions on upload", "yes" if (made.get("autolabel") or {}).get("onUpload") else "no"),
        ("lowest confidence", f"{made.get('confidenceThreshold') or 0:.2f}"),
        ("documents", f"{documents['total']:,}"),
    ]
    words = [
        ("labeled", "labeled"), ("autoLabeled", "with suggestions"), ("unlabeled", "unlabeled"),
        ("rejected", "not readable"), ("missing", "without a blob"), ("waiting", "waiting"),
        ("flagged", "flagged"),
    ]  # fmt: skip
    numbers: dict[str, int] = dict(documents)  # pyright: ignore[reportAssignmentType] - all its values are numbers
    return known + [
        (f"  {word}", f"{numbers[key]:,}") for key, word in words if numbers[key] or key == "labeled"
    ]


@app.command()
def rename(
    name: ProjectArgument,
    display_name: Annotated[str, typer.Argument(help="The name that people see; empty: the project name.")],
    as_json: JsonOption = False,
) -> None:
    """Give a project a display name.

    The name itself never changes: events, running jobs and connections refer to it.
    """
    out = Output(as_json)
    with client(out) as api:
        made = api.project(name).put({"displayName": display_name})
    shown = made.get("displayName") or made["projectName"]
    out.result(made, f"The project '{name}' is now displayed as '{shown}'.")


@app.command()
def use(name: ProjectArgument, as_json: JsonOption = False) -> None:
    """Set the default project of later commands."""
    out = Output(as_json)
    with client(out) as api:
        name = api.project(name).get()["projectName"]
    file = settings.save(replace(settings.stored(), project=name))
    out.result({"project": name, "configFile": str(file)}, f"Commands use the project '{name}' from now on.")


@app.command()
def delete(
    name: ProjectArgument,
    confirm: Annotated[str | None, typer.Option(help="The name again, to skip the confirmation.")] = None,
    wait: WaitOption = True,
    as_json: JsonOption = False,
) -> None:
    """Delete a project; the blobs stay.

    Its labels, history and models are deleted permanently, so the name must be typed.
    """
    out = Output(as_json)
    with client(out) as api:
        try:
            documents = api.project(name).statistics()["documents"]
        except ApiError as error:
            if error.code == "ProjectNotFound":
                raise NotThere(
                    f"The project '{name}' does not exist, so there is nothing to delete."
                ) from error
            raise
        labeled = counted(documents["labeled"], "labeled document")
        out.confirm_by_name(f"This deletes the project '{name}' with {labeled}, permanently.", name, confirm)
        state = ended(out, api.project(name).delete(), "Deletion", project=None, wait=wait)
    if state:
        out.result(state, f"Deleted the project '{name}'. The blobs of its container were not touched.")
