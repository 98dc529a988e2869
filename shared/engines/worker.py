"""Fits models in a child process, so that a long fit does not slow down the event loop.

The parent starts `python -m shared.engines.worker` for the first fit, and again whenever the process has ended.
Both sides exchange frames over the child's standard input and output: 8 bytes of length, then the content. A
request is a head (JSON) and lists of examples and texts (JSON); the answer is the artifact, or what went wrong.

The child ends when its input ends, so it does not outlive its parent, and after some minutes without work.
"""

import atexit
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from traceback import format_exception
from typing import IO, Any, Final

from shared import memory, telemetry
from shared.domain.labels import Example, Span
from shared.domain.names import ProjectKind
from shared.engines import base

log = logging.getLogger("labelbridge.engines")

_ROOT: Final = Path(__file__).resolve().parents[2]
_AT_ONCE: Final = 100
"""Examples in a frame. Encoding one frame holds the interpreter for about a millisecond."""
_IDLE_SECONDS: Final = 300
_NICENESS: Final = 5
"""HTTP requests have priority on a shared processor."""
FIT_SECONDS: Final = 780
"""The longest time for a fit, not counting the time it waits for others. It fails then, before the time limit of its
job, which would be tried again: another try would take as long."""
_MODEL, _ERROR = b"M", b"E"


class Canceled(base.EngineError):
    """The request was canceled."""


@dataclass(eq=False, slots=True)
class FitRequest:
    """What `Engine.fit` is called with. `canceled` is set by `Worker.cancel`, `expired` if the fit takes too long.

    `one_thread`: one thread encodes the texts instead of as many as for predictions. It is the same for all fits of a
    process.
    """

    kind: ProjectKind
    examples: Sequence[Example]
    unlabeled: Sequence[str]
    seed: int
    one_thread: bool = True
    canceled: bool = field(default=False)
    expired: bool = field(default=False)


class Worker:
    """One child process and its parent's end. Threads may share it; it fits one model at a time."""

    def __init__(self) -> None:
        self._busy = threading.Lock()
        self._state = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._current: FitRequest | None = None
        atexit.register(self.close)

    @property
    def pid(self) -> int | None:
        """The process id of the child, if there is one."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def fit(self, request: FitRequest) -> bytes:
        """The artifact; blocks. Raises EngineError as the engine does or if the fit takes too long, EngineUnavailable
        if the child died, Canceled, and OSError if no process can be started.
        """
        with self._busy:
            timer = threading.Timer(FIT_SECONDS, self._expire, (request,))
            timer.daemon = True
            timer.start()
            try:
                reused = self.pid is not None
                return self._attempt(request, retry=reused)
            finally:
                timer.cancel()
                self._current = None

    def _expire(self, request: FitRequest) -> None:
        with self._state:
            if self._current is request and self._process is not None:
                request.expired = True
                self._process.kill()

    def cancel(self, request: FitRequest) -> None:
        """Cancel the request; if it is in progress, the child is killed."""
        with self._state:
            request.canceled = True
            if self._current is request and self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """End the child. The next request starts another."""
        with self._state:
            process, self._process = self._process, None
        if process is not None:
            _end(process)

    def _attempt(self, request: FitRequest, *, retry: bool) -> bytes:
        process = self._begin(request)
        try:
            answer = _exchange(process, request)
        except (OSError, EOFError):
            self.close()
            if request.canceled:
                raise Canceled from None
            if request.expired:
                text = f"The fit took more than {FIT_SECONDS // 60} minutes."
                raise base.EngineError(text) from None
            if retry:  # it may have ended just now, because it was idle
                return self._attempt(request, retry=False)
            raise base.EngineUnavailable(_ending(process)) from None
        return _read_answer(answer)

    def _begin(self, request: FitRequest) -> subprocess.Popen[bytes]:
        with self._state:
            if request.canceled:
                raise Canceled
            self._current = request
            if self._process is not None and self._process.poll() is not None:
                _end(self._process)
                self._process = None
            if self._process is None:
                self._process = _start()
            return self._process


def _start() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "shared.engines.worker"],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    # Collects the child as soon as it ends, so that no zombie is left.
    threading.Thread(target=process.wait, name="engine-worker-wait", daemon=True).start()
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:
                log.debug("The pipe of the ended worker was broken.")


def _ending(process: subprocess.Popen[bytes]) -> str:
    """For people. What the system kills has most often taken too much memory."""
    code = process.wait()
    if code == -signal.SIGKILL:
        return "The system ended the process that fits models, probably because there was not enough memory."
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"The process that fits models ended unexpectedly ({how})."


def _exchange(process: subprocess.Popen[bytes], request: FitRequest) -> bytes:
    if process.stdin is None or process.stdout is None:
        raise EOFError
    for content in _frames(request):
        _write(process.stdin, content)
    process.stdin.flush()
    return _read_frame(process.stdout)


def _frames(request: FitRequest) -> Iterator[bytes]:
    parts = [[_fields(example) for example in request.examples], request.unlabeled]
    chunks = [[part[i : i + _AT_ONCE] for i in range(0, len(part), _AT_ONCE)] for part in parts]
    head = {
        "path": sys.path,
        "kind": request.kind,
        "seed": request.seed,
        "one_thread": request.one_thread,
        "frames": [len(chunk) for chunk in chunks],
    }
    yield _encode(head)
    for part in chunks:
        yield from map(_encode, part)


def _fields(example: Example) -> list[Any]:
    return [example.text, example.language, example.categories, [astuple(span) for span in example.spans]]


def _example(text: str, language: str, categories: list[str], spans: list[tuple[str, int, int]]) -> Example:
    return Example(text, language, tuple(categories), tuple(Span(*span) for span in spans))


def _encode(value: object) -> bytes:
    """JSON in ASCII, which can hold lone surrogates, too."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _read_answer(answer: bytes) -> bytes:
    if answer[:1] == _MODEL:
        return answer[1:]
    name, message, stack = json.loads(answer[1:])
    if stack:
        log.error("A fit failed in its process.\n%s", stack)
    kind = getattr(base, name, base.EngineError)
    raise kind(message)


def _write(stream: IO[bytes], content: bytes) -> None:
    stream.write(len(content).to_bytes(8))
    stream.write(content)


def _read_frame(stream: IO[bytes]) -> bytes:
    """Raises EOFError when the stream ends."""
    length = int.from_bytes(_exactly(stream, 8))
    return _exactly(stream, length)


def _exactly(stream: IO[bytes], count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise EOFError
    return content


def main() -> None:
    """The child: answers requests until its input ends, or until it has had no work for a while."""
    os.nice(_NICENESS)
    memory.return_large_blocks()
    with os.fdopen(os.dup(0), "rb") as requests, os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # so that output of a library is not part of the response
        received: queue.SimpleQueue[FitRequest] = queue.SimpleQueue()
        threading.Thread(target=_receive, args=(requests, received), daemon=True).start()
        while True:
            try:
                request = received.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                os._exit(0)
            _write(answers, _answer(request))
            answers.flush()
            long = request.one_thread
            del request
            _forget(encoder=long)  # a person may wait for the next short fit


def _receive(requests: IO[bytes], received: "queue.SimpleQueue[FitRequest]") -> None:
    """Runs in its own thread, to end the process when the parent is gone, even during a fit."""
    try:
        while True:
            received.put(_read_request(requests))
    except EOFError:
        os._exit(0)


def _read_request(requests: IO[bytes]) -> FitRequest:
    head = json.loads(_read_frame(requests))
    sys.path.extend(path for path in head["path"] if path not in sys.path)
    of_examples, of_unlabeled = head["frames"]
    examples = [_example(*fields) for fields in _items(requests, of_examples)]
    unlabeled = list(_items(requests, of_unlabeled))
    return FitRequest(ProjectKind(head["kind"]), examples, unlabeled, head["seed"], head["one_thread"])


def _items(requests: IO[bytes], frames: int) -> Iterator[Any]:
    for _ in range(frames):
        yield from json.loads(_read_frame(requests))


def _forget(*, encoder: bool) -> None:
    """Free what a fit leaves behind, except the vectors of its texts: the process may live for minutes."""
    from shared.engines.embedded import models, sentences

    models.forget()
    if encoder:
        sentences.release()
    memory.return_freed()


def _answer(request: FitRequest) -> bytes:
    from shared.engines.embedded.engine import explained

    try:
        return _MODEL + explained("learn from these labels", lambda: _fit(request))
    except base.EngineError as error:
        cause = error.__cause__  # it stays in this process, and the parent logs its stack
        stack = "" if cause is None else "".join(format_exception(telemetry.without_message(cause)))
        return _ERROR + _encode([type(error).__name__, str(error), stack])


def _fit(request: FitRequest) -> bytes:
    from shared.engines.embedded import models, sentences

    if request.one_thread:
        sentences.use_one_thread()
    return models.fit(request.kind, request.examples, request.unlabeled, request.seed, alone=True)


if __name__ == "__main__":
    main()
