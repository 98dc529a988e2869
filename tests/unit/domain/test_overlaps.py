"""Suggested entities that overlap each other or a label (rules A3 and A9)."""

from dataclasses import replace
from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.document import Document, new_document, set_labels
from shared.domain.errors import InvalidArgument
from shared.domain.labels import (
    MAX_ENTITIES,
    EntityLabel,
    Filter,
    Hundredths,
    Labels,
    Prediction,
    Region,
    Suggestion,
    SuggestionSet,
    fits,
    select,
    suggestion_id,
)
from shared.domain.names import ProjectKind
from shared.domain.review import Decision, decide

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


def _document(
    labels: Labels | None, places: list[tuple[str, int, int]], length: int | None = len(TEXT)
) -> Document:
    items = tuple(
        Suggestion(suggestion_id("text", *place), place[0], Hundredths(73), place[1], place[2])
        for place in places
    )
    return replace(
        new_document("a.txt", "en-us", "first"),
        length=length,
        labels=labels,
        suggestions=SuggestionSet("job", "embedded", None, 1, "first", items),
    )


def _accepted_one_by_one(labels: Labels | None, accepted: list[Suggestion], length: int) -> Labels | None:
    """None if they conflict."""
    for suggestion in accepted:
        if not fits(ProjectKind.ENTITIES, labels, suggestion):
            return None
        labels = _with(labels, EntityLabel(suggestion.category, suggestion.offset, suggestion.length), length)
    return labels


def _with(labels: Labels | None, entity: EntityLabel, length: int) -> Labels:
    regions = labels.regions if labels else ()
    for index, region in enumerate(regions):
        if region.offset <= entity.offset and entity.end <= region.offset + region.length:
            ordered = sorted((*region.labels, entity), key=lambda e: (e.offset, e.length))
            changed = Region(region.offset, region.length, tuple(ordered))
            return Labels(regions=(*regions[:index], changed, *regions[index + 1 :]))
    every = sorted((*(labels.entities() if labels else ()), entity), key=lambda e: (e.offset, e.length))
    return Labels(regions=(Region(0, length, tuple(every)),))


REGIONS = st.builds(
    lambda offset, length, entities: Region(
        offset, length, tuple(e for e in entities if offset <= e.offset and e.end <= offset + length)
    ),
    st.integers(0, len(TEXT)),
    st.sampled_from([0, 5, 12, len(TEXT), 200_000]),
    st.lists(ENTITIES, max_size=3),
)
LABELS = st.none() | st.builds(Labels, st.just(()), st.lists(REGIONS, max_size=3).map(tuple))
SUGGESTED = st.tuples(CATEGORIES, st.integers(0, len(TEXT)), st.integers(1, 4))


@given(
    LABELS,
    st.lists(st.tuples(SUGGESTED, st.sampled_from(["accept", "accept", "reject", "leave"])), max_size=8),
    st.sampled_from([None, len(TEXT), 200]),
)
def test_a_decision_leaves_the_same_as_if_its_suggestions_were_accepted_one_by_one(
    labels: Labels | None, decided: list[tuple[tuple[str, int, int], str]], length: int | None
) -> None:
    chosen = dict(decided)
    document = _document(labels, [*chosen], length)
    pending = document.suggestions
    assert pending is not None
    named = list(zip(pending.items, chosen.values(), strict=True))
    accept, reject, rest = (
        [s for s, what in named if what == action] for action in ("accept", "reject", "leave")
    )
    decision = Decision(document.id, tuple(s.id for s in accept), tuple(s.id for s in reject))
    expected = _accepted_one_by_one(labels, accept, length or 0)
    if not (accept or reject) or (accept and expected is None):
        with pytest.raises(InvalidArgument):
            decide(document, decision, ProjectKind.ENTITIES, 1, "later")
        return
    after = decide(document, decision, ProjectKind.ENTITIES, 1, "later").document
    left = tuple(s for s in rest if fits(ProjectKind.ENTITIES, expected, s))
    assert after.labels == expected
    assert after.suggestions is not None
    assert after.suggestions.items == left
    by_hand = set_labels(document, ProjectKind.ENTITIES, expected, "later").suggestions
    assert by_hand is not None
    assert by_hand.items == tuple(s for s in pending.items if fits(ProjectKind.ENTITIES, expected, s))


@pytest.mark.parametrize("regions", [0, 1, MAX_ENTITIES // 4])
def test_as_many_as_a_document_can_have_are_accepted(regions: int) -> None:
    """One after the other, they would take many minutes."""
    places = [("A", place, 1) for place in range(MAX_ENTITIES)]
    size = MAX_ENTITIES // max(regions, 1)
    labels = Labels(regions=tuple(Region(n * size, size) for n in range(regions)))
    document = _document(labels, places, MAX_ENTITIES)
    after = decide(
        document, Decision(document.id, accept_all=True), ProjectKind.ENTITIES, 1, "later"
    ).document
    assert after.labels is not None
    assert len([*after.labels.entities()]) == MAX_ENTITIES
    assert len(after.labels.regions) == max(regions, 1)
    by_hand = set_labels(document, ProjectKind.ENTITIES, after.labels, "later").suggestions
    assert by_hand is not None
    assert by_hand.items == ()
