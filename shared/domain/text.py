"""Text, and the one conversion between its two offset units.

On the wire, in files and in storage an offset counts UTF-16 code units (`Utf16CodeUnit`, what browsers and the
Azure project file use). Python counts Unicode code points. `Offsets` is the only place that knows both.
"""

import hashlib
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

MAX_CHARACTERS: Final = 128_000
#: UTF-8 needs at most 4 bytes a character, and a byte-order mark 3; a longer blob cannot be a valid document.
MAX_BYTES: Final = 4 * MAX_CHARACTERS + 3
CHARACTERS_PER_RECORD: Final = 1_000


def utf16_length(text: str) -> int:
    """Length of the text in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def text_records(characters: int) -> int:
    """Billing unit of Azure AI Language: one for each begun 1,000 characters."""
    return -(-characters // CHARACTERS_PER_RECORD)


def content_hash(text: str) -> str:
    """The content version of a document (rule D2): 24 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


class Offsets:
    """Converts offsets of one text between UTF-16 code units and code points."""

    __slots__ = ("_astral", "length", "utf16_length")

    def __init__(self, text: str) -> None:
        #: Code point index of each character that takes two UTF-16 units, ascending. Empty for most texts.
        self._astral = array("L")
        if not text.isascii():
            self._astral.extend(i for i, character in enumerate(text) if ord(character) > 0xFFFF)
        self.length = len(text)
        self.utf16_length = len(text) + len(self._astral)

    def to_utf16(self, code_point: int) -> int:
        """UTF-16 offset of a code point offset in 0..length."""
        return code_point + bisect_left(self._astral, code_point)

    def to_code_point(self, utf16: int) -> int | None:
        """Code point offset of a UTF-16 offset; None when it is out of range or splits a surrogate pair."""
        if not 0 <= utf16 <= self.utf16_length:
            return None
        if not self._astral:
            return utf16
        low, high = max(0, utf16 - len(self._astral)), min(utf16, self.length)
        while low < high:
            middle = (low + high) // 2
            if self.to_utf16(middle) < utf16:
                low = middle + 1
            else:
                high = middle
        return low if self.to_utf16(low) == utf16 else None

    def span_to_utf16(self, offset: int, length: int) -> tuple[int, int]:
        start = self.to_utf16(offset)
        return start, self.to_utf16(offset + length) - start

    def span_to_code_points(self, offset: int, length: int) -> tuple[int, int] | None:
        """The span in code points; None when an end is out of range or inside a surrogate pair."""
        start, end = self.to_code_point(offset), self.to_code_point(offset + length)
        return None if start is None or end is None else (start, end - start)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a blob is not a document, in words a person understands."""

    code: str
    message: str


def reject_by_name(location: str) -> Rejection | None:
    """Rule D1 as far as the name tells it. The ending is compared without case: `A.TXT` is a document."""
    if location.lower().endswith(".txt"):
        return None
    return Rejection("UnsupportedFileType", "Only .txt files can be documents; this file has another ending.")


def reject_by_size(size: int) -> Rejection | None:
    """Rule D1 as far as the size in bytes tells it, so that a huge blob need not be read."""
    if size == 0:
        return Rejection("EmptyDocument", "The file is empty; a document has 1 to 128,000 characters.")
    if size > MAX_BYTES:
        return _too_long(f"The file has {size:,} bytes")
    return None


def decode_document(data: bytes) -> str | Rejection:
    """The text of a document, without its byte-order mark, or why the bytes are not one (rule D1)."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Rejection("InvalidEncoding", "The file is UTF-16; a document must be UTF-8.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Rejection("InvalidEncoding", f"The file is not valid UTF-8: byte {error.start} does not fit.")
    if "\x00" in text:
        return Rejection("InvalidCharacter", "The file holds a NUL character, so it is not a text file.")
    if not text or text.isspace():
        return Rejection("EmptyDocument", "The file holds no text; a document has 1 to 128,000 characters.")
    if len(text) > MAX_CHARACTERS:
        return _too_long(f"The file has {len(text):,} characters")
    return text


def _too_long(fact: str) -> Rejection:
    return Rejection("DocumentTooLong", f"{fact}; a document has at most 128,000 characters.")
