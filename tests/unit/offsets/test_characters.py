"""Where what readers see as one character would be divided: the rule for labels from everywhere (decision 35)."""

from typing import SupportsIndex, override

import pytest

from shared.domain.labels import EntityLabel, Filter, Labels, Prediction, Region, select, span_errors
from shared.domain.names import ProjectKind
from shared.domain.text import Offsets, splits_character, whole_characters

RULE = Filter(ProjectKind.ENTITIES, 0, frozenset({"A"}))

#: Each is one character for its readers.
ONE = {
    "a letter and an accent": "e\u0301",
    "a letter and two accents": "a\u0308\u0304",
    "a Devanagari vowel sign": "\u0928\u093f",
    "a Thai tone": "\u0e01\u0e49",
    "an Arabic vowel": "\u0628\u064e",
    "a Hebrew point": "\u05e9\u05c1",
    "an enclosing mark": "1\u20e3",
    "a key": "1\ufe0f\u20e3",
    "a red heart": "\u2764\ufe0f",
    "a thumb of a tone": "\U0001f44d\U0001f3fd",
    "a family": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "a woman who runs": "\U0001f3c3\U0001f3fd\u200d\u2640\ufe0f",
    "a head that shakes": "\U0001f642\u200d\u2194\ufe0f",
    "a rainbow flag": "\U0001f3f3\ufe0f\u200d\U0001f308",
    "the flag of a country": "\U0001f1e9\U0001f1ea",
    "the flag of Wales": "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",
    "an ideograph and its variant": "\u8fba\U000e0100",
}

#: Several characters each, and labels may begin and end between them.
SEVERAL = {
    "letters": "Ada",
    "Devanagari consonants that are shown joined": ("\u0915\u094d", "\u0937"),
    "letters that a joiner shapes": ("\u0915\u094d\u200d", "\u0937"),
    "a Persian word and its plural": ("\u06a9\u062a\u0627\u0628", "\u200c", "\u0647\u0627"),
    "Arabic and Hebrew letters": "\u0628\u062a\u05d0\u05d1",
    "Thai letters": "\u0e01\u0e02",
    "two flags": ("\U0001f1e9\U0001f1ea", "\U0001f1eb\U0001f1f7"),
    "two emoji": "\U0001f600\U0001f680",
    "marks after a line end belong to nothing": ("\n", "\u0301x"),
    "a line end of Windows": "a\r\nb",
}


@pytest.mark.parametrize("text", ONE.values(), ids=ONE)
def test_no_place_inside_a_character_is_taken(text: str) -> None:
    around = f"x {text} y"
    inside = range(3, 2 + len(text))
    assert [place for place in range(len(around) + 1) if splits_character(around, place)] == list(inside)
    for place in inside:
        assert whole_characters(around, place, 0) == (2, len(text))
        assert whole_characters(around, 0, place) == (0, 2 + len(text))
    assert whole_characters(around, 2, len(text)) == (2, len(text))


@pytest.mark.parametrize("parts", SEVERAL.values(), ids=SEVERAL)
def test_every_place_between_characters_is_taken(parts: str | tuple[str, ...]) -> None:
    text, place = "".join(parts), 0
    for part in parts:
        assert not splits_character(text, place)
        place += len(part)


@pytest.mark.parametrize("text", ONE.values(), ids=ONE)
def test_a_label_that_begins_or_ends_inside_a_character_does_not_fit(text: str) -> None:
    around = f"x{text} y"
    offsets = Offsets(around)
    for place in range(2, 1 + len(text)):
        unit = offsets.to_utf16(place)
        before, after = EntityLabel("A", 0, unit), EntityLabel("B", unit, offsets.utf16_length - unit)
        found = dict(
            span_errors(Labels(regions=(Region(0, offsets.utf16_length, (before, after)),)), offsets)
        )
        assert list(found) == ["[0].labels[0]", "[0].labels[1]"]
        assert "ends inside a character" in found["[0].labels[0]"]
        assert "begins inside a character" in found["[0].labels[1]"]


@pytest.mark.parametrize("text", ONE.values(), ids=ONE)
def test_a_suggestion_is_widened_to_whole_characters(text: str) -> None:
    around = f"x{text} y"
    whole = Offsets(around).span_to_utf16(1, len(text))
    for place in range(2, 1 + len(text)):
        found = select([Prediction("A", 0.5, place, 1)], around, "content", None, (), RULE)
        assert [(suggestion.offset, suggestion.length) for suggestion in found] == [whole]


def test_what_no_character_is_long_enough_for_is_no_suggestion() -> None:
    assert select([Prediction("A", 0.5, 700, 1)], "a" + 1_400 * "\u0301", "content", None, (), RULE) == ()


def test_a_place_is_looked_up_without_reading_the_text() -> None:
    """In a text of 128,000 equal letters, as many are read as one character may have, and not all before a place."""
    text = Counted("\U0001f1e9" * 128_000)
    flags = Offsets(text)
    for place in range(100_000, 100_100):
        text.read = 0
        flags.splits_character(place)
        assert 0 < text.read <= 510


class Counted(str):
    """A text that counts the code points that are taken from it."""

    __slots__ = ("read",)
    read: int

    @override
    def __getitem__(self, key: SupportsIndex | slice) -> str:
        found = super().__getitem__(key)
        self.read += len(found)
        return found
