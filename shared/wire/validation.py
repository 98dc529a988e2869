"""Collects everything that is wrong with an input, so that its author can fix it in one go."""

from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shared.domain.errors import InvalidArgument, LabelbridgeError
from shared.domain.text import ascii_safe

MAX_DETAILS = 100

#: What an error that pydantic found says, by its type; what stands in braces comes from the error.
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
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have at most {max_length:,} characters",
    "too_short": "must have {min_length} or more items, not {actual_length}",
    "too_long": "must have at most {max_length:,} items, not {actual_length:,}",
}


class ValidationErrors:
    """The errors of one input, each with its JSON path; the first 100 are kept, all are counted."""

    def __init__(self, what: str = "request") -> None:
        self._what = what
        self._reported: list[LabelbridgeError] = []
        self.count = 0

    def add(self, path: str, message: str, inner_code: str | None = None) -> None:
        """Note one error; `path` is that of the JSON value, as in `assets.documents[3].location`."""
        self.count += 1
        if self.count <= MAX_DETAILS:
            self._reported.append(InvalidArgument(message, target=path, inner_code=inner_code))

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
        """Raises InvalidArgument if there is any error: the only one itself, or a summary with all as `details`."""
        if self.count:
            raise self.as_error()

    def as_error(self, *, more: bool = False) -> LabelbridgeError:
        """The only error itself, or a summary at the first one with all as `details`. There must be one.

        `more`: there are more than were counted.
        """
        if self.count == 1:
            return self._reported[0]
        details = list(self._reported)
        left = self.count - MAX_DETAILS
        if left > 0:
            details.append(InvalidArgument(f"... and {left:,} more {'error' if left == 1 else 'errors'}."))
        text = f"The {self._what} has {'more than ' if more else ''}{self.count:,} errors; see 'details'."
        return InvalidArgument(text, target=details[0].target, details=tuple(details))


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
    """One error in our words: the field and the rule. Our own checks (`value_error`) say it all."""
    rule = rule_of(found)
    if rule is not None:
        return f"'{path}' {rule}"
    return found["msg"].removeprefix("Value error, ").removesuffix(".")


def _path(location: tuple[int | str, ...], path: str) -> str:
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path or "body"


def shown(value: object) -> str:
    """A value of an input as its author would recognize it, at most 60 characters."""
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
