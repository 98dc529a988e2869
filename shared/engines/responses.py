"""What engines return, checked; and responses of services: their limits, because a server is not trusted and client
libraries read responses of any size, and how long they ask to wait.
"""

from collections.abc import AsyncIterable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from numbers import Integral, Real
from types import NoneType
from typing import Any, Final

from shared.domain.labels import MAX_ENTITIES, Prediction
from shared.engines.base import EngineError

#: Maximum bytes of a response. The longest answer of a language model, 8,000 tokens with log-probabilities, is far
#: smaller. For Azure Language it also limits all pages of a result together: over 30 bytes per character sent.
MAX_RESPONSE: Final = 4_000_000

#: The types of the values of most predictions; those of other numbers, as of numpy, are converted.
_EXACT: Final = frozenset(
    (str, float, place, place, raw) for place in (int, NoneType) for raw in (float, NoneType)
)


class Unreadable(Exception):
    """A response that is not read; the message says why, as in "a response that is ..."."""


def too_large() -> Unreadable:
    return Unreadable(f"larger than {MAX_RESPONSE:,} bytes")


async def bounded_body(status: int, encoding: str | None, parts: AsyncIterable[bytes]) -> bytes:
    """The body of a response, from its status, its `Content-Encoding` and the pieces of its body as they come.

    Raises Unreadable for a compressed body, which might expand without limit, and for one that is too large. If the
    status is an error, it says enough: the body is left out instead. The caller closes the response.
    """
    if encoding is None or encoding.lower() == "identity":
        body = bytearray()
        async for part in parts:
            body += part
            if len(body) > MAX_RESPONSE:
                break
        else:
            return bytes(body)
        refusal = too_large()
    else:
        hint = "turn off compression in the server or proxy"
        refusal = Unreadable(f"compressed, which the app does not accept: {hint}")
    if status < 400:
        raise refusal
    return b""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds in `retry-after-ms`, or in `Retry-After` as a number or a date; None if the response has neither."""
    for name, unit in (("retry-after-ms", 1_000), ("Retry-After", 1)):
        with suppress(ValueError):
            seconds = float(headers.get(name, "")) / unit
            if seconds >= 0:  # false for NaN
                return seconds
    with suppress(ValueError, TypeError, OverflowError):  # not a date, without a time zone, or out of range
        date = parsedate_to_datetime(headers.get("Retry-After", ""))
        return max((date - datetime.now(UTC)).total_seconds(), 0)
    return None


def checked(found: Any, count: int) -> list[list[Prediction]]:
    """What an engine returned for this many texts. Raises EngineError unless there are predictions for each, and at
    most as many as a document can have labels (rule A18).

    A document with other values could not be stored, now or in any later try.
    """
    try:
        lists = [_listed(predictions) for predictions in found]
    except TypeError:
        raise EngineError("The engine did not return a list of predictions for each text.") from None
    if len(lists) != count:
        raise EngineError(f"The engine returned {len(lists):,} lists of predictions for {count:,} texts.")
    return lists


def _listed(predictions: Iterable[Any]) -> list[Prediction]:
    found = [_checked(prediction) for prediction in islice(predictions, MAX_ENTITIES + 1)]
    if len(found) > MAX_ENTITIES:
        raise EngineError(f"The engine returned more than {MAX_ENTITIES:,} predictions for a text.")
    return found


def _checked(found: Any) -> Prediction:
    if type(found) is not Prediction:
        raise EngineError(f"The engine returned {type(found).__name__} in place of a prediction.")
    values: tuple[Any, ...] = (found.category, found.confidence, found.offset, found.length, found.raw)
    if tuple(map(type, values)) in _EXACT:
        return found
    category, confidence, offset, length, raw = values
    fits = isinstance(category, str) and isinstance(confidence, Real)
    fits = fits and all(place is None or isinstance(place, Integral) for place in (offset, length))
    if not fits or not (raw is None or isinstance(raw, Real)):
        raise EngineError("The engine returned a prediction whose values have other types than they must.")
    return Prediction(
        category,
        float(confidence),
        None if offset is None else int(offset),
        None if length is None else int(length),
        None if raw is None else float(raw),
    )
