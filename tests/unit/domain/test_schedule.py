"""NCRONTAB schedules."""

from datetime import UTC, datetime

import pytest

from shared.domain.schedule import Schedule

AT = datetime(2026, 1, 31, 23, 59, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/15 * * * * *", "2026-01-31T23:59:45"),
        ("0 * * * * *", "2026-02-01T00:00:00"),
        ("* * * * *", "2026-02-01T00:00:00"),
        ("0 */15 * * * *", "2026-02-01T00:00:00"),
        ("0 5-7 * * * *", "2026-02-01T00:05:00"),
        ("0 30 4 * * 1-5", "2026-02-02T04:30:00"),
        ("0 30 4 * * MON", "2026-02-02T04:30:00"),
        ("0 0 0 1 Mar *", "2026-03-01T00:00:00"),
        ("0 0 12 29 2 *", "2028-02-29T12:00:00"),
        ("30 0/20 3,5 * * *", "2026-02-01T03:00:30"),
        ("59 59 23 * * *", "2026-01-31T23:59:59"),
    ],
)
def test_the_next_occurrence(expression: str, expected: str):
    found = Schedule.parse(expression).next(AT)
    assert found == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_a_date_that_never_comes():
    assert Schedule.parse("0 0 0 31 2 *").next(AT) is None


@pytest.mark.parametrize(
    "expression",
    ["", "* * * *", "* * * * * * *", "60 * * * * *", "0 0 24 * * *", "0 0 0 0 * *", "0 0 0 * 13 *", "x * * * * *",
     "0 */0 * * * *", "0 5-3 * * * *", "0 */x * * * *", "0 0 0 * * 7", "00:00:15", "%SWEEP_SCHEDULE%", "0 , * * * *"],
)  # fmt: skip
def test_what_is_refused(expression: str):
    with pytest.raises(ValueError, match="NCRONTAB"):
        Schedule.parse(expression)


def test_due_once_for_each_occurrence():
    hourly = Schedule.parse("0 0 * * * *")
    at = AT.replace(hour=10, minute=0, second=0)
    assert hourly.is_due(None, at)
    assert not hourly.is_due(at, at.replace(minute=59, second=59))
    assert hourly.is_due(at, at.replace(hour=11))
    assert hourly.is_due(at, at.replace(hour=15)), "also when no sweep ran for hours"
