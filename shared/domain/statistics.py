"""Counts that tell how a project stands: the calibration of its suggestions, its labels by category."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.kinds import Dataset
from shared.domain.labels import Labels
from shared.domain.review import BAND, BANDS

NONE_DECIDED = (0,) * BANDS

#: (confidence band, accepted?) of one decided suggestion, as `Decided.tallies` and `Undo.tallies` have them.
type Tally = tuple[int, bool]


@dataclass(frozen=True, slots=True)
class Calibration:
    """How many suggestions of each confidence band were accepted and rejected: ten bands of 10 hundredths."""

    accepted: tuple[int, ...] = NONE_DECIDED
    rejected: tuple[int, ...] = NONE_DECIDED

    def with_decisions(self, tallies: Iterable[Tally]) -> "Calibration":
        """The counts after these decisions."""
        return self._shifted(tallies, 1)

    def without_decisions(self, tallies: Iterable[Tally]) -> "Calibration":
        """The counts after these decisions were undone (rule V4)."""
        return self._shifted(tallies, -1)

    def __add__(self, other: "Calibration") -> "Calibration":
        return Calibration(_sum(self.accepted, other.accepted), _sum(self.rejected, other.rejected))

    def to_wire(self) -> list[dict[str, Any]]:
        """One object a band; `acceptedShare` is null where nothing was decided."""
        return [
            _band_json(index, accepted, rejected)
            for index, (accepted, rejected) in enumerate(zip(self.accepted, self.rejected, strict=True))
        ]

    def _shifted(self, tallies: Iterable[Tally], by: int) -> "Calibration":
        counts = Counter(tallies)
        return self + Calibration(
            tuple(by * counts[index, True] for index in range(BANDS)),
            tuple(by * counts[index, False] for index in range(BANDS)),
        )


@dataclass(frozen=True, slots=True)
class CategoryCount:
    """Of one category: the documents that have it, how many of them are in the Test set, and its labels."""

    documents: int = 0
    test_documents: int = 0
    labels: int = 0


def label_distribution(
    categories: Iterable[str], documents: Iterable[tuple[Labels | None, Dataset]]
) -> Mapping[str, CategoryCount]:
    """The counts of each category of the project, then of any other that documents still have."""
    labels, having, testing = Counter[str](), Counter[str](), Counter[str]()
    for found, dataset in documents:
        if found is None:
            continue
        used = list(found.used_categories())
        labels.update(used)
        having.update(set(used))
        if dataset is Dataset.TEST:
            testing.update(set(used))
    names = dict.fromkeys((*categories, *sorted(labels)))
    return {name: CategoryCount(having[name], testing[name], labels[name]) for name in names}


def _sum(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(first, second, strict=True))


def _band_json(index: int, accepted: int, rejected: int) -> dict[str, Any]:
    decided = accepted + rejected
    return {
        "minConfidence": index * BAND / 100,
        "maxConfidence": (index + 1) * BAND / 100,
        "accepted": accepted,
        "rejected": rejected,
        "acceptedShare": accepted / decided if decided else None,
    }
