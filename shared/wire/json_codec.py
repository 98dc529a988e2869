"""JSON: a strict reader for untrusted input, models of bodies, and conversion between dataclasses and JSON objects.

`ValidationErrors` collects all errors of an input, so that its author can fix them in one go.
"""

import codecs
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from io import BytesIO
from types import UnionType
from typing import (
    Any,
    BinaryIO,
    ClassVar,
    Final,
    NamedTuple,
    NoReturn,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from shared.domain.errors import InvalidArgument, InvalidRequest, LabelbridgeError
from shared.domain.labels import Hundredths, Labels
from shared.domain.text import ascii_safe

#: Errors of one input that are reported; all are counted.
MAX_DETAILS: Final = 100
#: More objects and lists, or more values, than any valid project file of 100 MB has (the shortest label takes
#: 39 bytes). 100 MB of `[],` would take gigabytes once decoded.
MAX_CONTAINERS: Final = 3_000_000
MAX_VALUES: Final = 10_000_000
#: Of the text, how much is read at once, in bytes; a value that is longer makes it more.
WINDOW: Final = 128 * 1024
#: Of one value, in characters: a document with as many labels as it can have is shorter.
MAX_VALUE: Final = 32 * 1024 * 1024
#: Of one value, and of the next if it has been read: it is decoded in one go, during which other threads wait.
MAX_AT_ONCE: Final = 1_200_000
#: The same for objects and lists with hardly a comma between them, as no project file has: they take longest.
MAX_NESTED: Final = 300_000

_BLANK: Final = frozenset(" \t\n\r")
_SPACE: Final = re.compile(r"[ \t\n\r]*")
#: A value that ends, or fails, so near to the end of what was read may go on: the longest word is `-Infinity`.
_NEAR_THE_END: Final = 16


class JsonReader:
    """A cursor in a JSON text. `value`, `members` and `elements` consume the value at the cursor.

    The values of a long list exist one at a time, and so does the text around them. Strict means: UTF-8, no NaN or
    Infinity, no key twice in an object. The last two do not stop the reading; they are put into `complaints`, for the
    caller to report with their place. What is no JSON raises InvalidRequest.
    """

    def __init__(
        self, source: bytes | BinaryIO, max_members: int | None = None, *, window: int = WINDOW
    ) -> None:
        """`source`: the text, or a file from which it is read. `max_members`: of an object; more are an error."""
        self._max_members = max_members
        self._window = window
        self.complaints: list[str] = []
        self._decoder = json.JSONDecoder(object_pairs_hook=self._object, parse_constant=self._constant)
        self._containers = self._values = 0
        if isinstance(source, bytes):
            self._count(source)
            self._containers = self._values = 0
        self._file = BytesIO(source) if isinstance(source, bytes) else source
        self._to_text = codecs.getincrementaldecoder("utf-8-sig")()
        self._bytes = 0
        self._ended = False
        self._text = ""
        self._unchecked = True  # what was read since `_check_size` looked
        self._line = self._column = 1
        self._position = 0
        self._move(0)

    def peek(self) -> str:
        """The first character of the value at the cursor, "" at the end of the text."""
        return self._text[self._position : self._position + 1]

    def value(self) -> Any:
        """The whole value at the cursor, decoded."""
        while True:
            self._check_size()
            try:
                value, end = self._decoder.raw_decode(self._text, self._position)
            except json.JSONDecodeError as error:
                open_string = error.msg.startswith("Unterminated string")
                if not (open_string or self._near_the_end(error.pos)) or not self._read_on():
                    self._fail(error.msg, error.pos)
            except RecursionError:
                self._fail("Objects or lists are nested too deeply", self._position)
            except ValueError:
                self._fail("A number has too many digits", self._position)
            else:
                if isinstance(value, int | float) and self._near_the_end(end) and self._read_on():
                    continue  # more digits may follow
                self._move(end)
                return value

    def members(self) -> Iterator[str]:
        """The keys of the object at the cursor. The caller consumes a value before the next key."""
        seen: set[str] = set()
        for _ in self._items("{", "}"):
            if self.peek() != '"':
                self._fail("Expecting a key in double quotes", self._position)
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
        if self._position < len(self._text):
            self._fail("Extra data after the end", self._position)

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
            self._fail(f"Expecting '{character}'", self._position)
        self._move(self._position + 1)

    def _move(self, position: int) -> None:
        """Move to the next character that is not white space, reading more if necessary."""
        self._position = position
        while True:
            if self.peek() in _BLANK and (found := _SPACE.match(self._text, self._position)):
                self._position = found.end()
            if self._position < len(self._text) or not self._read_on():
                return

    def _near_the_end(self, position: int) -> bool:
        return position >= len(self._text) - _NEAR_THE_END

    def _read_on(self) -> bool:
        """Read more and forget what lies before the cursor; False at the end. At least doubles what is ahead."""
        if self._ended:
            return False
        ahead = len(self._text) - self._position
        if ahead > MAX_VALUE:
            raise InvalidRequest(f"A value in the file has more than {MAX_VALUE:,} characters.")
        data = self._file.read(max(self._window, ahead))
        self._ended = not data
        self._count(data)
        waiting = len(self._to_text.getstate()[0])
        try:
            text = self._to_text.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            place = self._bytes - waiting + error.start
            raise InvalidRequest(f"The file is not valid UTF-8: invalid byte at position {place}.") from None
        if self._ended:
            return False
        self._bytes += len(data)
        self._line, self._column = self._place(self._position)
        self._text = self._text[self._position :] + text
        self._position = 0
        self._unchecked = True
        return True

    def _count(self, data: bytes) -> None:
        self._containers += data.count(b"{") + data.count(b"[")
        self._values += data.count(b",")
        if self._containers > MAX_CONTAINERS or self._values > MAX_VALUES:
            raise InvalidRequest("The file has more values than a project file can have.")

    def _check_size(self) -> None:
        """Count what may be decoded in one go; a part of what was counted need not be counted again."""
        if not self._unchecked or len(self._text) - self._position <= MAX_NESTED:
            return
        self._unchecked = False
        count, start = self._text.count, self._position
        commas, containers = count(",", start), count("[", start) + count("{", start)
        if commas > MAX_AT_ONCE or containers > MAX_AT_ONCE:
            raise InvalidRequest(f"A value in the file contains more than {MAX_AT_ONCE:,} values.")
        if containers > MAX_NESTED and containers > 4 * commas:
            raise InvalidRequest(
                f"A value in the file contains more than {MAX_NESTED:,} nested lists or objects."
            )

    def _place(self, position: int) -> tuple[int, int]:
        """Line and column in the whole text."""
        lines = self._text.count("\n", 0, position)
        if lines:
            return self._line + lines, position - self._text.rfind("\n", 0, position)
        return self._line, self._column + position

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if self._max_members is not None and len(pairs) > self._max_members:
            raise InvalidRequest(f"An object in the body has more than {self._max_members:,} members.")
        made = dict(pairs)
        if len(made) != len(pairs):
            counts = Counter(key for key, _ in pairs)
            for key in (key for key, count in counts.items() if count > 1):
                self._complain(_twice(key))
        return made

    def _constant(self, name: str) -> None:
        self._complain(f"{name} is not a JSON value.")

    def _complain(self, message: str) -> None:
        if len(self.complaints) < MAX_DETAILS and message not in self.complaints:
            self.complaints.append(message)

    def _fail(self, what: str, position: int) -> NoReturn:
        line, column = self._place(position)
        raise InvalidRequest(
            f"The file is not valid JSON: {what.rstrip('.')} (line {line}, column {column})."
        ) from None


def _twice(key: str) -> str:
    return f"The key {shown(key)} occurs more than once in an object."


def shown(value: object) -> str:
    """A value of an input for an error message, at most 60 characters."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value) if value.bit_length() < 200 else "a very large number"
    text = str(value) if isinstance(value, float) else f"'{value}'"
    return ascii_safe(text if len(text) <= 60 else f"{text[:57]}...")


#: Messages for the types of pydantic errors; the values in braces come from the error.
_WORDS: Final = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this request",
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "must be an object"),
    "list_type": "must be a list",
    "string_type": "must be a string",
    "string_unicode": "must be valid Unicode",
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "must be an integer"),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), "must be a number"),
    **dict.fromkeys(("enum", "literal_error"), "must be {expected}"),
    "greater_than_equal": "must be {ge:g} or more",
    "less_than_equal": "must be {le:g} or less",
    "greater_than": "must be greater than {gt:g}",
    **dict.fromkeys(
        ("date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"),
        "must be a date, as in 2030-12-31",
    ),
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have at most {max_length:,} characters",
    "too_short": "must have {min_length} or more items, not {actual_length}",
    "too_long": "must have at most {max_length:,} items, not {actual_length:,}",
}


class ValidationErrors:
    """The errors of one input, each with its JSON path; the first 100 are kept, all are counted.

    `kind`: what is raised, where the input is well-formed and something else is wrong with it. `summary`: what is said
    of several errors at `target`, with `{count}` in it; by default, how many errors `what` has, at the first one.
    """

    def __init__(
        self,
        what: str = "request",
        kind: type[LabelbridgeError] = InvalidArgument,
        *,
        summary: str = "",
        target: str | None = None,
    ) -> None:
        self._summary = summary or f"The {what} has {{count}} errors; see 'details'."
        self._target = target
        self._kind = kind
        self._reported: list[LabelbridgeError] = []
        self.count = 0

    def add(self, path: str, message: str, inner_code: str | None = None) -> None:
        """Note one error; `path` is that of the JSON value, as in `assets.documents[3].location`."""
        self.count += 1
        if self.count <= MAX_DETAILS:
            self._reported.append(self._kind(message, target=path, inner_code=inner_code))

    def add_all(self, found: Mapping[str, str]) -> None:
        """Note messages by path."""
        for path, message in found.items():
            self.add(path, message)

    def add_model(self, error: ValidationError, path: str = "") -> None:
        """Note what pydantic found in the value at `path`, each error with the path of its field."""
        for found in error.errors(include_url=False, include_input=False):
            field = _path(found["loc"], path)
            self.add(field, f"{_text(found, field)}.", "InvalidParameterValue")

    def raise_any(self) -> None:
        """Raises `kind` if there is any error: the only one itself, or a summary with all as `details`."""
        if self.count:
            raise self.as_error()

    def as_error(self, *, more: bool = False) -> LabelbridgeError:
        """The only error itself, or a summary with all as `details`. There must be one.

        `more`: there are more than were counted.
        """
        if self.count == 1:
            return self._reported[0]
        details = list(self._reported)
        left = self.count - MAX_DETAILS
        if left > 0:
            details.append(self._kind(f"... and {left:,} more {'error' if left == 1 else 'errors'}."))
        text = self._summary.replace("{count}", f"{'more than ' if more else ''}{self.count:,}")
        return self._kind(text, target=self._target or details[0].target, details=tuple(details))


def invalid(error: ValidationError) -> LabelbridgeError:
    """What pydantic found in a request."""
    errors = ValidationErrors()
    errors.add_model(error)
    return errors.as_error()


def rule_of(found: ErrorDetails) -> str | None:
    """The rule that was broken, as in "must be an integer"; None if the message of the error says it all."""
    rule = _WORDS.get(found["type"])
    return rule.format_map(found.get("ctx", {})) if rule is not None else None


def _text(found: ErrorDetails, path: str) -> str:
    """One error in our words: the field and the rule. Messages of our own checks (`value_error`) are complete."""
    rule = rule_of(found)
    if rule is not None:
        return f"'{path}' {rule}"
    return found["msg"].removeprefix("Value error, ").removesuffix(".")


def _path(location: tuple[int | str, ...], path: str) -> str:
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path or "body"


class Wire(BaseModel):
    """camelCase on the wire; unknown fields are ignored, as Azure does."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True, defer_build=True
    )


class Body(Wire):
    """The body of a request, or a part of it: null means the same as leaving a field out.

    Only in a merge patch (`null_removes`) null removes a field, which one that is required does not allow.
    """

    null_removes: ClassVar[bool] = False

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if cls.null_removes or not isinstance(value, dict):
            return value
        given = cast("dict[str, Any]", value)
        if not any(item is None for item in given.values()):
            return given
        known = {field.alias for field in cls.model_fields.values()}
        return {name: item for name, item in given.items() if item is not None or name not in known}


class Strict(Body):
    """A request of our own operations: a misspelt field is an error rather than ignored."""

    model_config = ConfigDict(extra="forbid")


class _Field(NamedTuple):
    """A field of a dataclass as a member of a JSON object."""

    name: str
    key: str
    hint: Any
    #: None when the key is missing, though there is no default.
    nullable: bool
    optional: bool


def moment(at: datetime) -> str:
    """ISO 8601 in UTC with `Z`, as Azure writes it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@cache
def _fields(kind: Any) -> tuple[_Field, ...]:
    hints = get_type_hints(kind)
    return tuple(
        _Field(
            f.name,
            str(cast("Any", f.metadata).get("key", to_camel(f.name))),
            hints[f.name],
            nullable=f.default is MISSING and isinstance(hints[f.name], UnionType),
            optional=f.default is None,
        )
        for f in fields(kind)
    )


type WriteLabels = Callable[[Labels], Any]
type ReadLabels = Callable[[Any], Labels | None]


def to_json(record: Any, labels: WriteLabels | None = None) -> dict[str, Any]:
    """The JSON object of a dataclass, with keys in camelCase. Left out: a field that is None, as is its default.

    `labels` writes labels, whose form is another in a table than in an answer.
    """
    made: dict[str, Any] = {}
    for f in _fields(record.__class__):
        value = getattr(record, f.name)
        if value is not None or not f.optional:
            made[f.key] = _plain(f.hint, value, labels)
    return made


def from_json[T](kind: type[T], data: Mapping[str, Any], labels: ReadLabels | None = None) -> T:
    """The dataclass of a JSON object. Raises TypeError when a key is missing that has no default and cannot be None.

    A missing key gets the default of its field, and a key that no field has is ignored, so that rows written by other
    versions can be read.
    """
    given = (f for f in _fields(kind) if f.key in data or f.nullable)
    return kind(**{f.name: _typed(f.hint, data.get(f.key), labels) for f in given})


#: What JSON takes as it is; no subclasses, such as enums of strings.
_AS_IT_IS: Final = frozenset({str, int, bool, float, type(None)})


def _plain(hint: Any, value: Any, labels: WriteLabels | None) -> Any:
    if hint is Hundredths:
        return value / 100
    if type(value) in _AS_IT_IS:
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Labels) and labels is not None:
        return labels(value)
    if isinstance(value, tuple):
        items = cast("tuple[Any, ...]", value)
        return [_plain(None, item, labels) for item in items]
    return to_json(value, labels) if is_dataclass(value) else value


def _typed(hint: Any, value: Any, labels: ReadLabels | None) -> Any:
    if value is None:
        return None
    if isinstance(hint, UnionType):  # `X | None`
        return _typed(get_args(hint)[0], value, labels)
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        return tuple(_typed(item, each, labels) for each in value)
    if hint is datetime:
        return datetime.fromisoformat(value)
    if hint is Labels and labels is not None:
        return labels(value)
    if hint is Hundredths:
        return round(value * 100)
    if is_dataclass(hint):
        return from_json(cast("Any", hint), value, labels)
    return hint(value) if isinstance(hint, type) and issubclass(hint, Enum) else value
