"""What goes into an engine and what comes out of it.

Offsets and lengths here are Unicode code points of the text: an engine has the text at hand, and Python
counts so.
"""

from dataclasses import dataclass
from typing import Final


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
    """One category, or for entities one span of it, with a confidence in 0..1.

    `raw`: the confidence before it was calibrated by decisions, for engines whose confidence is.
    """

    category: str
    confidence: float
    offset: int | None = None
    length: int | None = None
    raw: float | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a language model: read and written."""

    input: int = 0
    output: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.input + other.input, self.output + other.output)

    def __bool__(self) -> bool:
        return bool(self.input or self.output)


NO_TOKENS: Final = Tokens()


@dataclass(frozen=True, slots=True)
class Prices:
    """Money for a million tokens, in whatever currency the price list has; zeros: not known."""

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
