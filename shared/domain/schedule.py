"""NCRONTAB schedules of timers: `{second} {minute} {hour} {day} {month} {day of week}`, the second may be left out."""

from dataclasses import dataclass
from datetime import datetime, timedelta

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_RANGES = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
#: A schedule without an occurrence within this time has none: February 29 occurs at least every eight years.
_HORIZON = timedelta(days=9 * 366)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The values of each field. Unlike in crontab, day and day of week must both match."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    @classmethod
    def parse(cls, expression: str) -> "Schedule":
        """Raises ValueError with what is wrong."""
        parts = expression.lower().split()
        if len(parts) not in {5, 6}:
            raise ValueError("an NCRONTAB expression of 5 or 6 fields is required, such as '0 */15 * * * *'")
        parts = parts if len(parts) == 6 else ["0", *parts]
        return cls(*(_field(part, *bounds) for part, bounds in zip(parts, _RANGES, strict=True)))

    def next(self, after: datetime) -> datetime | None:
        """The first occurrence after a moment; None when there is none."""
        at, end = after.replace(microsecond=0) + timedelta(seconds=1), after + _HORIZON
        while at < end:
            if at.month not in self.months or not self._has_day(at):
                at = (at + timedelta(days=1)).replace(hour=0, minute=0, second=0)
            elif at.hour not in self.hours:
                at = (at + timedelta(hours=1)).replace(minute=0, second=0)
            elif at.minute not in self.minutes:
                at = (at + timedelta(minutes=1)).replace(second=0)
            elif at.second not in self.seconds:
                at += timedelta(seconds=1)
            else:
                return at
        return None

    def is_due(self, last: datetime | None, now: datetime) -> bool:
        """Whether an occurrence has passed since the last run; without one it is due."""
        if last is None:
            return True
        coming = self.next(last)
        return coming is not None and coming <= now

    def _has_day(self, at: datetime) -> bool:
        return at.day in self.days and at.isoweekday() % 7 in self.weekdays


def _field(text: str, low: int, high: int) -> frozenset[int]:
    values: set[int] = set()
    for part in text.split(","):
        span, has_step, step = part.partition("/")
        first, is_range, last = span.partition("-")
        if span == "*":
            start, stop = low, high
        else:
            start = _number(first, low, high)
            stop = _number(last, low, high) if is_range else high if has_step else start
        every = int(step) if step.isascii() and step.isdigit() else 0 if has_step else 1
        if every < 1 or stop < start:
            raise ValueError("a field of the NCRONTAB expression is not valid")
        values.update(range(start, stop + 1, every))
    return frozenset(values)


def _number(text: str, low: int, high: int) -> int:
    names = {12: _MONTHS, 6: _DAYS}.get(high, ())
    number = (
        names.index(text) + low if text in names else int(text) if text.isascii() and text.isdigit() else -1
    )
    if not low <= number <= high:
        raise ValueError(f"a field of the NCRONTAB expression must be from {low} to {high}")
    return number
