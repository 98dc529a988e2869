"""Texts and projects to measure with: a fixed seed and a realistic vocabulary."""

import random
from bisect import bisect
from collections.abc import Sequence
from functools import cache
from itertools import accumulate

VOCABULARY = 6_000
WORDS_OF_CLASS = 60
CLASSES = ("Delivery", "Invoice", "Login", "Refund", "Return")
_ONSETS = "b c d f g h j k l m n p r s t v w br cl dr fl gr pl st tr sh".split()
_VOWELS = "a e i o u ai ea ou".split()
_CODAS = ["", "", "n", "r", "s", "t", "l", "nd", "st", "ck"]


@cache
def vocabulary() -> tuple[list[str], list[float]]:
    """Words with the cumulative weights of a Zipf distribution."""
    source = random.Random(7)
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        syllables = source.choice((1, 2, 2, 3))
        parts = (_syllable(source) for _ in range(syllables))
        words["".join(parts)] = None
    return list(words), list(accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))


def _syllable(source: random.Random) -> str:
    return source.choice(_ONSETS) + source.choice(_VOWELS) + source.choice(_CODAS)


def documents(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """(class, text of 60 to 120 words) for each document; a tenth of the words are typical of the class."""
    words, weights = vocabulary()
    source = random.Random(seed)
    made: list[tuple[str, str]] = []
    for index in range(count):
        number = index % len(CLASSES)
        typical = words[200 + number * WORDS_OF_CLASS : 200 + (number + 1) * WORDS_OF_CLASS]
        text = [
            source.choice(typical)
            if source.random() < 0.1
            else words[bisect(weights, source.random() * weights[-1])]
            for _ in range(source.randint(60, 120))
        ]
        made.append((CLASSES[number], " ".join(text) + f" {index}"))
    return made


def name_of(index: int) -> str:
    """The location of a document."""
    return f"doc{index:06d}.txt"


def project_file(
    name: str,
    container: str,
    classes: list[str | None],
    categories: Sequence[str] = CLASSES,
    **settings: object,
) -> dict[str, object]:
    """A single-label project file; a class of None leaves the document unlabeled."""
    kind = "CustomSingleLabelClassification"
    documents = [
        {"location": name_of(index), "language": "en-us"} | ({"class": {"category": label}} if label else {})
        for index, label in enumerate(classes)
    ]
    return {
        "projectFileVersion": "2022-05-01",
        "stringIndexType": "Utf16CodeUnit",
        "metadata": {
            "projectKind": kind,
            "storageInputContainerName": container,
            "settings": settings,
            "projectName": name,
            "language": "en-us",
        },
        "assets": {
            "projectKind": kind,
            "classes": [{"category": label} for label in categories],
            "documents": documents,
        },
    }
