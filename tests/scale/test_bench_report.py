"""What `make bench` prints and writes."""

import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as program
from bench.__main__ import MARK
from bench.idle import VALID
from bench.measure import Figure, Report, Stopwatch, watch
from bench.scenarios import Scenarios
from bench.server import ROOT, Server, connection_string

USAGE = "usage: make bench-compare OLD=a.json NEW=b.json"


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Compares two files, as `make bench-compare` does: the exit code, and the lines on stderr."""
    monkeypatch.setattr(program, "end_on_sigterm", lambda: None)

    def compare(old: Path | str, new: Path | str) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["bench", "--compare", str(old), str(new)])
        code = program.main()
        printed = capsys.readouterr()
        assert printed.out == ""
        return code, printed.err.splitlines()

    return compare


def test_the_tables_of_a_run_for_the_documentation():
    report = Report({"date": "2030-01-01", "load before": "0.1"})
    imported = Figure(
        "import",
        "/s",
        28_594.2,
        57_188.4,
        "0.80",
        host_cpu=0.1,
        azurite_cpu=0.25,
        raw_client_cpu=0.05,
        raw_azurite_cpu=0.2,
        calls=0.06,
        entities=0.3,
        peak=140.4,
        held=120.6,
    )
    report.add("1,000", [imported, Figure("peak memory", "MiB", 600.4)])
    assert report.markdown().splitlines() == [
        "date: 2030-01-01; load before: 0.1.",
        "",
        "### 1,000",
        "",
        "| figure | measured | raw | ratio | aim | host CPU | Azurite CPU | raw client CPU | raw Azurite CPU | calls "
        "| entities | peak, MiB | at once, MiB |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        "| import | 28,594/s | 57,188/s | 0.50 | 0.80 | 0.10 | 0.25 | 0.05 | 0.20 | 0.06 | 0.3 | 140 | 121 |",
        "| peak memory | 600.4 MiB |  |  |  |  |  |  |  |  |  |  |  |",
    ]


def test_the_spread_is_shown_when_there_is_more_than_one_run():
    report = Report({})
    report.add("1,000", [Figure("import", "/s", 3_000.0), Figure("export", "/s", 9_000.0)])
    assert not any(
        "spread" in shown or "3,000-3,000" in shown for shown in (report.table(), report.markdown())
    )
    report.add("1,000", [Figure("import", "/s", 4_000.0)])  # the export failed
    assert report.table().splitlines()[2].split()[2:4] == ["3,500", "3,000-4,000"]
    assert report.markdown().splitlines()[4:] == [
        "| figure | measured | spread | raw | ratio | aim | host CPU | Azurite CPU | raw client CPU "
        "| raw Azurite CPU | calls | entities | peak, MiB | at once, MiB |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        "| import | 3,500/s | 3,000-4,000 |  |  |  |  |  |  |  |  |  |  |  |",
        "| export | 9,000/s |  |  |  |  |  |  |  |  |  |  |  |  |",
    ]


def test_raw_calls_have_their_own_cpu():
    by_hand = Stopwatch(seconds=1, azurite=0.2, client=0.1).times(2)
    by_hand.add(Stopwatch(seconds=2, azurite=0.4, client=0.2))
    figure = Stopwatch(seconds=8, host=0.5, azurite=1, client=9).rate("import", 100, by_hand)
    assert (figure.value, figure.raw, figure.ratio) == (12.5, 25, 0.5)
    assert (figure.host_cpu, figure.azurite_cpu) == (5, 10)
    assert (figure.raw_client_cpu, figure.raw_azurite_cpu) == pytest.approx((4, 8))


def test_the_cpu_of_this_program_is_measured():
    with watch(os.getpid(), os.getpid()) as taken:
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
    assert taken.client >= 0.05


def test_the_documentation_has_a_place_for_the_tables():
    assert (ROOT / "docs/performance.md").read_text().count(MARK) == 2


def test_the_app_is_imported_with_valid_settings_when_that_is_measured():
    given = {name: value for name, value in os.environ.items() if name not in VALID}
    done = subprocess.run(
        [sys.executable, "-c", "import function_app"],
        cwd=ROOT, env=given | VALID, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", "")


def test_a_page_without_the_marks_is_refused_before_anything_is_measured(tmp_path):
    page = tmp_path / "page.md"
    for text in (None, "no marks"):
        if text:
            page.write_text(text)
        command = [sys.executable, "-m", "bench", "--into", str(page)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 2
        assert f"--into: {page} is not a file with two lines {MARK}" in done.stderr


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "{name}: No such file or directory"),
        ("{}", "{name} is not a result of the bench"),
        ("no JSON", "{name} is not a result of the bench"),
        ("[1]", "{name} is not a result of the bench"),
        ('{"figures": {"import": {"value": 1}}}', "{name} is not a result of the bench"),
        ('{"figures": {"import": 1}}', "{name} is not a result of the bench"),
        (b"\xff", "{name} is not a result of the bench"),
    ],
)
@pytest.mark.parametrize("bad", ["OLD", "NEW"])
def test_files_that_cannot_be_compared_are_named_in_one_line(compared, tmp_path, content, reason, bad):
    files = {name: tmp_path / f"{name}.json" for name in ("OLD", "NEW")}
    for file in files.values():
        file.write_text('{"figures": {}}')
    files[bad].unlink()
    if content is not None:
        files[bad].write_bytes(content if isinstance(content, bytes) else content.encode())
    code, lines = compared(*files.values())
    assert (code, lines) == (2, [f"{reason.format(name=files[bad])}; {USAGE}"])


def test_results_without_a_common_figure_are_not_compared(compared, tmp_path):
    figure = {"value": 10.0, "host_cpu": 1.0, "azurite_cpu": 2.0}
    files = [tmp_path / "old.json", tmp_path / "new.json"]
    for file in files:
        file.write_text(json.dumps({"figures": {file.stem: figure}}))
    assert compared(*files) == (2, [f"The two results have no figure in common; {USAGE}"])


@pytest.mark.parametrize("given", [("", ""), ("", "b.json")])
def test_a_comparison_needs_two_results(compared, given):
    assert compared(*given) == (2, [f"Two results are needed; {USAGE}"])


@pytest.mark.parametrize(
    "error", [subprocess.TimeoutExpired("azurite", 60), KeyError("name"), RuntimeError("it did not start")]
)
def test_figures_are_written_after_each_size_and_kept_when_the_largest_cannot_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
):
    async def run(self: Scenarios) -> list[Figure]:
        return [Figure("import", "/s", 5.0)]

    def refuse(*_: object) -> None:
        written.append([*json.loads(out.read_text())["figures"]])
        raise error

    out, written = tmp_path / "results" / "out.json", list[list[str]]()
    monkeypatch.setenv("FULL", "1")
    monkeypatch.setattr(program, "LARGEST", program.LARGE)
    monkeypatch.setattr(program, "SIZES", (10,))
    monkeypatch.setattr(program, "import_cpu", lambda **_: 1.0)
    monkeypatch.setattr(program, "serve", lambda **_: nullcontext(Server("", connection_string(1), 0, 0)))
    monkeypatch.setattr(program, "serve_with_blobs", refuse)
    monkeypatch.setattr(Scenarios, "run", run)
    report = program.measure(Namespace(documents=None, repeat=1, idle=False, by_key=False), out)
    assert "10: import" in written[0]
    assert (report.failed, list(report.sizes)) == (True, ["start", "10"])
    assert f"20,000: {type(error).__name__}: " in capsys.readouterr().err
