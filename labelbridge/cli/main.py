"""The command `labelbridge`: its subcommands, and the handling of errors."""

import os
import shlex
import sys
from dataclasses import replace
from typing import Annotated, Any, override
from urllib.parse import urlsplit

import typer
from typer.core import TyperGroup

import labelbridge
from labelbridge.cli import config as settings
from labelbridge.cli import (
    connection,
    dead_letters,
    documents,
    guidelines,
    jobs,
    labels,
    projects,
    second,
    session,
    team,
)
from labelbridge.cli.config import Config
from labelbridge.cli.output import (
    INTERRUPTED,
    Interrupted,
    JsonOption,
    Output,
    Stop,
    Unconfirmed,
    Usage,
    as_data,
    fail,
)
from labelbridge.cli.push import push
from labelbridge.cli.review import review
from labelbridge.cli.upload import upload
from labelbridge.client import LabelbridgeError

EXIT_CODES = """Exit codes:
0 done; 1 partly done, or a job failed; 2 wrong usage, or a file that cannot be read; 3 no response; 4 not signed in,
or a role is missing; 5 does not exist; 6 conflict; 7 refused; 8 not confirmed; 130 interrupted."""


class Commands(TyperGroup):
    """The commands, whose errors do not name the library that checks values."""

    @override
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


app = typer.Typer(
    cls=Commands,
    name="labelbridge",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
    rich_markup_mode=None,
    epilog=EXIT_CODES,
)


def _version(value: bool) -> None:
    if value:
        sys.stdout.write(f"labelbridge {labelbridge.__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Label texts with Labelbridge: upload them, get suggestions, review, train, export.

    Begin with 'labelbridge login URL'. Results go to stdout, with --json as one JSON document; messages go to stderr.
    """


@app.command()
def login(
    url: Annotated[
        str,
        typer.Argument(
            help="Address of the function app, such as https://NAME.azurewebsites.net. Without a scheme it is https, "
            "but http on localhost."
        ),
    ],
    key: Annotated[
        str,
        typer.Option(
            help="Access key; '-' reads it from stdin. Without this option, you are asked for it.",
            show_default=False,
        ),
    ] = "",
    entra: Annotated[
        bool, typer.Option("--entra", help="Sign in with Microsoft Entra ID, as Azure CLI does.")
    ] = False,
    scope: Annotated[
        str,
        typer.Option(
            help="With --entra: the scope of the tokens, such as api://ID/.default; default: the one that the app "
            "names, after you confirm it.",
            show_default=False,
        ),
    ] = "",
    storage: Annotated[
        str,
        typer.Option(
            help="Storage account for uploads: connection string, SAS URL or URL.", show_default=False
        ),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Sign in, and store address and key in a private file.

    Environment variables override the file: LABELBRIDGE_URL, LABELBRIDGE_KEY, LABELBRIDGE_TOKEN (a bearer token),
    LABELBRIDGE_STORAGE, LABELBRIDGE_PROJECT. LABELBRIDGE_CONFIG names another file.
    """
    out = Output(as_json)
    url = _checked(url)
    if entra and key:
        raise Usage("Give --key or --entra, not both.")
    if scope and not entra:
        raise Usage("--scope goes with --entra.")
    before = settings.stored()
    kept = before if before.url == url else Config()
    config = Config(url, storage=storage or kept.storage, project=kept.project)
    config = replace(config, scope=_scope(out, url, scope)) if entra else replace(config, key=_key(out, key))
    if url.startswith("http://") and urlsplit(url).hostname not in {"127.0.0.1", "localhost", "::1"}:
        what = "token" if entra else "key"
        out.say(f"Warning: {url} is not encrypted; others on the network can read the {what}.")
    if kept != Config():
        session.warn_of_exposed_file(out)
    with session.client(out, config) as api:
        caller = api.who_am_i()
    file = settings.save(config)
    data = {"url": url, "name": caller["name"], "roles": caller["roles"], "configFile": str(file)}
    out.result(data, f"Signed in to {url} as '{caller['name']}'. {_roles(caller['roles'])}")


def _roles(roles: list[str]) -> str:
    if "*" in roles:
        return "Every role."
    return f"Roles: {', '.join(roles)}." if roles else "No role: ask the administrator of the app for one."


def _checked(url: str) -> str:
    """The address of the app, which may include the path of a gateway. Without a scheme it is https, but http on this
    machine. Raises Usage.
    """
    wrong = Usage(f"'{url}' is not an address such as https://NAME.azurewebsites.net.")
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        if "://" not in url and parts.hostname in {"127.0.0.1", "localhost", "::1"}:
            parts = parts._replace(scheme="http")
        _ = parts.port  # raises if it is not a number
    except ValueError:
        raise wrong from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise wrong
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def _scope(out: Output, url: str, given: str) -> str:
    """The scope of tokens: as given, or as named by the app and confirmed by the user. Raises Usage, Unconfirmed.

    A server that could choose the scope would get a token for anything that the user may do in Azure.
    """
    with session.client(out, Config(url)) as api:
        scope = api.studio_config()["scope"]
    if not scope:
        raise Usage(f"{url} takes access keys only: use 'labelbridge login {url} --key KEY'.")
    if given:
        return given
    if not sys.stdin.isatty():
        raise Unconfirmed(f"{url} asks for tokens for '{scope}': confirm with --scope {shlex.quote(scope)}.")
    out.confirm(
        f"{url} asks for tokens for '{scope}'. Is that the application of your Labelbridge? Anyone with such a token "
        "can act there as you.",
        yes=False,
    )
    return scope


def _key(out: Output, given: str) -> str:
    """The key: as given, from stdin, or typed without being shown. Raises Usage."""
    if given == "-":
        given = sys.stdin.readline().strip()
    elif not given and sys.stdin.isatty():
        import getpass

        try:
            given = getpass.getpass("Access key: ", stream=sys.stderr).strip()
        except EOFError:  # Ctrl-D, which ends no line
            sys.stderr.write("\n")
    if not given:
        raise Usage("Give the access key with --key, or '--key -' to read it from stdin; or use --entra.")
    return given


@app.command()
def logout(as_json: JsonOption = False) -> None:
    """Sign out: delete the file with address and key."""
    deleted = settings.delete()
    said = "Signed out." if deleted else "You were not signed in."
    Output(as_json).result({"configFile": str(settings.path()), "deleted": deleted}, said)


@app.command()
def whoami(as_json: JsonOption = False) -> None:
    """Show who is signed in, where, and with which roles."""
    out = Output(as_json)
    config = session.signed_in(out)
    with session.client(out, config) as api:
        caller = api.who_am_i()
    data: dict[str, Any] = {"url": config.url, **caller, "project": config.project or None}
    lines = [f"'{caller['name']}' at {config.url}.", _roles(caller["roles"])]
    out.result(data, *lines, *([f"Commands use the project '{config.project}'."] if config.project else []))


app.add_typer(projects.app, name="projects")
app.command()(upload)
app.command()(jobs.autolabel)
app.command()(jobs.watch)
app.command()(review)
app.command()(jobs.accept)
app.command()(jobs.reject)
app.command()(jobs.undo)
app.add_typer(documents.app, name="documents")
app.add_typer(guidelines.app, name="guidelines")
app.add_typer(labels.app, name="labels")
app.command()(jobs.train)
app.command()(jobs.metrics)
app.command()(jobs.fits)
app.command()(jobs.export)
app.command()(push)
app.add_typer(team.app, name="team")
app.add_typer(second.app, name="second")
app.add_typer(connection.app, name="connection")
app.add_typer(dead_letters.app, name="dead-letters")


def main() -> None:
    """Run a command; every expected error is printed as one sentence, with --json as JSON, and sets the exit status."""
    as_json = "--json" in sys.argv[1:]
    try:
        app()
    except (Stop, LabelbridgeError) as error:
        fail(error, as_json=as_json)
    except BrokenPipeError:  # the reader of stdout, such as `head`, has exited
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except SystemExit as end:
        if end.code == INTERRUPTED:
            fail(Interrupted("Interrupted."), as_json=as_json)
        if as_json and isinstance(end.__context__, typer.TyperException):  # which has been printed
            Output(as_json=True).result(as_data(Usage(end.__context__.format_message())))
        raise
