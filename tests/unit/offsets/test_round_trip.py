"""What a span covers, from the browser's units through the API, storage, engine and project file and back."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from hypothesis import given, settings

from shared.domain.document import Document, new_document
from shared.domain.labels import Example, Filter, Labels, Prediction, SuggestionSet, select, span_errors
from shared.domain.names import Dataset, ProjectKind, Studio
from shared.domain.project import Category, Project
from shared.domain.project_file import LabeledDocument, ProjectDetails
from shared.domain.review import Decision, decide
from shared.domain.text import Offsets, content_hash
from shared.services.training.model_cache import example
from shared.storage import page_codec
from shared.wire.documents import document_json, read_labels
from shared.wire.project_file import read_project_file
from tests.unit.offsets.strings import BLOCK, Spans, block, made_spans, seeds, spans, unit_slice, units
from tests.unit.wire.project_files import write_project_file

KIND = ProjectKind.ENTITIES
AT = datetime(2030, 1, 1, tzinfo=UTC)
PROJECT = Project("p", KIND, "docs", "de", AT, AT, "i", "e", categories=(Category("Ort 😀"),))

few = settings(max_examples=300, deadline=None)
many = settings(max_examples=5_000 // BLOCK, deadline=None)
made = partial(made_spans, whole=True)


@few
@given(spans(whole=True))
def test_labels_by_hand(drawn: Spans):
    _label_by_hand(drawn)


@many
@given(seeds)
def test_labels_by_hand_of_thousands_of_texts(seed: int):
    for drawn in block(made, seed):
        _label_by_hand(drawn)


def _label_by_hand(drawn: Spans) -> None:
    """Browser -> API -> storage -> engine, and -> project file -> import -> API: the same text each time."""
    text, places = drawn
    covered = [text[offset : offset + length] for offset, length in places]
    offsets = Offsets(text)
    marked = [_in_browser(text, offset, length) for offset, length in places]
    body = [{"regionOffset": 0, "regionLength": len(units(text)), "labels": marked}]

    labels = read_labels(KIND, json.loads(json.dumps(body)))
    assert labels is not None
    assert not list(span_errors(labels, offsets))
    document = _stored(_document(text, labels))

    learned = _example(text, document)
    assert [text[s.offset : s.offset + s.length] for s in learned.spans] == covered

    file = write_project_file(_details(), PROJECT.categories, [_exported(document)])
    [imported] = read_project_file(file).documents
    answer = document_json(_document(text, imported.labels), PROJECT)
    assert answer["entities"] == body
    shown = [unit_slice(text, e["offset"], e["length"]) for e in answer["entities"][0]["labels"]]
    assert shown == covered


@few
@given(spans(whole=True))
def test_suggestions_of_an_engine(drawn: Spans):
    _suggest_and_accept(drawn)


@many
@given(seeds)
def test_suggestions_for_thousands_of_texts(seed: int):
    for drawn in block(made, seed):
        _suggest_and_accept(drawn)


def _suggest_and_accept(drawn: Spans) -> None:
    """Engine -> suggestion -> storage -> browser, and accepted -> label -> engine: the same text each time."""
    text, places = drawn
    covered = [text[offset : offset + length] for offset, length in places]
    predicted = [Prediction("Ort 😀", 0.5, offset, length) for offset, length in places]
    rule = Filter(KIND, 0, frozenset({"Ort 😀"}))
    items = select(predicted, text, content_hash(text), None, (), rule)
    made = SuggestionSet("job", "engine", None, 0, "r", items)
    document = _stored(_document(text, None, made))

    answer = document_json(document, PROJECT)
    assert [unit_slice(text, s["offset"], s["length"]) for s in answer["suggestions"]] == covered
    if not places:
        return
    accepted = decide(document, Decision(document.id, accept_all=True), KIND, 0, "r2").document
    [region] = document_json(_stored(accepted), PROJECT)["entities"]
    assert (region["regionOffset"], region["regionLength"]) == (0, len(units(text)))
    assert [unit_slice(text, e["offset"], e["length"]) for e in region["labels"]] == covered
    learned = _example(text, accepted)
    assert [text[s.offset : s.offset + s.length] for s in learned.spans] == covered


def _in_browser(text: str, offset: int, length: int) -> dict[str, object]:
    """What a page sends for a selection: offsets are counted in UTF-16 code units, by an encoder of its own."""
    start, end = len(units(text[:offset])), len(units(text[: offset + length]))
    return {"category": "Ort 😀", "offset": start, "length": end - start}


def _document(text: str, labels: Labels | None, made: SuggestionSet | None = None) -> Document:
    offsets = Offsets(text)
    return replace(
        new_document("a.txt", "de", "r"),
        content=content_hash(text),
        length=offsets.utf16_length,
        characters=offsets.length,
        labels=labels,
        suggestions=made,
    )


def _stored(document: Document) -> Document:
    """Through the codec of the table, as JSON."""
    return page_codec.decode_document(json.loads(json.dumps(page_codec.encode_document(document))))


def _details() -> ProjectDetails:
    return ProjectDetails("p", KIND, "docs", "de")


def _exported(document: Document) -> LabeledDocument:
    return LabeledDocument(document.location, document.language, Dataset.TRAIN, document.labels)


def test_the_reference_counts_as_javascript_does():
    assert len(units("a😀b")) == 4
    assert unit_slice("a😀b", 1, 2) == "😀"


def _example(text: str, document: Document) -> Example:
    labels = document.active_labels(Studio.LANGUAGE_STUDIO)
    assert labels is not None
    return example(KIND, text, document.language, labels)
