"""`labelbridge dead-letters`: events that a webhook or the topic did not accept."""

from itertools import batched
from typing import Annotated

import typer

from labelbridge.cli import session
from labelbridge.cli.output import JsonOption, Output, Usage, counted, moment, table

app = typer.Typer(no_args_is_help=True, help="List undelivered events, and send them again.")

MOST = 100
"""Dead letters that one request sends again."""


@app.command("list")
def listed(as_json: JsonOption = False) -> None:
    """List the events that a receiver did not accept in ten attempts."""
    out = Output(as_json)
    with session.client(out) as api:
        found = list(api.dead_letters())
    rows = [
        (
            letter["id"], letter["receiver"], letter["event"]["type"], letter["event"]["data"].get("projectName"),
            moment(letter["failedDateTime"]), letter["reason"],
        )
        for letter in found
    ]  # fmt: skip
    heads = ("id", "receiver", "event", "project", "given up", "reason")
    out.result(found, table(heads, rows) if rows else "There are no dead letters.")


@app.command()
def resend(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Ids of dead letters, as 'list' prints them."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All dead letters whose receiver is still configured.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send dead letters again, with ten more attempts each."""
    out = Output(as_json)
    if bool(ids) == every:
        raise Usage("Name the dead letters, or give --all.")
    done = 0
    with session.client(out) as api:
        if ids:
            for some in batched(dict.fromkeys(ids), MOST, strict=False):
                done += api.resend_dead_letters(some)
        else:
            waiting = sum(1 for _ in api.dead_letters())
            if waiting:
                out.confirm(f"Send {counted(waiting, 'event')} again?", yes=yes)
            while done < waiting and (sent := api.resend_dead_letters()) > 0:
                done += sent
    out.result({"resent": done}, f"{counted(done, 'event')} will be sent again.")
