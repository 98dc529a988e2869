"""Checks responses against their models, and stops lists that never end.

A field that is there must have the type of its model; one that is missing raises when it is read (`errors.Fields`), and
one that no model knows is left as it is, so an app of another version is understood. Of a literal only the type is
checked, except for the status of a job: waiting for a job with an unknown status would never end.
"""

from collections.abc import Callable
from functools import cache
from types import UnionType
from typing import Any, Literal, TypedDict, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

import httpx

from labelbridge.client.basic_models import JobState, JobStatus
from labelbridge.client.errors import foreign, json_of

#: Pages of a list; a project has at most 100,000 documents.
MOST_PAGES = 100_000
#: How many consecutive responses may bring no progress; and how often a list starts again.
MOST_EMPTY = 1_000

#: What does not fit, as the place in the value and what should be there; None: it fits.
type Mismatch = tuple[str, str] | None
type Check = Callable[[Any], Mismatch]

_NAMES: dict[Any, str] = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false", dict: "an object",
    type(None): "null",
}  # fmt: skip


class Progress(TypedDict, total=False):
    """One half of a training."""

    percentComplete: int


class JobResult(TypedDict, total=False):
    """The known fields of job results; each kind has some of them, and others."""

    percentComplete: int
    trainingStatus: Progress | None
    evaluationStatus: Progress | None
    outcomes: dict[str, int] | None
    matched: int
    changed: int
    conflicts: int | None
    undone: int
    documentsImported: int | None
    linesRejected: int | None
    step: str
    waitingFor: str | None


def checked[T](answer: httpx.Response, kind: type[T]) -> T:
    """The JSON object of an answer, which has the types of the model. Raises NotReachable."""
    return _fitting(answer, json_of(answer), kind, "")


def field_of[T](answer: httpx.Response, name: str, kind: type[T]) -> T:
    """One field of the JSON object of an answer, which must be there. Raises NotReachable."""
    return _fitting(answer, json_of(answer)[name], kind, name)


def job_state[T: JobState](answer: httpx.Response, kind: type[T]) -> T:
    """The state of a job, of its result the fields that are known. Raises NotReachable, also for an unknown status."""
    state = checked(answer, kind)
    result = state.get("result")
    if result:
        _fitting(answer, result, JobResult, "result")
    if "status" in state and state["status"] not in get_args(JobStatus.__value__):
        raise foreign(answer, f"'{state['status'][:40]}' is not a job status")
    return state


def fits(value: Any, kind: Any) -> bool:
    """Whether what is there has the types of the model."""
    return _mismatch(value, kind) is None


def _mismatch(value: Any, kind: Any) -> Mismatch:
    try:
        return _check(kind)(value)
    except RecursionError:  # errors have details, which are errors
        return "", "readable: it is nested too deeply"


def _fitting[T](answer: httpx.Response, value: Any, kind: type[T], place: str) -> T:
    mismatch = _mismatch(value, kind)
    if mismatch is not None:
        raise foreign(
            answer, f"'{(place + mismatch[0]).removeprefix('.') or 'the answer'}' is not {mismatch[1]}"
        )
    return cast("T", value)


@cache
def _check(kind: Any) -> Check:
    """The check for a type of the models."""
    if hasattr(kind, "__value__"):  # type X = ...
        return _check(kind.__value__)
    if kind is Any:
        return lambda value: None
    if is_typeddict(kind):
        return _object(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in {UnionType, Union}:
        return _any_of([_check(part) for part in inner])
    if origin is Literal:
        return _check(str)  # those of the API are texts
    if origin is list:
        return _items(_check(inner[0]))
    if origin is dict:
        return _values(_check(inner[1]))
    return _simple(kind)


def _simple(kind: Any) -> Check:
    def check(value: Any) -> Mismatch:
        fits = isinstance(value, (int, float) if kind is float else kind)
        return None if fits and (kind is bool or not isinstance(value, bool)) else ("", _NAMES[kind])

    return check


def _any_of(checks: list[Check]) -> Check:
    def check(value: Any) -> Mismatch:
        found = [check(value) for check in checks]
        # Of an optional type, the other type's error is reported.
        return None if None in found else max((f for f in found if f), key=lambda f: (f[0], f[1] != "null"))

    return check


def _items(check_item: Check) -> Check:
    def check(value: Any) -> Mismatch:
        if not isinstance(value, list):
            return "", "a list"
        for number, item in enumerate(cast("list[Any]", value)):
            mismatch = check_item(item)
            if mismatch is not None:
                return f"[{number}]{mismatch[0]}", mismatch[1]
        return None

    return check


def _values(check_item: Check) -> Check:
    def check(value: Any) -> Mismatch:
        if not isinstance(value, dict):
            return "", "an object"
        for name, item in cast("dict[str, Any]", value).items():
            mismatch = check_item(item)
            if mismatch is not None:
                return f".{name}{mismatch[0]}", mismatch[1]
        return None

    return check


def _object(kind: Any) -> Check:
    fields: dict[str, Check] = {}

    def check(value: Any) -> Mismatch:
        if not isinstance(value, dict):
            return "", "an object"
        if not fields:  # not earlier, because a model may contain itself
            fields.update({name: _check(hint) for name, hint in get_type_hints(kind).items()})
        for name, item in cast("dict[str, Any]", value).items():
            found = fields.get(name)
            mismatch = found(item) if found else None
            if mismatch is not None:
                return f".{name}{mismatch[0]}", mismatch[1]
        return None

    return check


class Turns:
    """Stops an endless loop over responses of a server with NotReachable."""

    def __init__(self) -> None:
        self._tokens = set[str]()
        self._empty = 0
        self._restarts = 0
        self._last: Any = None

    def go_on(self, answer: httpx.Response, token: str, brought: Any) -> None:
        """Another answer will be asked for with `token`; `brought`: what this one had, empty if it had nothing."""
        self._empty = 0 if brought else self._empty + 1
        again = token in self._tokens or (brought and brought == self._last)
        if again or self._empty >= MOST_EMPTY or len(self._tokens) >= MOST_PAGES:
            raise foreign(answer, "the list never ends")
        self._tokens.add(token)
        self._last = brought

    def count_again(self, answer: httpx.Response) -> None:
        """The request will be repeated from the start, because the server has not counted everything."""
        self._tokens.clear()
        self._last = None
        self._restarts += 1
        if self._restarts >= MOST_EMPTY:
            raise foreign(answer, "the list never ends")
