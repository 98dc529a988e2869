"""The Azure project file, read: from the bytes of a request to domain objects, or to all its faults together.

The documents are decoded one at a time and become domain objects at once, so that memory holds the text and
the result but never the file as dicts. They can only be judged when metadata, kind and categories are known:
in a file that has them in another order the documents are skimmed, and read at the end.
"""

import gc
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from shared.domain.errors import InvalidRequest
from shared.domain.jobs import JobError
from shared.domain.kinds import ProjectKind
from shared.domain.names import azure_name_warning
from shared.domain.project import Category
from shared.domain.project_file import LabeledDocument, ProjectDetails, ProjectFile
from shared.wire.faults import Faults, shown
from shared.wire.json_reader import JsonReader
from shared.wire.labels import LabelReader
from shared.wire.project_file_documents import DocumentReader
from shared.wire.project_file_parts import (
    check_head,
    parse_kind,
    read_assets_kind,
    read_categories,
    read_metadata,
)
from shared.wire.project_settings import unknown_fields


def read_project_file(body: bytes) -> ProjectFile:
    """The content of a project file. About a second of CPU for 100,000 documents: not for the event loop.

    Raises InvalidRequest when the body is no JSON object, InvalidArgument when it breaks rules: one fault
    with message and JSON path (`target`), several as `details`, 100 at most and then the count of the rest.
    """
    with _collector_paused():
        return _ProjectFileReader(body).read()


@contextmanager
def _collector_paused() -> Generator[None]:
    """Reading makes a million objects and no cycles; to look for cycles among them takes half of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@dataclass(frozen=True, slots=True)
class _Head:
    """All of a file but its documents."""

    details: ProjectDetails
    kind: ProjectKind
    categories: tuple[Category, ...]


class _ProjectFileReader:
    def __init__(self, body: bytes) -> None:
        self._json = JsonReader(body)
        self._faults = Faults("project file")
        self._top: dict[str, Any] = {}
        self._assets: dict[str, Any] = {}
        self._documents: list[LabeledDocument] = []
        self._skimmed_at: int | None = None
        self._made: _Head | None = None

    def read(self) -> ProjectFile:
        if self._json.peek() != "{":
            raise InvalidRequest("A project file is a JSON object.")
        for key in self._json.members():
            if key == "assets" and self._json.peek() == "{":
                self._walk_assets()
            else:
                self._keep(self._top, key, key)
        self._drain("")
        self._json.end()
        return self._finish()

    def _walk_assets(self) -> None:
        self._top["assets"] = self._assets
        for key in self._json.members():
            if key == "documents" and self._json.peek() == "[":
                self._meet_documents()
            else:
                self._keep(self._assets, key, f"assets.{key}")
        self._drain("assets")

    def _keep(self, target: dict[str, Any], key: str, path: str) -> None:
        target[key] = self._json.value()
        self._drain(path)

    def _drain(self, path: str) -> None:
        for complaint in self._json.complaints:
            self._faults.add(path, complaint)
        self._json.complaints.clear()

    def _meet_documents(self) -> None:
        kind = parse_kind(self._assets.get("projectKind"))
        if "metadata" in self._top and kind is not None and kind.category_list in self._assets:
            self._read_documents()
            return
        self._skimmed_at = self._json.position
        for _ in self._json.elements():
            self._json.complaints.clear()

    def _read_documents(self) -> None:
        head = self._head()
        labels = LabelReader(head.kind, self._faults, (category.name for category in head.categories))
        reader = DocumentReader(head.kind, head.details.language, labels, self._faults)
        for value in self._json.elements():
            if self._json.complaints:
                self._drain(reader.path)
            reader.add(value)
        self._documents = reader.finish()

    def _head(self) -> _Head:
        if self._made is None:
            details = read_metadata(self._top.get("metadata"), self._faults)
            kind = (
                read_assets_kind(self._top.get("assets"), self._top.get("metadata"), self._faults)
                or details.kind
            )
            self._made = _Head(details, kind, read_categories(self._assets, kind, self._faults))
        return self._made

    def _finish(self) -> ProjectFile:
        head = self._head()
        check_head(self._top, self._faults)
        documents = self._assets.get("documents")
        if documents is not None:
            self._faults.add("assets.documents", f"'documents' must be a list, not {shown(documents)}.")
        if self._skimmed_at is not None:
            self._json.position = self._skimmed_at
            self._read_documents()
        self._faults.raise_any()
        return ProjectFile(head.details, head.categories, self._documents, self._warnings(head))

    def _warnings(self, head: _Head) -> tuple[JobError, ...]:
        where = f"assets.{head.kind.category_list}"
        warnings = [
            JobError("Warning", warning, f"{where}[{index}].category")
            for index, category in enumerate(head.categories)
            if (warning := azure_name_warning(category.name))
        ]
        if ignored := unknown_fields(self._top["metadata"].get("settings")):
            warnings.append(JobError("Warning", ignored, "metadata.settings.autolabel"))
        return tuple(warnings)
