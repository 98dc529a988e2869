"""Texts that are hard to count in, and what JavaScript would say of them.

`texts` and `spans` are strategies, whose failures hypothesis makes small. It takes ten times as long to draw a text as
most tests take with it; so thousands of them are made by `made_text` and `made_spans`, from a seed that it draws.
"""

from collections.abc import Callable, Iterator, Set
from random import Random

from hypothesis import strategies as st

from shared.domain.text import splits_character

type Spans = tuple[str, list[tuple[int, int]]]

PIECES = (
    *("a", "bc", " ", "\n", "\r\n", "\r", "\t"),
    *(
        "\xe9",
        "e\u0301",
        "a\u0308\u0308",
        "\xdf",
        "\u0130",
        "\ufb01",
        "\u0301",
    ),  # composed, combining, ligature
    *("\u0928\u093f", "\ud55c", "\u1112\u1161\u11ab", "\u6f22\u5b57"),  # Devanagari, Hangul, Han
    "\U0001f600",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",  # a family, joined
    "\U0001f3f3\ufe0f\u200d\U0001f308",
    "\U0001f44d\U0001f3fd",
    "\U0001f1e9\U0001f1ea",
    *("\U0001d4b3", "\U00010348", "\U0010ffff", "\ufffd", "\ufeff", "\u200b", "\u2028", "\x85"),
    "\u05e9\u05dc\u05d5\u05dd",  # Hebrew
    "\u0645\u0631\u062d\u0628\u0627",  # Arabic
    *("\u200f", "\u202eabc\u202c", "\ufdfd"),  # marks and overrides of direction
)

#: Whole texts: joined pieces, and any Unicode but surrogates, which UTF-8 cannot say.
texts = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=24).map("".join),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=40),
)


def units(text: str) -> list[int]:
    """The UTF-16 code units, as JavaScript counts them: every offset is an index of this list."""
    data = text.encode("utf-16-le")
    return [int.from_bytes(data[i : i + 2], "little") for i in range(0, len(data), 2)]


def unit_slice(text: str, offset: int, length: int) -> str:
    """`text.substring(offset, offset + length)` of JavaScript."""
    return text.encode("utf-16-le")[2 * offset : 2 * (offset + length)].decode("utf-16-le")


MOST = 4
"""Spans of a text."""
BLOCK = 100
"""Texts of a seed."""
seeds = st.integers(0, 2**64 - 1)


@st.composite
def spans(draw: st.DrawFn, *, whole: bool = False) -> Spans:
    """A text and spans of it in code points, in order, apart from each other. `whole`: none is inside a character."""
    text = draw(texts)
    places = st.integers(0, len(text))
    drawn = draw(st.sets(places, min_size=min(2, len(text) + 1), max_size=2 * MOST))
    return text, _between(text, drawn, whole=whole)


def block[T](make: Callable[[Random], T], seed: int) -> Iterator[T]:
    """BLOCK values, the same for the same seed."""
    random = Random(seed)
    return (make(random) for _ in range(BLOCK))


def made_text(random: Random) -> str:
    """A text as of `texts`."""
    if random.random() < 0.5:
        return "".join(random.choices(PIECES, k=random.randint(1, 24)))
    return "".join(_made_character(random) for _ in range(random.randint(1, 40)))


def made_spans(random: Random, *, whole: bool = False) -> Spans:
    """As `spans`."""
    text = made_text(random)
    places = range(len(text) + 1)
    count = random.randint(min(2, len(places)), min(2 * MOST, len(places)))
    return text, _between(text, set(random.sample(places, count)), whole=whole)


def _made_character(random: Random) -> str:
    """Of one, two, three and four bytes in UTF-8, as often each; but no surrogate."""
    ranges = (
        (0x1, 0x7F),
        (0x80, 0x7FF),
        random.choice(((0x800, 0xD7FF), (0xE000, 0xFFFF))),
        (0x10000, 0x10FFFF),
    )
    return chr(random.randint(*random.choice(ranges)))


def _between(text: str, drawn: Set[int], *, whole: bool) -> list[tuple[int, int]]:
    cuts = sorted({_before_character(text, place) for place in drawn} if whole else drawn)
    pairs = zip(cuts[::2], cuts[1::2], strict=False)
    return [(start, end - start) for start, end in pairs]


def _before_character(text: str, place: int) -> int:
    while splits_character(text, place):
        place -= 1
    return place
