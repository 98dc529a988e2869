"""A measurement: a rate or a time of the product, the same for raw storage, and the CPU used."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from bench.processes import usage


@dataclass(slots=True)
class Figure:
    """`unit`: `/s` (more is better) or `ms`, `s`, `MiB`, `calls` (less is better). CPU is in ms per unit of `per`."""

    name: str
    unit: str
    value: float
    raw: float | None = None
    aim: str = ""
    per: str = "document"
    host_cpu: float | None = None
    azurite_cpu: float | None = None
    #: CPU of the raw calls: of this program, which makes them, and of Azurite.
    raw_client_cpu: float | None = None
    raw_azurite_cpu: float | None = None
    #: Storage calls, and entities read and written, per unit of `per`.
    calls: float | None = None
    entities: float | None = None
    #: MiB during the measurement: the sum of the peaks of the host and of the process that fits.
    peak: float | None = None
    #: The most that they held at one time, in samples.
    held: float | None = None

    @property
    def ratio(self) -> float | None:
        """The ratio of the value to the raw value: 1 is as good as raw calls, for both rates and times."""
        if not self.raw or not self.value:
            return None
        return self.value / self.raw if self.unit == "/s" else self.raw / self.value


@dataclass(slots=True)
class Stopwatch:
    """Wall time of a block, and the CPU of the host, of Azurite and of this program, in seconds."""

    seconds: float = 0.0
    host: float = 0.0
    azurite: float = 0.0
    client: float = 0.0

    def add(self, other: Self) -> None:
        self.seconds += other.seconds
        self.host += other.host
        self.azurite += other.azurite
        self.client += other.client

    def times(self, factor: float) -> Self:
        """What `factor` such blocks would take."""
        return type(self)(*(factor * part for part in (self.seconds, self.host, self.azurite, self.client)))

    def rate(
        self, name: str, count: int, by_hand: Self | None = None, aim: str = "", per: str = "document"
    ) -> Figure:
        """`by_hand`: the raw calls for as many."""
        figure = Figure(name, "/s", count / self.seconds, aim=aim, per=per)
        if by_hand is not None:
            figure.raw = count / by_hand.seconds
        self.record_cpu(figure, count, by_hand, count)
        return figure

    def record_cpu(self, figure: Figure, count: int, by_hand: Self | None, raw_count: int) -> None:
        """Milliseconds for one of `count`, and of the `raw_count` by hand."""
        figure.host_cpu, figure.azurite_cpu = 1000 * self.host / count, 1000 * self.azurite / count
        if by_hand is not None:
            figure.raw_client_cpu = 1000 * by_hand.client / raw_count
            figure.raw_azurite_cpu = 1000 * by_hand.azurite / raw_count


@contextmanager
def watch(host: int, azurite: int) -> Iterator[Stopwatch]:
    """Measure a block; the process ids are those of the host and of Azurite."""
    result = Stopwatch()
    before = usage(host).cpu, usage(azurite).cpu, time.process_time()
    started = time.perf_counter()
    yield result
    result.seconds = time.perf_counter() - started
    result.client = time.process_time() - before[2]
    result.host, result.azurite = usage(host).cpu - before[0], usage(azurite).cpu - before[1]


@dataclass(slots=True)
class Report:
    """The figures of some runs by size, as JSON and as a table with the median and the spread."""

    machine: dict[str, Any]
    sizes: dict[str, list[list[Figure]]] = field(default_factory=dict[str, list[list[Figure]]])
    #: Whether a step of any run failed.
    failed: bool = False

    def add(self, size: str, figures: list[Figure]) -> None:
        self.sizes.setdefault(size, []).append(figures)

    def medians(self) -> dict[str, dict[str, Any]]:
        """By `{size}: {figure}`."""
        found: dict[str, dict[str, Any]] = {}
        for size, runs in self.sizes.items():
            by_name: dict[str, list[Figure]] = {}
            for run in runs:
                for figure in run:
                    by_name.setdefault(figure.name, []).append(figure)
            for name, figures in by_name.items():
                values = [figure.value for figure in figures]
                found[f"{size}: {name}"] = asdict(figures[0]) | {
                    "runs": len(figures),
                    "value": statistics.median(values),
                    "least": min(values),
                    "most": max(values),
                    "raw": _median([figure.raw for figure in figures]),
                    "ratio": _median([figure.ratio for figure in figures]),
                    "host_cpu": _median([figure.host_cpu for figure in figures]),
                    "azurite_cpu": _median([figure.azurite_cpu for figure in figures]),
                    "raw_client_cpu": _median([figure.raw_client_cpu for figure in figures]),
                    "raw_azurite_cpu": _median([figure.raw_azurite_cpu for figure in figures]),
                    "calls": _median([figure.calls for figure in figures]),
                    "entities": _median([figure.entities for figure in figures]),
                    "peak": max((f.peak for f in figures if f.peak is not None), default=None),
                    "held": max((f.held for f in figures if f.held is not None), default=None),
                }
        return found

    @property
    def repeated(self) -> bool:
        """Whether there is a spread."""
        return any(len(runs) > 1 for runs in self.sizes.values())

    def table(self) -> str:
        spread = f"{'spread':>17}" if self.repeated else ""
        head = (
            f"{'figure':<58}{'value':>10}{spread}{'raw':>10}{'ratio':>7}{'host':>8}{'azurite':>9}"
            f"{'raw client':>12}{'raw azurite':>13}{'calls':>8}{'entities':>10}{'peak':>6}{'at once':>9}  aim"
        )
        lines = [head, "-" * len(head)]
        for name, row in self.medians().items():
            spread = f"{_spread(row):>17}" if self.repeated else ""
            raw = "" if row["raw"] is None else _figures(row["raw"])
            lines.append(
                f"{name:<58}{_figures(row['value']):>10}{spread}{raw:>10}"
                f"{_shown(row['ratio'], '.2f'):>7}{_shown(row['host_cpu'], '.2f'):>8}"
                f"{_shown(row['azurite_cpu'], '.2f'):>9}{_shown(row['raw_client_cpu'], '.2f'):>12}"
                f"{_shown(row['raw_azurite_cpu'], '.2f'):>13}{_shown(row['calls'], '.3g'):>8}"
                f"{_shown(row['entities'], '.3g'):>10}{_shown(row['peak'], '.0f'):>6}"
                f"{_shown(row['held'], '.0f'):>9}  {row['aim']} "
                f"({row['unit']}; CPU in ms, calls and entities a {row['per']}; memory in MiB)"
            )
        return "\n".join(lines)

    def markdown(self) -> str:
        """The tables of docs/performance.md, one for each size."""
        parts = ["; ".join(f"{key}: {value}" for key, value in self.machine.items()) + "."]
        rows = self.medians()
        head = [
            *("figure", "measured", *(("spread",) if self.repeated else ()), "raw", "ratio", "aim"),
            *("host CPU", "Azurite CPU", "raw client CPU", "raw Azurite CPU", "calls", "entities"),
            *("peak, MiB", "at once, MiB"),
        ]
        for size in self.sizes:
            parts += ["", f"### {size}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
            for name, row in rows.items():
                if not name.startswith(f"{size}: "):
                    continue
                unit = row["unit"] if row["unit"] == "/s" else f" {row['unit']}"
                cells = [name.removeprefix(f"{size}: ").strip(), f"{_figures(row['value'])}{unit}"]
                cells += [_spread(row)] if self.repeated else []
                cells += [f"{_figures(row['raw'])}{unit}" if row["raw"] else "", _shown(row["ratio"], ".2f")]
                cells += [row["aim"], *(_shown(row[key], ".2f") for key in _CPU)]
                cells += [_shown(row[key], ".3g") for key in ("calls", "entities")]
                cells += [_shown(row[key], ".0f") for key in ("peak", "held")]
                parts.append(f"| {' | '.join(cells)} |")
        return "\n".join(parts)


_CPU = ("host_cpu", "azurite_cpu", "raw_client_cpu", "raw_azurite_cpu")


def _spread(row: dict[str, Any]) -> str:
    """The least and the most of several runs; empty for a figure of one run."""
    return f"{_figures(row['least'])}-{_figures(row['most'])}" if row["runs"] > 1 else ""


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _figures(value: float) -> str:
    """Four digits, or all digits of a whole number."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
