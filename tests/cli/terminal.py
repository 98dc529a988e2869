"""The command line as a user has it: in this process with its streams captured, or on a terminal (pty)."""

import fcntl
import io
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from labelbridge.cli.main import main

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "labelbridge"]
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Cli:
    """Runs commands with an environment of its own. `url`, `key` and `storage` are those of the session's host."""

    url: str
    key: str
    storage: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environment |= {
            "LABELBRIDGE_CONFIG": str(self.folder / "settings" / "config.json"),
            "COLUMNS": "100",
            "LINES": "30",
        }

    def signed_in(self, project: str = "") -> "Cli":
        given = {"URL": self.url, "KEY": self.key, "STORAGE": self.storage, "PROJECT": project}
        self.environment |= {f"LABELBRIDGE_{name}": value for name, value in given.items() if value}
        return self

    def __call__(self, *arguments: str, stdin: str = "", status: int | None = 0) -> Result:
        """Run a command in this process, without a terminal. `status`: the expected one; None takes any."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LABELBRIDGE_")}
        out, err, code = io.StringIO(), io.StringIO(), 0
        with (
            patch.dict(os.environ, kept | self.environment, clear=True),
            patch.object(sys, "argv", ["labelbridge", *arguments]),
            patch.object(sys, "stdin", io.StringIO(stdin)),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
        result = Result(code, out.getvalue(), err.getvalue())
        assert status is None or result.status == status, result
        return result

    def process(self, *arguments: str, stdin: str = "", **environment: str) -> Result:
        """Run a command in a process of its own, where no warning passes."""
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "labelbridge", *arguments],
            input=stdin, env=self.variables(environment), cwd=self.folder, capture_output=True, text=True,
            timeout=250, check=False,
        )  # fmt: skip
        return Result(done.returncode, done.stdout, done.stderr)

    def terminal(self, *arguments: str, stdout: bool = False) -> "Terminal":
        """`stdout`: it is the terminal, too, and not a pipe."""
        return Terminal([*PROGRAM, *arguments], self.variables({"TERM": "xterm"}), self.folder, stdout=stdout)

    def variables(self, more: dict[str, str]) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LABELBRIDGE_")}
        return kept | self.environment | {"PYTHONPATH": str(ROOT)} | more


class Terminal:
    """A program on a terminal of 100 columns: keys go in, what it shows comes out without colors."""

    def __init__(
        self, command: list[str], environment: dict[str, str], folder: Path, *, stdout: bool = False
    ) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self._process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs if stdout else subprocess.PIPE, stderr=theirs, env=environment,
            cwd=folder,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )  # fmt: skip
        os.close(theirs)
        self._ours = ours
        self._unread = ""
        self.raw = ""

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        os.close(self._ours)

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def shows(self, text: str, seconds: float = 120) -> str:
        """Wait until the text appears; what appeared up to its end. Only what came since the last call counts."""
        deadline = time.monotonic() + seconds
        while text not in self._unread:
            left = deadline - time.monotonic()
            if left <= 0 or not self._take_output(left):
                raise AssertionError(f"{text!r} is not in:\n{self._unread}")
        before, _, self._unread = self._unread.partition(text)
        return before + text

    def ends(self, seconds: float = 120) -> Result:
        """Wait for the end; the status, stdout, and what was left on the terminal."""
        deadline = time.monotonic() + seconds
        while self._take_output(max(deadline - time.monotonic(), 0)):
            pass
        try:
            out, _ = self._process.communicate(timeout=max(deadline - time.monotonic(), 1))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"The program has not ended; it shows:\n{self._unread}") from None
        return Result(self._process.returncode, (out or b"").decode(), self._unread)

    def _take_output(self, seconds: float) -> bool:
        """False at the end, or when nothing comes in time."""
        if not select.select([self._ours], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._ours, 65_536)
        except OSError:  # Linux reports the end of a terminal so
            return False
        text = data.decode("utf-8", "replace").replace("\r\n", "\n")
        self.raw += text
        self._unread += _ESCAPES.sub("", text)
        return bool(data)
