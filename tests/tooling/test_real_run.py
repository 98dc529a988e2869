"""`make run`, the real one: it becomes ready and says where to go; a SIGTERM to make alone leaves nothing behind."""

import os
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.tooling.project import ROOT, all_end


def descendants(pid: int) -> list[int]:
    """Every process that a process started, and they started."""
    children = [
        int(word)
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for word in path.read_text().split()
    ]
    return children + [below for child in children for below in descendants(child)]


@pytest.fixture
def make(tmp_path):
    process = subprocess.Popen(
        ["make", "run", "PORT=0", "AZURITE_PORT=0", f"DATA_DIR={tmp_path}"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        if process.poll() is None:
            process.terminate()


def test_sigterm_to_make_ends_host_and_azurite(make):
    line = next((line for line in make.stdout if line.startswith("ready ")), None)
    assert line, "ended without becoming ready"
    address = line.split()[1]
    said = "".join(iter(make.stdout.readline, "\n")) + make.stdout.readline() + make.stdout.readline()
    said += make.stdout.readline()
    assert f"{address}/studio/#key=labelbridge-local" in said
    assert "make demo PORT=0" in said
    assert f"curl -H 'Ocp-Apim-Subscription-Key: labelbridge-local' '{address}/language/" in said
    with urllib.request.urlopen(f"{address}/health", timeout=60) as answer:
        assert answer.status == 200
    started = descendants(make.pid)
    assert len(started) >= 2, "the supervisor and Azurite at least"
    os.kill(make.pid, signal.SIGTERM)
    make.wait(60)
    assert all_end(started, 60)
