"""The rows of a page write, and how they are put into transactions."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from shared.domain.page import HistoryEntry, Page
from shared.storage import keys, packing
from shared.storage.gateways.limits import MAX_OPERATIONS, MAX_TRANSACTION_BYTES, weight
from shared.storage.gateways.ports import Insert, Replace, UpsertReplace, Value

type Put = Insert | Replace | UpsertReplace

#: Kept free for the row of a batch, which holds the outcomes of its documents.
SPARE_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes, when, and the revision that lets the write be recognised as one's own."""

    name: str
    at: datetime
    revision: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A page as it will be, with the rows that make it so: the page, its head, the history if there is any."""

    page: Page
    operations: tuple[Put, ...]


def put(key: str, values: dict[str, Value], etag: str | None) -> Put:
    return Insert(key, values) if etag is None else Replace(key, values, etag)


def history_row(page: Page, entries: Iterable[HistoryEntry], author: Author) -> Put:
    data = [author.name, author.at.isoformat(), [[e.document_id, e.action, dict(e.facts)] for e in entries]]
    return Insert(
        keys.history(page.number, page.seq), {"v": 1, "rev": author.revision, **packing.packed_values(data)}
    )


def transactions(planned: Iterable[Planned], spare: int = 0) -> list[list[Planned]]:
    """The pages in groups that fit one transaction each, with `spare` operations to be added."""
    groups: list[list[Planned]] = []
    count = size = 0
    most = MAX_TRANSACTION_BYTES - (SPARE_BYTES if spare else 0)
    for one in planned:
        bytes_more = sum(map(weight, one.operations))
        if not groups or count + len(one.operations) > MAX_OPERATIONS - spare or size + bytes_more > most:
            groups.append([])
            count = size = 0
        groups[-1].append(one)
        count += len(one.operations)
        size += bytes_more
    return groups
