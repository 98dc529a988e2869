"""Responses of services: their limits, because a server is not trusted and client libraries read responses of any
size, and how long they ask to wait.
"""

from collections.abc import AsyncIterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

#: Maximum bytes of a response. The longest answer of a language model, 8,000 tokens with log-probabilities, is far
#: smaller. For Azure Language it also limits all pages of a result together: over 30 bytes per character sent.
MAX_RESPONSE: Final = 4_000_000


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
