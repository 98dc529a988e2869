"""`make demo` as a user runs it: twice on one folder, left running, ended by a signal, and refused with a reason."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from samples import connection, mails
from samples.api import Api, Refused
from samples.server import KEY

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "samples.demo"]

pytestmark = pytest.mark.timeout(600)  # a run is a minute of work, and the machine may be busy


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "PORT": "0", "AZURITE_PORT": "0", "DATA_DIR": str(folder), "KEEP": "", **more}


def run(folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        COMMAND, cwd=ROOT, env=environment(folder, **more), capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def first(folder) -> str:
    """What the first run printed."""
    done = run(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    wait_until_unused(folder)
    return done.stdout


def wait_until_unused(folder: Path) -> None:
    """The demo waits 20 s for the programs that it started; on a busy machine Azurite saves its data for longer."""
    deadline = time.monotonic() + 120
    with (folder / ".lock").open() as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                assert time.monotonic() < deadline, "the first run has not ended"
                time.sleep(0.05)  # another process may not be waited for
            else:
                return


def test_uploads_are_suggested_for_by_a_job_that_started_by_itself(first):
    assert re.search(r"job [0-9a-f]{8}  succeeded +100 %   43 of 43 have suggestions", first)
    assert "Their events started a job. Engine 'embedded'" in first


def test_some_are_accepted_and_some_rejected_and_the_rest_in_bulk(first):
    verdicts = re.findall(r"^   \d\.\d\d [#.]{10}  .*?  (accept|reject) ", first, re.MULTILINE)
    assert {"accept", "reject"} == set(verdicts)
    assert "Saved with one call: 15 saved." in first
    bulk = re.search(r"A dry run counted (\d+); then a job accepted (\d+)", first)
    assert bulk
    assert bulk[1] == bulk[2] != "0", first


def test_it_shows_what_is_labeled_and_by_whom(first):
    counts = re.search(r"(\d+) of 83 documents are labeled, (\d+) still have suggestions, (\d+) have", first)
    assert counts
    assert sum(int(number) for number in counts.groups()) == 83
    assert int(counts[1]) > 60
    assert re.search(r"suggested by\s+'embedded',\s+accepted by\s+'local'", first)


def test_the_entity_project_is_imported_trained_reviewed_and_exported(first):
    assert "40 documents and 4 categories were imported." in first
    assert re.search(r"Micro F1 (0\.[5-9]\d|1\.00)", first)
    assert "used the model 'first'" in first
    assert "Documents: 15 saved." in first
    assert re.search(r"55 documents with \d{3} entities", first)


def test_labeling_goes_to_the_other_studio_and_comes_back_with_its_labels(first):
    there, back = (
        first.index("A save here is refused: 409 LabelingLocked"),
        first.index("A save here works again"),
    )
    assert there < back
    counts = re.search(r"83 lines, (\d+) of them new or changed", first)
    assert counts
    assert int(counts[1]) >= 3
    assert "'Other' has 0 labels" in first[there:back]
    assert "83 documents imported; 'Other' has 3 labels." in first[there:back]
    assert re.search(r"begins with 'labelsAdopted' by\s+'local'", first[there:back])


def test_the_label_file_is_shut_while_labeling_is_here(first):
    assert re.search(r"^   412 There is currently a lease", first, re.MULTILINE)


def test_a_disconnect_is_confirmed_by_the_name_and_is_permanent(first):
    name = re.search(r"Connected to '(mails-\d{8}-\d{6})'", first)
    assert name
    end = first[first.index("A wrong name is refused: 400 InvalidArgument (confirm)") :]
    assert "the project is disconnected, and its labels stay" in end
    assert f"409 Tombstoned (amlProjectName): The labeling project '{name[1].upper()}'" in end


def test_it_prints_plain_text_where_there_is_no_terminal(first):
    assert not re.search(r"[\x1b\r]", first)


def test_a_second_run_works_and_keep_leaves_it_running(folder, first):
    process = subprocess.Popen(
        COMMAND, cwd=ROOT, env=environment(folder, KEEP="1"), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        printed = ""
        for line in process.stdout:
            printed += line
            if line.startswith("   storage "):
                break
        api = re.search(r"^   API +(http://\S+)/language$", printed, re.MULTILINE)
        assert api, printed
        assert "Deleted the project 'bike-shop-mails' of an earlier run." in printed
        assert "Saved with one call: 15 saved." in printed
        assert "409 Tombstoned" in printed
        with urllib.request.urlopen(f"{api[1]}/health", timeout=60) as answer:
            assert answer.status == 200
        assert_a_connected_project_can_be_deleted(api[1])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()
    assert process.returncode == 0
    assert not answers(api[1])


def assert_a_connected_project_can_be_deleted(url: str) -> None:
    """A run that was cut short in part 3 leaves one; the next run begins with deleting it."""
    with Api(url, KEY) as api:
        project = api.project(mails.NAME)
        body = {"studio": "workspace", "workspaceId": connection.CONTAINER, "amlProjectName": "cut-short"}
        api.wait(api.call("PUT", f"{project.path}/connection", body=body))
        with pytest.raises(Refused, match="disconnect it first"):
            api.call("DELETE", project.path)
        assert project.delete()
        assert not project.delete()


def answers(url: str) -> bool:
    port = int(url.rpartition(":")[2])
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_taken_port_is_named_with_what_to_do(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(tmp_path, PORT=str(port))
    assert done.returncode == 1
    assert f"port {port} is taken: set PORT" in done.stderr
    assert "DATA_DIR" in done.stderr


def test_an_invalid_port_is_named(tmp_path):
    done = run(tmp_path, AZURITE_PORT="many")
    assert done.returncode == 1
    assert "AZURITE_PORT=many is not a port" in done.stderr
