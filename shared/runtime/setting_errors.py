"""What is wrong with a setting, in plain words and without its value: it may be a secret."""

import re
from collections.abc import Mapping
from typing import Final

from pydantic_core import ErrorDetails

from shared.wire.json_codec import rule_of

#: Settings whose JSON has keys that people choose, which may be a secret in the wrong place, and what the values are.
_VALUES: Final[Mapping[int | str, str]] = {
    "webhook_secrets": "a secret of 32 to 500 characters, or a list of up to 5 such secrets",
    "engine_budgets": "a whole number of 0 or more",
    "extra_engines": "the name of a class, as 'module:Class'",
}

#: The settings that are JSON.
SHAPES: Final[Mapping[int | str, str]] = {
    "api_keys": 'a list, as in [{"name": "ann", "sha256": "64 hexadecimal digits", "roles": ["Projects.Read"]}]',
    "engine_budgets": 'an object, as in {"azure-language": 5000}',
    "extra_engines": 'an object, as in {"mine": "my_package:MyEngine"}',
    "webhook_hosts": 'a list, as in ["hooks.example.com", "*.example.org"]',
    "webhook_secrets": 'an object, as in {"crm": "a secret of 32 to 500 characters"}',
    "webhooks": 'a list, as in [{"name": "crm", "url": "https://hooks.example.com/labels", "secret": "crm"}]',
}

#: What pydantic says of text that is not JSON, up to the place.
_PLACE: Final = re.compile(r"(.*) at line (\d+) column (\d+)", re.DOTALL)
_VALUE: Final = "a value must be text in double quotation marks, a number, true, false, a list or an object"
_WORDS: Final = {
    "EOF ": "it ends too early",
    "expected value": _VALUE,
    "expected ident": _VALUE,
    "key must be a string": "a name must be in double quotation marks",
    "trailing comma": "after a comma, something must follow",
    "trailing characters": "something follows after its end",
    "expected `:`": "a colon must follow a name",
    "expected `,`": "a comma or the closing bracket is missing",
    "control character": "text has a line break or another control character",
    "invalid number": "a number has another form than in JSON",
    "invalid escape": "after a backslash in text, only certain characters may follow",
}


def sentence(found: ErrorDetails, given: Mapping[str, str]) -> str:
    """One error that pydantic found in the settings: the name of the setting, the place in it, and the rule.

    `given`: the values of the settings by their names; only used to count characters.
    """
    name, *rest = found["loc"] or ("",)
    if name in _VALUES and rest:
        return f"Each value of {str(name).upper()} must be {_VALUES[name]}."
    if name in SHAPES and found["type"] in {"json_invalid", "list_type", "dict_type"} and not rest:
        return f"{str(name).upper()} {_misfit(found, given.get(str(name), ''))}must be {SHAPES[name]}."
    rule = rule_of(found)
    if found["type"] == "extra_forbidden":
        rest, rule = rest[:-1], "has a field that does not exist"
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)
    setting = f"{str(name).upper()}{place}"
    if rule is not None:
        return f"{setting} {rule}."
    text = found["msg"].removeprefix("Value error, ").removesuffix(".")
    return f"{setting}: {text}." if setting else f"{text}."


def _misfit(found: ErrorDetails, value: str) -> str:
    """Where a setting is not JSON, and why; empty if it is."""
    if found["type"] != "json_invalid":
        return ""
    said = str(found.get("ctx", {}).get("error", ""))
    place = _PLACE.fullmatch(said)
    if place is None:
        return "is not valid JSON. It "
    line = int(place[2])
    column = _characters(value, line, int(place[3]))
    # A line break counts as the beginning of the next line.
    where = f"line {line}, column {column}" if column else f"the end of line {line - 1}"
    why = next((words for start, words in _WORDS.items() if said.startswith(start)), "")
    return f"is not valid JSON at {where}{': ' if why else ''}{why}. It "


def _characters(value: str, line: int, column: int) -> int:
    """The column in characters; pydantic counts bytes of UTF-8."""
    before = value.split("\n")[line - 1 : line]
    if not before or not column:
        return column
    return len(before[0].encode("utf-8", "replace")[: column - 1].decode("utf-8", "ignore")) + 1
