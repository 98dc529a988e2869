"""Results on stdout, messages on stderr, and the exit status of errors."""

import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from labelbridge.client import ApiError, JobFailed, NotReachable

PARTLY, USAGE, UNREACHABLE, CREDENTIALS, NOT_FOUND, CONFLICT, REFUSED, UNCONFIRMED = 1, 2, 3, 4, 5, 6, 7, 8
INTERRUPTED = 130
#: Codes of errors that are not the API's, by exit status.
CODES = {
    PARTLY: "Failed", USAGE: "WrongUsage", UNREACHABLE: "NoAnswer", CREDENTIALS: "NotSignedIn", NOT_FOUND: "NotFound",
    CONFLICT: "Conflict", REFUSED: "Refused", UNCONFIRMED: "NotConfirmed", INTERRUPTED: "Interrupted",
}  # fmt: skip
#: Columns of a table that is not shown on a terminal.
WIDTH = 200

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result, or the error, as JSON.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


class Stop(Exception):
    """Ends the command with a sentence and an exit status."""

    status = PARTLY


class Usage(Stop):
    """The command cannot be run as given."""

    status = USAGE


class Unconfirmed(Stop):
    """The user did not confirm the command."""

    status = UNCONFIRMED


class Unreachable(Stop):
    """A server other than the app did not respond."""

    status = UNREACHABLE


class NotThere(Stop):
    """What was named does not exist."""

    status = NOT_FOUND


class Interrupted(Stop):
    """Ctrl-C."""

    status = INTERRUPTED


#: What a terminal obeys, control characters but line breaks and tabs, and those that turn the order of the text; and
#: halves of characters, as in names of files that are not UTF-8, which cannot be written.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def safe(text: str) -> str:
    """Text with a replacement for each control character of a terminal; line breaks stay."""
    return _OBEYED.sub(lambda found: _visible(found[0]), text)


def _visible(control: str) -> str:
    return chr(0x2400 + ord(control)) if control < " " else "\ufffd"


#: Of these, what `json` leaves as it is.
_UNESCAPED = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def write_stdout(text: str) -> None:
    """The content of a file to stdout; on a terminal, control characters are shown and have no effect."""
    sys.stdout.write(safe(text) if sys.stdout.isatty() else text)


class Output:
    """The output of one command. `json`: the result is one JSON document on stdout and nothing else."""

    def __init__(self, as_json: bool = False) -> None:
        self.json = as_json
        # Tables in a pipe or a file are not wrapped.
        width = None if sys.stdout.isatty() else WIDTH
        self.out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, width=width)
        self.err = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """A message for people."""
        self.err.print(safe(text))

    def result(self, data: Any, *lines: str | Table | Text) -> None:
        """The result: `data` as JSON, or else the lines."""
        if self.json:
            text = json.dumps(data, ensure_ascii=False, indent=2) + "\n"
            sys.stdout.write(_UNESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text))
            return
        for line in lines:
            self.out.print(
                safe(line) if isinstance(line, str) else line, soft_wrap=not isinstance(line, Table)
            )

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask, unless `yes`. Raises Unconfirmed, also where nobody can be asked."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise Unconfirmed("Nothing was done: confirm with --yes, since there is no terminal to ask on.")
        self.err.print(f"{safe(question)} [y/N] ", end="")
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise Unconfirmed("Nothing was done.")

    def confirm_by_name(self, what: str, name: str, given: str | None) -> None:
        """Ask for the name, or take it from `--confirm`. Raises Unconfirmed."""
        if given is None:
            if not sys.stdin.isatty():
                raise Unconfirmed(f"Nothing was done: confirm with --confirm {name}.")
            self.err.print(f"{safe(what)} Type the name to confirm: ", end="")
            given = sys.stdin.readline().strip()
        if given != name:
            raise Unconfirmed(f"Nothing was done: the name is '{name}', not '{given}'.")


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[int] = ()) -> Table:
    """A table without lines; `right`: columns of numbers."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, head in enumerate(heads):
        made.add_column(head, justify="right" if number in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(safe("" if cell is None else str(cell))) for cell in row))
    return made


def facts(rows: Sequence[Sequence[object]]) -> Table:
    """Names and values, a row each."""
    made = table(("", ""), rows)
    made.show_header = False
    return made


def counted(count: int, singular: str, plural: str = "") -> str:
    """`1 document`, `1,200 documents`."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def moment(text: str) -> str:
    """A time of the API to the second, as `2026-11-30 22:43:23 UTC`; the text itself if it is no time."""
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError):
        return text


def fail(error: BaseException, *, as_json: bool) -> NoReturn:
    """Print one sentence for an error, with the fix where there is one, and exit with its status."""
    text, status = explain(error)
    out = Output(as_json)
    out.err.print(Text.assemble((f"{safe(text)}", "red")), soft_wrap=True)
    if as_json:
        out.result(as_data(error))
    raise SystemExit(status)


def as_data(error: BaseException) -> dict[str, Any]:
    """An error as the API has it: `error` with code and message. `job` is the last state of a job that failed."""
    text, status = explain(error)
    data: dict[str, Any] = {"code": CODES.get(status, CODES[PARTLY]), "message": text}
    if isinstance(error, ApiError) and error.code:
        inner = {"code": error.inner_code} if error.inner_code else None
        more = {"code": error.code, "target": error.target, "innererror": inner, "details": error.details}
        data |= {name: value for name, value in more.items() if value}
    return {"error": data} | ({"job": error.state} if isinstance(error, JobFailed) else {})


def explain(error: BaseException) -> tuple[str, int]:
    """The sentence for an error, and the exit status."""
    if isinstance(error, Stop):
        return str(error), error.status
    if isinstance(error, NotReachable):
        return f"{error} Check the address ('labelbridge login URL') and that the app runs.", UNREACHABLE
    if isinstance(error, JobFailed):
        return str(error), PARTLY
    if isinstance(error, ApiError):
        return _explain(error)
    return str(error), PARTLY


def _explain(error: ApiError) -> tuple[str, int]:
    text = str(error)
    if error.status == 401:
        return f"{text} Sign in again with 'labelbridge login URL'.", CREDENTIALS
    if error.status == 403:
        return text, CREDENTIALS
    if error.code == "ProjectNotFound":
        return f"{text} 'labelbridge projects list' shows the names.", NOT_FOUND
    if error.status == 404:
        return text, NOT_FOUND
    if error.status in {409, 412}:
        return text, CONFLICT
    if error.status in {408, 429} or error.status >= 502 or (error.status == 500 and error.from_host):
        return text, UNREACHABLE
    return text, REFUSED
