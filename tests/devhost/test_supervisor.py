"""`devhost run`: Azurite, host and events as one program."""

import os
import re
import signal
import socket
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.devhost.support import (
    SAMPLE,
    Host,
    Program,
    Storage,
    azurite_program,
    sample_environment,
    unique,
    until,
)


def children(pid: int) -> dict[str, int]:
    """Process ids of the supervisor's parts."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_text()
        except OSError:
            continue
        if parent == pid:
            found["azurite" if "--location" in command else "host"] = int(entry.name)
    return found


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def arguments(data_dir: Path, port: int = 0, azurite_port: int = 0) -> list[str]:
    ports = ["--port", str(port), "--azurite-port", str(azurite_port)]
    command = [
        "run",
        "--app",
        str(SAMPLE),
        "--data-dir",
        str(data_dir),
        "--azurite",
        azurite_program(),
        *ports,
    ]
    return [*command, "--event-function", "storage_event"]


@contextmanager
def running(tmp_path: Path, environment: dict[str, str]):
    host = Host(arguments(tmp_path / "data"), tmp_path / unique("output"), environment)
    try:
        yield host.start()
    finally:
        if host.process.poll() is None:
            host.stop()


@pytest.fixture
def environment(tmp_path):
    return sample_environment(tmp_path)


def emulator(host: Host) -> Storage:
    command = Path(f"/proc/{children(host.process.pid)['azurite']}/cmdline").read_text().split("\0")
    return Storage(int(command[command.index("--blobPort") + 1]))


def test_run_stop_and_run_again(tmp_path, environment):
    documents, orders = environment["DOCUMENTS_CONTAINER"], environment["ORDERS_QUEUE"]
    with running(tmp_path, environment) as host:
        storage = emulator(host)
        assert re.fullmatch(r"ready http://127\.0\.0\.1:\d+\n", host.stdout)
        # A second supervisor on the same directory is refused.
        second = Program(arguments(tmp_path / "data"), tmp_path / "second").start()
        assert second.end() == 1
        assert "is in use by another run (DATA_DIR)" in second.stderr

        container = storage.container(documents)
        container.upload_blob("first.txt", b"1")
        until(lambda: host.traces("document_uploaded", name="first.txt"))
        for number in range(60):
            container.upload_blob(f"many/{number}", b"1")
        until(lambda: len(host.traces("document_uploaded")) == 61)
        storage.container(f"{documents}-other").upload_blob("ü 1.txt", b"1")
        until(lambda: host.traces("storage_event", type="Microsoft.Storage.BlobCreated"))
        container.delete_blob("first.txt")
        until(lambda: host.traces("storage_event", type="Microsoft.Storage.BlobDeleted"))
        storage.create(f"{orders}-kept")
        storage.queue(f"{orders}-kept").send_message("kept")
        storage.close()

        parts = children(host.process.pid)
        assert parts.keys() == {"azurite", "host"}
        host.signal(signal.SIGTERM)
        assert host.end(15) == 0
        assert not any(map(alive, parts.values()))
        assert host.stderr == ""

    Path(environment["TRACE_FILE"]).write_text("")
    with running(tmp_path, environment) as host:
        storage = emulator(host)
        assert storage.visible(f"{orders}-kept") == ["kept"]
        storage.blobs.get_blob_client(documents, "second.txt").upload_blob(b"22")
        (seen,) = until(lambda: host.traces("document_uploaded"))
        assert seen["name"] == "second.txt"  # and nothing that was delivered before
        storage.close()


@pytest.mark.parametrize(("part", "name"), [("host", "the host"), ("azurite", "Azurite")])
def test_when_a_part_dies_the_other_is_stopped(tmp_path, environment, part, name):
    with running(tmp_path, environment) as host:
        parts = children(host.process.pid)
        os.kill(parts[part], signal.SIGKILL)
        assert host.end(20) == 1
        assert not any(map(alive, parts.values()))
        assert f"devhost: {name} ended unexpectedly (exit status -9)" in host.stderr


def test_parts_do_not_outlive_a_killed_supervisor(tmp_path, environment):
    with running(tmp_path, environment) as host:
        parts = children(host.process.pid)
        host.signal(signal.SIGKILL)
        host.end()
        until(lambda: not any(map(alive, parts.values())))


def test_ports_that_are_taken(tmp_path, storage):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = Program(arguments(tmp_path / "data", port, storage.port), tmp_path / "output").start()
        assert program.end() == 1
        assert f"port {port} is taken: set PORT" in program.stderr
    program = Program(arguments(tmp_path / "data", 0, storage.port - 1), tmp_path / "output").start()
    assert program.end() == 1
    assert re.search(rf"port ({storage.port - 1}|{storage.port}) is taken: set AZURITE_PORT", program.stderr)


def test_app_that_cannot_be_loaded(tmp_path):
    (tmp_path / "function_app.py").write_text("1 / 0\n")
    command = [part if part != str(SAMPLE) else str(tmp_path) for part in arguments(tmp_path / "data")]
    program = Program(command, tmp_path / "output").start()
    assert program.end() == 1
    assert "ZeroDivisionError" in program.stderr
    assert "the host did not start" in program.stderr


def test_closed_standard_output(tmp_path, environment):
    reader, writer = os.pipe()
    os.close(reader)
    program = Program(arguments(tmp_path / "data"), tmp_path / "output", environment).start(stdout=writer)
    os.close(writer)
    trace = Path(environment["TRACE_FILE"])
    try:
        until(lambda: trace.exists() and "tick" in trace.read_text(), 60)
    finally:
        assert program.stop() == 0
