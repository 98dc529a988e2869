"""CPU time and peak memory of processes, read from /proc."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
SAMPLE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU in seconds since the start of the process and its children; peak resident memory in MiB."""

    cpu: float
    peak: float


def children(pid: int) -> list[int]:
    """Process ids of all descendants."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
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


def held(pid: int) -> float:
    """MiB that a process and its descendants have now: what each has alone, and the most that one of them may share.

    What they share are mapped files, such as libraries and the table of the encoder, mostly the same ones.
    """
    alone = shared = 0
    for process in (pid, *children(pid)):
        with suppress(FileNotFoundError, ProcessLookupError):
            _, resident, common, *_ = map(int, Path(f"/proc/{process}/statm").read_text().split())
            alone, shared = alone + resident - common, max(shared, common)
    return (alone + shared) * PAGE / 2**20


@dataclass(slots=True)
class Held:
    """The most MiB that were held at one time, in samples. A peak between two of them is missed."""

    most: float = 0.0


@asynccontextmanager
async def sampled(pid: int) -> AsyncIterator[Held]:
    """Sample `held` until the end of the block."""
    result = Held()

    async def sample() -> None:
        while True:
            result.most = max(result.most, held(pid))
            await asyncio.sleep(SAMPLE_SECONDS)

    task = asyncio.create_task(sample())
    try:
        yield result
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        result.most = max(result.most, held(pid))


@contextmanager
def suspended(pid: int) -> Iterator[None]:
    """Stop a process until the end of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except FileNotFoundError:
        return ""
