"""Child processes that never outlive their parent, and file locks."""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from pathlib import Path

from devhost.settings import HostError

# Runs in the child before the program itself: asks the kernel for SIGTERM when the parent is gone (which also
# holds after exec), and gives up when it is gone already. A preexec_fn would be unsafe beside threads.
WRAPPER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""


async def start(command: list[str], environment: Mapping[str, str] | None = None) -> Process:
    """Start a program in a process group of its own; its standard output can be read."""
    wrapper = [sys.executable, "-S", "-E", "-c", WRAPPER, str(os.getpid())]
    return await asyncio.create_subprocess_exec(
        *wrapper, *command, stdin=DEVNULL, stdout=PIPE, env=environment, process_group=0
    )


async def stop(process: Process, seconds: float, kill: bool) -> bool:
    """Ask a process to end and return whether it did in time. `kill`: otherwise kill it."""
    if process.returncode is not None:
        return True
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), seconds)
    except TimeoutError:
        if kill:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        return False
    return True


def lock_file(path: Path, in_use: str) -> int:
    """The descriptor of a file, locked until it is closed. HostError `in_use` when another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise HostError(in_use) from error
    return file
