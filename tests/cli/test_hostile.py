"""Untrusted folders, names and texts: no other file is uploaded, and no text controls the terminal."""

import io
import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from rich.console import Console

from labelbridge.cli import session
from labelbridge.cli.output import Output, safe
from labelbridge.cli.upload import files_below
from labelbridge.formats import FORMATS, BadFile, to_labels
from labelbridge.formats.records import Field, Misfit
from tests.cli.terminal import Cli
from tests.cli.test_commands import run
from tests.cli.test_other_servers import answered
from tests.fakes.server import serve_in_thread
from tests.integration.conftest import MakeProject

#: Sequences of a terminal: a color, a title, C1 forms of both; and marks that turn the order of what follows.
HOSTILE = "\x1b[31m \x1b]0;title\x07 \x9b31m \x9d0;title\x9c \u202etxt.exe\u202c \u2066x\u2069"
OBEYED = set("\x1b\x07\x9b\x9d\x9c\u202e\u202c\u2066\u2069")


def test_links_out_of_a_folder_are_not_followed(tmp_path: Path) -> None:
    folder, secret = tmp_path / "given", tmp_path / "secret.txt"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "good.txt").write_text("good")
    secret.write_text("secret")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "2.txt").write_text("secret")
    (folder / "out.txt").symlink_to(secret)
    (folder / "up.txt").symlink_to("../secret.txt")
    (folder / "same.txt").symlink_to("in/good.txt")
    (folder / "folder").symlink_to(tmp_path / "other")
    (folder / "loop.txt").symlink_to("loop.txt")
    found = {file.name: file.error for file in files_below(folder)}
    outside = "it is a link to a file outside the folder"
    assert found == {"in/good.txt": "", "same.txt": "", "out.txt": outside, "up.txt": outside}
    (tmp_path / "link").symlink_to(folder)
    assert {file.name: file.error for file in files_below(tmp_path / "link")} == found


def test_a_file_that_cannot_be_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("text")

    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    [file] = files_below(tmp_path)
    assert file.error == "the file cannot be read: Permission denied"


async def test_names_that_are_not_utf8_are_left_out_and_printed(
    cli: Cli, new_project: MakeProject, tmp_path: Path
) -> None:
    project = await new_project()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "good.txt").write_text("good")
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("text")
    cli.signed_in(project.name)
    done = cli.process("upload", str(folder), "--json")
    assert (done.status, done.json["uploaded"]) == (1, ["good.txt"])
    assert done.json["leftOut"] == {"caf\udce9.txt": "its name is not UTF-8"}
    assert "Left out caf\ufffd.txt: its name is not UTF-8." in done.err


def test_settings_that_others_may_read_are_named(cli: Cli):
    cli("login", cli.url, "--key", cli.key)
    file = Path(cli.environment["LABELBRIDGE_CONFIG"])
    assert cli("whoami").err == ""
    for mode in (0o640, 0o604, 0o620):
        file.chmod(mode)
        said = cli("whoami").err
        assert (
            said == f"Warning: other users may read or change {file}; "
            "run 'chmod 600' on it so that only you have access.\n"
        )
    cli("login", cli.url, "--key", cli.key)
    assert file.stat().st_mode & 0o777 == 0o600


def test_settings_do_not_go_where_someone_else_put_a_link(cli: Cli, monkeypatch: pytest.MonkeyPatch):
    file, theirs = Path(cli.environment["LABELBRIDGE_CONFIG"]), cli.folder / "theirs"
    file.parent.mkdir()
    monkeypatch.setattr(os, "getpid", lambda: 7)
    for name in (file.name, f"{file.name}.7"):
        theirs.write_text("{}")
        file.with_name(name).symlink_to(theirs)
    cli("login", cli.url, "--key", cli.key)
    assert (theirs.read_text(), file.is_symlink()) == ("{}", False)
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def readable(tmp_path: Path) -> Cli:
    """Settings that other people may read, of an app that answers who called and what tokens are for."""
    cli = Cli("http://app", "k", "", tmp_path)
    file = Path(cli.environment["LABELBRIDGE_CONFIG"])
    file.parent.mkdir()
    file.write_text('{"url": "http://app", "key": "k"}')
    file.chmod(0o644)
    return cli


ANSWER = {"name": "Ana", "roles": ["*"], "scope": "api://app/.default"}


def test_readable_settings_are_named_once_and_where_they_are_used(
    readable: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(monkeypatch, 200, {}, json.dumps(ANSWER).encode())
    token = SimpleNamespace(token="t", expires_on=4_000_000_000)
    monkeypatch.setattr(session, "entra_credential", lambda: SimpleNamespace(get_token=lambda *_: token))
    file = Path(readable.environment["LABELBRIDGE_CONFIG"])
    entra = ("login", "http://app", "--entra", "--scope", ANSWER["scope"])
    for words, times in ((("whoami",), 1), (entra, 1), (("login", "http://other", "--key", "k"), 0)):
        file.chmod(0o644)
        assert readable(*words).err.count("other users may read") == times, words
    file.chmod(0o644)
    readable.signed_in()
    assert readable("whoami").err == ""
    readable.environment["LABELBRIDGE_URL"] = "http://other"
    assert readable("whoami").err == ""
    del readable.environment["LABELBRIDGE_KEY"]
    assert "other users may read" in readable("whoami").err


@pytest.mark.parametrize(("kind", "method"), [(Path, "replace"), (json, "dump")])
def test_settings_that_cannot_be_written_leave_no_key_behind(
    readable: Cli, monkeypatch: pytest.MonkeyPatch, kind: Any, method: str
) -> None:
    answered(monkeypatch, 200, {}, json.dumps(ANSWER).encode())

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kind, method, full)
    said = readable("login", "http://app", "--key", "new", status=1).err
    assert "cannot be written" in said
    file = Path(readable.environment["LABELBRIDGE_CONFIG"])
    assert list(file.parent.iterdir()) == [file]
    assert json.loads(file.read_text())["key"] == "k"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"url": 7}', '{"url": "http://x:y"}', "\x00", None])
def test_settings_that_make_no_sense_end_with_a_sentence(cli: Cli, content: str | None):
    file = Path(cli.environment["LABELBRIDGE_CONFIG"])
    file.parent.mkdir()
    if content is None:
        file.mkdir()
    else:
        file.write_text(content)
        file.chmod(0o600)
    for words in (["whoami"], ["logout"] if content is None else ["projects", "list"]):
        result = cli(*words, "--json", status=None)
        assert result.status in {1, 2}, result
        assert result.err.count("\n") == 1
        assert result.json["error"]["message"] in result.err


def test_a_scope_that_a_server_names_is_no_command(tmp_path: Path) -> None:
    async def config(_: web.Request) -> web.Response:
        return web.json_response({"scope": "x; touch 'y' #"})

    server = web.Application()
    server.router.add_get("/studio/config.json", config)
    with serve_in_thread(server) as url:
        error = Cli(url, "", "", tmp_path)("login", url, "--entra", status=8).err
    command = error.replace("\n", " ").rpartition("confirm with ")[2].strip().removesuffix(".")
    assert shlex.split(command) == ["--scope", "x; touch 'y' #"]


@pytest.mark.parametrize("text", [HOSTILE, "caf\udce9"])
def test_safe_keeps_the_length_and_nothing_that_is_obeyed(text: str) -> None:
    shown = safe(text)
    assert len(shown) == len(text)
    assert not OBEYED & set(shown)
    shown.encode()
    assert safe("a\n\tb ü 👋🏽 \u200d שלום\u200f") == "a\n\tb ü 👋🏽 \u200d שלום\u200f"


def test_json_has_the_same_values_without_what_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    data = {"name": HOSTILE, HOSTILE: ["ü", "caf\udce9"]}
    Output(as_json=True).result(data)
    out = capsys.readouterr().out
    assert not OBEYED & set(out)
    assert "ü" in out
    assert json.loads(out) == data


def test_progress_shows_brackets_as_they_are() -> None:
    out, shown = Output(), io.StringIO()
    out.err = Console(file=shown, force_terminal=True, width=200)
    text = "waiting: [/nothing] [link=file:///etc/passwd]x[/link]"
    with session.bar(out) as progress:
        progress.add_task(text, total=1)
    assert text in shown.getvalue()


async def test_files_printed_on_a_terminal_are_not_obeyed(cli: Cli, new_project: MakeProject) -> None:
    project = await new_project("CustomEntityRecognition")
    await project.upload({"a.txt": f"@City:90 {HOSTILE}"})
    await project.scan()
    await project.put_labels("a.txt", {"entities": []})
    cli.signed_in(project.name)
    piped = await run(cli, "labels", "export", "-", "--format", "conll")
    assert "\x1b" in piped.out
    for arguments in (["labels", "export", "-", "--format", "conll"], ["documents", "search", "City"]):
        with cli.terminal(*arguments, stdout=True) as terminal:
            result = terminal.ends()
            shown = result.err + terminal.raw
        assert result.status == 0, shown
        assert not {"\x07", "\x9b", "\x9d", "\x9c", "\u202e"} & set(shown)
        assert "\x1b[31m " not in shown


ANYTHING = [
    None,
    True,
    7,
    -1,
    1.5,
    1e400,
    10**30,
    "1" * 5_000,
    "",
    "x",
    "\ud800",
    [],
    [[]],
    ["x"],
    [7],
    {},
    {"x": 7},
]
FILES: dict[tuple[str, Field], Any] = {
    ("jsonl", "entities"): {"location": "a.txt", "entities": [{"category": "City", "start": 0, "end": 2}]},
    ("jsonl", "class"): {"location": "a.txt", "category": "City", "dataset": "Train", "text": "text"},
    ("jsonl", "classes"): {"location": "a.txt", "categories": ["City"], "language": "en"},
    ("spacy", "entities"): [["text", {"entities": [[0, 2, "City"]]}]],
    ("spacy", "classes"): [["text", {"cats": {"City": 1.0}}]],
    ("label-studio", "entities"): [
        {"data": {"text": "text", "location": "a.txt"}, "annotations": [{"was_cancelled": False, "result": [
            {"type": "labels", "value": {"start": 0, "end": 2, "text": "te", "labels": ["City"]}}]}]}
    ],
    ("label-studio", "classes"): [
        {"data": {"text": "text", "dataset": "Test"}, "annotations": [{"result": [
            {"type": "choices", "value": {"choices": ["City"]}}]}]}
    ],
}  # fmt: skip


def changed(value: Any) -> Iterator[Any]:
    """The value with each of its parts replaced by anything, one at a time."""
    yield from ANYTHING
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in list(parts):
        for other in changed(part):
            copy = value.copy()
            copy[key] = other
            yield copy


@pytest.mark.parametrize(("name", "field"), FILES)
def test_a_label_file_with_anything_in_it_is_read_or_refused(name: str, field: Field) -> None:
    for value in changed(FILES[name, field]):
        try:
            for record in FORMATS[name].read(io.StringIO(json.dumps(value), newline=""), field):
                json.dumps(to_labels(record, field, "text"), ensure_ascii=False).encode()
        except (BadFile, Misfit):
            continue


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("csv", "location,category,start,end\na.txt,City," + "1" * 5_000 + ",2\n"),
        ("csv", "location,category\n" + "a" * 200_000 + ",City\n"),
        ("csv", "location,location,category\na,b,c,d,e\n"),
        ("jsonl", "[" * 100_000),
        ("spacy", "[" * 100_000),
        ("label-studio", '{"a":' * 100_000),
        ("conll", "-DOCSTART- (%ff%00)\nx -X- -X- B-\n"),
        ("conll", "\x00\n"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_a_sentence(name: str, content: str) -> None:
    with pytest.raises(BadFile) as error:
        list(FORMATS[name].read(io.StringIO(content, newline=""), "entities"))
    assert len(str(error.value)) < 300
