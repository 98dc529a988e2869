"""Calibration by confidence band, and the counts of decisions that it is made of."""

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.labels import BANDS, Calibration, band
from shared.domain.page import ProjectStatistics, Tallies, add_tallies
from shared.wire.projects import statistics_json

DECISIONS = st.lists(st.tuples(st.integers(0, BANDS - 1), st.booleans()))


def _calibration(tallies: Tallies) -> Calibration:
    accepted, rejected = zip(*(tallies.get(index, (0, 0)) for index in range(BANDS)), strict=True)
    return Calibration(accepted, rejected)


def test_decisions_fall_into_their_bands() -> None:
    decisions = [(band(100), True), (band(95), True), (band(90), False), (band(9), False), (band(0), True)]
    found = ProjectStatistics({}, {}, {}, 0, 0, 0, _calibration(add_tallies({}, decisions, 1)))
    wire = statistics_json(found)["calibration"]
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


@given(DECISIONS, DECISIONS)
def test_an_undo_subtracts_what_was_decided(
    first: list[tuple[int, bool]], second: list[tuple[int, bool]]
) -> None:
    before = add_tallies({}, first, 1)
    after = add_tallies(add_tallies(before, second, 1), second, -1)
    assert _calibration(after) == _calibration(before)


@given(DECISIONS, DECISIONS)
def test_pages_add_up(first: list[tuple[int, bool]], second: list[tuple[int, bool]]) -> None:
    pages = _calibration(add_tallies({}, first, 1)) + _calibration(add_tallies({}, second, 1))
    assert pages == _calibration(add_tallies({}, [*first, *second], 1))
    assert sum(pages.accepted) + sum(pages.rejected) == len(first) + len(second)
