"""How well each label fits each token: the sum of the weights of what the token sees.

Most of what a token sees are words, each for itself. A word's part is the same wherever it occurs, so it is
computed once for each place it can be seen at, and remembered.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shared.engines.embedded.attributes import EDGES, POSITIONS, Gazetteer, in_context, seen_at
from shared.engines.embedded.numeric import hstack, ones_at
from shared.engines.embedded.word_clusters import WordClusters

_REMEMBERED: Final = 15_000_000
"""Scores of words kept in memory, 4 bytes each."""

type Scores = NDArray[np.float64]


class TokenScores:
    """Scores tokens. `vocabulary` names the rows of all `weights`, of which there is a matrix for each chain."""

    def __init__(
        self, vocabulary: Sequence[str], weights: Sequence[Any], gazetteer: Gazetteer, clusters: WordClusters
    ) -> None:
        self._row = {attribute: row for row, attribute in enumerate(vocabulary)}
        self._weights = hstack(weights, format="csr")
        self._bounds = list(pairwise(np.cumsum([0, *(part.shape[1] for part in weights)]).tolist()))
        self._gazetteer = gazetteer
        self._clusters = clusters
        self._forget()

    def of(self, documents: Sequence[Sequence[str]]) -> Iterator[Scores]:
        """For each chain, one after the other: tokens of all documents x labels."""
        words = self._numbers([word for words in documents for word in (*EDGES, *words, *EDGES)])
        sizes = [len(words) for words in documents]
        margins = 2 * len(EDGES) * np.array(range(len(documents)), dtype=np.int64)
        tokens = np.arange(sum(sizes)) + np.repeat(margins, sizes) + len(EDGES)
        context = self._rows(d for words in documents for d in in_context(words, self._gazetteer, set()))
        for begin, end in self._bounds:
            scores: Scores = (context @ self._weights[:, begin:end]).toarray().astype(np.float64)
            for place, position in enumerate(POSITIONS):
                scores += self._table[words[tokens + position], place, begin:end]
            yield scores

    def _numbers(self, words: Sequence[str]) -> NDArray[np.int64]:
        """The row of each word in the table."""
        if self._table.size > _REMEMBERED:
            self._forget()
        number = self._number
        new = list(dict.fromkeys(word for word in words if word not in number))
        if new:
            clusters = self._clusters.names(new)
            places = [self._rows(seen_at(w, p, clusters) for w in new) @ self._weights for p in POSITIONS]
            self._table = np.concatenate([self._table, np.stack([p.toarray() for p in places], axis=1)])
            number.update(zip(new, range(len(number), len(self._table)), strict=True))
        return np.fromiter(map(number.__getitem__, words), dtype=np.int64, count=len(words))

    def _rows(self, described: Iterable[Iterable[str]]) -> Any:
        """A row for each list of attributes; those without weights are left out."""
        get = self._row.get
        known = [[row for one in attributes if (row := get(one)) is not None] for attributes in described]
        return ones_at(known, len(self._row))

    def _forget(self) -> None:
        self._number: dict[str, int] = {}
        self._table = np.zeros((0, len(POSITIONS), self._weights.shape[1]), dtype=np.float32)
