"""A bench that is ended in whatever way leaves no host and no Azurite running."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.processes import children
from tests.tooling.project import ROOT, all_end

#: Stands for the steps of a bench: says which processes run, and waits.
STEPS = """
import asyncio, json, os
import bench.__main__ as program
from bench.processes import children
from bench.scenarios import Scenarios

async def run(self):
    print(json.dumps([*children(os.getpid())]), flush=True)
    await asyncio.Event().wait()

Scenarios.run = run
program.import_cpu = lambda **_: 0.0
raise SystemExit(program.main())
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", STEPS, "--documents", "10", "--out", str(tmp_path / "out.json")]
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    yield process
    if process.poll() is None:
        process.kill()
        process.wait()
    assert process.stdout
    process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_what_the_bench_started_before_it_ends(
    bench: subprocess.Popen[str], number: signal.Signals, tmp_path: Path
) -> None:
    assert bench.stdout
    started = json.loads(bench.stdout.readline())
    assert len(started) >= 3  # the program that starts both, the host, Azurite
    bench.send_signal(number)
    assert bench.wait(120) != 0
    assert all_end(started, 0), "the bench ended before its children"
    assert list(tmp_path.iterdir()) == [], "the data was left"


def test_a_bench_that_is_killed_takes_all_with_it(bench: subprocess.Popen[str]) -> None:
    assert bench.stdout
    started = json.loads(bench.stdout.readline())
    assert {*started} == {*children(bench.pid)}
    bench.kill()
    assert all_end(started, 120)
