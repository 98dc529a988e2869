"""The sample texts: mails with one class each, and orders with marked entities."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SEPARATOR = "---"
#: `[text](Category)`.
_MARK = re.compile(r"\[([^]]+)]\((\w+)\)")


@dataclass(frozen=True, slots=True)
class Sample:
    """One document: the name of its blob, its text, and its right labels (JSON of the label field).

    `class` is {"category": name}, or {} for a text without a class. `entities` is one region over the whole text;
    offsets are UTF-16 code units, as the Azure project file has them.
    """

    location: str
    text: str
    truth: Any


def mails() -> tuple[list[Sample], list[Sample]]:
    """(labeled, unlabeled)."""
    return _samples("mails.txt", "mail", _mail)


def orders() -> tuple[list[Sample], list[Sample]]:
    """(labeled, unlabeled)."""
    return _samples("orders.txt", "order", _order)


def utf16(text: str) -> int:
    """Length in UTF-16 code units: an emoji counts as two."""
    return len(text.encode("utf-16-le")) // 2


def cut(text: str, offset: int, length: int) -> str:
    """The part of a text that an offset and a length in UTF-16 code units name."""
    return text.encode("utf-16-le")[2 * offset : 2 * (offset + length)].decode("utf-16-le")


def _samples(file: str, word: str, parse: Any) -> tuple[list[Sample], list[Sample]]:
    lines = (HERE / file).read_text("utf-8").splitlines()
    texts = [line for line in lines if line.strip() and not line.startswith("#")]
    middle = texts.index(SEPARATOR)
    parts = ("labeled", texts[:middle]), ("inbox", texts[middle + 1 :])
    labeled, unlabeled = (
        [Sample(f"{folder}/{word}-{number:02}.txt", *parse(line)) for number, line in enumerate(part, 1)]
        for folder, part in parts
    )
    return labeled, unlabeled


def _mail(line: str) -> tuple[str, dict[str, str]]:
    category, _, text = line.partition(" | ")
    return text, {} if category == "none" else {"category": category}


def _order(line: str) -> tuple[str, list[dict[str, Any]]]:
    text, labels, end = "", list[dict[str, Any]](), 0
    for mark in _MARK.finditer(line):
        text += line[end : mark.start()]
        labels.append({"category": mark[2], "offset": utf16(text), "length": utf16(mark[1])})
        text += mark[1]
        end = mark.end()
    text += line[end:]
    return text, [{"regionOffset": 0, "regionLength": utf16(text), "labels": labels}]
