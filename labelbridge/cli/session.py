"""The signed-in client of a command, its project, and the jobs that it waits for."""

import logging
import shlex
import time
from collections.abc import Generator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Annotated, Any

import httpx
import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from labelbridge.cli import config as settings
from labelbridge.cli.config import Config
from labelbridge.cli.output import CREDENTIALS, Output, Stop, Usage, safe
from labelbridge.client import Client, Job, JobFailed, LabelbridgeError, NotReachable, ProjectClient
from labelbridge.client.models import JobState
from labelbridge.formats.records import FIELDS, Field


def _complete_project(incomplete: str) -> list[str]:
    """Names of projects for the shell; none when the app does not answer at once."""
    try:
        config = settings.load()
        with Client(config.url, **credentials(config), timeout=2, pauses=()) as client:
            names = [project["projectName"] for project in client.projects()]
    except (LabelbridgeError, Stop, ValueError, httpx.InvalidURL):
        return []
    return [name for name in names if name.startswith(incomplete)]


ProjectOption = Annotated[
    str,
    typer.Option(
        "--project", "-p", help="Name of the project; default: LABELBRIDGE_PROJECT, or that of 'projects use'.",
        autocompletion=_complete_project, show_default=False,
    ),
]  # fmt: skip
ProjectArgument = Annotated[
    str, typer.Argument(help="Name of the project.", autocompletion=_complete_project)
]

ChosenProject = Annotated[
    str,
    typer.Argument(
        help="Name of the project; default: LABELBRIDGE_PROJECT, or that of 'projects use'.",
        autocompletion=_complete_project, show_default=False,
    ),
]  # fmt: skip


class _Token:
    """A bearer token that someone else got, such as `az account get-access-token`."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_: str) -> Any:
        return SimpleNamespace(token=self._token, expires_on=time.time() + 3600)


class NoToken(Stop):
    """Microsoft Entra ID gave no token."""

    status = CREDENTIALS


class _Entra:
    """The credential of azure-identity, with errors in one sentence."""

    def __init__(self) -> None:
        self._inner = entra_credential()

    def get_token(self, *scopes: str) -> Any:
        from azure.core.exceptions import AzureError

        try:
            return self._inner.get_token(*scopes)
        except (AzureError, ValueError) as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise NoToken(
                f"Microsoft Entra ID did not issue a token for '{' '.join(scopes)}' ({lines[0].rstrip('.')}). Sign in "
                "with 'az login', or set the variables of a service principal."
            ) from error


def entra_credential() -> Any:
    """The credential of azure-identity: environment, managed identity, Azure CLI and others. Raises Usage."""
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError as error:
        raise Usage(
            "Signing in with Microsoft Entra ID needs azure-identity: install the extras 'cli' and 'entra'."
        ) from error
    # It logs each attempted credential in many lines; the error's sentence is enough.
    logging.getLogger("azure.identity").setLevel(logging.CRITICAL)
    try:
        return DefaultAzureCredential()
    except ValueError as error:  # such as an unknown name in AZURE_TOKEN_CREDENTIALS
        raise Usage(f"Signing in with Microsoft Entra ID failed: {error}") from error


def credentials(config: Config) -> dict[str, Any]:
    """How the client signs in."""
    if config.token:
        return {"credential": _Token(config.token)}
    if config.key:
        return {"key": config.key}
    return {"credential": _Entra(), "scope": config.scope} if config.scope else {}


def signed_in(out: Output) -> Config:
    """The settings, with an address; warns if other users may read or change the settings file."""
    if settings.from_file() != Config():
        warn_of_exposed_file(out)
    return settings.signed_in()


def warn_of_exposed_file(out: Output) -> None:
    """Warn if other users may read or change the settings file."""
    if settings.exposed():
        out.say(
            f"Warning: other users may read or change {settings.path()}; "
            "run 'chmod 600' on it so that only you have access."
        )


@contextmanager
def client(out: Output, config: Config | None = None) -> Generator[Client]:
    """The client for the settings; says when it tries again."""
    if config is None:
        config = signed_in(out)

    def again(reason: str, pause: float) -> None:
        out.say(f"{reason} Trying again in {max(1, round(pause))} s.")

    for what, value in (("key", config.key), ("token", config.token)):
        if not (value.isascii() and value.isprintable()):
            raise Usage(f"The access {what} contains invalid characters; copy it again.")
    try:
        made = Client(config.url, **credentials(config), on_retry=again)
    except (ValueError, httpx.InvalidURL) as error:  # such as a port that is not a number
        raise Usage(f"'{config.url}' is not an address.") from error
    with made:
        yield made


@contextmanager
def project(out: Output, name: str, option: str = " with --project NAME") -> Generator[ProjectClient]:
    """The client of the project that a command names, or of the chosen one. `option`: how the command names it."""
    config = signed_in(out)
    chosen = name or config.project
    if not chosen:
        raise Usage(f"Name the project{option}, or choose one with 'labelbridge projects use NAME'.")
    with client(out, config) as made:
        yield made.project(chosen)


def label_field(api: ProjectClient) -> Field:
    """The label field of the project's kind. Raises NotReachable for a kind that does not exist."""
    kind = api.get()["projectKind"]
    if kind not in FIELDS:
        raise NotReachable(f"The server responded, but this version does not know the project kind '{kind}'.")
    return FIELDS[kind]


@contextmanager
def bar(out: Output, *, transient: bool = False) -> Generator[Progress]:
    """A progress bar on stderr; nothing where that is not a terminal."""
    shown = Progress(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn(), console=out.err, transient=transient,
        disable=not out.err.is_terminal,
    )  # fmt: skip
    with shown:
        yield shown


def follow(out: Output, job: Job, what: str, *, project: str | None, given: str = "") -> JobState:
    """Show a job until it has ended; its last state. Raises JobFailed.

    `project`: as `--project` named it, or ""; None for a job that `watch` does not find, or that nobody would follow.
    `given`: how `watch` was called for it, if it was.
    """
    try:
        return _shown(out, job, what)
    except KeyboardInterrupt:
        if project is not None:
            out.say(f"The job continues. Follow it with: {command('watch', given or job.id, project)}")
        raise


def command(name: str, job: str, project: str) -> str:
    """A command to type next for a job; `project`: as `--project` named it, or ""."""
    return shlex.join(["labelbridge", name, job, *(["-p", project] if project else [])])


def _shown(out: Output, job: Job, what: str) -> JobState:
    last = ""
    with bar(out, transient=True) as progress:
        task = progress.add_task(what, total=100)

        def seen(state: JobState) -> None:
            nonlocal last
            text = f"{what}: {describe(state)}"
            progress.update(task, description=safe(text), completed=percent(state))
            if progress.disable and text != last and state["status"] in {"running", "cancelling"}:
                out.say(text)
            last = text

        return job.wait(seen)


def percent(state: JobState) -> int:
    """The progress of a job."""
    if state["status"] == "succeeded":
        return 100
    result = state.get("result") or {}
    halves: list[dict[str, Any]] = [result.get(f"{half}Status") or {} for half in ("training", "evaluation")]
    if any(halves):
        return round(sum(half.get("percentComplete", 0) for half in halves) / 2)
    return result.get("percentComplete", 0)


def describe(state: JobState) -> str:
    """`running, 3 suggested, 1 failed`."""
    words = {
        "notStarted": "not started", "partiallyCompleted": "completed in part", "nothingFound": "nothing found",
        "cancelling": "being canceled", "cancelled": "canceled",
    }  # fmt: skip
    result = state.get("result") or {}
    outcomes: dict[str, int] = result.get("outcomes") or {}
    parts = [f"{count:,} {words.get(name, name)}" for name, count in outcomes.items() if count]
    if state["status"] == "running" and "step" in result:  # of a push
        steps = {"import": "importing", "train": "training", "deploy": "deploying"}
        parts += [f"{steps.get(result['step'], result['step'])} in Azure Language"]
        parts += [f"waiting: {result['waitingFor']}"] if result.get("waitingFor") else []
    return ", ".join([words.get(state["status"], state["status"]), *parts])


def ended(
    out: Output, job: Job, what: str, *, project: str | None, wait: bool, partly: bool = False
) -> JobState | None:
    """Follow a job, unless `wait` is off; then print how to. `partly`: a partial end is a result, too.

    `project`: as in `follow`.
    """
    if not wait:
        how = "" if project is None else f" Follow it with: {command('watch', job.id, project)}"
        out.result({"jobId": job.id, "url": job.url}, f"Started.{how}")
        return None
    try:
        return follow(out, job, what, project=project)
    except JobFailed as error:
        if partly and error.state["status"] == "partiallyCompleted":
            return error.state
        raise


WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the job to its end.")]
