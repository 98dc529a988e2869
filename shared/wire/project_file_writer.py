"""The Azure project file, written piece by piece: one document per line, so that exports can be compared."""

import json
from collections.abc import Iterable
from typing import Any, cast

from shared.domain.names import ProjectKind
from shared.domain.project import Category
from shared.domain.project_file import LabeledDocument, ProjectDetails
from shared.wire.documents import write_labels
from shared.wire.project_file import FILE_VERSION, INDEX_TYPE
from shared.wire.projects import settings_json

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class ProjectFileWriter:
    """Bytes of a project file: `start()`, any number of `documents(...)`, `end()`. The order is the caller's.

    `for_azure`: without what only this app knows: its settings, and descriptions of categories.
    """

    def __init__(
        self, details: ProjectDetails, categories: Iterable[Category], *, for_azure: bool = False
    ) -> None:
        self._details = details
        self._categories = tuple(categories)
        self._for_azure = for_azure
        self._separator = "\n"

    def start(self) -> bytes:
        """Everything before the first document."""
        kind = self._details.kind
        assets = {
            "projectKind": kind.value,
            kind.category_list: [self._category(category) for category in self._categories],
        }
        opened = f'{_encode(assets)[:-1]},"documents":['
        head = {
            "projectFileVersion": FILE_VERSION,
            "stringIndexType": INDEX_TYPE,
            "metadata": self._metadata(),
        }
        return _to_bytes(f'{_encode(head)[:-1]},\n"assets":{opened}')

    def _metadata(self) -> dict[str, Any]:
        details = self._details
        settings = _without_none(settings_json(details.settings))
        return {
            "projectKind": details.kind.value,
            "storageInputContainerName": details.container,
            "settings": {"confidenceThreshold": settings["confidenceThreshold"]}
            if self._for_azure
            else settings,
            "projectName": details.name,
            "multilingual": details.multilingual,
            "description": details.description,
            "language": details.language,
        }

    def _category(self, category: Category) -> dict[str, str]:
        if category.description is None or self._for_azure:
            return {"category": category.name}
        return {"category": category.name, "description": category.description}

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


def _without_none(value: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(cast("dict[str, Any]", item)) if isinstance(item, dict) else item
        for key, item in value.items()
        if item is not None
    }


def _encode(value: Any) -> str:
    return _ENCODER.encode(value)


def _to_bytes(text: str) -> bytes:
    """UTF-8; an unpaired surrogate (which only JSON can carry) becomes its JSON escape."""
    return text.encode("utf-8", "backslashreplace")
