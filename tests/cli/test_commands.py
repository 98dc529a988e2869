"""The commands against the running host: what they print, what they do, and how they end."""

import asyncio
import json
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from azure.core.pipeline.transport import HttpTransport

from labelbridge import __version__
from labelbridge.cli.main import app
from labelbridge.client import sync
from labelbridge.formats import FORMATS
from tests.cli.terminal import Cli
from tests.integration.conftest import MakeProject
from tests.support.api import ENTITIES, PROJECTS, Project, label, unique
from tests.support.azurite import Azurite
from tests.support.hosts import QUIET, Host

EMOJI = "Hi 👋🏽 Ana, fly to @City:81 or @Person:64 🇧🇷."


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


async def run(cli: Cli, *arguments: str, **more):
    """In a thread: fixtures of the test need the loop in the meantime."""
    return await asyncio.to_thread(cli, *arguments, **more)


def test_every_command_has_json():
    def leaves(command: Any, path: str = "") -> Iterator[tuple[str, set[str]]]:
        commands = getattr(command, "commands", None)
        if commands is None:
            yield path, {option for parameter in command.params for option in parameter.opts}
        for name, inner in (commands or {}).items():
            yield from leaves(inner, f"{path} {name}".strip())

    options = dict(leaves(typer.main.get_command(app)))
    assert {"whoami", "upload", "review", "watch", "dead-letters resend"} <= set(options)
    assert [name for name, known in options.items() if "--json" not in known] == []


# Sign in


def test_login_keeps_the_key_in_a_file_for_its_owner_alone(cli: Cli):
    assert "Run 'labelbridge login URL'" in cli("projects", "list", status=4).err
    result = cli("login", f"{cli.url}/", "--key", "-", "--json", stdin=f"{cli.key}\n")
    file = Path(result.json["configFile"])
    assert result.json == {"url": cli.url, "name": cli.key, "roles": ["*"], "configFile": str(file)}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()) == {"url": cli.url, "key": cli.key}
    assert cli("whoami").out == f"'{cli.key}' at {cli.url}.\nEvery role.\n"
    assert cli("login", cli.url, "--key", "reader").out.endswith("'reader'. Roles: Labels.Read.\n")
    cli("logout")
    assert not file.exists()
    cli("whoami", status=4)


def test_a_stored_key_goes_to_its_own_address_only(cli: Cli):
    cli("login", cli.url, "--key", cli.key)
    cli.environment["LABELBRIDGE_URL"] = cli.url.replace("127.0.0.1", "localhost")
    assert "Sign in again" in cli("projects", "list", status=4).err
    cli.environment["LABELBRIDGE_URL"] = cli.url
    cli("projects", "list")


def test_the_environment_goes_before_the_file(cli: Cli):
    cli("login", cli.url, "--key", cli.key)
    cli.environment["LABELBRIDGE_KEY"] = "reviewer"
    assert cli("whoami", "--json").json["roles"] == ["Labels.Review"]


def test_entra_is_refused_where_the_app_takes_keys_only(cli: Cli):
    assert "takes access keys only" in cli("login", cli.url, "--entra", status=2).err
    assert "not both" in cli("login", cli.url, "--entra", "--key", "k", status=2).err


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (
            ["login", "http://127.0.0.1:9", "--key", "k"],
            3,
            "http://127.0.0.1:9 cannot be reached (Connection refused)",
        ),
        (["login", "localhost:9", "--key", "k"], 3, "http://localhost:9 cannot be reached"),
        (["login", "https{plain}", "--key", "k"], 3, "begins with http://"),
        (["login", "ftp://x", "--key", "k"], 2, "is not an address"),
        (["login", "http://x:port", "--key", "k"], 2, "is not an address"),
        (["login", "{url}/elsewhere", "--key", "k"], 5, "check the URL"),
        (["login", "{url}", "--key", "wrong"], 4, "is invalid. Sign in again with 'labelbridge login URL'."),
        (["login", "{url}"], 2, "Give the access key with --key"),
    ],
)
def test_a_sign_in_that_fails_says_why(
    cli: Cli, azurite: Azurite, arguments: list[str], status: int, sentence: str
):
    # A server without HTTPS that refuses a TLS handshake at once; the host waits 30 s for the end of the headers.
    plain = azurite.blob.rpartition("/")[0].removeprefix("http")
    result = cli(*(argument.format(url=cli.url, plain=plain) for argument in arguments), status=status)
    assert sentence in result.err
    assert result.out == ""
    assert result.err.count("\n") == 1


def test_errors_are_a_sentence_and_a_status(cli: Cli, host: Host, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sync, "time", SimpleNamespace(sleep=lambda _: None))  # between the tries
    cli.signed_in()
    assert "'labelbridge projects list' shows the names." in cli("projects", "show", "nope", status=5).err
    assert "Name the project with --project" in cli("autolabel", status=2).err
    reader = Cli(cli.url, "reader", "", cli.folder).signed_in()
    assert (
        "lacks the role Projects.Write"
        in reader("projects", "create", "x", "--kind", "entities", status=4).err
    )
    host.answers.write_text(json.dumps([{"path": f"{PROJECTS}/throttled", "status": 429}]))
    try:
        cli.environment["LABELBRIDGE_URL"] = cli.url
        result = cli("autolabel", "-p", "throttled", "--estimate", status=3)
    finally:
        host.answers.unlink()
    assert result.err.splitlines()[-1] == "The function app is throttled; wait a few seconds and repeat."
    assert "Trying again in 1 s." in result.err


# From a folder to a label file


def test_the_whole_path_in_a_project_of_classes(cli: Cli, tmp_path: Path):
    name = unique(QUIET)
    cli.signed_in()
    create = ["projects", "create", name, "--kind", "single-label", "--category", "Refund", "--no-on-upload"]
    assert (
        cli(*create, "--use").out
        == f"Created the project '{name}' (single-label) on the container '{name}'.\n"
    )
    assert "already exists" in cli(*create, status=6).err
    folder = write(
        tmp_path / "texts",
        {
            "1.txt": "@Refund:91",
            "in/2.txt": "@Login:64",
            "3.txt": "Hello.",
            "a.md": "x",
            ".hidden/4.txt": "x",
        },
    )
    assert "--create-container" in cli("upload", str(folder), "--dry-run", status=5).err
    uploaded = cli("upload", str(folder), "--create-container", "--wait", "--json").json
    assert uploaded["uploaded"] == ["1.txt", "3.txt", "in/2.txt"]
    assert uploaded["leftOut"] == {"a.md": "only .txt files can be documents"}
    again = cli("upload", str(folder))
    assert again.out == f"Uploaded 0 files to '{name}'; 3 unchanged, 1 left out.\n"

    labels = tmp_path / "labels.csv"
    labels.write_text("location,category\n3.txt,Login\n")
    assert "confirm with --yes" in cli("labels", "import", str(labels), status=8).err
    assert cli("labels", "import", str(labels), "--yes", "--json").json["labeled"] == 1
    assert cli("autolabel", "--estimate").out == "The job would read 2 documents, which are 2 text records.\n"
    job = cli("autolabel", "--json").json
    assert job["result"]["outcomes"]["suggested"] == 2
    for found in (cli("watch"), cli("watch", job["jobId"])):
        assert found.out == f"Autolabel job {job['jobId']}: succeeded, 2 suggested.\n"

    least = ["--min-confidence", "0.9"]
    assert cli("accept", *least, "--dry-run").out == "1 suggestion matches; nothing was changed.\n"
    assert "confirm with --yes" in cli("accept", *least, status=8).err
    accepted = cli("accept", *least, "--yes", "--json").json
    assert accepted["result"]["changed"] == 1
    assert cli("undo", accepted["jobId"]).out == "Undone in 1 document.\n"
    assert cli("reject", "--category", "Login", "-y").out.startswith(
        "Rejected 1 suggestion. To undo it: labelbridge undo"
    )
    cli("accept", "-y")

    for suffix in ("csv", "jsonl"):
        file = tmp_path / f"out.{suffix}"
        assert cli("labels", "export", str(file)).out == f"Wrote the labels of 2 documents to {file}.\n"
        assert cli("labels", "import", str(file), "-y", "--json").json["unchanged"] == 2
    assert (tmp_path / "out.csv").read_text() == (
        "location,dataset,language,category\n1.txt,Train,en-us,Refund\n3.txt,Train,en-us,Login\n"
    )
    exported = cli("export").json
    assert {document["location"] for document in exported["assets"]["documents"]} == {
        "1.txt",
        "in/2.txt",
        "3.txt",
    }
    shown = cli("projects", "show", name).out
    assert "documents              3" in shown
    assert "Refund         1" in shown
    assert name in cli("projects", "list").out

    assert "confirm with --confirm" in cli("projects", "delete", name, status=8).err
    assert "the name is" in cli("projects", "delete", name, "--confirm", "other", status=8).err
    assert "were not touched" in cli("projects", "delete", name, "--confirm", name).out
    assert "nothing to delete" in cli("projects", "delete", name, "--confirm", name, status=5).err


def test_files_that_cannot_be_documents_are_left_out_with_the_reason(cli: Cli, tmp_path: Path):
    name = unique(QUIET)
    cli.signed_in(name)("projects", "create", name, "--kind", "entities")
    bad = {"empty.txt": b"", "bom.txt": b"\xef\xbb\xbf", "latin.txt": b"caf\xe9", "long.txt": b"x" * 128_001}
    folder = write(tmp_path / "bad", {**bad, "good.txt": "\ufeffok"})
    result = cli("upload", str(folder), "--create-container", "--json", status=1)
    assert result.json["uploaded"] == ["good.txt"]
    assert result.json["leftOut"] == {
        "bom.txt": "the file is empty",
        "empty.txt": "the file is empty",
        "latin.txt": "the file is not UTF-8 (byte 3)",
        "long.txt": "the text has 128,001 characters; at most 128,000 are allowed",
    }
    assert "'nowhere' is not a folder." in cli("upload", "nowhere", status=2).err


@pytest.mark.parametrize(
    ("storage", "status", "sentence"),
    [
        ("", 2, "Files are uploaded to the storage account, not through the app"),
        ("nonsense", 2, "not a connection string or a URL"),
        ("http://127.0.0.1:9/account?sig=x", 3, "The storage account cannot be reached"),
        (
            "{blob}?sv=2022-11-02&ss=b&srt=sco&sp=rw&se=2030-01-01&sig=eA%3D%3D",
            4,
            "The storage account refused",
        ),
    ],
)
def test_storage_that_does_not_work_says_why(
    cli: Cli,
    azurite: Azurite,
    tmp_path: Path,
    storage: str,
    status: int,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
):
    pauses: list[float] = []
    monkeypatch.setattr(HttpTransport, "sleep", lambda _, seconds: pauses.append(seconds))
    name = unique(QUIET)
    cli.signed_in(name)("projects", "create", name, "--kind", "entities")
    cli.environment["LABELBRIDGE_STORAGE"] = storage.format(blob=azurite.blob)
    folder = write(tmp_path / "texts", {"1.txt": "x"})
    result = cli("upload", str(folder), status=status)
    assert sentence in result.err
    assert result.err.count("\n") == 1
    assert len(pauses) == (2 if status == 3 else 0)
    assert sum(pauses) < 10


# Label files


async def entities(project: Project) -> None:
    """Documents with suggestions that are accepted, in texts with characters of two code units."""
    await project.suggested({"a.txt": EMOJI, "in/b.txt": f"🎉{EMOJI}", "c.txt": "Nothing."}, "City", "Person")


async def test_entities_go_to_files_and_come_back(cli: Cli, new_project: MakeProject, tmp_path: Path):
    """Out of one project, into another one on the same container: the labels are equal, to the code unit."""
    first = await new_project(ENTITIES)
    await entities(first)
    await run(cli.signed_in(first.name), "accept", "--yes")
    await first.put_labels("c.txt", {"entities": []})
    for name in FORMATS:
        await run(cli, "labels", "export", str(tmp_path / name), "--format", name)

    second = Project(first.http, first.blobs, unique("p"), first.container, ENTITIES)
    await second.create()
    await second.scan()
    cli.environment["LABELBRIDGE_PROJECT"] = second.name
    done = await run(cli, "labels", "import", str(tmp_path / "spacy"), "--format", "spacy", "--yes", "--json")
    assert (done.json["labeled"], done.json["skipped"]) == (5, {})
    assert await spans(second) == await spans(first)
    for name in FORMATS:
        again = await run(cli, "labels", "import", str(tmp_path / name), "--format", name, "--yes", "--json")
        assert (again.json["labeled"], again.json["unchanged"]) == (0, 5)
    await second.put_labels("a.txt", {"entities": []})
    file = str(tmp_path / "conll")
    back = await run(cli, "labels", "import", file, "--format", "conll", "--yes", "--replace", "--json")
    assert back.json["labeled"] == 1
    assert await spans(second) == await spans(first)


async def spans(project: Project) -> dict[str, set[tuple[str, int, int]]]:
    return {
        document["location"]: {
            (e["category"], e["offset"], e["length"])
            for region in document["entities"]
            for e in region["labels"]
        }
        for document in await project.documents(status="labeled")
    }


async def test_what_does_not_fit_is_skipped_with_the_reason(
    cli: Cli, new_project: MakeProject, tmp_path: Path
):
    project = await new_project()
    await project.upload({f"{n}.txt": "text" for n in range(3)})
    await project.scan()
    await project.put_labels("0.txt", label(project.kind, "Old"))
    file = tmp_path / "labels.csv"
    file.write_text("location,category,dataset\n0.txt,New,\n1.txt,New,Test\nnope.txt,New,\n")
    cli.signed_in(project.name)
    planned = await run(cli, "labels", "import", str(file), "--dry-run", "--json", status=1)
    assert planned.json["wouldLabel"] == 1
    assert set(planned.json["skipped"]) == {"0.txt", "nope.txt"}
    assert (await project.document("1.txt"))["status"] == "unlabeled"
    await run(cli, "labels", "import", str(file), "--yes", status=1)
    document = await project.document("1.txt")
    assert (document["class"], document["dataset"]) == ({"category": "New"}, "Test")
    await run(cli, "labels", "import", str(file), "--yes", "--replace", status=1)
    assert (await project.document("0.txt"))["class"] == {"category": "New"}
    assert "--format" in (await run(cli, "labels", "export", "x.json", status=2)).err
    assert "supports only entities" in (await run(cli, "labels", "export", "x.conll", status=2)).err
    file.write_text("location\n")
    assert (
        "Line 1: the columns category are missing"
        in (await run(cli, "labels", "import", str(file), status=2)).err
    )


# Training


async def test_training_shows_its_figures(cli: Cli, new_project: MakeProject):
    project = await new_project()
    cli.signed_in(project.name)
    assert "Train one with: labelbridge train NAME" in (await run(cli, "metrics", status=5)).err
    await project.suggested({f"{n}.txt": f"@Refund:7{n}" for n in range(4)}, "Refund")
    assert "confirm with --yes" in (await run(cli, "train", "first", status=8)).err
    await run(cli, "accept", "--yes")
    trained = await run(cli, "train", "first", "--test", "40")
    assert trained.out.startswith("Trained the model 'first'.\n")
    shown = await run(cli, "metrics", "--confusion")
    assert "micro average" in shown.out
    assert "expected \\ found" in shown.out
    assert re.match(r"Model 'first', trained \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC with", shown.out)
    assert (await run(cli, "metrics", "first", "--json")).json["model"]["label"] == "first"


async def test_fits_are_listed_with_progress_duration_and_reason(cli: Cli, new_project: MakeProject):
    project = await new_project()
    cli.signed_in(project.name)
    assert (await run(cli, "fits")).out == "No engine has been fitted yet.\n"
    await project.suggested({"a.txt": "@Refund:73"}, "Refund")
    await project.upload({"odd.txt": "@unfit"})
    await project.scan()
    await project.put_labels("odd.txt", label(project.kind, "Refund"))
    await run(cli, "autolabel", status=1)
    _, last, first = (await run(cli, "fits")).out.splitlines()
    assert re.match(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC +scripted +2 +failed +\d+\.\d +\S.*FloatingPointError", last
    )
    assert re.match(r".* UTC +scripted +1 +succeeded +\d+\.\d *$", first)
    assert [fit["status"] for fit in (await run(cli, "fits", "--json")).json] == ["failed", "succeeded"]


async def test_show_takes_the_project_in_use(cli: Cli, new_project: MakeProject):
    project = await new_project()
    cli.signed_in()
    refused = (await run(cli, "projects", "show", status=2)).err
    assert "Name the project, or choose one with 'labelbridge projects use NAME'." in refused
    assert "--project" not in refused
    await run(cli, "projects", "use", project.name)
    shown = await run(cli, "projects", "show")
    assert shown.out.startswith("name ")
    assert project.name in shown.out
    assert re.search(r"created +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n", shown.out)


async def test_a_push_without_a_language_resource_names_the_setting(cli: Cli, new_project: MakeProject):
    project = await new_project()
    await project.define("Refund")
    cli.signed_in(project.name)
    assert "set LANGUAGE_ENDPOINT" in (await run(cli, "push", status=7)).err


# The connection


async def test_connect_switch_and_disconnect(cli: Cli, new_project: MakeProject, storage):
    project = await new_project()
    await project.suggested({"a.txt": "@Refund:91"}, "Refund", "Login")
    await storage.blobs.create_container(workspace := unique(QUIET))
    cli.signed_in(project.name)
    assert (await run(cli, "connection", "show")).out == f"The project '{project.name}' is not connected.\n"
    name = unique("labeling")
    connect = ["connection", "connect", name, "--studio", "workspace", "--workspace", workspace]
    checked = await run(cli, *connect, "--check")
    assert "no" not in {line.split()[0] for line in checked.out.splitlines()}
    assert "confirm with --yes" in (await run(cli, *connect, status=8)).err
    assert (await run(cli, *connect, "--yes")).out == f"Connected to '{name}'.\n"
    assert (await run(cli, "connection", "switch", "there", "--yes")).out.startswith(
        "Labels are set in the labeling"
    )
    assert "Switch back" in (await run(cli, "autolabel", status=6)).err
    assert name in (await run(cli, "connection", "show")).out
    assert (await run(cli, "connection", "sync")).out.startswith("Imported.\n")
    assert f"confirm with --confirm {name}" in (await run(cli, "connection", "disconnect", status=8)).err
    await run(cli, "connection", "disconnect", "--confirm", name, "--discard-unsynced-labels")
    assert "not connected" in (await run(cli, "connection", "disconnect", status=6)).err


# The program itself


def test_the_program_by_itself(cli: Cli):
    assert cli.process("--version").out == f"labelbridge {__version__}\n"
    helped = cli.process("--help").out
    assert "Exit codes:" in helped
    commands = helped.partition("Commands:")[2].partition("Exit codes:")[0]
    assert "..." not in commands  # each command has a sentence that fits
    wrong = cli.process("nope")
    assert (wrong.status, wrong.out) == (2, "")


def test_the_shell_completes_commands_and_names_of_projects(cli: Cli):
    shell = {"_LABELBRIDGE_COMPLETE": "complete_bash", "COMP_WORDS": "labelbridge pro", "COMP_CWORD": "1"}
    program = "import sys; sys.argv[0] = 'labelbridge'; from labelbridge.cli.main import main; main()"

    def complete(**more: str) -> list[str]:
        command = [sys.executable, "-c", program]
        done = subprocess.run(
            command, env=cli.variables(shell | more), capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout.split()

    assert complete() == ["projects"]
    name = unique("complete")
    cli.signed_in()("projects", "create", name, "--kind", "entities")
    assert complete(COMP_WORDS=f"labelbridge projects show {name[:14]}", COMP_CWORD="3") == [name]


async def test_progress_shows_who_did_what(cli: Cli, new_project: MakeProject):
    cli("login", cli.url, "--key", cli.key)
    project = await new_project()
    assert (await run(cli, "team", "progress", "-p", project.name)).out.startswith("No labels were changed")
    await project.define("Refund")
    shown = await run(cli, "team", "progress", "-p", project.name)
    assert [line.split()[1:3] for line in shown.out.splitlines()[1:]] == [[cli.key, "1"]]
    found = (await run(cli, "team", "progress", "-p", project.name, "--json")).json
    assert [(day["by"], day["labeled"]) for day in found] == [(cli.key, 1)]


async def test_search_says_how_much_was_searched(cli: Cli, new_project: MakeProject):
    cli.signed_in()
    project = await new_project()
    await project.upload({f"{n}.txt": f"letter {n} about a parcel" for n in range(3)})
    await project.scan()
    result = await run(cli, "documents", "search", "a  PARCEL", "--project", project.name, "--limit", "2")
    assert result.err == "2 found. Searched 2 of 3 documents.\n"
    assert result.out.splitlines()[1].split() == ["0.txt", "1", "letter", "0", "about", "a", "parcel"]
    found = await run(
        cli, "documents", "search", "PARCEL", "--match-case", "--project", project.name, "--json"
    )
    assert found.json == {"value": [], "searched": 3, "unread": 0, "total": 3}


async def test_documents_are_assigned_and_listed(cli: Cli, new_project: MakeProject):
    cli.signed_in()
    project = await new_project()
    await project.suggested({f"{n}.txt": "@Refund:60" for n in range(4)}, "Refund")
    given = ("-p", project.name)
    shown = await run(cli, "team", "assign", "Ana", "--count", "3", "--status", "autoLabeled", *given)
    assert shown.out == "Assigned 3 documents to 'Ana'.\n"
    listed = (await run(cli, "documents", "list", "--assigned-to", "Ana", *given, "--json")).json
    assert [document["assignee"] for document in listed] == ["Ana"] * 3
    rows = (await run(cli, "team", "assignments", *given)).out.splitlines()[1:]
    assert [row.split() for row in rows] == [["(nobody)", "2", "1", "0", "1"], ["Ana", "3", "3", "0", "0"]]
    shown = await run(cli, "team", "assign", "@none", "--assigned-to", "Ana", *given)
    assert shown.out == "Assigned 3 documents to nobody.\n"
    await run(cli, "team", "assign", "@none", *given, status=2)
