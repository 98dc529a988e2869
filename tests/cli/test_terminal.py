"""Interaction in a real terminal (pty) besides reviewing: the key, a job, confirmations."""

import asyncio
from pathlib import Path

from tests.cli.terminal import Cli, Result
from tests.cli.test_commands import run, write
from tests.integration.conftest import MakeProject
from tests.support.api import unique
from tests.support.hosts import QUIET, Host


async def typed(cli: Cli, question: str, answer: str, *arguments: str) -> Result:
    """Run a command, wait for its question, and answer it."""
    with cli.terminal(*arguments) as terminal:
        await asyncio.to_thread(terminal.shows, question)
        terminal.press(f"{answer}\n")
        return await asyncio.to_thread(terminal.ends)


async def test_the_key_is_asked_for_and_not_shown(cli: Cli):
    with cli.terminal("login", cli.url) as terminal:
        await asyncio.to_thread(terminal.shows, "Access key: ")
        terminal.press(f"{cli.key}\n")
        result = await asyncio.to_thread(terminal.ends)
        assert cli.key not in terminal.raw
    assert (result.status, result.out) == (0, f"Signed in to {cli.url} as '{cli.key}'. Every role.\n")
    assert cli("whoami", "--json").json["roles"] == ["*"]
    assert "Give the access key" in (await typed(cli, "Access key: ", "", "login", cli.url)).err


async def test_ctrl_d_at_the_key_is_no_key(tmp_path: Path):
    cli = Cli("http://127.0.0.1:9", "", "", tmp_path)
    with cli.terminal("login", cli.url, "--json") as terminal:
        await asyncio.to_thread(terminal.shows, "Access key: ")
        terminal.press("\x04")
        result = await asyncio.to_thread(terminal.ends)
    assert (result.status, result.json["error"]["code"]) == (2, "WrongUsage")
    assert result.err.startswith("\nGive the access key with --key")


async def test_a_job_is_watched_live(cli: Cli, new_project: MakeProject, host: Host):
    project = await new_project()
    await project.define("Refund")
    await project.upload({"a.txt": "@Refund:91", "b.txt": "@hold @Refund:80"})
    await project.scan()
    cli.signed_in(project.name)
    host.hold.touch()
    try:
        job = (await run(cli, "autolabel", "--no-wait", "--json")).json["jobId"]
        with cli.terminal("watch", job) as terminal:
            await asyncio.to_thread(terminal.shows, "Autolabel job: running")
            host.hold.unlink()
            result = await asyncio.to_thread(terminal.ends)
    finally:
        host.hold.unlink(missing_ok=True)
    assert (result.status, result.out) == (0, f"Autolabel job {job}: succeeded, 2 suggested.\n")


async def test_a_watched_job_goes_on_after_ctrl_c(cli: Cli, new_project: MakeProject, host: Host):
    project = await new_project()
    await project.define("Refund")
    await project.upload({"a.txt": "@hold @Refund:91"})
    await project.scan()
    cli.signed_in(project.name)
    host.hold.touch()
    try:
        job = (await run(cli, "autolabel", "--no-wait", "--json")).json["jobId"]
        with cli.terminal("watch", job, "--json") as terminal:
            await asyncio.to_thread(terminal.shows, "Autolabel job: running")
            terminal.press("\x03")
            result = await asyncio.to_thread(terminal.ends)
    finally:
        host.hold.unlink(missing_ok=True)
    assert (result.status, result.json["error"]["code"]) == (130, "Interrupted")
    assert f"The job continues. Follow it with: labelbridge watch {job}\nInterrupted.\n" in result.err
    assert (await run(cli, "watch", job)).out == f"Autolabel job {job}: succeeded, 1 suggested.\n"


def test_an_upload_goes_on_where_ctrl_c_ended_it(cli: Cli, tmp_path: Path):
    name = unique(QUIET)
    cli.signed_in(name)("projects", "create", name, "--kind", "entities")
    folder = write(tmp_path / "texts", {f"{n:04}.txt": f"text {n}" for n in range(2_000)})
    with cli.terminal("upload", str(folder), "--create-container") as terminal:
        terminal.shows("Uploading ")
        terminal.press("\x03")
        result = terminal.ends()
    assert (result.status, result.out) == (130, "")
    assert (
        "Files uploaded so far stay; run the same command again to upload the others.\nInterrupted.\n"
        in result.err
    )
    assert "Traceback" not in result.err
    again = cli("upload", str(folder), "--json").json
    assert len(again["uploaded"]) + len(again["unchanged"]) == 2_000
    assert len(again["uploaded"]) > 0


async def test_a_bulk_decision_is_confirmed_with_its_count(cli: Cli, new_project: MakeProject):
    project = await new_project()
    await project.suggested({f"{n}.txt": f"@Refund:9{n}" for n in range(3)}, "Refund")
    cli.signed_in(project.name)
    question = "3 suggestions match. Accept all of them? [y/N] "
    for answer in ("n", "", "no way"):
        refused = await typed(cli, question, answer, "accept")
        assert (refused.status, refused.out) == (8, "")
        assert "Nothing was done." in refused.err
    assert len(await project.documents(status="autoLabeled")) == 3
    done = await typed(cli, question, "y", "accept")
    assert (done.status, done.out.split(".")[0]) == (0, "Accepted 3 suggestions")
    assert len(await project.documents(status="autoLabeled")) == 0


async def test_a_connection_ends_when_its_name_is_typed(cli: Cli, new_project: MakeProject, storage):
    project = await new_project()
    await project.suggested({"a.txt": "@Refund:91"}, "Refund", "Login")
    await storage.blobs.create_container(workspace := unique(QUIET))
    cli.signed_in(project.name)
    name = unique("labeling")
    connect = ["connection", "connect", name, "--studio", "workspace", "--workspace", workspace]
    connected = await typed(cli, "can be connected only once. Connect? [y/N] ", "y", *connect)
    assert connected.out == f"Connected to '{name}'.\n"
    question = (
        f"This disconnects '{name}' permanently; it can never be connected again. Type the name to confirm: "
    )
    disconnect = ["connection", "disconnect", "--discard-unsynced-labels"]
    refused = await typed(cli, question, name.upper(), *disconnect)
    assert refused.status == 8
    assert (await run(cli, "connection", "show", "--json")).json["state"] == "connected"
    done = await typed(cli, question, name, *disconnect)
    assert done.status == 0
    assert done.out.startswith(f"Disconnected from '{name}'.")
    assert "not connected" in (await run(cli, "connection", "disconnect", status=6)).err
