"""Calibration by confidence band, and the distribution of labels."""

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.kinds import Dataset
from shared.domain.labels import EntityLabel, Labels, Region
from shared.domain.review import BANDS, band
from shared.domain.statistics import Calibration, CategoryCount, label_distribution

TALLIES = st.lists(st.tuples(st.integers(0, BANDS - 1), st.booleans()))


def test_decisions_fall_into_their_bands() -> None:
    tallies = [(band(100), True), (band(95), True), (band(90), False), (band(9), False), (band(0), True)]
    wire = Calibration().with_decisions(tallies).to_wire()
    assert len(wire) == BANDS
    assert wire[9] == {
        "minConfidence": 0.9,
        "maxConfidence": 1.0,
        "accepted": 2,
        "rejected": 1,
        "acceptedShare": 2 / 3,
    }
    assert (wire[0]["minConfidence"], wire[0]["accepted"], wire[0]["rejected"]) == (0.0, 1, 1)
    assert wire[5] == {
        "minConfidence": 0.5,
        "maxConfidence": 0.6,
        "accepted": 0,
        "rejected": 0,
        "acceptedShare": None,
    }


@given(TALLIES, TALLIES)
def test_an_undo_takes_back_what_was_decided(
    first: list[tuple[int, bool]], second: list[tuple[int, bool]]
) -> None:
    before = Calibration().with_decisions(first)
    assert before.with_decisions(second).without_decisions(second) == before


@given(TALLIES, TALLIES)
def test_parts_add_up(first: list[tuple[int, bool]], second: list[tuple[int, bool]]) -> None:
    parts = Calibration().with_decisions(first) + Calibration().with_decisions(second)
    assert parts == Calibration().with_decisions([*first, *second])
    assert sum(parts.accepted) + sum(parts.rejected) == len(first) + len(second)


def test_labels_are_counted_by_document_and_by_label() -> None:
    twice = Labels(
        regions=(Region(0, 9, (EntityLabel("A", 0, 1), EntityLabel("A", 3, 1), EntityLabel("C", 5, 1))),)
    )
    found = label_distribution(
        ["B", "A"],
        [
            (twice, Dataset.TRAIN),
            (Labels(("A",)), Dataset.TEST),
            (Labels(), Dataset.TRAIN),
            (None, Dataset.TEST),
        ],
    )
    assert list(found) == ["B", "A", "C"]
    assert found == {"B": CategoryCount(), "A": CategoryCount(2, 1, 3), "C": CategoryCount(1, 0, 1)}
