"""A toy project with the real Makefile and scripts, whose .venv/bin/python and uv are small stand-ins.

It needs no network and takes no time to install, so that what make and bash do with signals, locks
and interrupted runs can be tested by itself.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Stands for a supervisor: starts a child, says both pids, ends its child on SIGTERM. It blocks the signal and waits
# for it: a handler and signal.pause() would miss one that arrives between the two.
SUPERVISOR = """
import os, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; print(0, flush=True); signal.pause()"],
                         stdout=subprocess.PIPE)
child.stdout.readline()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("pids", os.getpid(), child.pid, *sys.argv[1:], flush=True)
signal.sigwait([signal.SIGTERM])
child.terminate()
child.wait()
"""
# Stands for an installer: starts a child of its own, says both pids, and never ends by itself.
INSTALLER = """#!/bin/sh
sleep 600 &
echo "pids $$ $!" >&2
wait
"""


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


class Project:
    """The toy project in a folder, and the programs started in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(ROOT / "Makefile", folder)
        shutil.copytree(ROOT / "scripts", folder / "scripts")
        (folder / "requirements-dev.txt").write_text("uv==1\n")
        (folder / "package-lock.json").write_text("{}\n")
        executable(folder / "supervisor.py", SUPERVISOR)
        self.bin = folder / "bin"
        executable(self.bin / "node", "#!/bin/sh\necho v20.19.0\n")
        executable(self.bin / "npm", "#!/bin/sh\nmkdir -p node_modules; echo npm >>log\n")
        self.processes: list[subprocess.Popen[str]] = []

    def install(self) -> None:
        """Make it look as after a finished bootstrap."""
        self.make_python()
        shutil.copy(self.folder / "requirements-dev.txt", self.folder / ".venv/.installed")
        (self.folder / "node_modules").mkdir()
        shutil.copy(self.folder / "package-lock.json", self.folder / "node_modules/.installed")

    def make_python(self, uv: str = "#!/bin/sh\necho uv >>log\n") -> None:
        """A .venv whose python answers `-c`, the check of settings and the welcome (with one word), and runs the
        supervisor for all else.
        """
        answered = '[ "$2" = scripts.welcome ] && echo welcome; [ "$1" = -c ] || [ "${2#scripts.}" != "$2" ]'
        python = f'#!/bin/sh\n{answered} && exit 0\nexec {sys.executable} supervisor.py "$@"\n'
        executable(self.folder / ".venv/bin/python", python)
        executable(self.folder / ".venv/bin/uv", uv)

    def start(self, *command: str, path: str | None = None, **environment: str) -> subprocess.Popen[str]:
        """Start a command; its output, errors with it, comes by a pipe."""
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env={"PATH": path or f"{self.bin}:{os.environ['PATH']}", "HOME": str(self.folder), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    def close(self) -> None:
        """End what a failed test left running."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
                process.wait(60)
            if process.stdout:
                process.stdout.close()

    def log(self) -> list[str]:
        """What the stand-ins for installers were run for, one word a run."""
        path = self.folder / "log"
        return path.read_text().split() if path.exists() else []


def read_pids(process: subprocess.Popen[str]) -> tuple[list[int], list[str]]:
    """Read output up to the line `pids A B ...`: the two pids, and the words after them."""
    assert process.stdout
    seen = ""
    for line in process.stdout:
        seen += line
        if line.startswith("pids "):
            words = line.split()[1:]
            return [int(word) for word in words[:2]], words[2:]
    raise AssertionError(seen)


def is_running(pid: int) -> bool:
    """Whether a process is there and not just waiting to be reaped by its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def all_end(pids: list[int], seconds: float) -> bool:
    """Wait until none of the processes runs; whether that came about in time."""
    end = time.monotonic() + seconds
    while any(map(is_running, pids)) and time.monotonic() < end:
        time.sleep(0.02)  # someone else's children cannot be waited for
    return not any(map(is_running, pids))
