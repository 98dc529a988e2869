"""Every `labelbridge` command of the how-to pages runs as it is printed, in order, against the host."""

import asyncio
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from labelbridge.client import Client
from tests.cli.terminal import Cli
from tests.cli.test_commands import run, write
from tests.docs.test_reference import commands_of
from tests.integration.conftest import MakeProject
from tests.support.api import PROJECTS, VERSION, label, unique
from tests.support.azurite import Azurite
from tests.support.hosts import QUIET
from tests.support.waiting import eventually

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
PAGES = sorted(page.stem for page in HOW_TO.glob("*.md"))
#: What needs a service that is not here, by how it begins.
NOT_HERE = {
    ("login",): "Microsoft Entra ID; tests of `login` use a key",
    ("second", "label"): "needs to be signed in as the second person; tests/cli/test_second.py is",
    ("push",): "Azure AI Language; tests/cli/test_push.py has a fake",
    ("connection", "connect", "tickets-round-1", "--studio", "azure-ml"): "Azure Machine Learning",
}
CATEGORIES = ("Refund", "Login", "Other")
#: The order of the commands of a connection; a page names `sync` in a sentence after all of them.
CONNECTION = ["connect", "switch there", "show", "sync", "switch here", "disconnect"]
#: Confidences, so that each filter of the pages finds something.
CONFIDENCES = (95, 86, 60, 15)
NAMES = [f"inbox/{c.lower()}-{n}.txt" for c in CATEGORIES for n in CONFIDENCES]


def here(page: str) -> Iterator[list[str]]:
    """The commands of a page that can run here: blocks in order, then those within sentences."""
    for arguments in commands_of(HOW_TO / f"{page}.md"):
        if not any(tuple(arguments[: len(start)]) == start for start in NOT_HERE):
            yield arguments


def files(folder: Path) -> None:
    """`FOLDER` has labeled documents of each category, `MORE` some to suggest labels for; and the labels."""
    labeled = {f"{c.lower()}/{n}.txt": f"@{c}:90 number {n}" for c in CATEGORIES for n in range(4)}
    more = [f"@{c}:{n} please" for c in CATEGORIES for n in CONFIDENCES]
    write(folder / "FOLDER", dict(labeled))
    write(folder / "MORE", dict(zip(NAMES, more, strict=True)))
    rows = [
        f"{name},{'Test' if name.endswith('3.txt') else 'Train'},en-us,{name.split('/')[0].title()}"
        for name in labeled
    ]
    (folder / "labels.csv").write_text("\n".join(["location,dataset,language,category", *rows, ""]))


class Reader:
    """Runs the commands of a page for a project of its own, as a person does who follows it."""

    def __init__(self, cli: Cli, page: str) -> None:
        self._cli = cli
        self._page = page
        self.name, self.container, self.labeling = unique("tickets"), unique(QUIET), unique("round")
        self._undo = ""

    async def prepare(self) -> None:
        """What the page takes as given; `autolabel-on-upload` begins with nothing."""
        if self._page == "autolabel-on-upload":
            return
        await self._cli_run("projects", "create", self.name, "--container", self.container, *self._create())
        await self._cli_run("upload", "FOLDER", "--create-container", "--wait")
        await self._cli_run("labels", "import", "labels.csv", "--yes")
        await self._cli_run("upload", "MORE", "--wait")
        await self._cli_run("autolabel")

    def _create(self) -> list[str]:
        given = [word for category in CATEGORIES for word in ("--category", category)]
        return ["--kind", "single-label", "--no-on-upload", *given, "--use"]

    async def follow(self, arguments: list[str]) -> None:
        words = [self._own(word) for word in arguments]
        if words[0] == "review":
            with self._cli.terminal(*words) as terminal:
                terminal.shows("q quit")
                terminal.press("q")
                assert terminal.ends().status == 0, words
            return
        if words[:2] == ["projects", "create"]:
            words += ["--container", self.container]
        if words == ["watch"]:  # a person reads on for the two seconds after which uploads become a job
            await eventually("an autolabel job", self._has_job)
        if (words[0] in {"accept", "reject", "train"} and "--dry-run" not in words) or words[:2] in (
            ["connection", "switch"],
            ["connection", "connect"],
        ):
            words += ["--yes"]
        if words[:2] == ["connection", "disconnect"]:
            words += ["--confirm", self.labeling, "--discard-unsynced-labels"]
        await self._cli_run(*words)

    async def _has_job(self) -> bool:
        jobs = f"{PROJECTS}/{self.name}/autolabel/jobs"
        async with httpx.AsyncClient(
            base_url=self._cli.url, headers={"ocp-apim-subscription-key": self._cli.key}
        ) as api:
            return bool((await api.get(jobs, params={"api-version": VERSION})).json()["value"])

    def _own(self, word: str) -> str:
        if re.fullmatch(r"[0-9a-f]{8}-…", word):
            return self._undo
        return {
            "tickets": self.name,
            "NAME": self.name,
            "tickets-round-1": self.labeling,
            "CONTAINER": f"{self.container}-labels",
        }.get(word, word)

    async def _cli_run(self, *words: str) -> None:
        result = await run(self._cli, *words, status=None)
        assert result.status == 0, f"labelbridge {shlex.join(words)}\n{result}"
        if found := re.search(r"To undo it: labelbridge undo (\S+)", result.out):
            self._undo = found[1]


@pytest.mark.parametrize("page", PAGES)
async def test_every_command_of_the_page_runs(
    page: str, cli: Cli, azurite: Azurite, storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files(tmp_path)
    cli.signed_in()
    reader = Reader(cli, page)
    await storage.blobs.create_container(f"{reader.container}-labels")
    await reader.prepare()
    commands = list(here(page))
    if page == "label-with-vendors":  # the studio that is here takes the place of Azure Machine Learning
        commands.sort(key=lambda words: CONNECTION.index(" ".join(words[1:3]).partition(" tickets")[0]))
    for arguments in commands:
        await reader.follow(arguments)


def python_of(page: str, cli: Cli, name: str) -> str:
    """The Python block of a page, with the address, the key and the project of the test."""
    [code] = re.findall(
        r"^```python\n(.*?)^```$", (HOW_TO / f"{page}.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    printed = ('"https://NAME.azurewebsites.net"', 'key="..."', 'project("tickets")')
    own = (repr(cli.url), f"key={cli.key!r}", f"project({name!r})")
    for word, ours in zip(printed, own, strict=True):
        assert code.count(word) == 1, word
        code = code.replace(word, ours)
    return code


async def test_the_python_that_moves_a_project_runs(
    cli: Cli, new_project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project = await new_project(create=False)
    await project.upload({"a.txt": "I want my money back.", "b.txt": "I cannot log in."})
    metadata = {
        "projectKind": project.kind, "storageInputContainerName": project.container, "settings": {},
        "projectName": project.name, "multilingual": False, "description": "", "language": "en-us",
    }  # fmt: skip
    documents = [
        {"location": f"{n}.txt", "language": "en-us", "dataset": "Train", "class": {"category": c}}
        for n, c in (("a", "Refund"), ("b", "Login"))
    ]
    assets = {"projectKind": project.kind, "classes": [{"category": "Refund"}, {"category": "Login"}]}
    file = {
        "projectFileVersion": "2022-05-01", "stringIndexType": "Utf16CodeUnit", "metadata": metadata,
        "assets": assets | {"documents": documents},
    }  # fmt: skip
    (tmp_path / "tickets.json").write_text(json.dumps(file))
    await asyncio.to_thread(exec, python_of("move-from-language-studio", cli, project.name), {})
    labeled = await project.documents(status="labeled")
    assert {document["location"]: document["class"]["category"] for document in labeled} == {
        "a.txt": "Refund",
        "b.txt": "Login",
    }


async def test_the_python_of_a_second_review_runs(
    cli: Cli, new_project: MakeProject, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second person is one of the test, and labels otherwise before agreement is asked for."""
    project = await new_project()
    await project.define("Refund", "Login")
    await project.upload({"a.txt": "text"})
    await project.scan()
    await project.put_labels("a.txt", label(project.kind, "Refund"))

    def second(review: str) -> None:
        with Client(cli.url, key="reviewer") as client:
            mine = client.project(project.name)
            [item] = mine.blind_documents(review)
            mine.set_blind_labels(review, item["id"], {"class": {"category": "Login"}})

    code = python_of("lead-a-team", cli, project.name).replace("ben@example.com", "reviewer")
    asked = "    print(project.agreement("
    assert code.count(asked) == 1
    code = code.replace(asked, f'    second(review["id"])\n{asked}')
    await asyncio.to_thread(exec, code, {"second": second})
    assert "a.txt" in capsys.readouterr().out
    assert (await project.document("a.txt"))["class"] == {"category": "Login"}


def test_what_does_not_run_is_still_on_a_page() -> None:
    every = [arguments for page in PAGES for arguments in commands_of(HOW_TO / f"{page}.md")]
    for start in NOT_HERE:
        assert any(tuple(arguments[: len(start)]) == start for arguments in every), start
