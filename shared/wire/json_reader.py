"""Strict JSON, read piece by piece: the values of a long list exist one at a time.

Strict means: UTF-8, no NaN or Infinity, no key twice in an object. The last two do not stop the reading; they
are put into `complaints`, for the caller to report with their place. What is no JSON raises InvalidRequest.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from shared.domain.errors import InvalidRequest
from shared.wire.faults import MAX_REPORTED, shown

#: More objects and lists, or more values, than any valid project file of 100 MB has (the shortest label takes
#: 39 bytes). A body of 100 MB of `[],` would take gigabytes once decoded.
MAX_CONTAINERS: Final = 3_000_000
MAX_VALUES: Final = 10_000_000

_BLANK: Final = frozenset(" \t\n\r")
_SPACE: Final = re.compile(r"[ \t\n\r]*")


class JsonReader:
    """A cursor on a JSON text. Every `value`, `members` or `elements` consumes the value at the cursor."""

    def __init__(self, body: bytes) -> None:
        self.complaints: list[str] = []
        self._text = _decode(body)
        self._decoder = json.JSONDecoder(object_pairs_hook=self._object, parse_constant=self._constant)
        self.position = 0
        self._move(0)

    def peek(self) -> str:
        """The first character of the value at the cursor, "" at the end of the text."""
        return self._text[self.position : self.position + 1]

    def value(self) -> Any:
        """The whole value at the cursor, decoded."""
        try:
            value, end = self._decoder.raw_decode(self._text, self.position)
        except json.JSONDecodeError as error:
            self._fail(error.msg, error.pos)
        except RecursionError:
            self._fail("Objects or lists are nested too deeply", self.position)
        except ValueError:
            self._fail("A number has too many digits", self.position)
        self._move(end)
        return value

    def members(self) -> Iterator[str]:
        """The keys of the object at the cursor. The caller consumes a value before the next key."""
        seen: set[str] = set()
        for _ in self._items("{", "}"):
            if self.peek() != '"':
                self._fail("Expecting a key in double quotes", self.position)
            key = self.value()
            self._expect(":")
            if key in seen:
                self._complain(_twice(key))
            seen.add(key)
            yield key

    def elements(self) -> Iterator[Any]:
        """The decoded elements of the list at the cursor, one at a time."""
        items, value = self._items("[", "]"), self.value
        for _ in items:
            yield value()

    def end(self) -> None:
        """Checks that the text ends here."""
        if self.position < len(self._text):
            self._fail("Extra data after the end", self.position)

    def _items(self, first: str, last: str) -> Iterator[None]:
        self._expect(first)
        if self.peek() == last:
            return self._expect(last)
        while True:
            yield
            if self.peek() == last:
                return self._expect(last)
            self._expect(",")

    def _expect(self, character: str) -> None:
        if self.peek() != character:
            self._fail(f"Expecting '{character}'", self.position)
        self._move(self.position + 1)

    def _move(self, position: int) -> None:
        found = _SPACE.match(self._text, position) if self._text[position : position + 1] in _BLANK else None
        self.position = found.end() if found else position

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            counts = Counter(key for key, _ in pairs)
            for key in (key for key, count in counts.items() if count > 1):
                self._complain(_twice(key))
        return made

    def _constant(self, name: str) -> None:
        self._complain(f"{name} is not a JSON value.")

    def _complain(self, message: str) -> None:
        if len(self.complaints) < MAX_REPORTED and message not in self.complaints:
            self.complaints.append(message)

    def _fail(self, what: str, position: int) -> NoReturn:
        line = self._text.count("\n", 0, position) + 1
        column = position - self._text.rfind("\n", 0, position)
        raise InvalidRequest(
            f"The file is not valid JSON: {what.rstrip('.')} (line {line}, column {column})."
        ) from None


def _twice(key: str) -> str:
    return f"The key {shown(key)} occurs more than once in an object."


def _decode(body: bytes) -> str:
    if body.count(b"{") + body.count(b"[") > MAX_CONTAINERS or body.count(b",") > MAX_VALUES:
        raise InvalidRequest("The file holds more values than a project file can have.")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The file is not valid UTF-8: byte {error.start} does not fit.") from None
