"""The Azure project file, written piece by piece: one document a line, so that exports can be compared."""

import json
from collections.abc import Iterable, Iterator
from itertools import batched
from operator import attrgetter
from typing import Any

from shared.domain.kinds import ProjectKind
from shared.domain.project import Category
from shared.domain.project_file import LabeledDocument, ProjectDetails
from shared.wire.labels import write_labels
from shared.wire.project_file_parts import FILE_VERSION, INDEX_TYPE
from shared.wire.project_settings import write_settings

BATCH = 1_000
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class ProjectFileWriter:
    """Bytes of a project file: `start()`, any number of `documents(...)`, `end()`. The order is the caller's."""

    def __init__(self, details: ProjectDetails, categories: Iterable[Category]) -> None:
        self._details = details
        self._categories = tuple(categories)
        self._separator = "\n"

    def start(self) -> bytes:
        """Everything before the first document."""
        kind = self._details.kind
        assets = {
            "projectKind": kind.value,
            kind.category_list: [_write_category(category) for category in self._categories],
        }
        opened = f'{_encode(assets)[:-1]},"documents":['
        head = {
            "projectFileVersion": FILE_VERSION,
            "stringIndexType": INDEX_TYPE,
            "metadata": _write_metadata(self._details),
        }
        return _to_bytes(f'{_encode(head)[:-1]},\n"assets":{opened}')

    def documents(self, documents: Iterable[LabeledDocument]) -> bytes:
        """The next documents; none are no bytes."""
        kind = self._details.kind
        lines = [_encode(write_document(kind, document)) for document in documents]
        if not lines:
            return b""
        text = self._separator + ",\n".join(lines)
        self._separator = ",\n"
        return _to_bytes(text)

    def end(self) -> bytes:
        """Everything after the last document."""
        return b"\n]}}"


def write_project_file(
    details: ProjectDetails,
    categories: Iterable[Category],
    documents: Iterable[LabeledDocument],
) -> Iterator[bytes]:
    """The whole file in chunks of some 100 KB, documents in the order of their locations."""
    writer = ProjectFileWriter(details, categories)
    yield writer.start()
    for batch in batched(sorted(documents, key=attrgetter("location")), BATCH, strict=False):
        yield writer.documents(batch)
    yield writer.end()


def write_document(kind: ProjectKind, document: LabeledDocument) -> dict[str, Any]:
    """One document as JSON; without labels it has no label field (rule D6)."""
    made: dict[str, Any] = {
        "location": document.location,
        "language": document.language,
        "dataset": document.dataset.value,
    }
    if document.labels is not None:
        made[kind.label_field] = write_labels(kind, document.labels)
    return made


def _write_metadata(details: ProjectDetails) -> dict[str, Any]:
    return {
        "projectKind": details.kind.value,
        "storageInputContainerName": details.container,
        "settings": write_settings(details.settings),
        "projectName": details.name,
        "multilingual": details.multilingual,
        "description": details.description,
        "language": details.language,
    }


def _write_category(category: Category) -> dict[str, str]:
    if category.description is None:
        return {"category": category.name}
    return {"category": category.name, "description": category.description}


def _encode(value: Any) -> str:
    return _ENCODER.encode(value)


def _to_bytes(text: str) -> bytes:
    """UTF-8; half of a surrogate pair (which only JSON can carry) becomes its JSON escape."""
    return text.encode("utf-8", "backslashreplace")
