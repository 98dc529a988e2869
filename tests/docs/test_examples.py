"""The examples of the documentation run as they are printed, in order, against the app; only ports differ."""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from azure.storage.blob.aio import BlobServiceClient

from samples.server import Server

ROOT = Path(__file__).parents[2]
PORT = "7071"
#: Azurite on its usual ports.
STORAGE = "UseDevelopmentStorage=true"


def examples(page: str) -> list[tuple[str, str]]:
    """(language, code) of each Python and shell block of a page, in order."""
    text = (ROOT / page).read_text("utf-8")
    return re.findall(r"^```(python|bash)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """What `make run` starts, on free ports."""
    with Server(0, 0, tmp_path_factory.mktemp("data")) as running:
        yield running


def run(language: str, code: str, before: str, folder: Path) -> str:
    """The output. `before`: earlier shell blocks, whose variables and functions are declared again."""
    if language == "python":
        command = [sys.executable, "-W", "error", "-c", code]
    else:
        declared = "\n".join(re.findall(r"^(?:export .*|\w+\(\) .*)$", before, re.MULTILINE))
        command = ["bash", "-euo", "pipefail", "-c", f"{declared}\n{code}"]
    done = subprocess.run(
        command, cwd=folder, env=dict(os.environ), capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, f"{code}\n--- output:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_page(page: str, server: Server, folder: Path) -> list[str]:
    """The output of each block of a page."""
    outputs: list[str] = []
    before = ""
    for language, printed in examples(page):
        code = printed.replace(f"http://127.0.0.1:{PORT}", server.url)
        code = code.replace(STORAGE, server.connection_string)
        outputs.append(run(language, code, before, folder))
        before += code if language == "bash" else ""
    return outputs


@pytest.mark.timeout(240)
def test_the_example_of_the_readme_runs(server, tmp_path):
    [output] = run_page("README.md", server, tmp_path)
    suggested, *_, saved, models = output.splitlines()
    assert suggested.startswith("succeeded {'suggested': 3")
    assert saved == "['saved', 'saved', 'saved']"
    assert models == "['first']"


@pytest.mark.timeout(240)
def test_the_quickstart_ends_with_a_label_file(server, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    run_page("docs/quickstart.md", server, tmp_path)
    documents = json.loads((tmp_path / "labels.json").read_text("utf-8"))["assets"]["documents"]
    assert len(documents) == 9
    assert {document["class"]["category"] for document in documents} == {"Refund", "Login"}
    shown = re.search(r"```json\n(.*?)```", (ROOT / "docs/quickstart.md").read_text("utf-8"), re.DOTALL)
    assert shown
    assert json.loads(shown[1]) in documents


def session(page: str) -> list[tuple[str, str]]:
    """(command, output) of the recorded session of a page; lines of a command after its first begin with `> `."""
    text = (ROOT / page).read_text("utf-8")
    found = re.search(r"<!-- session -->\n```console\n(.*?)```", text, re.DOTALL)
    assert found
    steps = re.findall(r"^\$ (.*\n(?:> .*\n)*)((?:(?!\$ ).*\n)*)", found[1], re.MULTILINE)
    return [(re.sub(r"^> ", "", command, flags=re.MULTILINE), output) for command, output in steps]


@pytest.mark.timeout(240)
def test_the_session_of_the_command_line_is_as_recorded(server, tmp_path, monkeypatch):
    """It begins in an empty folder and ends with the labels of every document in a file."""
    folder = tmp_path / "empty"
    folder.mkdir()
    environment = {
        "LABELBRIDGE_CONFIG": str(tmp_path / "config.json"),
        "STORAGE": server.connection_string,
        "PYTHONPATH": str(ROOT),
    }
    program = f'labelbridge() {{ {shlex.quote(sys.executable)} -W error -m labelbridge "$@"; }}'
    for command, output in session("docs/cli.md"):
        line = f"{program}\n{command.replace(f'http://127.0.0.1:{PORT}', server.url)}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        expected = re.escape(output.replace(f"http://127.0.0.1:{PORT}", server.url))
        expected = re.sub(r"[0-9a-f]{8}\\-…", "[0-9a-f-]{36}", expected)  # ids differ from run to run
        assert re.fullmatch(expected, done.stdout), done.stdout
    assert (folder / "out.csv").read_text().count("\n") == 1 + 9
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the package is not installed beside the tests
    [printed] = run_page("docs/cli.md", server, folder)
    assert printed.splitlines()[-1] == "9"


@pytest.mark.timeout(240)
async def test_the_line_that_sends_events_sends_them(server, tmp_path):
    """As printed but for the addresses, to a server that stands for the Functions host."""
    text = (ROOT / "docs/deploy.md").read_text("utf-8").replace("\\\n", " ")
    [line] = re.findall(r"^\.venv/bin/python (-m devhost events .*)$", text, re.MULTILINE)
    azurite_port = re.search(r":(\d+)/devstoreaccount1", server.connection_string)
    assert azurite_port
    subjects: asyncio.Queue[str] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        for event in await request.json():
            subjects.put_nowait(event["subject"])
        return web.Response()

    async def functions(_: web.Request) -> web.Response:
        return web.json_response(
            [{"name": "storage_event", "config": {"bindings": [{"type": "eventGridTrigger"}]}}]
        )

    host = web.Application()
    host.router.add_get("/admin/functions", functions)
    host.router.add_post("/runtime/webhooks/EventGrid", take)
    runner = web.AppRunner(host)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    given = {"http://127.0.0.1:7071": site.name, "10000": azurite_port[1], ".data": str(tmp_path)}
    words = [given.get(word, word) for word in shlex.split(line)]
    assert len(set(given.values()) & set(words)) == 3
    process = await asyncio.create_subprocess_exec(sys.executable, *words, cwd=ROOT)
    try:
        async with BlobServiceClient.from_connection_string(server.connection_string) as account:
            container = account.get_container_client("sent-by-hand")
            await container.create_container()
            await container.upload_blob("1.txt", b"text")
            wanted = "/blobServices/default/containers/sent-by-hand/blobs/1.txt"
            async with asyncio.timeout(200):
                while await subjects.get() != wanted:
                    pass
    finally:
        process.terminate()
        await process.wait()
        await runner.cleanup()


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_the_examples_name_the_ports_of_make_run(page):
    code = "".join(text for _, text in examples(page))
    assert set(re.findall(r"127\.0\.0\.1:(\d+)", code)) == {PORT}
    assert f'"{STORAGE}"' in code  # which means port 10000
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert f"PORT ?= {PORT}\nAZURITE_PORT ?= 10000\n" in makefile


def test_the_readme_and_the_architecture_stay_short():
    limits = {"README.md": 150, "ARCHITECTURE.md": 180}
    lines = {page: len((ROOT / page).read_text("utf-8").splitlines()) for page in limits}
    assert all(lines[page] <= limit for page, limit in limits.items()), lines
