"""Spans and metrics. They cost nothing until `install` is called.

Attributes are names, ids and counts, never text of a document. A trace crosses a queue in the field `trace` of a
message, as W3C `traceparent`.
"""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import perf_counter
from typing import Any, Literal, Protocol

type Attribute = str | int | float | bool
type Kind = Literal["server", "consumer", "internal"]


class Recorder(Protocol):
    """What takes the spans and the metrics; `shared.runtime.telemetry` has one that uses OpenTelemetry."""

    def span(
        self, name: str, kind: Kind, parent: str, attributes: dict[str, Attribute]
    ) -> AbstractContextManager[None]:
        """A span around the block; an exception that leaves the block is recorded and marks the span as failed."""
        ...

    def annotate(self, attributes: dict[str, Attribute]) -> None:
        """More attributes of the current span."""
        ...

    def trace(self) -> str:
        """The `traceparent` of the current span; "" outside of a span."""
        ...

    def count(self, name: str, value: float, attributes: dict[str, Attribute]) -> None: ...

    def measure(self, name: str, value: float, unit: str, attributes: dict[str, Attribute]) -> None: ...


_NOTHING = nullcontext()
_recorder: Recorder | None = None


def install(recorder: Recorder | None) -> None:
    """Use the recorder from now on; None: record nothing."""
    global _recorder  # noqa: PLW0603 - of the process, as logging is
    _recorder = recorder


def enabled() -> bool:
    """Whether anything is recorded."""
    return _recorder is not None


def span(
    name: str, *, kind: Kind = "internal", parent: str = "", **attributes: Attribute
) -> AbstractContextManager[None]:
    """A span around the block; `parent` is a `traceparent` from outside, else the current span is the parent.

    Where there are both, the current span is linked.
    """
    return _recorder.span(name, kind, parent, attributes) if _recorder else _NOTHING


def annotate(**attributes: Attribute) -> None:
    """More attributes of the current span."""
    if _recorder:
        _recorder.annotate(attributes)


def trace() -> str:
    """The `traceparent` to send along with a message; "" when nothing is recorded."""
    return _recorder.trace() if _recorder else ""


def without_message(error: BaseException) -> BaseException:
    """The error with its type, its stack and its causes, and no messages: what an engine raises may quote a document.

    For `exc_info` of a log call.
    """
    kind, names = type(error), ("__module__", "__qualname__")
    bare: Any = type(kind.__name__, (Exception,), {name: getattr(kind, name) for name in names})()
    if error.__cause__ is not None:
        bare.__cause__ = without_message(error.__cause__)
    elif error.__context__ is not None and not error.__suppress_context__:
        bare.__context__ = without_message(error.__context__)
    shown: BaseException = bare.with_traceback(error.__traceback__)
    return shown


def in_line(error: BaseException) -> str:
    """The error in one line of a log: its kind, and the message of a class that says `loggable`.

    Of all others the message may quote a document or a secret.
    """
    kind = type(error).__name__
    return f"{kind}: {' '.join(str(error).split())[:300]}" if getattr(error, "loggable", False) else kind


class Stacks:
    """Shows the stack of a failure once, where it is met again and again and no try is the last."""

    _MOST = 100

    def __init__(self) -> None:
        self._shown: set[tuple[str, str, int]] = set()

    def of(self, error: BaseException) -> BaseException | None:
        """For `exc_info`: the error without messages, or None when one of its kind was raised at the same place."""
        trace, place = error.__traceback__, ("", 0)
        while trace is not None:
            place, trace = (trace.tb_frame.f_code.co_filename, trace.tb_lineno), trace.tb_next
        key = (type(error).__name__, *place)
        if key in self._shown:
            return None
        if len(self._shown) >= self._MOST:
            self._shown.clear()
        self._shown.add(key)
        return without_message(error)


def count(name: str, value: float = 1, **attributes: Attribute) -> None:
    """Add to a counter; 0 adds nothing."""
    if _recorder and value:
        _recorder.count(name, value, attributes)


def measure(name: str, value: float, unit: str = "s", **attributes: Attribute) -> None:
    """One value of a histogram; units by UCUM: `s`, `{document}`."""
    if _recorder:
        _recorder.measure(name, value, unit, attributes)


@contextmanager
def _timed(name: str, recorder: Recorder, attributes: dict[str, Attribute]) -> Generator[None]:
    begun = perf_counter()
    with recorder.span(name, "internal", "", attributes):
        yield
    recorder.measure(f"labelbridge.{name}.duration", perf_counter() - begun, "s", attributes)


def timed(name: str, **attributes: Attribute) -> AbstractContextManager[None]:
    """A span around the block, and its duration as the metric `labelbridge.{name}.duration`."""
    return _timed(name, _recorder, attributes) if _recorder else _NOTHING
