"""Freed memory is returned to the system; glibc alone would keep it."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESIDENT = """
import asyncio
import os

from shared import memory


def resident() -> int:
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


"""
LARGE_BLOCKS = """
memory.return_large_blocks()
bytearray(8 << 20)  # after that, glibc would take such blocks from its heap
before, blocks, others = resident(), [], []
for _ in range(8):
    blocks.append(bytearray(8 << 20))
    others.append(bytearray(100_000))  # what is kept lies behind what is freed
taken = resident() - before
blocks.clear()
print(taken, resident() - before)
"""
GAPS = """
now = [0.0]
trimmer = memory.Trimmer(lambda: now[0])


def take_and_free() -> None:
    global others
    before, blocks, others = resident(), [], []
    for _ in range(800):
        blocks += [bytearray(1_000) for _ in range(100)]
        others.append(bytearray(1_000))
    taken = resident() - before
    blocks.clear()
    asyncio.run(trimmer.trim())
    print(taken, resident() - before)


take_and_free()
now[0] = memory.TRIM_SECONDS - 0.1
take_and_free()
now[0] = memory.TRIM_SECONDS
asyncio.run(trimmer.trim())
print(0, resident())
"""
ENCODER = """
from shared.engines.embedded import sentences

memory.return_large_blocks()
before = resident()
sentences.available()
taken = resident() - before
blocks, others = [], []
for _ in range(60):
    blocks += [bytearray(1_000) for _ in range(1_000)]
    others.append(bytearray(1_000))  # what was freed before it stays in the process until it is returned
blocks.clear()
sentences.release()
print(taken, resident() - before)
"""

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other libraries return memory themselves"
)


def _run(program: str) -> list[int]:
    command = [sys.executable, "-c", RESIDENT + program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [int(number) for number in done.stdout.split()]


def test_large_blocks_are_returned_when_they_are_freed():
    taken, kept = _run(LARGE_BLOCKS)
    assert taken >= 60
    assert kept < 8


def test_the_memory_of_the_encoder_is_returned_when_it_is_released():
    taken, kept = _run(ENCODER)
    assert taken >= 30
    assert kept < 25


@pytest.mark.skipif(
    os.sysconf("SC_PAGE_SIZE") != 4096, reason="a larger page mostly has a used block, so it is not returned"
)
def test_what_is_free_between_used_blocks_is_returned_but_not_at_every_call():
    taken, kept, again, early, _, late = _run(GAPS)
    assert taken >= 60
    assert kept < 20
    assert again >= 50
    assert early >= 50
    assert late < 80
