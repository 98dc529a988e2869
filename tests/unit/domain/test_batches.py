"""The division of documents into batches."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.batches import MAX_BATCH_PAGES, MAX_LOADED_DOCUMENTS, batches_of, pages_at_once
from shared.domain.jobs import Batch

PAGES = st.lists(st.integers(0, 1_023), unique=True).map(sorted)


@given(
    pages=PAGES,
    others=PAGES,
    most=st.integers(1, 50),
    count=st.integers(1, 20),
    loaded=st.integers(1, 60),
    whole=st.booleans(),
)
def test_every_document_is_in_one_batch_and_no_batch_extends_over_another(
    pages: list[int], others: list[int], most: int, count: int, loaded: int, whole: bool
) -> None:
    apart = [batch for batch in batches_of((page, 1) for page in others) if not _within(batch, pages)]

    batches = batches_of(((page, count) for page in pages), most, apart, loaded=loaded, whole=whole)

    assert sum(batch.planned for batch in batches) == count * len(pages)
    assert [sum(batch.low <= page < batch.high for batch in batches) for page in pages] == [1] * len(pages)
    everything = sorted([*batches, *apart], key=lambda batch: batch.low)
    assert all(one.high <= other.low for one, other in pairwise(everything))
    for batch in batches:
        assert len(_within(batch, pages)) <= min(MAX_BATCH_PAGES, loaded)
        assert not whole or batch.high - batch.low <= loaded
        assert batch.planned < most + count


def _within(batch: Batch, pages: list[int]) -> list[int]:
    return [page for page in pages if batch.low <= page < batch.high]


def test_pages_without_documents_are_in_no_batch_of_their_own() -> None:
    assert batches_of([(0, 0), (3, 1), (4, 0), (7, 2), (9, 0)]) == [Batch(3, 8, 3)]


@given(documents=st.integers(0, 100_000), pages=st.sampled_from([16, 1_024]))
def test_a_batch_loads_about_a_thousand_documents(documents: int, pages: int) -> None:
    loaded = pages_at_once(documents, pages)

    assert loaded >= 1
    assert loaded == 1 or loaded * documents / pages <= MAX_LOADED_DOCUMENTS
    assert (loaded + 1) * documents / pages > MAX_LOADED_DOCUMENTS or not documents


def test_a_batch_takes_no_more_pages_than_it_may_load() -> None:
    pages = [(page, 1) for page in range(0, 40, 4)]

    assert [batch.planned for batch in batches_of(pages, loaded=3)] == [3, 3, 3, 1]
    assert [batch.planned for batch in batches_of(pages, loaded=9, whole=True)] == [3, 3, 3, 1]
