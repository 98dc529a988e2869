"""What decisions, labels by hand and undo leave of labels, suggestions and flags (rules A3, A9, D2, V4)."""

from dataclasses import replace

import pytest

from shared.domain.category_edits import CategoryEdit
from shared.domain.document import Document, new_document, set_labels, undo_of_labels
from shared.domain.errors import Conflict
from shared.domain.labels import (
    EntityLabel,
    Hundredths,
    Labels,
    Region,
    Suggestion,
    SuggestionSet,
    span_errors,
    suggestion_id,
)
from shared.domain.names import DocumentStatus, ProjectKind, Studio
from shared.domain.review import Decision, decide, undo
from shared.domain.text import Offsets
from shared.storage.page_codec import decode_document, encode_document

SINGLE, MULTI = ProjectKind.SINGLE_LABEL, ProjectKind.MULTI_LABEL


def _suggestion(category: str) -> Suggestion:
    return Suggestion(suggestion_id("c", category, 0, 0), category, Hundredths(73))


def _made(job_id: str, *categories: str) -> SuggestionSet:
    return SuggestionSet(job_id, "embedded", None, 1, f"of {job_id}", tuple(map(_suggestion, categories)))


def _document(*categories: str, labels: Labels | None = None, changed: bool = False) -> Document:
    made = new_document("a.txt", "en-us", "first")
    return replace(
        made, content="c", labels=labels, content_changed=changed, suggestions=_made("old", *categories)
    )


def _decide(document: Document, *, accept: tuple[str, ...] = (), reject: tuple[str, ...] = ()) -> Document:
    yes, no = (tuple(_suggestion(c).id for c in found) for found in (accept, reject))
    return decide(document, Decision(document.id, yes, no), MULTI, 1, "decided").document


def _pending(document: Document) -> list[str]:
    found = document.pending(1)
    return [item.category for item in found.items] if found else []


def test_labeled_with_nothing_contradicts_every_class_of_a_single_label_document() -> None:
    after = set_labels(_document("Refund"), SINGLE, Labels(), "later")
    assert _pending(after) == []
    assert after.status(1, Studio.LANGUAGE_STUDIO) is DocumentStatus.LABELED


def test_labeled_with_nothing_repeats_no_class_of_a_multi_label_document() -> None:
    assert _pending(set_labels(_document("Refund"), MULTI, Labels(), "later")) == ["Refund"]


@pytest.mark.parametrize("decision", [{"accept": ("Login",)}, {"reject": ("Login",)}])
def test_a_decision_confirms_no_label_of_changed_content(decision: dict[str, tuple[str, ...]]) -> None:
    document = _document("Login", labels=Labels(("Refund",)), changed=True)
    assert _decide(document, **decision).content_changed


def test_labels_by_hand_confirm_the_changed_content() -> None:
    document = _document(labels=Labels(("Refund",)), changed=True)
    assert not set_labels(document, MULTI, Labels(("Refund",)), "later").content_changed


@pytest.mark.parametrize("confirmed", [True, False])
def test_undo_takes_no_confirmation_back(confirmed: bool) -> None:
    decided = _decide(_document("Login", labels=Labels(("Refund",)), changed=True), reject=("Login",))
    after = undo(replace(decided, content_changed=not confirmed), MULTI, 1, "undone")
    assert after.content_changed is not confirmed


def test_undo_leaves_the_suggestions_of_a_later_job_as_far_as_they_fit() -> None:
    decided = _decide(_document("Login", "Other", labels=Labels(("Refund",))), reject=("Login",))
    later = replace(decided, suggestions=_made("new", "Refund", "Billing"))
    after = undo(later, MULTI, 1, "undone")
    assert after.suggestions is not None
    assert (after.suggestions.job_id, _pending(after)) == ("new", ["Billing"])
    assert after.etag(1) == ("undone", "undone")


@pytest.mark.parametrize("later", [None, _made("old", "Other"), _made("new")])
def test_undo_brings_back_what_no_later_suggestion_replaced(later: SuggestionSet | None) -> None:
    decided = _decide(_document("Login", "Other"), accept=("Login",))
    after = undo(replace(decided, suggestions=later), MULTI, 1, "undone")
    assert after.suggestions is not None
    assert (after.suggestions.job_id, _pending(after), after.labels) == ("old", ["Login", "Other"], None)


def _set(document: Document, *categories: str) -> Document:
    return set_labels(document, MULTI, Labels(categories), "by hand", undo_of_labels(document, 1))


def test_undo_of_labels_by_hand_brings_back_labels_suggestions_and_flags() -> None:
    document = replace(_document("Login", labels=Labels(("Refund",)), changed=True), problems=("A problem.",))
    labeled = _set(document, "Login")
    assert (_pending(labeled), labeled.content_changed, labeled.problems) == ([], False, ())
    after = undo(labeled, MULTI, 1, "undone")
    assert (after.labels, _pending(after)) == (Labels(("Refund",)), ["Login"])
    assert (after.content_changed, after.problems) == (True, ("A problem.",))
    assert decode_document(encode_document(labeled)) == labeled


def test_a_decision_and_the_labels_set_after_it_are_undone_one_by_one() -> None:
    decided = _decide(_document("Login", "Other"), reject=("Login",))
    twice = _set(_set(decided, "Refund"), "Billing")
    once_back = undo(twice, MULTI, 1, "undone")
    assert once_back.labels == Labels(("Refund",))
    both_back = undo(once_back, MULTI, 1, "undone")
    assert (both_back.labels, _pending(both_back)) == (None, ["Other"])
    with pytest.raises(Conflict):  # not further back than the change before the last
        undo(both_back, MULTI, 1, "undone")
    relabeled = undo(undo(_set(decided, "Refund"), MULTI, 1, "first"), MULTI, 1, "second")
    assert (relabeled.labels, _pending(relabeled), relabeled.rejected) == (
        None,
        ["Login", "Other"],
        frozenset(),
    )


def test_training_ends_the_undo_of_labels_by_hand() -> None:
    with pytest.raises(Conflict, match="training"):
        undo(_set(_document("Login"), "Refund"), MULTI, 2, "undone")


def test_a_renamed_category_is_renamed_in_what_undo_brings_back() -> None:
    relabeled = _set(_decide(_document("Login", labels=Labels(("Old",))), reject=("Login",)), "Refund")
    renamed = CategoryEdit({"Old": "New"}).in_document(relabeled, "renamed")
    once = undo(renamed, MULTI, 1, "undone")
    assert once.labels == undo(once, MULTI, 1, "undone").labels == Labels(("New",))


def test_every_span_that_does_not_fit_is_reported_with_its_path_and_reason() -> None:
    """The text is `a`, an astral letter, `bc`: 5 units, of which 1 and 2 are one letter."""
    spans = (EntityLabel("X", 0, 1), EntityLabel("X", 2, 1), EntityLabel("Y", 4, 2))
    labels = Labels(regions=(Region(0, 5, spans), Region(2, 9)))
    found = dict(span_errors(labels, Offsets("a\U0001f600bc")))
    assert found == {
        "[0].labels[1]": "The entity 'X' at 2 (length 1) splits a surrogate pair.",
        "[0].labels[2]": "The entity 'Y' at 4 (length 2) ends beyond the text, which has 5.",
        "[1]": "The region at 2 (length 9) ends beyond the text, which has 5.",
    }
