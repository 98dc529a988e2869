"""Collects everything that is wrong with an input, so that its author can mend it in one go."""

from shared.domain.errors import InvalidArgument, LabelbridgeError

MAX_REPORTED = 100


class Faults:
    """The faults of one input, each with its JSON path; the first 100 are kept, all are counted."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._reported: list[LabelbridgeError] = []
        self.count = 0

    def add(self, path: str, message: str) -> None:
        """Notes one fault; `path` is that of the JSON value, as in `assets.documents[3].location`."""
        self.count += 1
        if self.count <= MAX_REPORTED:
            self._reported.append(InvalidArgument(message, target=path))

    def raise_any(self) -> None:
        """Raises InvalidArgument: the one fault itself, or a summary at the first with all as `details`."""
        if not self.count:
            return
        if self.count == 1:
            raise self._reported[0]
        details = list(self._reported)
        if self.count > MAX_REPORTED:
            details.append(InvalidArgument(f"... and {self.count - MAX_REPORTED:,} more errors."))
        text = f"The {self._what} has {self.count:,} errors; see 'details'."
        raise InvalidArgument(text, target=details[0].target, details=tuple(details))


def shown(value: object) -> str:
    """A value of an input as its author would recognise it, at most 60 characters."""
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


def ascii_safe(text: str) -> str:
    """The text with halves of surrogate pairs written as escapes, so that any answer can carry it."""
    return text.encode("utf-8", "backslashreplace").decode()


def has_lone_surrogate(text: str) -> bool:
    """Whether the text holds half of a surrogate pair, which only the escapes of JSON can bring in."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)
