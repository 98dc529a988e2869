"""`make bench`: the app against raw storage calls in the same run; only the ratios are comparable between machines.

python -m bench                                1,000 and 10,000 documents; FULL=1 adds 100,000
python -m bench --documents 2000 --repeat 3    one size, the median of three runs
python -m bench --idle                         what the app costs when idle (minutes)
python -m bench --into docs/performance.md     also replace the tables there
python -m bench --compare OLD.json NEW.json    ratios of two results
"""

import argparse
import asyncio
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import large
from bench.idle import PROJECTS, idle, import_cpu
from bench.many_blobs import serve_with_blobs
from bench.measure import Figure, Report
from bench.scenarios import Scenarios
from bench.server import BY_KEY, ROOT, end_on_sigterm, serve

RESULTS = ROOT / "bench" / "results"
SIZES = (1_000, 10_000)
#: From this size on, Azurite must find rows and blobs by name; otherwise a run would take hours.
LARGE, LARGEST = 20_000, 100_000
FOUND_BY_NAME = ", rows and blobs found by name"
MARK = "<!-- bench -->"


def machine() -> dict[str, str | int | None]:
    load = os.getloadavg()[0]
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "load before": f"{load:.1f}",
    }


def read_figures(name: str) -> dict[str, Any]:
    """The figures of a result by their names. Raises ValueError, which says what is wrong with the file."""
    if not name:
        raise ValueError("Two results are needed")
    try:
        figures = json.loads(Path(name).read_text("utf-8"))["figures"]
        if all({"value", "host_cpu", "azurite_cpu"} <= figure.keys() for figure in figures.values()):
            return figures
    except OSError as error:
        raise ValueError(f"{name}: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError):
        pass
    raise ValueError(f"{name} is not a result of the bench")


def compare(before: dict[str, Any], after: dict[str, Any]) -> str:
    """The later figures divided by the earlier ones, for each that both results have."""
    if not before.keys() & after.keys():
        raise ValueError("The two results have no figure in common")
    lines = [f"{'figure':<58}{'old':>10}{'new':>10}{'new/old':>9}{'host CPU':>10}{'azurite':>9}"]
    for name in before.keys() & after.keys():
        was, now = before[name], after[name]
        line = f"{name:<58}{was['value']:>10,.4g}{now['value']:>10,.4g}{_ratio(was, now, 'value'):>9}"
        lines.append(f"{line}{_ratio(was, now, 'host_cpu'):>10}{_ratio(was, now, 'azurite_cpu'):>9}")
    return "\n".join([lines[0], *sorted(lines[1:])])


def _ratio(old: dict[str, float | None], new: dict[str, float | None], key: str) -> str:
    earlier, later = old[key], new[key]
    return f"{later / earlier:.2f}" if earlier and later else ""


def measure(arguments: argparse.Namespace, out: Path) -> Report:
    report = Report(machine())
    sizes = (
        [arguments.documents]
        if arguments.documents
        else [*SIZES, *((LARGEST,) if os.environ.get("FULL") else ())]
    )
    options = os.environ.get("NODE_OPTIONS", "")
    for _ in range(arguments.repeat):
        if not arguments.idle:
            report.add(
                "start",
                [
                    Figure("import of function_app, CPU", "ms", import_cpu(), None, "1,200 ms", "start"),
                    Figure("  without any byte code", "ms", import_cpu(compiled=False), None, "", "start"),
                ],
            )
        for size in () if arguments.idle else sizes:
            if size >= LARGE:
                try:
                    with serve_with_blobs(large.CONTAINER, large.texts(size)) as server:
                        _run(report, f"{size:,}{FOUND_BY_NAME}", large.Large(server, size), out)
                except Exception as error:  # noqa: BLE001 - the figures of the other sizes are still valid
                    print(f"{size:,}: {type(error).__name__}: {error}", file=sys.stderr)
                    report.failed = True
                continue
            with serve(NODE_OPTIONS=f"{options} {BY_KEY}" if arguments.by_key else options) as server:
                _run(report, f"{size:,}", Scenarios(server, size), out)
        if arguments.idle:
            report.add("idle", asyncio.run(idle(*PROJECTS)))
            _write(report, out)
    return report


def _run(report: Report, title: str, scenarios: Scenarios, out: Path) -> None:
    report.add(title, asyncio.run(scenarios.run()))
    report.failed |= scenarios.failed
    _write(report, out)


def _write(report: Report, out: Path) -> None:
    """After each size, so that a run that is ended early keeps its figures."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"machine": report.machine, "figures": report.medians()}, indent=1))


def main() -> int:
    end_on_sigterm()
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--documents", type=int, help="one size instead of 1,000 and 10,000")
    parser.add_argument("--repeat", type=int, default=1, help="number of runs; median and spread are shown")
    parser.add_argument(
        "--by-key", action="store_true", help="Azurite finds rows by their keys, as Azure does"
    )
    parser.add_argument("--idle", action="store_true", help="measure storage calls with nothing to do")
    parser.add_argument("--out", type=Path, help="where the JSON goes; default bench/results/")
    parser.add_argument("--compare", nargs=2, metavar=("OLD", "NEW"), help="compare two results")
    parser.add_argument("--into", type=Path, help="a Markdown file with the two lines <!-- bench -->")
    arguments = parser.parse_args()
    if arguments.compare:
        try:
            print(compare(*map(read_figures, arguments.compare)))
        except ValueError as error:
            print(f"{error}; usage: make bench-compare OLD=a.json NEW=b.json", file=sys.stderr)
            return 2
        return 0
    if arguments.repeat < 1:
        parser.error("--repeat: at least 1")
    if arguments.into and not (arguments.into.is_file() and arguments.into.read_text().count(MARK) == 2):
        parser.error(f"--into: {arguments.into} is not a file with two lines {MARK}")
    out = arguments.out or RESULTS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    report = measure(arguments, out)
    if arguments.into:
        before, _, after = arguments.into.read_text().split(MARK)
        arguments.into.write_text(f"{before}{MARK}\n{report.markdown()}\n\n{MARK}{after}")
    print(report.table())
    print(f"{report.machine}\nwritten to {out}")
    return int(report.failed)


if __name__ == "__main__":
    raise SystemExit(main())
