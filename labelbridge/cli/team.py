"""`labelbridge team`: progress and assignments."""

from typing import Annotated

import typer

from labelbridge.cli import session
from labelbridge.cli.documents import Status
from labelbridge.cli.output import JsonOption, Output, Usage, counted, table
from labelbridge.cli.session import ProjectOption
from labelbridge.client.models import AssignBody, DocumentFilter

app = typer.Typer(no_args_is_help=True, help="Show the progress of a team, and assign documents.")

MOST = 1_000
"""Documents that one request assigns."""

FromOption = Annotated[
    str | None, typer.Option("--from", help="First day (UTC), such as 2026-11-01; default: 30 days ago.")
]
ToOption = Annotated[str | None, typer.Option("--to", help="Last day; default: today.")]


@app.command()
def progress(
    project: ProjectOption = "",
    first: FromOption = None,
    last: ToOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what each person did on each day (UTC)."""
    out = Output(as_json)
    with session.project(out, project) as api:
        days = api.progress(from_date=first, to_date=last)
    if not days:
        out.result(days, "No labels were changed on these days.")
        return
    heads = ("day", "person", "documents", "accepted", "rejected", "set by hand", "in bulk", "undone")
    rows = [
        (d["date"], d["by"], *(f"{n:,}" for n in (
            d["documents"], d["accepted"], d["rejected"], d["labeled"], d["bulk"], d["undone"]
        )))
        for d in days
    ]  # fmt: skip
    out.result(days, table(heads, rows, right=range(2, 8)))


@app.command()
def assign(
    person: Annotated[str, typer.Argument(help="Name that the person signs in with; @none: nobody.")],
    count: Annotated[int, typer.Option(min=1, help="Maximum number of documents.")] = MOST,
    project: ProjectOption = "",
    assigned_to: Annotated[
        str, typer.Option("--assigned-to", help="Only documents assigned to this person; @none: nobody.")
    ] = "@none",
    status: Annotated[Status | None, typer.Option(help="Only documents with this status.")] = None,
    category: Annotated[str | None, typer.Option(help="Only documents with this category.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Only documents whose name begins with this.")] = None,
    flagged: Annotated[bool, typer.Option("--flagged", help="Only flagged documents.")] = False,
    uncertain: Annotated[bool, typer.Option("--uncertain", help="Least certain first.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Assign documents to a reviewer, without locking them for others."""
    out = Output(as_json)
    if person == assigned_to:
        raise Usage("The documents are already assigned to this person.")
    wanted: DocumentFilter = {"assignedTo": assigned_to, "orderby": "uncertainty" if uncertain else "id"}
    if status:
        wanted["status"] = status.value
    if category is not None:
        wanted["category"] = category
    if prefix is not None:
        wanted["locationPrefix"] = prefix
    if flagged:
        wanted["flagged"] = True
    done, more = 0, True
    with session.project(out, project) as api:
        while more and done < count:
            body: AssignBody = {
                "assignee": person,
                "count": min(MOST, count - done),
                "filter": wanted,
            }
            answer = api.assign(body)
            done, more = done + answer["assigned"], answer["more"] and answer["assigned"] > 0
    whom = "nobody" if person == "@none" else f"'{person}'"
    out.result({"assigned": done, "more": more}, f"Assigned {counted(done, 'document')} to {whom}.")


@app.command()
def assignments(project: ProjectOption = "", as_json: JsonOption = False) -> None:
    """Show how many documents each person has, by status."""
    out = Output(as_json)
    with session.project(out, project) as api:
        found = api.assignments()
    rows = [
        (
            work["assignee"] or "(nobody)",
            *(f"{n:,}" for n in (work["documents"], work["autoLabeled"], work["unlabeled"], work["labeled"])),
        )
        for work in found
    ]
    heads = ("person", "documents", "to review", "unlabeled", "labeled")
    out.result(found, table(heads, rows, right=range(1, 5)) if rows else "The project has no documents.")
