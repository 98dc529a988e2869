"""The first words of a document, which lists show: kept with the document, so that a list reads no text."""

import json
from dataclasses import replace

import pytest

from shared.domain.document import Document, Reading, apply, new_document
from shared.domain.text import EXCERPT, Rejection, first_words
from shared.storage import page_codec


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I want my money back.", "I want my money back."),
        ("\n\r\n  Two\tlines\r\nin one \n", "Two lines in one"),
        ("word " * 40, "word " * 15 + "word…"),
        ("x" * 500, "x" * EXCERPT + "…"),
        ("x" * EXCERPT, "x" * EXCERPT),
        ("ab" + " " * 5_000 + "cd", "ab…"),
        (" " * 5_000 + "ab", "ab"),
        ("🦊" * 81, "🦊" * EXCERPT + "…"),
    ],
)
def test_first_words_are_one_line_cut_between_words(text: str, words: str) -> None:
    assert first_words(text) == words
    assert len(words) <= EXCERPT + 1


def _with_text(document: Document, text: str, etag: str = "e1") -> Document:
    return apply(document, Reading(etag, text, None), "r1")


def test_the_first_words_are_those_of_the_text_now() -> None:
    document = _with_text(new_document("a.txt", "en-us", "r0"), "Refund me")
    assert document.excerpt == "Refund me"
    stored = page_codec.decode_document(json.loads(json.dumps(page_codec.encode_document(document))))
    assert stored == document
    assert _with_text(document, "Another text", "e2").excerpt == "Another text"
    rejected = apply(document, Reading("e3", None, Rejection("EmptyDocument", "The file is empty.")), "r2")
    assert rejected.excerpt == ""


def test_a_document_of_an_earlier_version_gets_them_when_it_is_read_and_keeps_its_version() -> None:
    document = replace(_with_text(new_document("a.txt", "en-us", "r0"), "Refund me"), excerpt="")
    after = _with_text(document, "Refund me")
    assert (after.excerpt, after.revision) == ("Refund me", document.revision)
    assert _with_text(after, "Refund me") is after
