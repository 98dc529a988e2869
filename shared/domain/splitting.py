"""Which labeled documents a model is trained on, and which test it (rule T5).

`percentage` splits the documents of the Train set; those of the Test set are used for neither. The split
depends on the documents and the seed, not on the order in which they come, and keeps the categories' shares.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from shared.domain.kinds import Dataset
from shared.domain.labels import Labels

UNLABELED = ""


class SplitKind(StrEnum):
    """Azure's `evaluationOptions.kind`."""

    PERCENTAGE = "percentage"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """`testing` is the percentage of the Train set that tests, 1 to 99; a manual split ignores it."""

    kind: SplitKind = SplitKind.PERCENTAGE
    testing: int = 20


@dataclass(frozen=True, slots=True)
class SplitDocument:
    """What of a labeled document matters for the split. "Labeled with nothing" is labeled too (rule D6)."""

    id: str
    dataset: Dataset
    labels: Labels


@dataclass(frozen=True, slots=True)
class Split:
    """Ids of documents, each list sorted. `unused` are those of the Test set in a percentage split."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    unused: tuple[str, ...] = ()


def split(documents: Iterable[SplitDocument], options: SplitOptions, seed: int = 0) -> Split:
    """Divides labeled documents. A percentage split of two or more has one at least on each side."""
    ordered = sorted(documents, key=lambda one: one.id)
    train_set = [one for one in ordered if one.dataset is Dataset.TRAIN]
    test_set = [one.id for one in ordered if one.dataset is Dataset.TEST]
    if options.kind is SplitKind.MANUAL:
        return Split(tuple(one.id for one in train_set), tuple(test_set))
    test = _choose_test(train_set, options.testing, seed)
    train = tuple(one.id for one in train_set if one.id not in test)
    return Split(train, tuple(sorted(test)), tuple(test_set))


def _choose_test(documents: Sequence[SplitDocument], percentage: int, seed: int) -> frozenset[str]:
    """A systematic sample: every n-th document of a list sorted by category, so that each gives its share.

    A category's only document is left to training as long as the others suffice.
    """
    count = len(documents)
    wanted = min(max(round(count * percentage / 100), 1), count - 1)
    if wanted < 1:
        return frozenset()
    strata = _strata(documents)
    sizes = Counter(strata.values())
    several = [one.id for one in documents if sizes[strata[one.id]] > 1]
    pool = several if len(several) > wanted else [one.id for one in documents]
    pool.sort(key=lambda key: (strata[key], _rank(seed, key)))
    return frozenset(key for index, key in enumerate(pool) if _crosses(index, wanted, len(pool)))


def _crosses(index: int, wanted: int, size: int) -> bool:
    """True for `wanted` of the indices 0 to `size` - 1, evenly spread, the first half a step in."""
    half = size // 2
    return ((index + 1) * wanted + half) // size > (index * wanted + half) // size


def _strata(documents: Sequence[SplitDocument]) -> dict[str, str]:
    """The rarest category of each document, which is the one that a split could lose; "" for none."""
    counts = Counter(name for one in documents for name in set(one.labels.used_categories()))
    return {
        one.id: min(
            set(one.labels.used_categories()), key=lambda name: (counts[name], name), default=UNLABELED
        )
        for one in documents
    }


def _rank(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}|{key}".encode()).digest()
