"""Output: the ready line to standard output, with what the caller wants said after it; all else to standard error."""

import contextlib
import os
import sys


def log(text: str) -> None:
    """One entry on standard error."""
    print(text, file=sys.stderr, flush=True)


def take_stdout() -> int | None:
    """Reserve standard output for the ready line: output of functions goes to standard error from now on.

    The descriptor to give to `announce`; None when the program was started with its output closed.
    """
    try:
        kept = os.dup(1)
        os.dup2(2, 1)
    except OSError:
        kept = None
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison] - so it is when it was closed
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the life of the process
    return kept


def announce(stdout: int | None, line: str, more: str = "") -> None:
    """Write the line that standard output is for, and `more` after it, and close it."""
    if stdout is not None:
        with contextlib.suppress(OSError):
            os.write(stdout, "".join(f"{part.rstrip()}\n" for part in (line, more) if part).encode())
        os.close(stdout)
