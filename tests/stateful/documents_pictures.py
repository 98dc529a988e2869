"""Documents of the project in the words of the model, and back."""

from shared.domain.document import Document
from shared.domain.labels import EntityLabel, Labels, Region
from tests.stateful.documents_model import Doc, Mark, Marks


class Keyed:
    """A document of the model as the project is compared with it: by the length of its text."""

    def __init__(self, doc: Doc) -> None:
        self.text_key = len(doc.text.encode("utf-16-le")) // 2
        self.labels, self.changed = doc.labels, doc.changed
        self.pending = [(suggestion, suggestion.confidence) for suggestion in doc.pending]


def labels_of(marks: Marks | None, entities: bool) -> Labels | None:
    if marks is None:
        return None
    if not entities:
        return Labels(categories=tuple(mark.category for mark in marks))
    spans = tuple(EntityLabel(mark.category, mark.offset, mark.length) for mark in marks)
    return Labels(regions=(Region(0, 5, spans),))


def marks_of(labels: Labels | None) -> Marks | None:
    if labels is None:
        return None
    spans = (Mark(entity.category, entity.offset, entity.length) for entity in labels.entities())
    return tuple(sorted([*map(Mark, labels.categories), *spans]))


def pending_of(document: Document, generation: int) -> list[tuple[Mark, int]]:
    found = document.pending(generation)
    return [(Mark(s.category, s.offset, s.length), s.confidence) for s in found.items] if found else []
