"""Suggested entities that overlap each other or a label (rules A3 and A9)."""

from itertools import repeat

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.labels import (
    MAX_ENTITIES,
    EntityLabel,
    Filter,
    Labels,
    Prediction,
    Region,
    Suggestion,
    fits,
    select,
)
from shared.domain.names import ProjectKind

TEXT = "a text, which has some words"
RULE = Filter(ProjectKind.ENTITIES, 0, frozenset({"A", "B"}))

PLACES = st.tuples(st.integers(0, len(TEXT) - 1), st.integers(1, 8))
CATEGORIES = st.sampled_from(["A", "B"])
PREDICTIONS = st.builds(
    lambda category, place, confidence: Prediction(
        category, confidence, place[0], min(place[1], len(TEXT) - place[0])
    ),
    CATEGORIES,
    PLACES,
    st.sampled_from([0.2, 0.5, 0.9]),
)
#: Of an earlier and longer text, too.
ENTITIES = st.builds(
    lambda category, place, more: EntityLabel(category, place[0] + more, place[1]),
    CATEGORIES,
    PLACES,
    st.sampled_from([0, 0, 0, 10, 100_000]),
)


def _one_by_one(found: list[Suggestion], labels: Labels) -> list[Suggestion]:
    kept: list[Suggestion] = []
    for suggestion in sorted(found, key=lambda s: (-s.confidence, s.offset, s.length)):
        ours = Labels(
            regions=(Region(0, 100, tuple(EntityLabel("A", s.offset, s.length) for s in kept)),),
        )
        if all(fits(ProjectKind.ENTITIES, taken, suggestion) for taken in (ours, labels)):
            kept.append(suggestion)
    return sorted(kept, key=lambda s: s.offset)


@given(st.lists(PREDICTIONS, max_size=12), st.lists(ENTITIES, max_size=4))
def test_the_surest_of_overlapping_ones_are_kept_and_none_over_a_label(
    predictions: list[Prediction], entities: list[EntityLabel]
) -> None:
    labels = Labels(regions=(Region(0, 200_000, tuple(entities)),))
    every = {
        suggestion.id: suggestion
        for prediction in sorted(predictions, key=lambda p: p.confidence)
        for suggestion in select([prediction], TEXT, "text", None, (), RULE)
    }
    in_order = [
        every[suggestion.id]
        for prediction in predictions
        for suggestion in select([prediction], TEXT, "text", None, (), RULE)
    ]
    found = select(predictions, TEXT, "text", labels, (), RULE)
    assert list(found) == _one_by_one(list(dict.fromkeys(in_order)), labels)


def test_as_many_as_a_document_can_have() -> None:
    """Compared with each other, they would take minutes."""
    text = "".join(repeat("word", MAX_ENTITIES // 4))
    predictions = [Prediction("A", 0.5, place, 1) for place in range(MAX_ENTITIES)]
    labels = Labels(
        regions=(Region(0, len(text), tuple(EntityLabel("A", n, 1) for n in range(0, 100_000, 2))),)
    )
    assert len(select(predictions, text, "text", None, (), RULE)) == MAX_ENTITIES
    assert len(select(predictions, text, "text", labels, (), RULE)) == MAX_ENTITIES // 2
