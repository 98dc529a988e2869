"""Rows of a lead: the rollup of the history by person and day, what was assigned, second reviews.

A request for the progress counts the changes since the last time, and commits the counts together with the position in
the history: repeated or concurrent requests count nothing twice.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import batched
from typing import Any

from shared.domain.labels import Labels
from shared.domain.project import Scope
from shared.domain.team import NO_WORK, Assignment, Dated, Work, WorkByDay
from shared.storage import page_codec
from shared.storage.gateways.limits import MAX_OPERATIONS
from shared.storage.gateways.ports import (
    Insert,
    Operation,
    Replace,
    Row,
    RowChanged,
    RowExists,
    Table,
    UpsertReplace,
    Value,
)
from shared.storage.pages import gather, put
from shared.storage.rows import (
    PROGRESS_PLACE,
    assignment_key,
    history_key,
    int_of,
    key_range,
    number_of,
    packed_values,
    page_key,
    progress_key,
    second_item_key,
    second_key,
    unpacked_values,
)


@dataclass(frozen=True, slots=True)
class Counted:
    """How far the history was counted: by page, the `seq` of the last version. `etag` None: nothing was."""

    pages: Mapping[int, int] = field(default_factory=dict[int, int])
    etag: str | None = None


class ProgressStore:
    def __init__(self, table: Table) -> None:
        self._table = table

    async def counted(self, incarnation: str) -> Counted:
        row = await self._table.get(incarnation, PROGRESS_PLACE)
        return Counted(dict(unpacked_values(row.values)), row.etag) if row else Counted()

    async def versions(self, scope: Scope) -> dict[int, int]:
        """The `seq` of every page that has documents: no change of a page has a later one."""
        low, high = page_key(scope.edition, 0), page_key(scope.edition, scope.pages)
        rows = await self._table.query(scope.incarnation, low, high, select=["seq"])
        return {number_of(row.key): int_of(row.values, "seq") for row in rows}

    async def changes(self, incarnation: str, number: int, after: int, last: int) -> list[Dated]:
        """The changes of a page from the beginning of the day of `after` up to `last`, oldest first."""
        low = history_key(number, _day_begins(after))
        found: list[Dated] = []
        for row in await self._table.query(incarnation, low, history_key(number, last + 1)):
            who, at, entries = unpacked_values(row.values)
            seq, when = number_of(row.key), datetime.fromisoformat(at)
            found.extend(Dated(seq, who, when, page_codec.decode_entry(entry)) for entry in entries)
        return found

    async def add(self, incarnation: str, before: Counted, pages: Mapping[int, int], work: WorkByDay) -> bool:
        """Add work to the counts, which then count up to `pages`. False: another request was first; read again."""
        months = sorted({_month(day) for day, _ in work})
        rows = await gather(
            (lambda m=month: self._table.get(incarnation, progress_key(m))) for month in months
        )
        place = put(
            PROGRESS_PLACE, {"v": 1, **packed_values(sorted({**before.pages, **pages}.items()))}, before.etag
        )
        operations: list[Operation] = [place]
        for month, row in zip(months, rows, strict=True):
            counts = _decode(row) if row else {}
            for key, more in work.items():
                if _month(key[0]) == month:
                    counts[key] = counts.get(key, NO_WORK).plus(more)
            values = {"v": 1, **packed_values(_encode(counts))}
            operations.append(put(progress_key(month), values, row.etag if row else None))
        try:
            await self._table.commit(incarnation, operations)
        except (RowChanged, RowExists):
            return False
        return True

    async def work(self, incarnation: str, first: date, last: date) -> dict[tuple[date, str], Work]:
        """The counts of the days from `first` to `last`."""
        low, (_, high) = progress_key(_month(first)), key_range(progress_key(_month(last)))
        found: dict[tuple[date, str], Work] = {}
        for row in await self._table.query(incarnation, low, high):
            found |= {key: work for key, work in _decode(row).items() if first <= key[0] <= last}
        return found


def _month(day: date) -> str:
    return f"{day:%Y-%m}"


def _day_begins(seq: int) -> int:
    """The first `seq` of the day, less a minute: a `seq` is the time of a write in microseconds, or later."""
    if not seq:
        return 0
    day = datetime.fromtimestamp(seq / 1_000_000, UTC).date()
    start = datetime.combine(day, time(), UTC) - timedelta(minutes=1)
    return int(start.timestamp() * 1_000_000)


def _encode(counts: WorkByDay) -> list[list[Any]]:
    return [[day.isoformat(), who, *work] for (day, who), work in sorted(counts.items())]


def _decode(row: Row) -> dict[tuple[date, str], Work]:
    return {
        (date.fromisoformat(day), who): Work(*counts) for day, who, *counts in unpacked_values(row.values)
    }


class AssignmentStore:
    """Which documents a request chose to assign. They are chosen once: a repeat of the request finds them."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def find(self, incarnation: str, number: str) -> Assignment | None:
        row = await self._table.get(incarnation, assignment_key(number))
        if row is None:
            return None
        _, _, assignee, documents, taken_from, more = unpacked_values(row.values)
        return Assignment(assignee, tuple(documents), taken_from, more)

    async def create(
        self, incarnation: str, number: str, assignment: Assignment, by: str, at: datetime
    ) -> Assignment:
        """Store the choice, or return the stored one."""
        a = assignment
        data = [by, at.isoformat(), a.assignee, a.documents, a.taken_from, a.more]
        try:
            await self._table.commit(
                incarnation, [Insert(assignment_key(number), {"v": 1, **packed_values(data)})]
            )
        except RowExists:
            return await self.find(incarnation, number) or assignment
        return assignment


@dataclass(frozen=True, slots=True)
class Resolution:
    """The resolution of a disagreement by a lead; its labels are the document's labels since."""

    by: str
    at: datetime
    labels: Labels
    revision: str


@dataclass(frozen=True, slots=True)
class SecondItem:
    """A document of a second review: the labels of the first person when the sample was taken, and of the second.

    `edits`, `second_edits`: how often categories had been renamed or removed when the labels were set down.
    """

    document_id: str
    location: str
    content: str
    first: Labels
    first_by: str
    edits: int
    second: Labels | None = None
    second_edits: int = 0
    resolution: Resolution | None = None
    etag: str = ""


@dataclass(frozen=True, slots=True)
class SecondReview:
    """A sample of labeled documents that `reviewer` labels again. `ready`: all its documents are stored."""

    id: str
    by: str
    at: datetime
    reviewer: str
    seed: int
    documents: tuple[str, ...]
    ready: bool = False


class SecondReviewStore:
    def __init__(self, table: Table) -> None:
        self._table = table

    async def find(self, incarnation: str, review_id: str) -> SecondReview | None:
        row = await self._table.get(incarnation, second_key(review_id))
        return _decode_review(row) if row else None

    async def all(self, incarnation: str) -> list[SecondReview]:
        """The second reviews of a project, newest first."""
        rows = await self._table.query(incarnation, *key_range(second_key("")))
        return sorted(map(_decode_review, rows), key=lambda r: (r.at, r.id), reverse=True)

    async def create(self, incarnation: str, review: SecondReview) -> SecondReview:
        """Store the choice, or return the one stored under this id."""
        try:
            await self._table.commit(incarnation, [Insert(second_key(review.id), _encode_review(review))])
        except RowExists:
            return await self.find(incarnation, review.id) or review
        return review

    async def fill(self, incarnation: str, review: SecondReview, items: Sequence[SecondItem]) -> None:
        """Store the documents of a review, and then that it is ready. What is there already stays."""
        known = {item.document_id for item in await self.items(incarnation, review.id)}
        missing = [item for item in items if item.document_id not in known]
        for some in batched(missing, MAX_OPERATIONS, strict=False):
            inserts = [
                Insert(second_item_key(review.id, item.document_id), _encode_item(item)) for item in some
            ]
            try:
                await self._table.commit(incarnation, list[Operation](inserts))
            except RowExists:  # a repeat at the same time: one by one
                for insert in inserts:
                    with suppress(RowExists):
                        await self._table.commit(incarnation, [insert])
        ready = _encode_review(replace(review, ready=True))
        await self._table.commit(incarnation, [UpsertReplace(second_key(review.id), ready)])

    async def items(self, incarnation: str, review_id: str) -> list[SecondItem]:
        """The documents of a review, by id."""
        rows = await self._table.query(incarnation, *key_range(second_item_key(review_id, "")))
        return [_decode_item(row) for row in rows]

    async def item(self, incarnation: str, review_id: str, document_id: str) -> SecondItem | None:
        row = await self._table.get(incarnation, second_item_key(review_id, document_id))
        return _decode_item(row) if row else None

    def replacement(self, review_id: str, item: SecondItem) -> Operation:
        """What replaces the row as it was read."""
        return Replace(second_item_key(review_id, item.document_id), _encode_item(item), item.etag)

    async def save(self, incarnation: str, review_id: str, item: SecondItem) -> bool:
        """False: another request was first; read again."""
        try:
            await self._table.commit(incarnation, [self.replacement(review_id, item)])
        except RowChanged:
            return False
        return True


def _encode_review(r: SecondReview) -> dict[str, Value]:
    data = [r.by, r.at.isoformat(), r.reviewer, r.seed, r.documents]
    return {"v": 1, "ready": r.ready, **packed_values(data)}


def _decode_review(row: Row) -> SecondReview:
    by, at, reviewer, seed, documents = unpacked_values(row.values)
    ready = bool(row.values.get("ready"))
    key = row.key.split("|", 1)[1]
    return SecondReview(key, by, datetime.fromisoformat(at), reviewer, seed, tuple(documents), ready)


def _encode_item(item: SecondItem) -> dict[str, Value]:
    end = item.resolution
    data = [
        item.location,
        item.content,
        page_codec.encode_labels(item.first),
        item.first_by,
        item.edits,
        page_codec.encode_labels(item.second),
        item.second_edits,
        [end.by, end.at.isoformat(), page_codec.encode_labels(end.labels), end.revision] if end else None,
    ]
    return {"v": 1, **packed_values(data)}


def _decode_item(row: Row) -> SecondItem:
    location, content, first, by, edits, second, second_edits, end = unpacked_values(row.values)
    return SecondItem(
        row.key.rsplit("|", 1)[1],
        location,
        content,
        page_codec.decode_labels(first) or Labels(),
        by,
        edits,
        page_codec.decode_labels(second),
        second_edits,
        Resolution(
            end[0], datetime.fromisoformat(end[1]), page_codec.decode_labels(end[2]) or Labels(), end[3]
        )
        if end
        else None,
        row.etag,
    )
