"""How the documents of a job are divided into batches: ranges of pages."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

from shared.domain.jobs import Batch

MAX_BATCH_PAGES: Final = 32
"""Changed pages of a batch: with heads, history and the batch row they fit one transaction of 100 operations."""
MAX_BATCH_DOCUMENTS: Final = 500


def batches_of(
    documents: Iterable[tuple[int, int]], most: int = MAX_BATCH_DOCUMENTS, apart: Sequence[Batch] = ()
) -> list[Batch]:
    """Batches over (page, documents) in page order; pages without documents are passed over.

    A batch with `most` documents takes no further page. No batch spans one in `apart` (none of the documents are in
    those), because it would repeat that batch's work.
    """
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
                len(pages) == MAX_BATCH_PAGES
                or last.planned >= most
                or bisect_right(lows, page) > bisect_right(lows, last.low)
            )
        ):
            batches.append(Batch(page, page + 1, count))
            pages = {page}
        else:
            batches[-1] = Batch(last.low, page + 1, last.planned + count)
            pages.add(page)
    return batches
