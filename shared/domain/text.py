"""Text, the only conversion between its two offset units, and the units that engines bill.

On the wire, in files and in storage an offset counts UTF-16 code units (`Utf16CodeUnit`, what browsers and the
Azure project file use). Python counts Unicode code points. `Offsets` is the only place that knows both.
"""

import hashlib
import re
import unicodedata
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

MAX_CHARACTERS: Final = 128_000
#: UTF-8 needs at most 4 bytes a character, and a byte-order mark 3; a longer blob cannot be a valid document.
MAX_BYTES: Final = 4 * MAX_CHARACTERS + 3
CHARACTERS_PER_RECORD: Final = 1_000
#: Of the first words that a list shows of a document.
EXCERPT: Final = 80


def utf16_length(text: str) -> int:
    """Length of the text in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def text_records(characters: int) -> int:
    """Billing unit of Azure AI Language: one for each begun 1,000 characters."""
    return -(-characters // CHARACTERS_PER_RECORD)


def content_hash(text: str) -> str:
    """The content version of a document (rule D2): 24 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


_ZWJ: Final = "\u200d"
#: Of two code points that make one character, the second is one of these, or the first is a joiner.
_COMPOSED: Final = re.compile("[\u0300-\U0010ffff]")
_PICTURES: Final = frozenset({"So", "Sm"})
_LINE_ENDS: Final = frozenset({"Cc", "Zl", "Zp"})
#: Code points inspected on each side of a place. No real character is longer.
_LONGEST_CHARACTER: Final = 500


def splits_character(text: str, place: int) -> bool:
    """Whether what readers see as one character has code points on both sides of a place, a code point offset.

    That is a letter with its marks, an emoji with what varies it or is joined to it, and a flag of two letters.
    """
    if not 0 < place < len(text):
        return False
    before, after = text[place - 1], text[place]
    if after < "\u0300" and before != _ZWJ:
        return False  # of most texts, every place
    kind = unicodedata.category(after)
    if after == _ZWJ or kind.startswith("M") or _varies_emoji(after):
        return unicodedata.category(before) not in _LINE_ENDS
    if before == _ZWJ:  # between letters it joins shapes, which are characters of their own
        return kind in _PICTURES
    return _is_flag_letter(after) and _flag_letters_before(text, place) % 2 == 1


def _varies_emoji(character: str) -> bool:
    """Skin tones, and the tags that spell the flag of a region."""
    return "\U0001f3fb" <= character <= "\U0001f3ff" or "\U000e0020" <= character <= "\U000e007f"


def _is_flag_letter(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _flag_letters_before(text: str, place: int) -> int:
    start, first = place, max(0, place - _LONGEST_CHARACTER)
    while start > first and _is_flag_letter(text[start - 1]):
        start -= 1
    return place - start


def whole_characters(text: str, offset: int, length: int) -> tuple[int, int]:
    """A span in code points, widened to what readers see as characters."""
    end = offset + length
    first, last = offset - _LONGEST_CHARACTER, end + _LONGEST_CHARACTER
    while offset > first and splits_character(text, offset):
        offset -= 1
    while end < last and splits_character(text, end):
        end += 1
    return offset, end - offset


class Offsets:
    """Converts offsets of one text between UTF-16 code units and code points."""

    __slots__ = ("_astral", "_text", "length", "utf16_length")

    def __init__(self, text: str) -> None:
        # Kept only where a place may be inside a character.
        self._text = text if _COMPOSED.search(text) else ""
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

    def splits_character(self, code_point: int) -> bool:
        """Whether the place is inside what readers see as one character."""
        return splits_character(self._text, code_point)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a blob is not a document, in words for people."""

    code: str
    message: str


#: Codes of documents that are not rejected, and still have no text that their labels are of.
MISSING: Final = "BlobMissing"
CHANGED: Final = "ContentChanged"
#: Code of labeled documents beyond the number that a training or an evaluation uses.
BEYOND: Final = "MoreThanNeeded"
_REASONS: Final = {
    MISSING: "the blob does not exist",
    CHANGED: "the content changed after it was labeled; confirm the labels",
    BEYOND: "a training or an evaluation uses at most 10,000 documents, 5,000 of them to learn from",
    "UnsupportedFileType": "the file is not a .txt file",
    "EmptyDocument": "the file contains no text",
    "InvalidEncoding": "the file is not UTF-8",
    "InvalidCharacter": "the file contains a NUL character",
    "DocumentTooLong": "the file has more than 128,000 characters",
    "BlobArchived": "the blob is in the archive tier",
    "BlobBeingRehydrated": "the blob is being rehydrated from the archive tier",
    "BlobUsesCustomerSpecifiedEncryption": "the blob is encrypted with a customer-provided key",
    "BlobLeased": "the blob has a lease that prevents reading it",
    "AuthorizationPermissionMismatch": "the app is not authorized to read the blob",
    "KeyVaultEncryptionKeyNotFound": "the blob's encryption key was not found in the key vault",
}
#: Advice that follows from the reason, if there is any.
_REMEDIES: Final = {
    "BlobArchived": "; rehydrate it to an online tier so that it can be read",
    "BlobBeingRehydrated": "; it can be read after that",
}


def why_not_a_document(code: str) -> str:
    """The reason of a rejection, or of `MISSING` and `CHANGED`, for any number of documents."""
    return _REASONS.get(code, f"the storage account refuses to read the blob ({code})")


def reject_unreadable(code: str) -> Rejection:
    """Rule D11 for a blob that the storage account permanently refuses to read."""
    reason = why_not_a_document(code)
    return Rejection(code, f"{reason[0].upper()}{reason[1:]}{_REMEDIES.get(code, '')}.")


def reject_by_name(location: str) -> Rejection | None:
    """The part of rule D1 that depends on the name. The extension ignores case: `A.TXT` is a document."""
    if location.lower().endswith(".txt"):
        return None
    return Rejection("UnsupportedFileType", "Only .txt files can be documents.")


def reject_by_size(size: int) -> Rejection | None:
    """The part of rule D1 that depends on the size in bytes, so that a huge blob need not be read."""
    if size == 0:
        return Rejection("EmptyDocument", "The file is empty; a document must have 1 to 128,000 characters.")
    if size > MAX_BYTES:
        return _too_long(f"The file has {size:,} bytes")
    return None


def decode_document(data: bytes) -> str | Rejection:
    """The text of a document, without its byte-order mark, or why the bytes are not one (rule D1)."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Rejection("InvalidEncoding", "The file is UTF-16; documents must be UTF-8.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Rejection(
            "InvalidEncoding", f"The file is not valid UTF-8: invalid byte at position {error.start}."
        )
    if "\x00" in text:
        return Rejection("InvalidCharacter", "The file contains a NUL character; it is not a text file.")
    if not text or text.isspace():
        return Rejection(
            "EmptyDocument", "The file contains no text; a document must have 1 to 128,000 characters."
        )
    if len(text) > MAX_CHARACTERS:
        return _too_long(f"The file has {len(text):,} characters")
    return text


def _too_long(fact: str) -> Rejection:
    return Rejection("DocumentTooLong", f"{fact}; a document must have at most 128,000 characters.")


def first_words(text: str) -> str:
    """The beginning of a text in one line of at most 81 characters; an ellipsis at its end where the text goes on."""
    start = text.lstrip()[: 8 * EXCERPT]
    words = " ".join(start.split())
    if len(words) <= EXCERPT and len(start) < 8 * EXCERPT:
        return words
    cut = words[: EXCERPT + 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut else cut[:EXCERPT]) + "…"


def ascii_safe(text: str) -> str:
    """The text with lone surrogates written as escapes, so that any answer can carry it."""
    return text.encode("utf-8", "backslashreplace").decode()


def has_lone_surrogate(text: str) -> bool:
    """Whether the text has an unpaired surrogate, which only JSON escapes can produce."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Billing unit of language models: how many were read and written."""

    input: int = 0
    output: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.input + other.input, self.output + other.output)

    def __bool__(self) -> bool:
        return bool(self.input or self.output)


NO_TOKENS: Final = Tokens()


@dataclass(frozen=True, slots=True)
class Prices:
    """Price per million tokens, in the currency of the price list; zeros: not known."""

    input: float = 0.0
    output: float = 0.0

    @property
    def known(self) -> bool:
        return self.input > 0 or self.output > 0

    def cost(self, tokens: Tokens) -> float | None:
        """None when the prices are not known."""
        if not self.known:
            return None
        return (tokens.input * self.input + tokens.output * self.output) / 1_000_000


NO_PRICES: Final = Prices()
