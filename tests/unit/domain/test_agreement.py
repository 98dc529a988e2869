"""Cohen's kappa and F1 of spans, against values worked out by hand."""

import pytest

from shared.domain.labels import EntityLabel, Labels, Region
from shared.domain.names import ProjectKind
from shared.domain.team import agreement, cohens_kappa, same

SINGLE, MULTI, ENTITIES = ProjectKind.SINGLE_LABEL, ProjectKind.MULTI_LABEL, ProjectKind.ENTITIES


def classes(*names: str) -> Labels:
    return Labels(categories=names)


def spans(*given: tuple[str, int, int]) -> Labels:
    return Labels(regions=(Region(0, 100, tuple(EntityLabel(*label) for label in given)),))


def test_kappa_of_a_table_of_two_by_two() -> None:
    """20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: observed 0.7, by chance 0.5, kappa 0.4."""
    table = {(True, True): 20, (True, False): 5, (False, True): 10, (False, False): 15}
    pairs = [pair for pair, count in table.items() for _ in range(count)]
    assert cohens_kappa(pairs) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("pairs", "kappa"),
    [
        ([], None),
        ([("A", "A"), ("A", "A")], None),
        ([("A", "A"), ("B", "B")], 1.0),
        ([("A", "B"), ("B", "A")], -1.0),
        ([("A", "A"), ("A", "B"), ("B", "A"), ("B", "B")], 0.0),
    ],
)
def test_kappa_at_its_ends(pairs: list[tuple[str, str]], kappa: float | None) -> None:
    assert cohens_kappa(pairs) == kappa


def test_labeled_with_nothing_is_a_class_of_its_own() -> None:
    found = agreement(
        SINGLE, [(classes("A"), classes("A")), (classes(), classes()), (classes("A"), classes())]
    )
    assert (found.documents, found.agreed) == (3, 2)
    assert found.kappa == pytest.approx(0.4)
    assert [(c.category, c.first, c.second, c.both) for c in found.categories] == [("A", 2, 1, 1)]


def test_several_classes_are_compared_one_by_one_in_any_order() -> None:
    pairs = [
        (classes("A", "B"), classes("B", "A")),
        (classes("A"), classes()),
        (classes(), classes("A")),
        (classes("B"), classes("B")),
    ]
    found = agreement(MULTI, pairs)
    assert found.agreed == 2
    assert {c.category: c.kappa for c in found.categories} == {"A": 0.0, "B": 1.0}
    assert found.kappa == 0.5


def test_a_category_that_is_always_given_does_not_count_in_the_mean() -> None:
    pairs = [(classes("A", "B"), classes("A", "B")), (classes("A"), classes("A"))]
    found = agreement(MULTI, pairs)
    assert {c.category: c.kappa for c in found.categories} == {"A": None, "B": 1.0}
    assert found.kappa == 1.0


def test_spans_must_be_exactly_the_same() -> None:
    first = spans(("City", 0, 5), ("City", 10, 4), ("Name", 20, 3))
    second = spans(("City", 0, 5), ("City", 10, 5), ("Name", 20, 3), ("Name", 30, 2))
    found = agreement(ENTITIES, [(first, second), (spans(), Labels())])
    assert (found.documents, found.agreed, found.kappa) == (2, 1, None)
    assert found.f1 == pytest.approx(2 * 2 / 7)
    assert {c.category: (c.first, c.second, c.both, c.f1) for c in found.categories} == {
        "City": (2, 2, 1, 0.5),
        "Name": (1, 2, 1, pytest.approx(2 / 3)),
    }


def test_without_any_span_there_is_no_f1() -> None:
    assert agreement(ENTITIES, [(spans(), spans())]).f1 is None


def test_regions_do_not_count() -> None:
    whole = spans(("City", 0, 5), ("Name", 50, 3))
    parts = Labels(
        regions=(Region(0, 10, (EntityLabel("City", 0, 5),)), Region(40, 20, (EntityLabel("Name", 50, 3),)))
    )
    assert same(ENTITIES, whole, parts)
