"""`labelbridge documents`: list and search documents, and flag or note one."""

from enum import StrEnum
from typing import Annotated

import typer

from labelbridge.cli import session
from labelbridge.cli.output import JsonOption, NotThere, Output, Usage, counted, table
from labelbridge.cli.session import ProjectOption
from labelbridge.client import NotReachable, ProjectClient
from labelbridge.client.models import Document, DocumentPatchBody, Match, SearchBody

app = typer.Typer(no_args_is_help=True, help="List and search documents; flag them and leave notes.")


class Status(StrEnum):
    """Statuses of documents."""

    UNLABELED = "unlabeled"
    AUTO_LABELED = "autoLabeled"
    LABELED = "labeled"
    REJECTED = "rejected"


@app.command("list")
def list_documents(
    project: ProjectOption = "",
    status: Annotated[Status | None, typer.Option(help="Only documents with this status.")] = None,
    category: Annotated[str | None, typer.Option(help="Only documents with this category.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Only documents whose name begins with this.")] = None,
    flagged: Annotated[bool, typer.Option("--flagged", help="Only flagged documents.")] = False,
    assigned_to: Annotated[
        str | None,
        typer.Option(
            "--assigned-to", help="Only documents assigned to this person; @me: you, @none: nobody."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the documents by name, with flags and notes."""
    out = Output(as_json)
    with session.project(out, project) as api:
        found = list(
            api.documents(
                status=status.value if status else None,
                category=category,
                location_prefix=prefix,
                flagged=True if flagged else None,
                assigned_to=assigned_to,
                orderby="location",
            )
        )
    if not found:
        out.say("No document matches.")
    rows = [
        (
            document["location"],
            document["status"],
            "flagged" if document["flagged"] else "",
            document.get("note") or "",
        )
        for document in found
    ]
    out.result(found, *([table(("name", "status", "", "note"), rows)] if found else []))


@app.command()
def search(
    text: Annotated[
        str, typer.Argument(help="What the text must contain; white space matches any white space.")
    ],
    project: ProjectOption = "",
    match_case: Annotated[bool, typer.Option("--match-case", help="Match case.")] = False,
    status: Annotated[Status | None, typer.Option(help="Only documents with this status.")] = None,
    category: Annotated[str | None, typer.Option(help="Only documents with this category.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Only documents whose name begins with this.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of documents.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Search the texts of the documents, in order of their names."""
    out = Output(as_json)
    body: SearchBody = {
        "text": text,
        "matchCase": match_case,
        "status": status.value if status else None,
        "category": category,
        "locationPrefix": prefix,
        "orderby": "location",
    }
    found: list[Match] = []
    searched = -1
    with session.project(out, project) as api:
        while True:
            answer = api.search({**body, "top": min(100, limit - len(found))})
            found += answer["value"]
            token = answer.get("continuationToken")
            if token is None or len(found) >= limit:
                break
            if answer["searched"] <= searched:
                raise NotReachable("The server responded, but its search makes no progress.")
            searched = answer["searched"]
            body["continuationToken"] = token
    unread = f", {answer['unread']:,} without a readable text" if answer["unread"] else ""
    total = counted(answer["total"], "document")
    out.say(f"{len(found):,} found. Searched {answer['searched']:,} of {total}{unread}.")
    rows = [(match["document"]["location"], match["matches"], match["context"]["text"]) for match in found]
    counts = {name: answer[name] for name in ("searched", "unread", "total")}
    lines = [table(("name", "matches", ""), rows, right=(1,))] if found else []
    out.result({"value": found, **counts}, *lines)


@app.command()
def mark(
    name: Annotated[str, typer.Argument(help="Name of the document.")],
    project: ProjectOption = "",
    flag: Annotated[
        bool | None, typer.Option("--flag/--no-flag", help="Flag the document, or remove the flag.")
    ] = None,
    note: Annotated[
        str | None,
        typer.Option(help="A note for other people; an empty note removes it.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Flag a document, or leave a note.

    A note replaces the current one; the history of the document keeps both.
    """
    out = Output(as_json)
    body: DocumentPatchBody = {}
    if flag is not None:
        body["flagged"] = flag
    if note is not None:
        body["note"] = note
    if not body:
        raise Usage("Give --flag, --no-flag or --note.")
    with session.project(out, project) as api:
        after = api.patch(_named(api, name), body)
    said = "flagged" if after["flagged"] else "not flagged"
    text = after.get("note")
    length = counted(len(text), "character") if text else ""
    out.result(after, f"'{name}' is {said}, with {'a note of ' + length if text else 'no note'}.")


def _named(api: ProjectClient, name: str) -> Document:
    """The document of exactly this name. Raises NotThere."""
    first = next(iter(api.documents(location_prefix=name, orderby="location", top=1)), None)
    if first is None or first["location"] != name:
        raise NotThere(f"The project '{api.name}' has no document '{name}'.")
    return first
