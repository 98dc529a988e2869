"""`labelbridge guidelines`: how to label, in Markdown, with its versions."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from labelbridge.cli import session
from labelbridge.cli.output import JsonOption, Output, Usage, counted, table
from labelbridge.cli.session import ProjectOption

app = typer.Typer(no_args_is_help=True, help="Show and replace the labeling guidelines of a project.")


@app.command()
def show(
    project: ProjectOption = "",
    version: Annotated[int | None, typer.Option(min=1, help="An earlier version.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the guidelines (Markdown)."""
    out = Output(as_json)
    with session.project(out, project) as api:
        found = api.guidelines() if version is None else api.guideline_version(version)
    if not found["text"]:
        out.say("The project has no guidelines.")
    out.result(found, *([found["text"]] if found["text"] else []))


@app.command()
def versions(project: ProjectOption = "", as_json: JsonOption = False) -> None:
    """List the versions of the guidelines, newest first."""
    out = Output(as_json)
    with session.project(out, project) as api:
        found = list(api.guideline_versions())
    if not found:
        out.say("The project has no guidelines.")
    rows = [
        (version["version"], version["dateTime"], version["by"], f"{version['length']:,}")
        for version in found
    ]
    heads = ("version", "written", "by", "characters")
    out.result(found, *([table(heads, rows, right=[0, 3])] if found else []))


@app.command()
def put(
    file: Annotated[str, typer.Argument(help="Markdown file, UTF-8; '-' is stdin.")],
    project: ProjectOption = "",
    as_json: JsonOption = False,
) -> None:
    """Replace the guidelines with a file.

    Earlier versions stay readable. The same text again creates no new version.
    """
    out = Output(as_json)
    text = _text_in(file)
    with session.project(out, project) as api:
        before = api.guidelines()
        made = api.put_guidelines(text, read=before)
    if made["version"] == before["version"]:
        out.result(made, f"The guidelines are the same; version {made['version']} stays.")
    else:
        out.result(made, f"Wrote version {made['version']}: {counted(made['length'], 'character')}.")


def _text_in(file: str) -> str:
    """Raises Usage for a file that cannot be read."""
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise Usage(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Usage(f"{file} is not UTF-8 (byte {error.start}).") from error
