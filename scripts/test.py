"""Runs the tests in two parts and adds up their counts.

    python scripts/test.py                    every folder of tests/ but those of ON_REQUEST
    python scripts/test.py unit architecture  the named ones

Two processes share the files of tests; each starts a host and a storage of its own, on free ports.
Files named test_speed.py measure time: they run after all others, alone. Options for pytest go in
PYTEST_ARGS. The exit status is 0 when every test of both parts passed and there was at least one.
"""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
ALONE = "test_speed.py"
# A file stays in one process, and the files keep their order: the last ones are small, so all end together.
# A test that hangs takes its process with it; in a new one xdist would try it again, and again wait for its end.
TOGETHER = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "--max-worker-restart", "0"]
TOGETHER += [f"--ignore-glob=*/{ALONE}"]
#: Folders of tests that run only when they are named.
ON_REQUEST = {"llm"}
#: Folders that run last, in this order. Their hosts serve to the end of the run, and poll queues all the time
#: while other tests run.
LAST = ("browser", "cli", "integration", "security", "devhost")
SLOWEST = 25
NO_TESTS = 5  # pytest's status when it collected nothing


@dataclass
class Counts:
    """The totals of the parts so far."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    stopped: bool = False
    #: Seconds by file.
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    def add(self, report: Path) -> None:
        """Add the counts of one JUnit report; an error counts as a failure."""
        # Our own report, of a minute ago.
        for suite in ElementTree.parse(report).iter("testsuite"):  # noqa: S314
            tests, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
            failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            self.failed += failed
            self.skipped += skipped
            self.passed += tests - failed - skipped
            for case in suite.iter("testcase"):
                name = case.get("classname", "")
                self.seconds[name] = self.seconds.get(name, 0) + float(case.get("time", 0))


def folders(names: list[str]) -> list[str]:
    """The named folders of tests/, or all that hold tests but those of ON_REQUEST: those of LAST after the others."""
    present = sorted(
        {path.relative_to(ROOT / "tests").parts[0] for path in ROOT.glob("tests/*/**/test_*.py")}
    )
    if unknown := sorted(set(names) - set(present)):
        sys.exit(
            f"no tests in {', '.join(f'tests/{name}' for name in unknown)}; there are: {', '.join(present)}"
        )
    first = [name for name in present if name not in {*ON_REQUEST, *LAST}]
    return names or first + [name for name in LAST if name in present]


def run_pytest(paths: list[str], options: list[str], counts: Counts) -> int:
    """Run one part and return its exit status. Signals to this process are forwarded to its children."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        extra = shlex.split(os.environ.get("PYTEST_ARGS", ""))
        command = [sys.executable, "-m", "pytest", f"--junit-xml={report}", *options, *extra, *paths]
        process = subprocess.Popen(command, cwd=ROOT, env=_environment(), process_group=0)

        def hand_on(number: int, _frame: FrameType | None) -> None:
            counts.stopped = True
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)

        previous = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
        status = process.wait()
        for number, handler in previous.items():
            signal.signal(number, handler)
        with suppress(ProcessLookupError):  # usually none: a hung test is killed without cleanup
            os.killpg(process.pid, signal.SIGTERM)
        if report.exists():
            counts.add(report)
    return 0 if status == NO_TESTS else status


def _environment() -> dict[str, str]:
    """Our environment, but with byte code: it saves each host that tests start about 0.6 s of CPU (measured)."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def main(names: list[str]) -> int:
    """Run both parts, the second also when the first failed; the exit status."""
    chosen = folders(names)
    counts = Counts()
    statuses = [run_pytest([f"tests/{name}" for name in chosen], TOGETHER, counts)]
    alone = [str(path) for name in chosen for path in sorted(ROOT.glob(f"tests/{name}/**/{ALONE}"))]
    if alone and not counts.stopped:
        statuses.append(run_pytest(alone, [], counts))
    failed = next((status for status in statuses if status), 0)
    if not names:
        slowest = sorted(counts.seconds.items(), key=lambda entry: -entry[1])[:SLOWEST]
        slow = (f"{seconds:6.1f} s  {file}" for file, seconds in slowest)
        print("\n".join(["The slowest files, two at a time:", *slow]))
    print(f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped", flush=True)
    return failed or int(counts.passed + counts.failed == 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
