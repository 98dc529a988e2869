"""`contentChanged` (D2) and `missing` (D3): labels stay, and are whole again when their text is back."""

import json
from dataclasses import replace

import pytest

from shared.domain.autolabel import inspect
from shared.domain.document import Document, Reading, apply, new_document, set_labels, undo_of_labels
from shared.domain.errors import Conflict
from shared.domain.labels import (
    END_OF_TEXT,
    EntityLabel,
    Hundredths,
    Labels,
    Region,
    Suggestion,
    SuggestionSet,
    without_open_end,
)
from shared.domain.names import ProjectKind
from shared.domain.review import Decision, decide, undo
from shared.domain.text import Rejection
from shared.storage import page_codec

KIND = ProjectKind.SINGLE_LABEL
NO_TEXT = Reading("e", None, Rejection("EmptyDocument", "The file is empty."))


def _text(text: str) -> Reading:
    return Reading(f"etag of {text}", text, None)


def _stored(document: Document) -> Document:
    return page_codec.decode_document(json.loads(json.dumps(page_codec.encode_document(document))))


def _labeled(text: str = "A") -> Document:
    read = apply(new_document("a.txt", "en-us", "r0"), _text(text), "r1")
    return set_labels(read, KIND, Labels(("Bike",)), "r2")


def _after(document: Document, *readings: Reading) -> Document:
    """Each reading twice, as events repeat, and stored in between."""
    for number, reading in enumerate(readings):
        document = apply(_stored(document), reading, f"x{number}")
        assert apply(document, reading, "repeat") is document
    return document


@pytest.mark.parametrize(
    "between",
    [
        [_text("B")],
        [_text("B"), _text("C")],
        [NO_TEXT],
        [_text("B"), NO_TEXT],
        [NO_TEXT, _text("B")],
    ],
)
def test_the_flag_goes_when_the_labeled_text_is_back(between: list[Reading]) -> None:
    changed = _after(_labeled(), *between)
    assert (changed.content_changed, changed.labels) == (True, Labels(("Bike",)))
    back = _after(changed, _text("A"))
    assert (back.content_changed, back.labels) == (False, Labels(("Bike",)))


def test_labels_set_for_the_text_between_are_of_that_text() -> None:
    again = set_labels(_after(_labeled(), _text("B")), KIND, Labels(("Rail",)), "r3")
    assert not again.content_changed
    assert _after(again, _text("A")).content_changed
    assert not _after(again, _text("A"), _text("B")).content_changed


def test_a_labeled_document_without_its_blob_is_missing_and_whole_again_with_the_same_text() -> None:
    labeled = _labeled()
    gone = inspect(labeled, "a.txt", "en-us", None, "r3").after
    assert gone is not None
    assert (gone.missing, gone.labels, gone.blob_etag, gone.revision) == (True, labeled.labels, "", "r2")
    assert inspect(gone, "a.txt", "en-us", None, "r4").after is gone
    back = inspect(_stored(gone), "a.txt", "en-us", _text("A"), "r5").after
    assert back is not None
    assert (back.missing, back.content_changed, back.labels) == (False, False, labeled.labels)
    other = inspect(_stored(gone), "a.txt", "en-us", _text("B"), "r5").after
    assert other is not None
    assert (other.missing, other.content_changed, other.labels) == (False, True, labeled.labels)


def test_an_unlabeled_document_without_its_blob_is_deleted() -> None:
    read = apply(new_document("a.txt", "en-us", "r0"), _text("A"), "r1")
    assert inspect(read, "a.txt", "en-us", None, "r2").after is None


@pytest.mark.parametrize(
    "between",
    [
        [None],
        [_text("B"), None],
        [None, _text("B")],
        [NO_TEXT, None, _text("B"), NO_TEXT],
    ],
)
def test_the_flag_goes_also_after_the_blob_was_gone(between: list[Reading | None]) -> None:
    document = _labeled()
    for reading in [*between, _text("A")]:
        for _ in range(2):
            found = inspect(_stored(document), "a.txt", "en-us", reading, "x").after
            assert found is not None
            document = found
    assert (document.content_changed, document.missing, document.rejection) == (False, False, None)
    assert document.labels == Labels(("Bike",))


def test_a_region_without_a_known_end_becomes_the_document_also_in_what_an_undo_brings_back() -> None:
    """Labels that came before the text, and a change of them before it was registered."""
    entity = EntityLabel("Who", 2, 3)
    early = Labels(regions=(Region(0, END_OF_TEXT, (entity,)),))
    unread = replace(new_document("a.txt", "en-us", "r0"), labels=early, aml_labels=early)
    changed = set_labels(unread, ProjectKind.ENTITIES, None, "r1", undo_of_labels(unread, 0))

    read = _after(changed, _text("A text of 23 characters"))

    whole = Labels(regions=(Region(0, 23, (entity,)),))
    assert read.aml_labels == whole
    assert undo(read, ProjectKind.ENTITIES, 0, "r2").labels == whole


@pytest.mark.parametrize(
    ("between", "flagged"),
    [
        ([_text("B")], True),
        ([NO_TEXT], True),
        ([_text("B"), NO_TEXT, _text("C")], True),
        ([_text("B"), _text("A")], False),
        ([NO_TEXT, _text("A")], False),
        ([None, _text("B")], True),
    ],
)
def test_a_change_of_labels_can_be_undone_after_the_text_changed(
    between: list[Reading | None], flagged: bool
) -> None:
    """Both steps of the undo bring back labels of text A; they are whole where A is back."""
    labeled = _labeled()
    document = set_labels(labeled, KIND, Labels(("Rail",)), "r3", undo_of_labels(labeled, 0))
    document = set_labels(document, KIND, Labels(("Road",)), "r4", undo_of_labels(document, 0))
    for reading in between:
        found = inspect(_stored(document), "a.txt", "en-us", reading, "x").after
        assert found is not None
        document = found
    for before in ("Rail", "Bike"):
        document = undo(_stored(document), KIND, 0, "r5")
        assert (document.labels, document.content_changed) == (Labels((before,)), flagged)
    whole = _after(document, _text("Z"), _text("A"))
    assert not whole.content_changed


def test_an_undone_first_label_leaves_nothing_flagged() -> None:
    read = apply(new_document("a.txt", "en-us", "r0"), _text("A"), "r1")
    labeled = set_labels(read, KIND, Labels(("Bike",)), "r2", undo_of_labels(read, 0))
    undone = undo(_after(labeled, _text("B")), KIND, 0, "r3")
    assert (undone.labels, undone.content_changed, undone.labeled_content) == (None, False, "")


def test_undone_entities_of_an_earlier_text_say_what_does_not_fit() -> None:
    entity = EntityLabel("Who", 4, 5)
    labels = Labels(regions=(Region(0, 9, (entity,)),))
    read = apply(new_document("a.txt", "en-us", "r0"), _text("For Paula"), "r1")
    labeled = set_labels(read, ProjectKind.ENTITIES, labels, "r2")
    cleared = set_labels(labeled, ProjectKind.ENTITIES, None, "r3", undo_of_labels(labeled, 0))

    shorter = undo(_after(cleared, _text("For you")), ProjectKind.ENTITIES, 0, "r4")

    assert (shorter.labels, shorter.content_changed) == (labels, True)
    assert shorter.has_stale_labels(ProjectKind.ENTITIES)
    assert "The entity 'Who' at 4 (length 5) ends beyond the text, which has 7." in shorter.problems
    back = undo(_after(cleared, _text("For you"), _text("For Paula")), ProjectKind.ENTITIES, 0, "r4")
    assert (back.labels, back.content_changed, back.problems) == (labels, False, ())


def test_a_decision_is_undone_without_the_suggestions_of_the_earlier_text() -> None:
    read = apply(new_document("a.txt", "en-us", "r0"), _text("A"), "r1")
    offered = SuggestionSet("job", "scripted", None, 0, "r2", (Suggestion("s", "Bike", Hundredths(80)),))
    decided = decide(replace(read, suggestions=offered), Decision(read.id, accept_all=True), KIND, 0, "r3")

    undone = undo(_after(decided.document, _text("B")), KIND, 0, "r4")

    assert (undone.labels, undone.suggestions, undone.content_changed) == (None, None, False)


def test_an_undo_that_is_refused_says_the_true_reason() -> None:
    labeled = _labeled()
    with pytest.raises(Conflict, match="no label change to undo since the last training or import"):
        undo(labeled, KIND, 0, "r3")
    changed = set_labels(labeled, KIND, None, "r3", undo_of_labels(labeled, 0))
    with pytest.raises(Conflict, match="made before the last training"):
        undo(changed, KIND, 1, "r4")


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        ([], [(0, 0)]),
        ([(2, 3), (9, 4)], [(0, 13)]),
    ],
)
def test_no_length_is_shown_that_nobody_knows(
    labels: list[tuple[int, int]], shown: list[tuple[int, int]]
) -> None:
    entities = tuple(EntityLabel("Who", *place) for place in labels)
    early = Labels(regions=(Region(0, END_OF_TEXT, entities),))
    assert [(r.offset, r.length) for r in without_open_end(early, None).regions] == shown
    ends = Labels(regions=(Region(0, 5), Region(8, 20, entities)))
    assert without_open_end(ends, None) == ends
