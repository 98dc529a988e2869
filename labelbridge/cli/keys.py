"""Single key presses, and the alternate screen of the terminal."""

import os
import select
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from labelbridge.cli.output import Usage

ESCAPE = "\x1b"


@contextmanager
def single_keys() -> Generator[Callable[[], str]]:
    """A function that waits for a key; the terminal neither echoes it nor waits for Enter. Raises Usage."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Usage(
            "Reviewing needs a terminal. In scripts use 'labelbridge accept' and 'labelbridge reject'."
        )
    if os.name == "nt":
        import msvcrt

        yield lambda: _windows_key(msvcrt.getwch)  # pyright: ignore - exists on Windows only
        return
    import termios
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal, termios.TCSADRAIN)  # keys that were typed ahead stay
        yield lambda: _posix_key(terminal)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _posix_key(terminal: int) -> str:
    """One character. Keys that send several, such as arrows, count as none of ours: "". Raises EOFError."""
    data = os.read(terminal, 1)
    if not data:
        raise EOFError
    if data == ESCAPE.encode():
        return "" if _skip_sequence(terminal) else ESCAPE
    while (data[0] & 0xC0) == 0xC0 and len(data) < 4 and not _is_whole(data):
        data += os.read(terminal, 1)
    return data.decode("utf-8", "replace")


def _skip_sequence(terminal: int) -> bool:
    """Read what follows an escape: one character, or after `[` or `O` up to a letter. False: nothing follows."""
    if not select.select([terminal], [], [], 0.02)[0]:
        return False
    if os.read(terminal, 1) in {b"[", b"O"}:
        while not b"@" <= os.read(terminal, 1) <= b"~":
            pass
    return True


def _is_whole(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _windows_key(read: Callable[[], str]) -> str:
    key = read()
    if key in {"\x00", "\xe0"}:  # the first half of a function key
        read()
        return ""
    if key == "\x03":
        raise KeyboardInterrupt
    return key
