"""Errors as exceptions with a sentence, and which requests are retried.

Some responses come from the Functions host: they have no body, or one line of text, and no `Retry-After`.
"""

import random
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import httpx

from labelbridge.client.models import Document, JobState

#: The response of a host that is starting; the request did not reach the app.
STARTING = "Function host is not running."
#: Longest pause that a `Retry-After` of the server is followed for, in seconds.
LONGEST_PAUSE = 30.0

#: How Python begins the message of a system error.
_NUMBER = re.compile(r"^\[(Errno|WinError) -?\d+\] ")
# The answer of a server without TLS, in OpenSSL before and from 3.2.
_NO_TLS = re.compile(r"wrong.version.number|record.layer.failure", re.IGNORECASE)

_HOST_ANSWERS = {
    400: "The request has a header that the Functions host cannot read.",
    401: "The Functions host refused the key.",
    403: "The Functions host refused the key.",
    404: "Nothing is served at this address; check the URL, which is that of the function app without a path.",
    408: "The upload was too slow for the Functions host; repeat it on a faster connection.",
    411: "A proxy removed the length of the request, which the function app needs.",
    413: "The request is larger than the function app, or a proxy in front of it, accepts.",
    414: "The request line is longer than 8 KiB; use shorter filters.",
    429: "The function app is throttled; wait a few seconds and repeat.",
    431: "The request has more than 100 headers or more than 32 KiB of them.",
    500: "The worker of the function app ended during the request, or the body was too large; repeat the request once.",
    502: "The gateway in front of the function app got no answer; wait a few seconds and repeat.",
    503: "The function app is starting; wait a few seconds and repeat.",
    504: "The gateway in front of the function app waited too long for its answer; repeat the request.",
}


class LabelbridgeError(Exception):
    """Base of all expected errors of this client; the text is one or more sentences for people."""


class NotReachable(LabelbridgeError):
    """No response from the app: wrong address, no network, a broken connection, or another server responded."""


class ApiError(LabelbridgeError):
    """An answer with an error.

    `code` and `inner_code` are those of docs/reference/errors.md, "" for answers of the Functions host.
    `target` names the field, header or parameter; `body` is the JSON, {} where there is none.
    `document` is the current document of a 409, if it came.
    `repeated`: the request was sent more than once, so an earlier attempt may have succeeded.
    """

    def __init__(self, answer: httpx.Response, *, repeated: bool = False) -> None:
        body = _json(answer)
        error = _object(body.get("error"))
        details = error.get("details")
        self.status = answer.status_code
        self.code = _text(error.get("code"))
        self.inner_code = _text(_object(error.get("innererror")).get("code"))
        self.target = _text(error.get("target"))
        self.reason = _text(error.get("message")) or _host_sentence(answer)
        self.details = (
            [_object(detail) for detail in cast("list[Any]", details)] if isinstance(details, list) else []
        )
        self.document = cast("Document | None", _object(body.get("document")) or None)
        self.body = body
        self.repeated = repeated
        self.from_host = not error
        super().__init__(self.reason)

    def __str__(self) -> str:
        """All reasons: a message that only counts the invalid values is followed by each of them."""
        more = [detail for detail in self.details if str(detail.get("message")) not in self.reason]
        return " ".join(
            [self.reason, *(f"{detail.get('target')}: {detail.get('message')}" for detail in more)]
        )


class JobFailed(LabelbridgeError):
    """A long-running operation ended otherwise than `succeeded`; `state` is its last state.

    The text has the errors, and the warnings, which say for instance what a training left out.
    """

    def __init__(self, state: JobState) -> None:
        self.state = state
        found = (*state.get("errors", []), *state.get("warnings", []))
        reasons = " ".join(problem["message"] for problem in found)
        super().__init__(f"The job {state['jobId']} ended with status '{state['status']}'. {reasons}".strip())


class TimedOut(LabelbridgeError):
    """A job did not end within the timeout; it continues."""


class MissingField(NotReachable, KeyError):
    """A field that was read is missing in the response, which may be from another server."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError quotes it


class Fields(dict[str, Any]):
    """A JSON object of an answer; reading a field that it does not have raises MissingField."""

    __slots__ = ("_source",)

    def __init__(self, fields: Mapping[str, Any], source: str) -> None:
        super().__init__(fields)
        self._source = source

    def __missing__(self, name: str) -> Any:
        raise MissingField(f"{self._source} ('{name}' is missing).")


def json_of(answer: httpx.Response) -> Any:
    """The JSON object of an answer. Raises NotReachable, also when a missing field is read, of inner objects, too."""
    source = _not_ours(answer)
    try:
        body = answer.json(object_hook=partial(Fields, source=source))
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, Fields):
        raise foreign(answer)
    return cast("Any", body)


def foreign(answer: httpx.Response, reason: str = "") -> NotReachable:
    """The sentence for a success that is not the app's, as of a proxy or another server with a page of its own.

    `reason`: what is wrong with its JSON; else its content type says enough.
    """
    kind = answer.headers.get("content-type", "").partition(";")[0] or "without a content type"
    return NotReachable(f"{_not_ours(answer)} ({reason or kind}).")


def _not_ours(answer: httpx.Response) -> str:
    return f"{_origin(answer.url)} answered with status {answer.status_code}, but not as Labelbridge does"


def refuse_redirect(answer: httpx.Response) -> None:
    """Raises NotReachable for a redirect, as to the sign-in of a gateway: redirects are never followed."""
    if answer.has_redirect_location:
        place = answer.headers["location"].partition("?")[0]
        raise NotReachable(f"{_origin(answer.url)} redirects to {place} instead of answering.")


def _origin(url: httpx.URL) -> str:
    return str(url.copy_with(raw_path=b"/")).rstrip("/")


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        return _object(answer.json())
    except (ValueError, RecursionError):
        return {}


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _host_sentence(answer: httpx.Response) -> str:
    known = _HOST_ANSWERS.get(answer.status_code)
    return known or f"The server answered with status {answer.status_code} and without a message."


def unreachable(base: httpx.URL, error: httpx.RequestError) -> NotReachable:
    """The sentence for a request without an answer that can be read."""
    if isinstance(error, httpx.ReadTimeout):
        return NotReachable(f"{base} did not answer in time.")
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        return NotReachable(f"{base} cannot be reached ({_cause(error)}).")
    return NotReachable(f"The connection to {base} broke ({_cause(error)}).")


def _cause(error: httpx.RequestError) -> str:
    text = _NUMBER.sub("", str(error).strip().rstrip("."))
    if _NO_TLS.search(text):
        return "it does not use HTTPS; an address on your own machine begins with http://"
    return text or type(error).__name__


class Retry:
    """Decides on retries of one request: it is sent again if it can succeed later, and cannot have its effect twice.

    `repeatable`: it is idempotent, such as GET, a POST with an `Idempotency-Key`, or a PUT with `If-Match`. Other
    requests are repeated only when the app has not seen them. `reached`: this client had an answer before; an address
    that never answered is probably wrong, and is not tried again.
    """

    def __init__(self, pauses: Sequence[float], *, repeatable: bool, reached: bool) -> None:
        self._pauses = pauses
        self._repeatable = repeatable
        self._reached = reached
        self.tries = 0

    def pause_after_error(self, error: httpx.RequestError) -> float | None:
        """Seconds to wait before the next attempt; None when there is none."""
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            return self._next() if self._reached else None
        return self._next() if self._repeatable else None

    def pause_after(self, answer: httpx.Response) -> float | None:
        """Seconds to wait before the next attempt; None when the answer stands."""
        if not self._can_change(answer):
            return None
        asked = answer.headers.get("retry-after", "")
        pause = self._next()
        if pause is None or not asked.isdecimal():
            return pause
        return max(pause, float(asked)) if float(asked) <= LONGEST_PAUSE else None

    def _can_change(self, answer: httpx.Response) -> bool:
        status = answer.status_code
        if status == 429 or (status == 503 and answer.text.strip() == STARTING):
            return True
        if status == 500 and answer.content:  # a defect of the app, which would occur again
            return False
        return self._repeatable and status in {408, 500, 502, 503, 504}

    def _next(self) -> float | None:
        self.tries += 1
        if self.tries > len(self._pauses):
            return None
        return self._pauses[self.tries - 1] * random.uniform(0.8, 1.2)
