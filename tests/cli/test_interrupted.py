"""Ctrl-C, and the printed command to continue, which must be right for the job and its project."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from labelbridge.cli import session, upload
from labelbridge.cli.output import Output
from labelbridge.client import Client
from tests.cli.terminal import Cli

JOB = "http://app/jobs/j"
#: What the commands read before they start a job.
READ = {"documents": {"labeled": 0, "autoLabeled": 0}, "storageInputContainerName": "docs"}


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli("http://app", "k", "", tmp_path).signed_in("mine")


def jobs(monkeypatch: pytest.MonkeyPatch, *states: dict[str, Any]) -> None:
    """Each request starts a job or reads these states, one after the other; then someone presses Ctrl-C."""
    waiting = list(states)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            return httpx.Response(202, headers={"operation-location": JOB})
        if not request.url.path.endswith("/j"):
            return httpx.Response(200, json=READ)
        if not waiting:
            raise KeyboardInterrupt
        return httpx.Response(200, json={"jobId": "j"} | waiting.pop(0))

    monkeypatch.setattr(session, "Client", partial(Client, transport=httpx.MockTransport(answer)))


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["autolabel"], "labelbridge watch j"),
        (["autolabel", "-p", "her mails"], "labelbridge watch j -p 'her mails'"),
        (["train", "m", "-p", "hers"], "labelbridge watch j -p hers"),
        (["export", "-p", "hers"], "labelbridge watch j -p hers"),
        (["undo", "a", "-p", "hers"], "labelbridge watch j -p hers"),
        (["connection", "sync", "-p", "hers"], "labelbridge watch j -p hers"),
        (["watch", "j", "-p", "hers"], "labelbridge watch j -p hers"),
        (["watch", f"{JOB}?a=1", "-p", "hers"], f"labelbridge watch '{JOB}?a=1' -p hers"),
        (["accept", "--dry-run"], ""),
        (["projects", "delete", "hers", "--confirm", "hers"], ""),
    ],
)
def test_ctrl_c_says_how_to_follow_the_job_where_that_is_possible(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: list[str], command: str
) -> None:
    jobs(monkeypatch, {"status": "running"})
    said = cli(*words, status=130).err
    assert said.endswith("Interrupted.\n")
    line = f"The job continues. Follow it with: {command}\n" if command else ""
    assert said.replace(": running\n", "").replace(line, "").count("\n") == 1, said
    assert line in said
    assert ("watch" in said) is bool(command)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["autolabel"], "Started. Follow it with: labelbridge watch j\n"),
        (["autolabel", "-p", "hers"], "Started. Follow it with: labelbridge watch j -p hers\n"),
        (["projects", "delete", "hers", "--confirm", "hers"], "Started.\n"),
    ],
)
def test_a_job_that_nobody_waits_for(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    jobs(monkeypatch)
    assert cli(*words, "--no-wait").out == said


def test_the_undo_of_a_bulk_decision_names_its_project(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    done = {"status": "succeeded", "result": {"matched": 1, "changed": 1}}
    for given, command in (([], "labelbridge undo j"), (["-p", "hers"], "labelbridge undo j -p hers")):
        jobs(monkeypatch, done, done)
        assert cli("accept", "--yes", *given).out == f"Accepted 1 suggestion. To undo it: {command}\n"


def test_ctrl_c_while_uploads_are_prepared_uploads_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uploads wait until the pool is shut down; those that had not begun by then must not begin."""
    (file := tmp_path / "a.txt").write_text("text")
    stopped, begun = Event(), list[str]()

    def upload_blob(name: str, *_: Any, **__: Any) -> None:
        begun.append(name)
        assert stopped.wait(60)

    class Pool(ThreadPoolExecutor):
        prepared = 0

        def submit(self, *given: Any, **more: Any) -> Any:
            self.prepared += 1
            if self.prepared == 50:
                raise KeyboardInterrupt
            return super().submit(*given, **more)

        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            stopped.set()
            super().shutdown(wait=wait)

    monkeypatch.setattr(upload, "ThreadPoolExecutor", Pool)
    files = [upload.Found(f"{number}.txt", file) for number in range(100)]
    with pytest.raises(KeyboardInterrupt):
        upload._send(Output(), SimpleNamespace(upload_blob=upload_blob), files, "")
    assert len(begun) <= upload.AT_ONCE
