"""How the documents of a job are divided into batches: ranges of pages; and those that are not done."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from shared.domain.jobs import Batch

MAX_BATCH_PAGES: Final = 32
"""Changed pages of a batch: with heads, history and the batch row they fit one transaction of 100 operations."""
MAX_BATCH_DOCUMENTS: Final = 500
MAX_LOADED_DOCUMENTS: Final = 1_000
"""About how many documents a batch holds in memory: all those on its pages, whether or not it changes them."""


def pages_at_once(documents: int, pages: int) -> int:
    """On how many pages of a project MAX_LOADED_DOCUMENTS lie."""
    return max(1, MAX_LOADED_DOCUMENTS * pages // max(1, documents))


def batches_of(
    documents: Iterable[tuple[int, int]],
    most: int = MAX_BATCH_DOCUMENTS,
    apart: Sequence[Batch] = (),
    *,
    loaded: int = MAX_BATCH_PAGES,
    whole: bool = False,
) -> list[Batch]:
    """Batches over (page, documents) in page order; pages without documents are passed over.

    A batch with `most` documents, or with `loaded` pages, takes no further page; with `whole`, a batch loads all pages
    of its range, also those without documents. No batch spans one in `apart` (none of the documents are in those),
    because it would repeat that batch's work.
    """
    most_pages = min(MAX_BATCH_PAGES, loaded)
    lows = sorted(batch.low for batch in apart)
    batches: list[Batch] = []
    pages: set[int] = set()
    for page, count in documents:
        if not count:
            continue
        last = batches[-1] if batches else None
        if last is None or (
            page not in pages
            and (
                len(pages) == most_pages
                or last.planned >= most
                or (whole and page - last.low >= loaded)
                or bisect_right(lows, page) > bisect_right(lows, last.low)
            )
        ):
            batches.append(Batch(page, page + 1, count))
            pages = {page}
        else:
            batches[-1] = Batch(last.low, page + 1, last.planned + count)
            pages.add(page)
    return batches


@dataclass(slots=True)
class UnderWay:
    """The batches that are not done: those of uploads, which read the pending uploads of their pages, and those of
    documents, which read the waiting or unlabeled documents of their pages. Documents that start to wait there later
    are planned when these jobs have ended: the sweep plans once more before the project counts as idle.
    """

    uploads: list[Batch] = field(default_factory=list[Batch])
    documents: list[Batch] = field(default_factory=list[Batch])


def pages_of(batches: Iterable[Batch]) -> set[int]:
    return {page for batch in batches for page in range(batch.low, batch.high)}
