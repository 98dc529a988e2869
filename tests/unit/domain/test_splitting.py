"""The split of labeled documents into those that train and those that test."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain import training
from shared.domain.labels import EntityLabel, Labels, Region
from shared.domain.names import Dataset
from shared.domain.training import SplitDocument, SplitKind, SplitOptions, sample, split

MANUAL = SplitOptions(SplitKind.MANUAL)


def documents(*categories: str, dataset: Dataset = Dataset.TRAIN, prefix: str = "d") -> list[SplitDocument]:
    return [SplitDocument(f"{prefix}{i:04d}", dataset, Labels(tuple(c))) for i, c in enumerate(categories)]


def test_manual_takes_the_datasets_as_they_are() -> None:
    train, test = documents("A", "B"), documents("A", dataset=Dataset.TEST, prefix="t")
    found = split([*test, *train], MANUAL)
    assert (found.train, found.test, found.unused) == (("d0000", "d0001"), ("t0000",), ())


def test_percentage_splits_the_train_set_only() -> None:
    test = documents("A", "B", dataset=Dataset.TEST, prefix="t")
    found = split([*documents(*"AB" * 50), *test], SplitOptions())
    assert (len(found.train), len(found.test)) == (80, 20)
    assert found.unused == ("t0000", "t0001")


@given(
    st.lists(st.text("ABCDE", max_size=3), max_size=80),
    st.integers(1, 99),
    st.integers(),
    st.randoms(use_true_random=False),
)
def test_every_split_is_whole_exact_and_repeatable(
    categories: list[str], testing: int, seed: int, order: random.Random
) -> None:
    given_documents = documents(*categories)
    options = SplitOptions(testing=testing)
    found = split(given_documents, options, seed)
    assert sorted((*found.train, *found.test)) == [given_document.id for given_document in given_documents]
    count = len(categories)
    exact = round(count * testing / 100)
    assert len(found.test) == (0 if count < 2 else min(max(exact, 1), count - 1))
    order.shuffle(given_documents)
    assert split(given_documents, options, seed) == found


def test_each_category_gives_its_share() -> None:
    """30 of A, 20 of B, 50 of C at 20 %: 6, 4, 10, and at most one off by where the steps fall."""
    categories = "A" * 30 + "B" * 20 + "C" * 50
    for seed in range(20):
        found = split(documents(*categories), SplitOptions(), seed)
        shares = Counter(categories[int(location[1:])] for location in found.test)
        assert sum(shares.values()) == 20
        assert all(abs(shares[name] - share) <= 1 for name, share in {"A": 6, "B": 4, "C": 10}.items())


def test_the_only_document_of_a_category_trains() -> None:
    for seed in range(50):
        found = split(documents(*("A" * 10), "B", "C"), SplitOptions(testing=50), seed)
        assert len(found.test) == 6
        assert {"d0010", "d0011"} <= set(found.train)


def test_the_rarest_category_of_a_document_decides() -> None:
    """Every document has A. Of the two that have B too just one tests, as of any two."""
    for seed in range(30):
        found = split(documents(*["AB"] * 2, *["A"] * 18), SplitOptions(testing=50), seed)
        assert len({"d0000", "d0001"} & set(found.test)) == 1


def test_entities_and_documents_labeled_with_nothing_take_part() -> None:
    labeled = Labels(regions=(Region(0, 9, (EntityLabel("A", 0, 1), EntityLabel("A", 2, 1))),))
    given_documents = [
        SplitDocument(str(i), Dataset.TRAIN, labeled if i % 2 else Labels()) for i in range(20)
    ]
    found = split(given_documents, SplitOptions(testing=50))
    assert Counter(int(location) % 2 for location in found.test) == {0: 5, 1: 5}


def test_another_seed_is_another_split() -> None:
    given_documents = documents(*"A" * 100)
    assert len({split(given_documents, SplitOptions(), seed).test for seed in range(10)}) == 10


@pytest.mark.parametrize("options", [MANUAL, SplitOptions()])
def test_nothing_and_one(options: SplitOptions) -> None:
    assert (split([], options).train, split([], options).test) == ((), ())
    assert (split(documents("A"), options).train, split(documents("A"), options).test) == (("d0000",), ())


@given(
    st.lists(st.sampled_from("AABBBBBBBBBBCDEF"), max_size=400),
    st.sampled_from([5, 20, 50, 95]),
    st.integers(),
    st.randoms(use_true_random=False),
)
@example(["A"] * 200, 95, 0, random.Random(0))
def test_a_large_project_trains_and_tests_with_a_sample(
    categories: list[str], testing: int, seed: int, order: random.Random
) -> None:
    options = SplitOptions(testing=testing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "MAX_TRAINED", 60)
        patch.setattr(training, "MAX_TESTED", 40)
        given_documents = documents(*categories)
        parts = sample(given_documents, options, seed)
        order.shuffle(given_documents)
        assert sample(given_documents, options, seed) == parts

    most = min(60 * 100 // (100 - testing), 40 * 100 // testing)
    whole = split(given_documents, options, seed)
    if len(categories) <= most:
        assert parts is None
        return
    assert parts is not None
    assert len(parts.train) + len(parts.test) == most
    assert len(parts.train) <= 61
    assert len(parts.test) == training.tests_of(most, testing) <= 40
    used, known = counted(categories, parts.train), counted(categories, whole.train)
    for category, number in known.items():
        assert used[category] >= min(number, len(parts.train) // 12)
    used, known = counted(categories, parts.test), counted(categories, whole.test)
    for category, number in known.items():  # the test set has the shares of the whole
        assert abs(used[category] - number * len(parts.test) / len(whole.test)) < 1
    rest = {*parts.train, *parts.test}
    decided = [replace(d, tests=d.id in parts.test) for d in given_documents if d.id in rest]
    assert split(decided, options, seed) == parts


def counted(categories: Sequence[str], ids: Iterable[str]) -> Counter[str]:
    return Counter(categories[int(key[1:])] for key in ids)


def test_a_manual_split_of_a_large_project_has_a_sample_of_each_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "MAX_TRAINED", 10)
    monkeypatch.setattr(training, "MAX_TESTED", 4)
    train, test = documents(*"AB" * 20), documents(*"AB" * 20, dataset=Dataset.TEST, prefix="t")
    parts = sample([*train, *test], MANUAL)
    assert parts is not None
    assert [{key[0] for key in part} for part in (parts.train, parts.test)] == [{"d"}, {"t"}]
    assert (len(parts.train), len(parts.test)) == (10, 4)


def test_a_sample_of_a_test_set_keeps_the_shares_of_its_categories(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is measured on documents as they are."""
    monkeypatch.setattr(training, "MAX_TESTED", 10)
    test = documents(*"A" * 36, *"B" * 4, dataset=Dataset.TEST)
    parts = sample(test, MANUAL)
    assert parts is not None
    assert Counter(document.labels.categories for document in test if document.id in parts.test) == {
        ("A",): 9,
        ("B",): 1,
    }


def test_a_percentage_split_has_no_sample_of_the_test_set(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = documents(*"AB" * 5), documents(*"AB" * 5, dataset=Dataset.TEST, prefix="t")
    assert sample([*train, *test], SplitOptions()) is None
    monkeypatch.setattr(training, "MAX_TRAINED", 4)
    monkeypatch.setattr(training, "MAX_TESTED", 4)
    parts = sample([*train, *test], SplitOptions())
    assert parts is not None
    assert [key[0] for key in (*parts.train, *parts.test)] == ["d"] * 5
