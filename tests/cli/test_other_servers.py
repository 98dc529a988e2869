"""Commands against other or failing servers: each ends with a sentence, an exit status, and JSON."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import typer
from aiohttp import web
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.transport import HttpTransport

from labelbridge.cli import session
from labelbridge.cli.main import app as command_line
from labelbridge.cli.upload import container_client
from labelbridge.client import Client, project_sync, sync
from labelbridge.client.errors import unreachable
from tests.cli.terminal import Cli
from tests.fakes.server import serve_in_thread

JSON = "application/json"
HOSTILE = '{"error": {"code": 5, "message": 7, "target": [], "innererror": "x", "details": [1, {}]}}'
#: (status, headers, body) of every answer, and the exit status of the command line.
ANSWERS: dict[str, tuple[int, dict[str, str], bytes, int]] = {
    "a page": (200, {"content-type": "text/html"}, b"<html>Hello</html>", 3),
    "nothing": (200, {}, b"", 3),
    "a list": (200, {"content-type": JSON}, b"[]", 3),
    "null": (200, {"content-type": JSON}, b"null", 3),
    "another API": (200, {"content-type": JSON}, b"{}", 3),
    "half of an object": (200, {"content-type": JSON}, b'{"value": [', 3),
    "very deep": (200, {"content-type": JSON}, b"[" * 100_000, 3),
    "no gzip": (200, {"content-type": JSON, "content-encoding": "gzip"}, b"plain", 3),
    "a sign-in": (302, {"location": "https://login.example/authorize?code=secret"}, b"", 3),
    "an empty 500": (500, {}, b"", 3),
    "a page with 502": (502, {"content-type": "text/html"}, b"<html>Bad Gateway</html>", 3),
    "throttled": (429, {"X-FUNCTION-SCALEOUT": "1"}, b"", 3),
    "come back never": (429, {"retry-after": "9" * 5_000}, b"", 3),
    "odd values": (400, {"content-type": JSON}, HOSTILE.encode(), 7),
}
#: Values for arguments, by their names in the help.
GIVEN = {
    "FILE": "labels.csv",
    "OUTPUT": "out.csv",
    "FOLDER": "texts",
    "TO": "here",
    "KIND": "entities",
    "STUDIO": "workspace",
}
PATHS = {"labels.csv", "out.csv", "texts"}


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """Every command with the arguments that it requires."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from leaves(inner, (*path, name))
    if not hasattr(command, "commands"):
        words = list(path)
        for param in command.params:
            if param.required:
                words += [*param.opts[:1]] if param.param_type_name == "option" else []
                words.append(GIVEN.get(param.name.upper(), "x"))
        yield words


#: It asks no server.
LOCAL = (["logout"],)
COMMANDS = [words for words in leaves(typer.main.get_command(command_line)) if words not in LOCAL]
MORE = {
    "login": ["--key", "k"],
    "documents mark": ["--flag"],
    "dead-letters resend": ["--all", "--yes"],
    "labels import": ["--yes"],
    "connection switch": ["--yes"],
    "push": ["--yes"],
    "second start": ["--size", "1"],
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses take no time."""
    for module in (sync, project_sync):
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=lambda _: None, time=int, monotonic=int))


def test_every_command_is_there():
    assert len(COMMANDS) > 40
    assert ["labels", "export", "out.csv"] in COMMANDS


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line with files for its arguments, signed in at an address that tests answer for."""
    (tmp_path / "labels.csv").write_text("location,category\na.txt,City\n")
    (tmp_path / "texts").mkdir()
    for module in ("review", "second"):  # they need a terminal
        monkeypatch.setattr(f"labelbridge.cli.{module}.single_keys", lambda: nullcontext(lambda: "q"))
    return Cli("http://app", "k", "", tmp_path).signed_in("x")


def answered(monkeypatch: pytest.MonkeyPatch, status: int, headers: dict[str, str], body: bytes) -> None:
    """Every request gets this answer, in this process."""
    transport = httpx.MockTransport(lambda _: httpx.Response(status, headers=headers, content=body))
    monkeypatch.setattr(session, "Client", partial(Client, transport=transport))


def every_command(folder: Path) -> Iterator[list[str]]:
    """With arguments that are there."""
    for words in COMMANDS:
        more = MORE.get(" ".join(words[:2]), MORE.get(words[0], []))
        given = ["http://app" if words[0] == "login" and word == "x" else word for word in words]
        yield [*(str(folder / word) if word in PATHS else word for word in given), *more]
    yield ["login", "http://app", "--entra"]
    yield ["metrics", "model"]
    yield ["accept", "--dry-run"]
    yield ["dead-letters", "resend", "a"]


@pytest.mark.parametrize("answer", ["a page", "an empty 500", "another API"])
def test_every_command_ends_with_a_sentence_and_json(
    offline: Cli, quick: None, answer: str, monkeypatch: pytest.MonkeyPatch
):
    answered(monkeypatch, *ANSWERS[answer][:3])
    for words in every_command(offline.folder):
        refused(offline, words, answer)


#: Of a job that succeeded, and of a model.
BARE = {"status": "succeeded", "jobId": "j", "label": "m", "engine": "e", "lastTrainedDateTime": "today"}


@pytest.mark.parametrize("body", [{"value": [{}]}, {"value": [{}], "documents": {}, "result": {}, **BARE}])
def test_an_answer_without_the_fields_inside_is_no_defect(
    offline: Cli, quick: None, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    """A job that succeeded without a result may be one."""
    headers = {"content-type": JSON, "operation-location": "http://app/jobs/j"}
    answered(monkeypatch, 200, headers, json.dumps(body).encode())
    ends: Counter[int] = Counter()
    for words in every_command(offline.folder):
        result = offline(*words, "--json", status=None)
        ends[result.status] += 1
        if result.status:
            assert (result.status, result.json["error"]["code"]) == (3, "NoAnswer"), words
            assert "but not as Labelbridge does" in result.err, words
    assert ends[3] > len(COMMANDS) // 2
    assert ends[0] + ends[3] == ends.total()


@pytest.mark.parametrize("answer", ANSWERS)
def test_every_answer_ends_with_a_sentence_and_json(cli: Cli, quick: None, answer: str):
    with serving(answer) as url:
        cli.environment |= {"LABELBRIDGE_URL": url, "LABELBRIDGE_KEY": "k", "LABELBRIDGE_PROJECT": "x"}
        for words in (["login", url, "--key", "k"], ["projects", "list"], ["watch"]):
            refused(cli, words, answer)


def test_an_upload_waits_for_a_storage_account_that_is_busy(monkeypatch: pytest.MonkeyPatch):
    """Longer than for one that refuses connections, which is probably a wrong address."""
    pauses: list[float] = []
    monkeypatch.setattr(HttpTransport, "sleep", lambda _, seconds: pauses.append(seconds))
    with serving("a page with 502") as url:
        container = container_client(f"{url}/account?sig=x", "mails")
        with pytest.raises(HttpResponseError):
            container.get_container_properties()
    assert len(pauses) == 3
    assert sum(pauses) > 15


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1032)", "it does not use HTTPS"),
        ("[SSL] record layer failure (_ssl.c:1032)", "it does not use HTTPS"),
        ("[Errno 111] Connection refused", "cannot be reached (Connection refused)."),
        ("[WinError 10061] No connection could be made", "cannot be reached (No connection could be made)."),
        ("", "cannot be reached (ConnectError)."),
    ],
)
def test_why_a_server_cannot_be_reached(text: str, shown: str):
    """The words are those of OpenSSL before and from 3.2, of Linux and of Windows."""
    assert shown in str(unreachable(httpx.URL("https://app"), httpx.ConnectError(text)))


def refused(cli: Cli, words: list[str], answer: str) -> None:
    """The command ends with the status of this answer."""
    result = cli(*words, "--json", status=None)
    assert result.status == ANSWERS[answer][3], (words, result)
    assert set(result.json["error"]) >= {"code", "message"}, words
    assert result.json["error"]["message"] in result.err.replace("\n", " "), words
    assert "secret" not in result.err


@contextmanager
def serving(answer: str) -> Iterator[str]:
    """A server that gives this answer to everything; its address."""
    status, headers, body, _ = ANSWERS[answer]

    async def answering(_: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers, body=body)

    server = web.Application()
    server.router.add_route("*", "/{rest:.*}", answering)
    with serve_in_thread(server) as url:
        yield url


def fit(job_status: str, **state: object) -> dict[str, object]:
    """The fit of an engine as the API answers it."""
    created = "2030-01-01T00:00:00Z"
    result = {"engine": "embedded", "labeledDocuments": 7, "trainingStatus": {"percentComplete": 0, **state}}
    return {
        "jobId": "fit", "status": job_status, "createdDateTime": created, "lastUpdatedDateTime": created,
        "result": result, "errors": [], "warnings": [],
    }  # fmt: skip


def test_a_fit_shows_documents_after_its_start_and_seconds_until_its_end(cli: Cli):
    """One that an earlier version gave up has no end."""
    start, end = "2030-01-01T00:00:00Z", "2030-01-01T00:00:02Z"
    given_up = fit("failed", startDateTime=start, status="running")
    ended = fit("failed", startDateTime=start, endDateTime=end, status="failed")
    found = [fit("notStarted", status="notStarted"), given_up, ended]

    async def answering(_: web.Request) -> web.Response:
        return web.json_response({"value": found})

    server = web.Application()
    server.router.add_route("*", "/{rest:.*}", answering)
    with serve_in_thread(server) as url:
        cli.environment |= {"LABELBRIDGE_URL": url, "LABELBRIDGE_KEY": "k"}
        _, *lines = cli("fits", "-p", "p").out.splitlines()
    rows = [" ".join(line.split("UTC")[1].split()) for line in lines]
    assert rows == ["embedded not started", "embedded 7 failed", "embedded 7 failed 2.0"]


def test_a_server_of_another_kind_is_no_sign_in(cli: Cli):
    """It answers JSON, but not who called."""
    with serving("another API") as url:
        cli.environment["LABELBRIDGE_URL"] = url
        for words in (["login", url, "--key", "k"], ["whoami"], ["projects", "list"]):
            assert "but not as Labelbridge does" in cli(*words, status=3).err
    assert not (cli.folder / "settings").exists()


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["nope"], 2, "WrongUsage"),
        (["projects", "show"], 2, "WrongUsage"),
        (["accept", "--min-confidence", "2"], 2, "WrongUsage"),
        (["projects", "show", "nope"], 5, "ProjectNotFound"),
        (["projects", "create", "p", "--kind", "entity"], 2, "WrongUsage"),
        (["login", "http://127.0.0.1:9", "--key", "k"], 3, "NoAnswer"),
        (["autolabel", "-p", "no/such\\name"], 5, "ProjectNotFound"),
        (["labels", "export", "x.unknown", "-p", "nope"], 2, "WrongUsage"),
    ],
)
def test_errors_are_json_where_it_is_asked_for(cli: Cli, words: list[str], status: int, code: str):
    result = cli.signed_in()(*words, "--json", status=status)
    assert result.json["error"]["code"] == code
    assert result.json["error"]["message"] in result.err.replace("\n", " ")
    assert cli(*words, status=None).out == ""


def test_a_value_that_is_no_choice_is_said_without_the_library_that_checks_it(cli: Cli):
    said = cli("projects", "create", "p", "--kind", "entity", status=2).err
    assert (
        "Invalid value for '--kind': 'entity' is not one of 'single-label', 'multi-label', 'entities'."
        in said
    )


def test_without_an_address_nobody_is_signed_in(cli: Cli):
    for words in (["whoami"], ["projects", "list"], ["autolabel", "-p", "mails"]):
        result = cli(*words, "--json", status=4)
        assert result.json["error"]["code"] == "NotSignedIn"
        assert result.err.startswith("You are not signed in. Run 'labelbridge login URL'")


def test_a_key_that_no_header_can_hold_is_refused(cli: Cli):
    for key in ("schlüssel", "a\nb", "a\x00b"):
        result = cli("login", cli.url, "--key", key, status=2)
        assert result.err == "The access key contains invalid characters; copy it again.\n"
        cli.environment |= {"LABELBRIDGE_URL": cli.url, "LABELBRIDGE_TOKEN": key}
        if "\x00" not in key:  # no variable can hold it
            assert "The access token contains" in cli("whoami", status=2).err
