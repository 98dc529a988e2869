"""CPU time and peak memory of processes, read from /proc."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU in seconds since the start of the process and its children; peak resident memory in MiB."""

    cpu: float
    peak: float


def children(pid: int) -> list[int]:
    """Process ids of all descendants."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children(child)]
    return found


def usage(pid: int) -> Usage:
    """The usage of a process and all its descendants; the peak is the sum of their peaks."""
    cpu = peak = 0.0
    for process in (pid, *children(pid)):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            status = Path(f"/proc/{process}/status").read_text()
        except FileNotFoundError:
            continue
        cpu += sum(map(int, fields[11:15] if process == pid else fields[11:13])) / TICKS
        peak += int(status.partition("VmHWM:")[2].split()[0]) / 1024
    return Usage(cpu, peak)


def forget_peak(pid: int) -> None:
    """Reset the peaks of a process and its descendants to their current memory."""
    for process in (pid, *children(pid)):
        with suppress(FileNotFoundError):
            Path(f"/proc/{process}/clear_refs").write_text("5")


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except FileNotFoundError:
        return ""
