"""Runs the tests in two parts and adds up their counts.

    python scripts/test.py                    every folder of tests/
    python scripts/test.py unit architecture  the named ones

Folders whose tests share nothing run in two processes; the others (they start hosts, browsers and
storage, or measure) run after them, one test at a time. Options for pytest go in PYTEST_ARGS.
The exit status is 0 when every test of both parts passed and there was at least one.
"""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
PARALLEL = {"architecture", "contract", "unit"}
NO_TESTS = 5  # pytest's status when it collected nothing


@dataclass
class Counts:
    """What the parts run so far came to."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, report: Path) -> None:
        """Add the counts of one JUnit report; an error counts as a failure."""
        # Our own report, of a minute ago.
        for suite in ElementTree.parse(report).iter("testsuite"):  # noqa: S314
            tests, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
            failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            self.failed += failed
            self.skipped += skipped
            self.passed += tests - failed - skipped


def folders(names: list[str]) -> list[str]:
    """The named folders of tests/, or all that hold tests, in order."""
    present = sorted(
        {path.relative_to(ROOT / "tests").parts[0] for path in ROOT.glob("tests/*/**/test_*.py")}
    )
    if unknown := sorted(set(names) - set(present)):
        sys.exit(
            f"no tests in {', '.join(f'tests/{name}' for name in unknown)}; there are: {', '.join(present)}"
        )
    return names or present


def run_pytest(names: list[str], options: list[str], counts: Counts) -> int:
    """Run one part; its exit status. A SIGTERM sent to this process is handed on."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        paths = [f"tests/{name}" for name in names]
        extra = shlex.split(os.environ.get("PYTEST_ARGS", ""))
        command = [sys.executable, "-m", "pytest", f"--junit-xml={report}", *options, *extra, *paths]
        process = subprocess.Popen(command, cwd=ROOT)

        def hand_on(number: int, _frame: FrameType | None) -> None:
            process.send_signal(number)

        previous = signal.signal(signal.SIGTERM, hand_on)
        status = process.wait()
        signal.signal(signal.SIGTERM, previous)
        if report.exists():
            counts.add(report)
    return 0 if status == NO_TESTS else status


def main(names: list[str]) -> int:
    """Run both parts, the second also when the first failed; the exit status."""
    chosen = folders(names)
    together = [name for name in chosen if name in PARALLEL]
    alone = [name for name in chosen if name not in PARALLEL]
    counts, statuses = Counts(), list[int]()
    if together:
        statuses.append(run_pytest(together, ["-n", "2"], counts))
    if alone and statuses[-1:] != [2]:  # 2: interrupted
        statuses.append(run_pytest(alone, [], counts))
    failed = next((status for status in statuses if status), 0)
    print(f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped", flush=True)
    return failed or int(counts.passed + counts.failed == 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
