"""When the version of a document changes: not by a first inspection, nor by a blob that is missing or found again."""

from dataclasses import replace

from shared.domain.autolabel import inspect
from shared.domain.document import Document, Reading, apply, new_document
from shared.domain.labels import Labels
from shared.domain.text import Rejection

IMPORTED = replace(new_document("a.txt", "en-us", "seen"), labels=Labels(("Refund",)))


def _text(text: str) -> Reading:
    return Reading(f"etag of {text}", text, None)


def _looked(document: Document, reading: Reading | None) -> Document:
    after = inspect(document, document.location, "en-us", reading, "later").after
    assert after is not None
    return after


def test_the_first_look_at_an_imported_document_keeps_its_version() -> None:
    after = _looked(IMPORTED, _text("my money"))
    assert (after.revision, after.length, after.content_changed) == ("seen", 8, False)


def test_a_missing_blob_and_a_found_one_keep_the_version() -> None:
    missing = _looked(IMPORTED, None)
    found = _looked(missing, _text("my money"))
    assert (missing.missing, found.missing) == (True, False)
    assert {missing.revision, found.revision} == {"seen"}


def test_new_content_makes_a_new_version() -> None:
    read = apply(IMPORTED, _text("my money"), "first")
    assert apply(read, _text("my password"), "second").revision == "second"


def test_a_file_that_becomes_a_document_or_stops_being_one_gets_a_new_version() -> None:
    empty = Reading("e", None, Rejection("EmptyDocument", "The file is empty."))
    rejected = apply(IMPORTED, empty, "first")
    assert rejected.revision == "first"
    assert apply(rejected, _text("my money"), "second").revision == "second"
