"""What goes into an engine and what comes out of it.

Offsets and lengths here are Unicode code points of the text: an engine has the text at hand, and Python
counts so.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """One labeled entity: the text from `offset` to `offset + length`."""

    category: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Example:
    """A labeled document to learn from.

    Single-label: one category. Multi-label: none or more. Entities: `spans`, and no categories. A document
    labeled with nothing (multi-label, entities) is a full example: it says that nothing applies.
    """

    text: str
    language: str = ""
    categories: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """One category, or for entities one span of it, with a confidence in 0..1."""

    category: str
    confidence: float
    offset: int | None = None
    length: int | None = None
