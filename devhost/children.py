"""Child processes that do not outlive their parent, however it ends."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

# Runs in the child before the program itself: asks the kernel for SIGTERM when the parent is gone (which also
# holds after exec), and gives up when it is gone already. A preexec_fn would be unsafe beside threads.
_WRAPPER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""


async def start(
    command: list[str],
    *,
    environment: Mapping[str, str] | None = None,
    capture: bool = False,
    cwd: Path | None = None,
) -> asyncio.subprocess.Process:
    """Start a program in a process group of its own. `capture`: its standard output can be read."""
    wrapper = [sys.executable, "-S", "-E", "-c", _WRAPPER, str(os.getpid())]
    return await asyncio.create_subprocess_exec(
        *wrapper,
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE if capture else asyncio.subprocess.DEVNULL,
        env=dict(environment) if environment is not None else None,
        cwd=cwd,
        process_group=0,
    )


async def stop(process: asyncio.subprocess.Process, seconds: float, kill: bool) -> bool:
    """Ask a process to end; True when it did in time. `kill`: make it end when it does not."""
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
